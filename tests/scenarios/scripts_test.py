"""Pre- and post-scripts of somebody else's documents: what they print, how they fail, how they
hang, and who may be sent them. The set is never labelled better than what was proven.
"""

from __future__ import annotations

import json

import pytest

from scenarios.account import Account
from scenarios.checks import WINDOW, assert_crash, instance_tags, until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.policies import document, policy

# Writes down what it was asked for, on the instance.
LOG = "/run/scenario.log"
NOTE = f'echo "{{{{ command }}}} {{{{ executionId }}}}" >>{LOG}\n'
PAIR = ["pre-script", "post-script"]

@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    for name, script in {
        "Scenario-Fine": NOTE + "exit 0",
        "Scenario-Fails": NOTE + """\
if [ '{{ command }}' = pre-script ]; then
  echo 'flushing tables' && echo 'ERROR 1205: Lock wait timeout exceeded' >&2
  exit 201
fi
exit 205""",
        # The one that hangs has a child of its own, as a database client would be.
        "Scenario-Hangs": NOTE + """\
if [ '{{ command }}' = pre-script ]; then
  sleep 777 &
  sleep 777
fi
exit 0""",
        "Scenario-Thaw-Fails": NOTE + """\
if [ '{{ command }}' = post-script ]; then
  echo 'unfreeze failed: Invalid argument' >&2
  exit 202
fi""",
    }.items():
        account.put_document(name, document(script))
    account.put_document("Scenario-Unmarked", document(NOTE), marked_for_dlm=False)


# --- what a document prints ----------------------------------------------------------------------


def test_success_without_a_receipt_is_claimed(account: Account, launch: Launch) -> None:
    instance = launch("claimed")
    event = account.run(policy=policy(instance.target, "Scenario-Fine"))
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed")
    assert event["code"] == "SP3008" and "no receipt" in event["reason"]
    assert instance.story() == WINDOW
    (snapshot,) = account.snapshots(event["runId"])
    assert snapshot["tags"]["stillpoint:consistency"] == "claimed"
    assert snapshot["tags"]["stillpoint:reason"] == f"SP3008: {event['reason']}"
    assert "stillpoint:frozen-ms" not in snapshot["tags"]
    assert "stillpoint:last-application-consistent" not in instance_tags(account, instance)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ('{"stillpoint":1,"stage":"post-script","state":"released"', "cannot be read"),
        ('{"stillpoint":1,"stage":"post-script","code":0,"state":"splendid"}', "splendid"),
        ('{"stillpoint":7,"stage":"post-script","code":0,"state":"released"}', "version 7"),
    ],
    ids=["cut off", "unknown state", "another version"],
)
def test_a_broken_receipt_is_crash_and_says_what_is_wrong_with_it(
    account: Account, launch: Launch, output: str, words: str
) -> None:
    instance = launch("receipt")
    account.faults(ssmOutput={instance.id: f"thawed\n{output}\n"})
    event = account.run(policy=policy(instance.target, "Scenario-Fine"))
    assert_crash(event, "SP3009")
    assert "receipt" in event["reason"] and words in event["reason"]
    (snapshot,) = account.snapshots(event["runId"])
    assert snapshot["tags"]["stillpoint:reason"].startswith("SP3009: the receipt")


def test_plain_text_in_place_of_a_receipt_is_claimed(account: Account, launch: Launch) -> None:
    instance = launch("text")
    account.faults(ssmOutput={instance.id: "all frozen, honestly { not JSON at all"})
    event = account.run(policy=policy(instance.target, "Scenario-Fine"))
    assert (event["code"], event["consistency"]) == ("SP3008", "claimed")


def test_a_receipt_of_another_execution_proves_nothing(account: Account, launch: Launch) -> None:
    """A document that prints a fine receipt of some other hold, as a replayed one would be."""
    instance = launch("replayed")
    receipts = [
        {"stillpoint": 1, "stage": stage, "code": 0, "state": state, "bootId": "b",
         "executionId": "00000000-0000-0000-0000-000000000000",
         "hold": {"unbroken": True, "frozenAtMs": 1, "frozenMs": 5, "deadlineMs": 60000},
         "frozen": [{"mount": "/data", "fs": "ext4", "dev": "7:1",
                     "volumes": [volume["volumeId"] for volume in instance.volumes]}]}
        for stage, state in (("pre-script", "held"), ("post-script", "released"))
    ]
    pre, post = map(json.dumps, receipts)
    account.put_document("Scenario-Replays", document(
        f"if [ '{{{{ command }}}}' = pre-script ]; then echo '{pre}'; else echo '{post}'; fi"))
    event = account.run(policy=policy(instance.target, "Scenario-Replays"))
    assert_crash(event, "SP3007")
    assert "do not belong to one hold" in event["reason"]


