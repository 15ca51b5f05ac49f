"""One run makes at most one snapshot set: what is planned is what is done, duplicates collapse,
lost and throttled calls are settled, and a run that cannot be finished is not lost.
"""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.account import Account
from scenarios.checks import WINDOW, assert_crash, one_set, until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.policies import SCHEDULE, document, policy

TWO_VOLUMES = [
    {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64},
    {"device": "/dev/sdg", "fs": "ext4", "mount": "/scratch", "size_mib": 64,
     "tags": {"scratch": "yes"}},
]


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("snapshots")


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Scenario-Calm", document("exit 0"))


# --- planned is done -----------------------------------------------------------------------------


def test_dry_run_returns_what_is_then_done_and_touches_nothing(
    account: Account, launch: Launch
) -> None:
    first = launch("planned", volumes=TWO_VOLUMES)
    second = launch("planned-too", managed=False, tags={"backup": first.target})
    other = launch("not-a-target")
    details = policy(first.target, "Scenario-Calm") | {"Parameters": {
        "ExcludeBootVolume": True, "ExcludeDataVolumeTags": [{"Key": "scratch", "Value": "yes"}]}}
    details["Schedules"][0]["TagsToAdd"] = [{"Key": "owner", "Value": "dba"}]
    account.put_policy("planned", details)
    asked = {"policyId": "planned", "schedule": SCHEDULE,
             "instanceIds": [first.id, second.id, other.id]}

    calls = account.kinds_of_calls()
    planned = account.plan(**asked, dryRun=True)
    assert planned["dryRun"] is True
    assert account.messages_left() == 0, "nothing is requested"
    assert account.kinds_of_calls() == calls, "nothing is touched"

    done = account.plan(**asked)
    assert [without_occasion(run) for run in planned["runs"]] == [
        without_occasion(run) for run in done["runs"]]
    assert {run["instanceId"] for run in done["runs"]} == {first.id, second.id}
    (left_out,) = planned["leftOut"]
    assert left_out["instanceId"] == other.id and "target tags" in left_out["reason"]
    scratch = next(run for run in planned["runs"] if run["instanceId"] == first.id)["leftOut"]
    assert {volume["device"] for volume in scratch} == {"/dev/xvda", "/dev/sdg"}

    for run in done["runs"]:
        found = one_set(account, account.finished.of(run["runId"]))
        # What EC2 has is what the order said: these volumes, these tags.
        assert {one["VolumeId"] for one in found} == {
            volume["volumeId"] for volume in run["volumes"]}
        assert all(one["tags"]["owner"] == "dba" for one in found)
    # And nothing of the dry run was done later: its runs have no event and no snapshot.
    for run in planned["runs"]:
        assert account.finished.matching(runId=run["runId"]) == []
        assert account.snapshots(run["runId"]) == []


def without_occasion(run: dict[str, Any]) -> dict[str, Any]:
    """A run without what is different for each request: its id and its times."""
    occasion = ("runId", "nominalTime", "startBeforeMs")
    return {name: value for name, value in run.items() if name not in occasion}


def test_an_instance_that_vanished_after_the_plan_is_told_as_such(
    account: Account, instance: Instance
) -> None:
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Calm"), dryRun=True)["runs"]
    instance.vanish()
    account.publish(order)
    event = account.finished.of(order["runId"])
    assert (event["outcome"], event["consistency"], event["snapshots"]) == ("failed", None, [])
    assert event["code"] == "SP3016", event
    assert instance.id in event["reason"] and "terminated" in event["reason"]
    assert account.snapshots(order["runId"]) == []
    until(lambda: account.messages_left() == 0, "the runner's queue is empty")


def test_an_instance_that_nobody_remembers_is_told_as_such(
    account: Account, instance: Instance
) -> None:
    """As it is an hour after the instance ended: EC2 does not know the id any more."""
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Calm"), dryRun=True)["runs"]
    forgotten = order | {"instanceId": "i-0123456789abcdef0", "runId": order["runId"] + "-later"}
    account.publish(forgotten)
    event = account.finished.of(forgotten["runId"])
    assert (event["outcome"], event["code"]) == ("failed", "SP3016"), event
    assert "InvalidInstanceID.NotFound" in event["reason"]
    assert forgotten["instanceId"] in event["reason"]
    assert instance.timeline() == []


# --- delivered twice -----------------------------------------------------------------------------


