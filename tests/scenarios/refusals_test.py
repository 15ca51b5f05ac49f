"""What never becomes a run: a policy that cannot be, a request that cannot be, a queue message
that nobody can read. Each ends in one recorded outcome with a readable error and touches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scenarios.account import Account, Refused
from scenarios.checks import WINDOW, until
from scenarios.instance import Instance
from scenarios.policies import SCHEDULE, document, policy

TIMEOUT_PATH = "PolicyDetails.Schedules[0].CreateRule.Scripts[0].ExecutionTimeout"
UNKNOWN_PATH = "PolicyDetails.Schedules[0].CreateRule.Scripts[0].ExecutionTimeOut"
# What the two impossible fields of `impossible` must be told as: path, found, allowed.
TIMEOUT_LINE = f"{TIMEOUT_PATH}: found 500, allowed 10 to 120 (seconds)"
UNKNOWN_LINE = f"{UNKNOWN_PATH}: found an unknown field, allowed Stages, "


@pytest.fixture(scope="module")
def instance(account: Account) -> Iterator[Instance]:
    """An instance with a document that would run, had the policy been possible."""
    account.put_document("Scenario-Quiet", document("echo quiet"))
    instance = account.launch("refusals")
    yield instance
    instance.vanish()


def impossible(instance: Instance) -> dict[str, Any]:
    return policy(instance.target, "Scenario-Quiet", ExecutionTimeout=500, ExecutionTimeOut=30)


def assert_names_both_fields(text: str) -> None:
    assert TIMEOUT_LINE in text.splitlines()
    assert any(line.startswith(UNKNOWN_LINE) for line in text.splitlines())


def assert_is_refusal(event: dict[str, Any], code: str) -> None:
    """Everything that a refused occasion's event says, but for its reason."""
    assert (event["outcome"], event["code"]) == ("failed", code)
    assert event["consistency"] is None and event["snapshots"] == []
    assert event["preScript"] is None and event["createSnapshots"] is None
    assert event["runId"].startswith("refused-")


# --- a policy with an impossible field -----------------------------------------------------------


def test_a_scheduled_firing_of_an_impossible_policy_is_recorded(
    account: Account, instance: Instance
) -> None:
    account.put_policy("impossible", impossible(instance))
    firing = {"policyId": "impossible", "schedule": SCHEDULE,
              "scheduledTime": "2026-01-02T03:30:00Z"}
    with pytest.raises(Refused) as refused:
        account.plan(**firing)
    assert refused.value.code == "SP1003"
    assert_names_both_fields(refused.value.text)
    (event,) = account.finished.wait(policyId="impossible", code="SP1003")
    assert_is_refusal(event, "SP1003")
    assert event["scheduleName"] == SCHEDULE and event["nominalTime"] == firing["scheduledTime"]
    assert event["reason"] == refused.value.text
    # As the scheduler invokes it: Lambda repeats it twice, and the same occasion has the same id.
    account.fire("stillpoint-planner", firing)
    again = account.finished.wait(4, policyId="impossible", code="SP1003")
    assert {one["runId"] for one in again} == {event["runId"]}
    # Then the firing itself is a dead letter, and the guard tells that it never became a plan.
    told = account.finished.wait(policyId="impossible", code="SP1007")
    assert {(one["runId"], one["nominalTime"]) for one in told} == {
        (event["runId"], firing["scheduledTime"])}
    until(lambda: account.messages_left("FiringsDeadQueueUrl") == 0, "the letter is settled")
    assert instance.timeline() == []


def test_a_firing_that_was_asked_for_and_never_reached_the_planner_is_told(account: Account) -> None:
    # As EventBridge leaves it: the whole event of whoever asked.
    asked = {"source": "stillpoint", "detail-type": "Policy Firing Requested",
             "detail": {"policyId": "asked-for", "schedule": SCHEDULE}}
    account.sqs.send_message(QueueUrl=account.outputs["FiringsDeadQueueUrl"], MessageBody=json.dumps(asked))
    (event,) = account.finished.wait(policyId="asked-for")
    assert_is_refusal(event, "SP1007")
    assert event["scheduleName"] == SCHEDULE
    until(lambda: account.messages_left("FiringsDeadQueueUrl") == 0, "the letter is settled")


def test_a_request_with_an_impossible_policy_is_recorded(
    account: Account, instance: Instance
) -> None:
    with pytest.raises(Refused) as refused:
        account.plan(policy=impossible(instance), instanceIds=[instance.id])
    assert refused.value.code == "SP1003"
    assert_names_both_fields(refused.value.text)
    (event,) = account.finished.wait(code="SP1003", policyId="")
    assert_is_refusal(event, "SP1003")
    assert_names_both_fields(event["reason"])
    assert event["nominalTime"].startswith("on-demand:")
    assert instance.timeline() == []