# --- how a document fails ------------------------------------------------------------------------


def test_a_failing_pre_script_is_retried_and_released_each_time(
    account: Account, launch: Launch
) -> None:
    instance = launch("failing")
    event = account.run(policy=policy(instance.target, "Scenario-Fails", MaximumRetryCount=2))
    assert_crash(event, "SP3002")
    assert event["attempts"] == 3
    assert instance.story() == PAIR * 3 + ["CreateSnapshots"]
    assert event["reason"] == ("pre-script exited with 201 (the pre-script failed): "
                               "ERROR 1205: Lock wait timeout exceeded")
    assert event["preScript"]["exitCode"] == 201 and event["preScript"]["result"] == "failed"
    # Each attempt is one execution of its own, shared by its two stages, on the instance as well.
    ids = instance.execution_ids()
    assert ids[0::2] == ids[1::2] and len(set(ids)) == 3
    told = [f"{stage} {one}" for stage, one in zip(PAIR * 3, ids, strict=True)]
    assert instance.exec("cat", LOG).splitlines() == told
    (snapshot,) = account.snapshots(event["runId"])
    assert snapshot["tags"]["stillpoint:pre-script"] == "FAILED"


def test_without_the_fallback_a_failed_pre_script_makes_no_snapshot(
    account: Account, launch: Launch
) -> None:
    instance = launch("no-fallback")
    event = account.run(policy=policy(
        instance.target, "Scenario-Fails", ExecuteOperationOnScriptFailure=False))
    assert (event["outcome"], event["consistency"]) == ("failed", None)
    assert (event["code"], event["snapshots"]) == ("SP3002", [])
    assert instance.story() == PAIR
    assert account.snapshots(event["runId"]) == []
    assert "failed SP3002" in instance_tags(account, instance)["stillpoint:last-outcome"]


def test_a_hanging_pre_script_is_killed_at_its_timeout_and_released(
    account: Account, launch: Launch
) -> None:
    instance = launch("hanging")
    hangs = policy(instance.target, "Scenario-Hangs", ExecutionTimeout=10)
    (order,) = account.plan(policy=hangs)["runs"]
    # It hangs, with its child, and nobody ends it for now.
    until(lambda: instance.exec("ps", "-eo", "args=").count("sleep 777") >= 2, "it hangs")
    event = account.finished.of(order["runId"])
    assert_crash(event, "SP3003")
    assert "ExecutionTimeout, 10 s" in event["reason"] and "cancelled" in event["reason"]
    assert event["preScript"]["result"] == "timed-out"
    assert event["postScript"]["result"] == "ok"
    assert instance.story() == PAIR + ["CreateSnapshots"]
    ids = instance.execution_ids()
    assert ids[0] == ids[1]
    # The script's whole process group is gone, the child it left in the background too.
    assert "sleep" not in instance.exec("ps", "-eo", "args=")
    shown = account.output(event, "preScript", instance.id)
    assert shown["Status"] == "Cancelled"
    started, ended = span(instance, event["preScript"]["commandId"])
    assert 9_500 < ended - started < 13_000, "ten seconds, from the moment that it ran"


def test_a_failing_post_script_is_a_thaw_that_nobody_confirmed(
    account: Account, launch: Launch
) -> None:
    instance = launch("thaw-fails")
    event = account.run(policy=policy(instance.target, "Scenario-Thaw-Fails", MaximumRetryCount=1))
    assert_crash(event, "SP3006")
    assert event["thawUnconfirmed"] is True
    assert "unfreeze failed: Invalid argument" in event["reason"]
    # The retry repeats the post-script alone: there is a set already.
    assert instance.story() == ["pre-script", "CreateSnapshots", "post-script", "post-script"]
    assert len(set(instance.execution_ids())) == 1


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(203, "SP3005", "released before the post-script came"),
     (205, "SP3007", "the post-script found nothing held")],
)
def test_a_hold_that_had_ended_before_the_post_script_is_crash(
    account: Account, launch: Launch, status: int, code: str, words: str
) -> None:
    """DLM's own exit codes, from a document without receipts."""
    instance = launch("ended-early")
    name = f"Scenario-Exits-{status}"
    account.put_document(name, document(
        f"if [ '{{{{ command }}}}' = post-script ]; then exit {status}; fi"))
    event = account.run(policy=policy(instance.target, name, MaximumRetryCount=2))
    assert_crash(event, code)
    assert words in event["reason"] and event["thawUnconfirmed"] is False
    assert instance.story() == WINDOW, "an answer that nothing is held is no reason to ask again"


