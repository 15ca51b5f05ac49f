"""What nobody else finishes, the guard does: lost requests, dead drivers, dead letters."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime

import pytest

from scenarios.account import Account
from scenarios.checks import assert_crash, one_set, runners, until
from scenarios.conftest import UNFIRED, Launch, Scheduled
from scenarios.instance import Instance
from scenarios.policies import document, policy


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("guarded")


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Guard-Calm", document("exit 0"))


def look_around(account: Account) -> None:
    """What the guard's schedule does every minute."""
    answer, is_error = account.invoke("stillpoint-guard", {})
    assert not is_error, answer


def test_a_run_whose_request_was_lost_is_requested_again(
    account: Account, instance: Instance
) -> None:
    with account.requests_lost():
        (order,) = account.plan(policy=policy(instance.target, "Guard-Calm"))["runs"]
    assert account.record(order["runId"])["open"] == {"S": "open"}, "on record before it is sent"
    look_around(account)
    assert account.messages_left() == 0 and instance.story() == [], "it is not due yet"
    account.make_due(order["runId"])
    look_around(account)
    event = account.finished.of(order["runId"])
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    assert len(one_set(account, event)) == 1
    assert "open" not in account.record(order["runId"])


def test_a_run_whose_runner_died_is_thawed_by_the_guard(
    account: Account, instance: Instance
) -> None:
    account.faults(deliveryDelaySeconds={instance.id: 1.5})
    (order,) = account.plan(policy=policy(instance.target, "Guard-Calm"))["runs"]
    until(lambda: "pre-script" in instance.story(), "the pre-script is sent")
    for pid in runners(account.cloud.endpoint):
        os.kill(pid, signal.SIGKILL)
    account.expire_lease(order["runId"])
    account.make_due(order["runId"])
    look_around(account)
    assert instance.story() == ["pre-script", "post-script"], "it begins nothing itself"
    # What it may not do is left to a runner, which is told.
    event = account.finished.of(order["runId"])
    assert_crash(event, "SP3012")
    assert instance.story() == ["pre-script", "post-script", "CreateSnapshots"]
    assert len(one_set(account, event)) == 1
    # The dead runner's message is in flight until its visibility timeout, minutes from now.
    account.purge()


def test_a_firing_that_never_came_is_told_when_its_own_window_is_over(
    account: Account, scheduled: Scheduled
) -> None:
    due = datetime.fromisoformat(scheduled.nominal)
    # The window of this policy is a minute, and the guard looks every minute.
    left_s = (due - datetime.now(UTC)).total_seconds() + 60 + 2 * 60
    until(lambda: account.finished.matching(policyId=UNFIRED), "the missing firing is told", left_s)
    (event,) = account.finished.matching(policyId=UNFIRED)
    assert (event["outcome"], event["code"], event["nominalTime"]) == ("failed", "SP1007", scheduled.nominal)
    told_s = (datetime.fromisoformat(event["endedAt"]) - due).total_seconds()
    assert 60 <= told_s < 60 + 10 * 60, "not before the window is over, and soon after"


def test_a_dead_letter_stays_until_it_can_be_finished(account: Account, instance: Instance) -> None:
    account.purge()
    (order,) = account.plan(policy=policy(instance.target, "Guard-Calm"), dryRun=True)["runs"]
    order |= {"startBeforeMs": 1}
    # Neither the run nor its outcome can be written down, by whomever.
    account.spoil_record(order["runId"])
    with account.redelivery_after(1), account.redelivery_after(2, "RunsDeadQueueUrl"):
        account.publish(order)
        until(lambda: account.messages_left("RunsDeadQueueUrl") == 1, "a dead letter")
        assert account.messages_left() == 0
        assert account.finished.matching(runId=order["runId"]) == []
        assert instance.timeline() == [], "without a record nothing is done"
        account.forget_record(order["runId"])
        event = account.finished.of(order["runId"])
        until(lambda: account.messages_left("RunsDeadQueueUrl") == 0, "the letter is settled")
    assert (event["outcome"], event["code"]) == ("failed", "SP3020"), event
    assert instance.timeline() == []