def test_a_plan_that_aws_does_not_answer_is_recorded(account: Account, instance: Instance) -> None:
    account.put_policy("unanswered", policy(instance.target, "Scenario-Quiet"))
    with account.planner_without("SeeTargets"), pytest.raises(Refused) as refused:
        account.plan(policyId="unanswered")
    assert refused.value.code == "SP1004"
    assert "ec2:DescribeInstances" in refused.value.text
    (event,) = account.finished.wait(policyId="unanswered")
    assert_is_refusal(event, "SP1004")
    assert event["reason"] == refused.value.text
    assert instance.timeline() == []


def test_runs_that_the_bus_does_not_take_are_refused(account: Account, instance: Instance) -> None:
    account.put_policy("no-bus", policy(instance.target, "Scenario-Quiet"))
    with account.planner_without("RequestRuns"), pytest.raises(Refused) as refused:
        account.plan(policyId="no-bus")
    # Nobody can be told by the same bus: the answer and the function's log have it, and a firing
    # of a schedule ends in the dead-letter queue.
    assert refused.value.code == "SP1005"
    assert "events:PutEvents" in refused.value.text
    assert account.finished.matching(policyId="no-bus") == []
    assert instance.timeline() == []


def test_a_dry_run_is_refused_without_a_record(account: Account, instance: Instance) -> None:
    before = len(account.finished.matching())
    with pytest.raises(Refused) as refused:
        account.plan(policy=impossible(instance), dryRun=True)
    assert refused.value.code == "SP1003"
    assert_names_both_fields(refused.value.text)
    # Another refusal, sent after it, is the proof that nothing of the first is still to come.
    with pytest.raises(Refused) as refused:
        account.plan(policyId="after-the-dry-run")
    assert refused.value.code == "SP1002" and "after-the-dry-run" in refused.value.text
    account.finished.wait(policyId="after-the-dry-run", code="SP1002")
    assert len(account.finished.matching()) == before + 1
    assert instance.timeline() == []


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        ({"policyId": "../secrets"}, 'policyId: found "../secrets", allowed'),
        ({"policyId": "a", "dryrun": True}, "dryrun: found true, allowed policyId,"),
        ({}, "policyId: found nothing, allowed either policyId or policy"),
    ],
)
def test_a_request_with_a_wrong_field_names_it(
    account: Account, request_: dict[str, Any], line: str
) -> None:
    with pytest.raises(Refused) as refused:
        account.plan(**request_)
    assert refused.value.code == "SP1001"
    assert line in refused.value.text


# --- a queue message that cannot be read ---------------------------------------------------------


def test_a_message_that_is_not_json_is_recorded_and_harms_no_other(
    account: Account, instance: Instance
) -> None:
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Quiet"), dryRun=True)["runs"]
    wrong_type = json.dumps({"detail-type": "Something Else", "detail": {}})
    not_json = "<snapshot>not json</snapshot>"
    bad_id, _, type_id = account.queue(not_json, requested(order), wrong_type)

    (event,) = unreadable(account, bad_id)
    assert_is_refusal(event, "SP2001")
    assert "not an EventBridge event" in event["reason"]
    assert not_json in event["reason"]

    (event,) = unreadable(account, type_id)
    assert_is_refusal(event, "SP2001")
    assert 'found "Something Else", allowed "Snapshot Run Requested"' in event["reason"]

    assert account.finished.of(order["runId"])["outcome"] == "completed"
    assert instance.story() == WINDOW
    # Nothing waits for another delivery, which would come after 16 minutes: they are gone.
    until(lambda: account.messages_left() == 0, "the runner's queue is empty")
    assert account.messages_left("RunsDeadQueueUrl") == 0


def test_one_batch_gives_back_only_what_is_not_done(account: Account, instance: Instance) -> None:
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Quiet"), dryRun=True)["runs"]
    stuck = order | {"runId": "run-of-an-unreadable-ledger"}
    account.spoil_record(stuck["runId"])
    bodies = {"one": "not json", "two": requested(order), "three": requested(stuck)}
    batch = {"Records": [{"messageId": name, "body": body} for name, body in bodies.items()]}
    answer, is_error = account.invoke("stillpoint-runner", batch)
    assert (answer, is_error) == ({"batchItemFailures": [{"itemIdentifier": "three"}]}, False)
    assert len(unreadable(account, "one")) == 1
    assert account.finished.of(order["runId"])["outcome"] == "completed"


def requested(order: dict[str, Any]) -> str:
    """The order as EventBridge puts it into the queue."""
    return json.dumps({"detail-type": "Snapshot Run Requested", "source": "stillpoint",
                       "detail": {"version": 1, "order": order}})


def unreadable(account: Account, message_id: str) -> list[dict[str, Any]]:
    """The events that name this message, once there is one."""
    def found() -> list[dict[str, Any]]:
        return [event for event in account.finished.matching(code="SP2001")
                if f"message {message_id}:" in event["reason"]]
    return until(found, f"an event that names message {message_id}")