def test_a_run_that_is_delivered_twice_makes_one_set(account: Account, instance: Instance) -> None:
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Calm"), dryRun=True)["runs"]
    with account.redelivery_after(5):
        account.publish(order, order)
        event = account.finished.of(order["runId"])
        # One of the two came too early and comes again; by then there is nothing left to do.
        until(lambda: account.messages_left() == 0, "both deliveries are done")
        # And once more after the end.
        record = account.record(order["runId"])
        account.publish(order)
        until(lambda: account.messages_left() == 0, "the third delivery is done")
        assert account.record(order["runId"]) == record
    assert instance.story() == WINDOW
    assert len(one_set(account, event)) == 1
    assert account.finished.of(order["runId"]) == event
    assert account.messages_left("RunsDeadQueueUrl") == 0


# --- refused, lost and throttled -----------------------------------------------------------------


def test_a_refused_create_is_released_and_final(account: Account, instance: Instance) -> None:
    """EC2 has no volume left to take, as when everything was excluded after the plan."""
    (order,) = account.plan(policy=policy(instance.target, "Scenario-Calm", MaximumRetryCount=2),
                            dryRun=True)["runs"]
    account.publish(order | {"excludeDataVolumeIds": [order["volumes"][0]["volumeId"]]})
    event = account.finished.of(order["runId"])
    assert (event["outcome"], event["code"]) == ("failed", "SP3010"), event
    assert "CreateSnapshots: InvalidParameterValue: " in event["reason"]
    # The call was made and refused, so that no snapshot is in the story. Neither the retries nor
    # the fallback would be answered better.
    assert event["createSnapshots"] and event["postScript"]["result"] == "ok"
    assert instance.story() == ["pre-script", "post-script"]
    assert account.snapshots(order["runId"]) == []


def test_a_set_whose_reply_was_lost_is_adopted(account: Account, instance: Instance) -> None:
    account.faults(loseCreateSnapshotsReply=1)
    event = account.run(policy=policy(instance.target, "Scenario-Calm", MaximumRetryCount=2))
    assert_crash(event, "SP3011")
    # Released before anybody searched, and no second call although retries were left.
    assert instance.story() == WINDOW
    assert len(one_set(account, event)) == 1
    assert event["attempts"] == 1


def test_a_lost_create_that_made_no_set_is_not_repeated(
    account: Account, instance: Instance
) -> None:
    account.faults(loseCreateSnapshots=1)
    event = account.run(policy=policy(instance.target, "Scenario-Calm", MaximumRetryCount=2))
    assert (event["outcome"], event["code"], event["snapshots"]) == ("failed", "SP3011", []), event
    # It might still have come into being; neither the retries nor the fallback take that risk.
    assert instance.story() == WINDOW
    assert event["attempts"] == 1 and event["postScript"]["result"] == "ok"
    assert account.snapshots(event["runId"]) == []


def test_a_throttled_create_is_released_before_it_is_tried_again(
    account: Account, instance: Instance
) -> None:
    account.faults(throttleCreateSnapshots=1)
    event = account.run(policy=policy(instance.target, "Scenario-Calm", MaximumRetryCount=1))
    # The whole window again, under an execution id of its own: as good as the first would be.
    # EC2 wants 15 s between two snapshots of one volume, whether or not this was about that.
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed")
    assert instance.story() == WINDOW * 2
    assert len(set(instance.execution_ids())) == 2
    assert event["attempts"] == 2
    assert len(one_set(account, event)) == 1


def test_a_throttled_create_without_retries_falls_back(
    account: Account, instance: Instance
) -> None:
    account.faults(throttleCreateSnapshots=4)
    event = account.run(policy=policy(instance.target, "Scenario-Calm"))
    assert_crash(event, "SP3018")
    # Twice more although the policy allows no retries, since no script has failed. Released at
    # once each time; the repeated call, which waits, comes when nothing is held.
    assert instance.story() == WINDOW * 3 + ["CreateSnapshots", "CreateSnapshots"]
    begun, ended = ([one["boottimeMs"] for one in instance.timeline() if one["event"] == event]
                    for event in ("CreateSnapshots begin", "CreateSnapshots end"))
    assert begun[1] - ended[0] >= 15_000, "EC2's 15 s between two snapshots of a volume"
    assert begun[4] - ended[3] >= 1_900, "two seconds between the repeats"
    assert len(one_set(account, event)) == 1
