"""Systems Manager's answers around a script: each of its statuses, answers that are lost, steps that
it skips and calls success. Whatever it says, what may have run is released.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scenarios.account import Account, Json
from scenarios.checks import WINDOW, assert_crash, one_set
from scenarios.conftest import Launch
from scenarios.night import Case, Night
from scenarios.policies import document, policy

RELEASED_FIRST = ["pre-script", "post-script", "CreateSnapshots"]
NOT_RELEASED = ["pre-script", "CreateSnapshots"]


@pytest.fixture(scope="module")
def documents(account: Account) -> None:
    account.put_document("Status-Talks", document("echo done"))
    account.put_document("Status-Silent", document("exit 0"))
    account.put_document("Status-Windows", document("echo done").replace(
        "[platformType, Linux]", "[platformType, Windows]"))
    head, step = document("echo done").split("mainSteps:\n")
    other = step.replace("name: scenario", "name: windows").replace("Linux", "Windows")
    account.put_document("Status-Two-Steps", f"{head}mainSteps:\n{other}{step}")


# Of a pre-script: Status, StatusDetails, whether it runs all the same, code, what follows.
PRE = [
    # It never reached the instance: nothing is owed.
    ("Failed", "Undeliverable", False, "SP3004", NOT_RELEASED),
    ("Failed", "InvalidPlatform", False, "SP3004", NOT_RELEASED),
    ("Failed", "AccessDenied", False, "SP3004", NOT_RELEASED),
    # It may have run, or did: it is released before anything else.
    ("TimedOut", "Delivery Timed Out", False, "SP3003", RELEASED_FIRST),
    ("TimedOut", "DeliveryTimedOut", True, "SP3003", RELEASED_FIRST),
    ("TimedOut", "Execution Timed Out", True, "SP3003", RELEASED_FIRST),
    ("Cancelled", "Cancelled", True, "SP3003", RELEASED_FIRST),
    ("Failed", "Terminated", False, "SP3003", RELEASED_FIRST),
    ("Failed", "Failed", True, "SP3002", RELEASED_FIRST),
    ("Failed", "A status of tomorrow", True, "SP3002", RELEASED_FIRST),
]
# Of a post-script that does not run.
POST = [("TimedOut", "DeliveryTimedOut"), ("TimedOut", "ExecutionTimedOut"),
        ("Cancelled", "Cancelled"), ("Failed", "Undeliverable")]


def case(name: str, document: str, ends: Json | None = None, **script: Any) -> tuple[str, Case]:
    return name, Case(lambda target: policy(target, document, **script), ends=ends)


def requiring(target: str) -> Json:
    return policy(target, "Status-Talks") | {"Stillpoint": {"RequireApplicationConsistency": True}}


CASES = dict([
    *(case(f"pre {status} {details}", "Status-Talks", {
        "status": status, "details": details, "runs": runs, "command": "pre-script"})
      for status, details, runs, _, _ in PRE),
    *(case(f"post {status} {details}", "Status-Talks", {
        "status": status, "details": details, "runs": False, "command": "post-script"},
        MaximumRetryCount=1)
      for status, details in POST),
    case("second answer", "Status-Talks", {
        "status": "TimedOut", "details": "DeliveryTimedOut", "runs": True, "times": 1,
        "command": "post-script"}, MaximumRetryCount=1),
    case("skipped", "Status-Windows"),
    case("silent", "Status-Silent"),
    case("two steps", "Status-Two-Steps"),
    ("requiring", Case(requiring)),
])


@pytest.fixture(scope="module")
def night(account: Account, documents: None) -> Iterator[Night]:
    """All of them at once."""
    with Night(account, CASES) as night:
        yield night


@pytest.mark.parametrize(("status", "details", "runs", "code", "story"), PRE)
def test_each_end_of_a_pre_script_that_ssm_reports(
    account: Account, night: Night, status: str, details: str, runs: bool, code: str,
    story: list[str],
) -> None:
    instance, event = night[f"pre {status} {details}"]
    assert_crash(event, code)
    assert instance.story() == story
    assert event["thawUnconfirmed"] is False
    assert details in event["reason"]
    one_set(account, event)


@pytest.mark.parametrize(("status", "details"), POST)
def test_a_post_script_that_does_not_answer_is_a_thaw_that_nobody_confirmed(
    night: Night, status: str, details: str
) -> None:
    instance, event = night[f"post {status} {details}"]
    assert_crash(event, "SP3006")
    assert event["thawUnconfirmed"] is True and details in event["reason"]
    assert instance.story() == ["pre-script", "CreateSnapshots", "post-script", "post-script"]


def test_a_second_answer_makes_up_for_the_first(night: Night) -> None:
    instance, event = night["second answer"]
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    assert instance.story() == WINDOW + ["post-script"]


def test_steps_that_were_skipped_are_not_even_claimed(account: Account, night: Night) -> None:
    """SSM says Success and shows no output; only its list of steps knows better."""
    instance, event = night["skipped"]
    assert_crash(event, "SP3021")
    assert event["preScript"]["result"] == event["postScript"]["result"] == "ok"
    assert instance.story() == WINDOW
    shown = account.output(event, "postScript", instance.id)
    assert (shown["Status"], shown["StandardOutputContent"]) == ("Success", "")


@pytest.mark.parametrize("name", ["silent", "two steps"])
def test_a_document_that_ran_is_claimed(night: Night, name: str) -> None:
    """Also one that prints nothing, and one whose other step is for another platform."""
    instance, event = night[name]
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    assert instance.story() == WINDOW


def test_a_policy_that_requires_proof_fails_without_it(account: Account, night: Night) -> None:
    _, event = night["requiring"]
    assert (event["outcome"], event["consistency"], event["code"]) == (
        "failed", "claimed", "SP3008"), event
    (snapshot,) = one_set(account, event)
    assert snapshot["tags"]["stillpoint:consistency"] == "claimed", "the set stays as it is"


@pytest.mark.parametrize("lost", ["loseSendCommandReply", "loseSendCommand"])
def test_a_pre_script_whose_sending_got_no_answer_is_released(
    account: Account, documents: None, launch: Launch, lost: str
) -> None:
    """SendCommand has no token: it is not sent again, it may have run, and so it is released. Twice:
    the first post-script may have overtaken what it releases."""
    instance = launch("unanswered")
    account.faults(**{lost: 1})
    event = account.run(policy=policy(instance.target, "Status-Talks"))
    assert_crash(event, "SP3019")
    assert "InternalServerError" in event["reason"]
    assert event["preScript"]["result"] == "unknown" and event["preScript"]["commandId"] is None
    assert event["postScript"]["result"] == "ok" and event["thawUnconfirmed"] is False
    arrived = [] if lost == "loseSendCommand" else ["pre-script"]
    assert instance.story() == [*arrived, *["post-script"] * 2, "CreateSnapshots"]
    one_set(account, event)
