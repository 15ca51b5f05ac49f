"""What a run leaves behind for machines: DLM's notifications, metrics by DLM's names, instance tags;
each beside what the lab itself recorded of the run.
"""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.account import Account
from scenarios.checks import WINDOW, instance_tags, metrics
from scenarios.conftest import Launch
from scenarios.finished import Finished
from scenarios.instance import Instance
from scenarios.policies import document, policy

# DLM's fields, as the EBS user guide's example has them.
FIELDS = {"script_stage", "result", "cause", "policy_id", "execution_handler", "source",
          "resource_type", "resources", "request_id", "start_time", "end_time", "timeout_time"}


@pytest.fixture(scope="module")
def notified(account: Account) -> Finished:
    return Finished(account.cloud.client("events"), account.cloud.client("sqs"),
                    "scenarios-notified", "Pre Post Script Notification")


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Reported-Fails",
                         document("[ {{ command }} = pre-script ] && exit 5; exit 0"))


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("reported")


@pytest.mark.usefixtures("agent")
def test_a_run_that_is_proven(account: Account, launch: Launch, notified: Finished) -> None:
    instance = launch("reported-proven")
    account.put_policy("reported-proven", policy(instance.target, "Stillpoint-Filesystem"))
    event = account.run(policyId="reported-proven")
    assert event["consistency"] == "application"
    sent = [entry for entry in instance.timeline() if entry["event"] == "SendCommand"]

    pre, post = sorted(notified.wait(2, source=instance.id), key=lambda one: one["start_time"])
    for one, stage, command in ((pre, "PRE", sent[0]), (post, "POST", sent[1])):
        assert set(one) == FIELDS
        assert (one["script_stage"], one["result"], one["cause"]) == (stage, "success", "")
        assert (one["policy_id"], one["execution_handler"], one["resource_type"]) == (
            "reported-proven", "Stillpoint-Filesystem", "EBS_SNAPSHOT")
        assert [one["request_id"]] == command["parameters"]["executionId"]
        assert {(s["resource_id"], s["source"], s["status"]) for s in one["resources"]} == {
            (s["snapshotId"], s["volumeId"], "pending") for s in event["snapshots"]}
        assert one["timeout_time"] == "" and one["start_time"] < one["end_time"]

    named = metrics(account, "stillpoint-runner", runId=event["runId"])
    assert named == {
        "SnapshotsCreateStarted": 1, "SnapshotsCreateCompleted": 1, "SnapshotsCreateFailed": 0,
        "PreScriptStarted": 1, "PreScriptCompleted": 1, "PreScriptFailed": 0,
        "PostScriptStarted": 1, "PostScriptCompleted": 1, "PostScriptFailed": 0,
        "ThawUnconfirmed": 0, "ApplicationConsistent": 1,
        "FrozenMilliseconds": event["frozenMs"]}
    # What the lab saw of it: the window from the freeze's command to the thaw's end holds it.
    assert instance.story() == WINDOW
    assert 0 < event["frozenMs"]
    targeted = metrics(account, "stillpoint-planner", DLMPolicyId="reported-proven")
    assert targeted == {"ResourcesTargeted": 1}

    tags = instance_tags(account, instance)
    assert tags["stillpoint:last-outcome"].startswith("completed application ")
    assert tags["stillpoint:last-application-consistent"] in tags["stillpoint:last-outcome"]


def test_a_run_whose_pre_script_fails(
    account: Account, instance: Instance, notified: Finished
) -> None:
    account.put_policy("reported-fails", policy(instance.target, "Reported-Fails",
                                                ExecuteOperationOnScriptFailure=False))
    event = account.run(policyId="reported-fails")
    pre, post = sorted(notified.wait(2, source=instance.id), key=lambda one: one["start_time"])
    assert (pre["script_stage"], pre["result"]) == ("PRE", "failed")
    assert pre["cause"] == event["preScript"]["cause"] and "exited with 5" in pre["cause"]
    assert (post["script_stage"], post["result"], post["resources"]) == ("POST", "success", [])
    named = metrics(account, "stillpoint-runner", runId=event["runId"])
    assert (named["PreScriptFailed"], named["PostScriptCompleted"]) == (1, 1)
    assert (named["SnapshotsCreateStarted"], named["SnapshotsCreateFailed"]) == (0, 1)
    assert "FrozenMilliseconds" not in named and "CreateSnapshots" not in instance.story()
    assert instance_tags(account, instance)["stillpoint:last-outcome"].startswith("failed SP3002 ")


def test_a_thaw_that_nobody_confirms_is_counted(
    account: Account, instance: Instance, notified: Finished
) -> None:
    account.put_document("Reported-Stuck", document("[ {{ command }} = post-script ] && exit 9; exit 0"))
    account.put_policy("reported-stuck", policy(instance.target, "Reported-Stuck"))
    event = account.run(policyId="reported-stuck")
    assert event["thawUnconfirmed"] is True
    named = metrics(account, "stillpoint-runner", runId=event["runId"])
    assert (named["ThawUnconfirmed"], named["PostScriptFailed"]) == (1, 1)
    post = notified.wait(1, source=instance.id, script_stage="POST")[0]
    assert post["result"] == "failed"