# --- what the policy asks for --------------------------------------------------------------------


def test_a_schedule_without_a_script_is_crash_as_asked_for(
    account: Account, launch: Launch
) -> None:
    instance = launch("no-script")
    details = policy(instance.target, "Scenario-Fine")
    del details["Schedules"][0]["CreateRule"]["Scripts"]
    event = account.run(policy=details)
    assert (event["outcome"], event["consistency"]) == ("completed", "crash")
    assert (event["code"], event["preScript"]) == ("SP3014", None)
    assert instance.story() == ["CreateSnapshots"]


@pytest.mark.parametrize("stage", ["PRE", "POST"])
def test_one_stage_alone_proves_nothing(account: Account, launch: Launch, stage: str) -> None:
    instance = launch("one-stage")
    details = policy(instance.target, "Scenario-Fine", Stages=[stage])
    if stage == "POST":
        # DLM has it only beside a pre-script.
        del details["Schedules"][0]["CreateRule"]["Scripts"][0]["ExecuteOperationOnScriptFailure"]
    event = account.run(policy=details)
    assert_crash(event, "SP3015")
    assert instance.story() == [call for call in WINDOW
                                if call == "CreateSnapshots" or call == f"{stage.lower()}-script"]


# --- where no document can run -------------------------------------------------------------------


def test_an_unmanaged_instance_is_crash_and_not_hidden(account: Account, launch: Launch) -> None:
    instance = launch("unmanaged", managed=False)
    event = account.run(policy=policy(instance.target, "Scenario-Fine", MaximumRetryCount=3))
    assert_crash(event, "SP3001")
    assert "not managed by Systems Manager" in event["reason"]
    assert event["preScript"] is None and event["postScript"] is None
    assert instance.story() == ["CreateSnapshots"]


def test_an_unmanaged_instance_without_the_fallback_fails(account: Account, launch: Launch) -> None:
    instance = launch("unmanaged-strict", managed=False)
    event = account.run(policy=policy(
        instance.target, "Scenario-Fine", ExecuteOperationOnScriptFailure=False))
    assert (event["outcome"], event["code"]) == ("failed", "SP3001")
    assert "ExecuteOperationOnScriptFailure is false" in event["reason"]
    assert instance.timeline() == [] and account.snapshots(event["runId"]) == []


def test_a_document_that_is_not_marked_for_dlm_is_refused_by_the_role(
    account: Account, launch: Launch
) -> None:
    instance = launch("unmarked")
    event = account.run(policy=policy(instance.target, "Scenario-Unmarked"))
    assert_crash(event, "SP3004")
    assert "AccessDenied" in event["reason"] and "ssm:SendCommand" in event["reason"]
    assert event["preScript"]["result"] == "not-sent" and event["preScript"]["commandId"] is None
    assert instance.story() == ["CreateSnapshots"], "nothing was sent, so nothing is released"


def test_an_instance_that_opted_out_of_scripts_is_not_sent_any(
    account: Account, launch: Launch
) -> None:
    instance = launch("opted-out", tags={"DLMScriptsAccess": "false"})
    event = account.run(policy=policy(instance.target, "Scenario-Fine"))
    assert_crash(event, "SP3004")
    assert "AccessDenied" in event["reason"]
    assert instance.story() == ["CreateSnapshots"]


def test_a_document_that_does_not_exist_is_named(account: Account, launch: Launch) -> None:
    instance = launch("no-document")
    event = account.run(policy=policy(instance.target, "Stillpoint-Missing"))
    assert_crash(event, "SP3004")
    assert "InvalidDocument" in event["reason"]
    assert instance.story() == ["CreateSnapshots"]


def span(instance: Instance, command_id: str) -> tuple[int, int]:
    """When the script of a command began and ended, in CLOCK_BOOTTIME ms, as the lab saw it."""
    def seen() -> dict[str, int]:
        return {entry["event"]: entry["boottimeMs"] for entry in instance.timeline()
                if entry.get("commandId") == command_id}
    until(lambda: "script ended" in seen(), "the script's end in the timeline")
    return seen()["script started"], seen()["script ended"]
