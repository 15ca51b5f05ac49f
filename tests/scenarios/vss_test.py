"""AWS's VSS documents on Windows instances: the document makes the set with the instance's own
role; what it made is found, judged by its own mark alone, and never made twice.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from scenarios.account import Account, Json
from scenarios.checks import assert_crash, instance_tags, one_set, runners, until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.night import Case, Night
from scenarios.windows import READY, put_role, vss_policy, windows

# The document reaches the instance, and the instance calls EC2.
VSS = ["vss", "CreateSnapshots"]
OFFLINE = {"device": "/dev/sdg", "fs": "ext4", "size_mib": 64}
DATA = {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64}
# The document's errors: those that come when it has made its snapshots, and those before.
LATE = [1, 10, 21, 33, 50, 3041, 6001, 7004]
EARLY = [1006, 2003, 2005, 2011, 2105, 3001, 4000, 5001]
# A right that the instance's role lacks, and what the document makes of it.
RIGHTS = {"Describe": (3001, "SP3022"), "Create": (5001, "SP3022"), "Mark": (1, "SP3025")}
# What VSS cannot work on, and what the plan says of it.
UNFIT: dict[str, tuple[Json, str]] = {
    "linux": ({"platform": "Linux"}, "AWS_VSS_BACKUP is for Windows"),
    "unmanaged": ({"managed": False}, "not managed by Systems Manager"),
    "nano": ({"instanceType": "t3.nano"}, "t3.nano"),
    "micro": ({"instanceType": "t2.micro"}, "t2.micro"),
    "old-agent": ({"agentVersion": "2.3.1319.0"}, "2.3.1319.0"),
}
# Status, StatusDetails, whether the document runs all the same; code, whether the set is ours.
STATUSES = [
    ("TimedOut", "ExecutionTimedOut", True, "SP3023", False),
    ("Cancelled", "Cancelled", True, "SP3023", False),
    ("TimedOut", "DeliveryTimedOut", True, "SP3024", False),
    ("Failed", "Undeliverable", False, "SP3004", True),
    ("Failed", "AccessDenied", False, "SP3004", True),
    ("Failed", "InvalidPlatform", False, "SP3004", True),
]
NEVER_RAN = {"status": "Success", "details": "Success", "runs": False}
# A result that names what EC2 does not show.
NAMED = json.dumps({"Error": 0, "Snapshots": [
    {"SnapshotId": "snap-0123456789abcdef0", "EbsVolumeId": "vol-0123456789abcdef0"}]})


def case(how: Json | None = None, vss: Json | None = None, ends: Json | None = None,
         output: str | None = None, changes: Json | None = None, **script: Any) -> Case:
    """A Windows instance that is ready for VSS, under the policy for it, and what is different."""
    def details(target: str) -> Json:
        return vss_policy(target, **script) | (changes or {})
    return Case(details, READY | (how or {}), vss, ends, output)


def stillpoint(**settings: Any) -> Json:
    return {"Stillpoint": {"Scripts": [settings]}}


CASES = {
    "True": case(vss={"appConsistent": "True"}, how={"tags": {"site": "one"}}),
    "true": case(vss={"appConsistent": "true"}),
    "data": case(changes={"Parameters": {"ExcludeBootVolume": True}}),
    "install": case(how={"vssComponents": None}, changes=stillpoint(VssInstall=True)),
    "no-writers": case(changes=stillpoint(
        DocumentParameters={"NoWriters": "True", "CopyOnly": "True"})),
    **{f"late-{error}": case(vss={"error": error}, MaximumRetryCount=2) for error in LATE},
    **{f"early-{error}": case(vss={"error": error}) for error in EARLY},
    "strict": case(vss={"error": 2005}, MaximumRetryCount=1,
                   ExecuteOperationOnScriptFailure=False),
    "untagged": case(vss={"error": 3041, "untagged": True}),
    "unmarked": case(vss={"markAllButOne": True}),
    "false": case(vss={"appConsistent": "False"}),
    "offline": case(how={"volumes": [DATA, OFFLINE]}),
    **{f"without-{right}": case(how={"role": f"vss-{right}"}) for right in RIGHTS},
    "no-result": case(output=""),
    "named": case(output=NAMED, ends=NEVER_RAN, MaximumRetryCount=1),
    "skipped": case(ends=NEVER_RAN),
    "skipped-strict": case(ends=NEVER_RAN, ExecuteOperationOnScriptFailure=False),
    **{f"unfit-{name}": case(how=how, MaximumRetryCount=3) for name, (how, _) in UNFIT.items()},
    "opted-out": case(how={"tags": {"DLMScriptsAccess": "false"}}),
    "bare": case(how={"vssComponents": None}),
    **{f"{status}-{details}": case(ends={"status": status, "details": details, "runs": runs},
                                   vss={"seconds": 1.5})
       for status, details, runs, _, _ in STATUSES},
    "may-run": case(MaximumRetryCount=1, ends={
        "status": "TimedOut", "details": "DeliveryTimedOut", "runs": False}),
}


@pytest.fixture(scope="module")
def night(account: Account) -> Iterator[Night]:
    """All of them at once."""
    put_role(account, READY["role"])
    for right in RIGHTS:
        put_role(account, f"vss-{right}", right)
    with Night(account, CASES) as night:
        yield night


# --- it works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["True", "true"])
def test_a_set_with_every_snapshot_marked_is_application_consistent(
    account: Account, night: Night, spelling: str
) -> None:
    instance, event = night[spelling]
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert (event["code"], event["thawUnconfirmed"]) == ("", False)
    assert event["preScript"] is None and event["createSnapshots"] is None
    assert event["vss"]["result"] == "ok" and event["vss"]["exitCode"] == 0
    assert event["frozenMs"] > 0
    assert instance.story() == VSS, "the instance alone made the set"
    snapshots = one_set(account, event)
    assert len(snapshots) == 2, "the boot volume as well: VSS quiesces it"
    devices = {volume["volumeId"]: volume["device"] for volume in instance.volumes}
    for one in snapshots:
        tags = one["tags"]
        assert tags.pop("AwsVssConfig").startswith("2.5.1 ")
        assert tags == {
            "stillpoint:run-id": event["runId"],
            "stillpoint:policy-id": "inline",
            "stillpoint:schedule-name": "nightly",
            "stillpoint:instance-id": instance.id,
            "stillpoint:device": devices[one["VolumeId"]],
            "stillpoint:consistency": "application",
            "stillpoint:frozen-ms": str(event["frozenMs"]),
            "stillpoint:set-consistency": "application",
            "stillpoint:set-size": "2",
            # The document cannot take this value; it is added afterwards.
            "owner": "dba & web",
            "AppConsistent": spelling,
            "Device": devices[one["VolumeId"]],
        }
        assert one["Description"] == f"stillpoint inline {event['runId']}"
    tags = instance_tags(account, instance)
    assert tags["stillpoint:last-outcome"].startswith("completed application 2")


def test_the_boot_volume_is_left_out_if_the_policy_says_so(account: Account, night: Night) -> None:
    instance, event = night["data"]
    assert event["consistency"] == "application", event
    (snapshot,) = one_set(account, event)
    assert snapshot["VolumeId"] == instance.volumes[-1]["volumeId"]


def test_the_installing_document_is_used_when_the_policy_asks_for_it(night: Night) -> None:
    instance, event = night["install"]
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    (sent,) = [one for one in instance.timeline() if one["event"] == "SendCommand"]
    assert sent["document"] == "AWSEC2-VssInstallAndSnapshot"


def test_no_writers_is_what_was_asked_for_and_no_more(night: Night) -> None:
    instance, event = night["no-writers"]
    assert (event["outcome"], event["consistency"], event["code"]) == (
        "completed", "crash", "SP3027"), event
    (sent,) = [one for one in instance.timeline() if one["event"] == "SendCommand"]
    assert sent["parameters"]["NoWriters"] == sent["parameters"]["CopyOnly"] == ["True"]


# --- it fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", LATE)
def test_snapshots_of_a_failed_document_are_the_set(
    account: Account, night: Night, error: int
) -> None:
    instance, event = night[f"late-{error}"]
    assert_crash(event, "SP3025" if error < 100 else "SP3022")
    assert f"failed with {error} (" in event["reason"], event["reason"]
    assert event["vss"]["exitCode"] == error
    assert instance.story() == VSS, "no retry, no set of ours"
    assert event["attempts"] == 1
    for one in one_set(account, event):
        assert one["tags"]["stillpoint:consistency"] == "crash"
        assert one["tags"]["stillpoint:reason"].startswith(f"{event['code']}: ")


@pytest.mark.parametrize("error", EARLY)
def test_a_document_that_made_nothing_falls_back(
    account: Account, night: Night, error: int
) -> None:
    instance, event = night[f"early-{error}"]
    assert_crash(event, "SP3022")
    assert f"failed with {error} (" in event["reason"], event["reason"]
    assert instance.story() == VSS and event["createSnapshots"], "the set is ours"
    assert len(one_set(account, event)) == 2


def test_a_document_that_made_nothing_is_retried_and_may_end_in_no_set(
    account: Account, night: Night
) -> None:
    instance, event = night["strict"]
    assert (event["outcome"], event["code"], event["snapshots"]) == ("failed", "SP3022", [])
    assert "the freeze timed out" in event["reason"]
    assert instance.story() == ["vss", "vss"] and event["attempts"] == 2
    assert account.snapshots(event["runId"]) == []


def test_what_the_document_could_not_tag_is_found_by_its_description(
    account: Account, night: Night
) -> None:
    """An old component tags afterwards, and dies before."""
    instance, event = night["untagged"]
    assert_crash(event, "SP3022")
    assert instance.story() == VSS
    for one in one_set(account, event):
        assert one["tags"]["stillpoint:consistency"] == "crash"
        assert one["tags"]["stillpoint:policy-id"] == "inline"


@pytest.mark.parametrize(("name", "words"), [
    ("unmarked", "no tag AppConsistent"), ("false", "AppConsistent is not true")])
def test_one_snapshot_that_is_not_marked_pulls_the_set_down(
    night: Night, name: str, words: str
) -> None:
    _, event = night[name]
    assert_crash_set(event, "SP3025")
    assert words in event["reason"]
    labels = {one["consistency"] for one in event["snapshots"]}
    assert labels == ({"application", "crash"} if name == "unmarked" else {"crash"})


def test_a_disk_that_windows_does_not_show_is_missed(night: Night) -> None:
    _, event = night["offline"]
    assert_crash_set(event, "SP3026")
    assert "/dev/sdg" in event["reason"]
    assert {one["consistency"] for one in event["snapshots"]} == {"application"}


def assert_crash_set(event: Json, code: str) -> None:
    assert (event["outcome"], event["consistency"], event["code"]) == (
        "completed-with-issues", "crash", code), event


@pytest.mark.parametrize("right", RIGHTS)
def test_a_role_that_lacks_a_right_is_named(account: Account, night: Night, right: str) -> None:
    error, code = RIGHTS[right]
    _, event = night[f"without-{right}"]
    assert_crash(event, code)
    assert f"failed with {error} (" in event["reason"]
    assert len(one_set(account, event)) == 2


def test_a_success_without_a_result_proves_nothing(night: Night) -> None:
    instance, event = night["no-result"]
    assert_crash(event, "SP3021")
    assert instance.story() == VSS, "what it made is its set all the same"


def test_a_snapshot_that_only_the_document_names_belongs_to_the_set(night: Night) -> None:
    """EC2 does not show it yet: it exists all the same, and is not made again."""
    instance, event = night["named"]
    assert_crash_set(event, "SP3025")
    assert [one["snapshotId"] for one in event["snapshots"]] == ["snap-0123456789abcdef0"]
    assert instance.story() == ["vss"]


def test_a_document_that_was_skipped_is_crash(night: Night) -> None:
    instance, event = night["skipped"]
    assert_crash(event, "SP3021")
    assert instance.story() == VSS and event["createSnapshots"], "the set is ours"
    _, event = night["skipped-strict"]
    assert (event["outcome"], event["code"], event["snapshots"]) == ("failed", "SP3021", [])


# --- nobody may be sent it -----------------------------------------------------------------------


@pytest.mark.parametrize("name", UNFIT)
def test_an_instance_that_cannot_do_vss_is_seen_in_the_plan_and_named(
    account: Account, night: Night, name: str
) -> None:
    words = UNFIT[name][1]
    instance, event = night[f"unfit-{name}"]
    (planned,) = account.plan(policy=vss_policy(instance.target), dryRun=True)["runs"]
    assert words in planned["script"]["skip"]
    assert_crash(event, "SP3001")
    assert words in event["reason"] and event["vss"] is None
    assert instance.story() == ["CreateSnapshots"]
    assert len(one_set(account, event)) == 2


def test_an_instance_that_opted_out_is_not_sent_it(night: Night) -> None:
    instance, event = night["opted-out"]
    assert_crash(event, "SP3004")
    assert "AccessDenied" in event["reason"]
    assert instance.story() == ["CreateSnapshots"]


def test_missing_components_are_warned_of_and_named(account: Account, night: Night) -> None:
    instance, event = night["bare"]
    planned = account.plan(policy=vss_policy(instance.target), dryRun=True)
    (warning,) = [one for one in planned["warnings"] if "AwsVssComponents" in one]
    assert warning.startswith(f"{instance.id}: ")
    assert_crash(event, "SP3022")
    assert "1003 (the VSS components (AwsVssComponents) are not installed)" in event["reason"]


# --- how Systems Manager ends it -----------------------------------------------------------------


@pytest.mark.parametrize(("status", "details", "runs", "code", "ours"), STATUSES)
def test_each_end_of_the_document_that_ssm_reports(
    account: Account, night: Night, status: str, details: str, runs: bool, code: str, ours: bool
) -> None:
    instance, event = night[f"{status}-{details}"]
    assert_crash(event, code)
    assert details in event["reason"]
    assert instance.story() == VSS
    assert (event["createSnapshots"] is not None) == ours
    assert len(one_set(account, event)) == 2


def test_a_document_that_may_still_run_is_never_doubled(night: Night) -> None:
    instance, event = night["may-run"]
    assert (event["outcome"], event["code"], event["snapshots"]) == ("failed", "SP3024", [])
    assert instance.story() == ["vss"], "neither a retry nor a set of ours"


# --- the answers are lost ------------------------------------------------------------------------


def test_a_lost_answer_to_send_command_does_not_send_it_twice(
    account: Account, night: Night, launch: Launch
) -> None:
    instance = windows(launch, "vss-lost")
    account.faults(loseSendCommandReply=1)
    event = account.run(policy=vss_policy(instance.target))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert instance.story() == VSS


def test_a_send_command_that_never_arrived_is_made_up_for(
    account: Account, night: Night, launch: Launch
) -> None:
    instance = windows(launch, "vss-never")
    account.faults(loseSendCommand=1)
    event = account.run(policy=vss_policy(instance.target))
    assert_crash(event, "SP3019")
    assert instance.story() == ["CreateSnapshots"]
    assert len(one_set(account, event)) == 2


def test_a_document_outlives_the_runner_that_watched_it(
    account: Account, night: Night, launch: Launch
) -> None:
    instance: Instance = windows(launch, "vss-orphan")
    account.faults(vss={instance.id: {"seconds": 4}})
    (order,) = account.plan(policy=vss_policy(instance.target), dryRun=True)["runs"]
    with account.redelivery_after(6):
        account.publish(order)
        until(lambda: "vss" in instance.story(), "the document is sent")
        for pid in runners(account.cloud.endpoint):
            os.kill(pid, signal.SIGKILL)
        until(lambda: "CreateSnapshots" in instance.story(), "the document makes its set")
        account.expire_lease(order["runId"])
        event = account.finished.of(order["runId"])
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert instance.story() == VSS, "it was not sent twice"
