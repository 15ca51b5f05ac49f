"""The product's documents with the real agent, and AWS's sample document, on real filesystems.

`application` needs one unbroken hold around CreateSnapshots; what breaks it must be seen, named,
and must leave nothing frozen. The lab's watchdog is armed before the first freeze.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.facts import Plan, Run
from demo.hosts import add_stand_ins
from demo.postgres import Server
from scenarios.account import Account
from scenarios.checks import WINDOW, assert_crash, instance_tags, one_set, runners, until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.places import FIXTURES
from scenarios.policies import document, policy

# The least that mkfs.xfs takes is 300 MiB.
TWO_FILESYSTEMS = [
    {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64},
    {"device": "/dev/sdg", "fs": "xfs", "mount": "/wal", "size_mib": 320},
]


@pytest.fixture(scope="module")
def instance(account: Account, agent: None) -> Iterator[Instance]:
    """A host with two filesystems and the agent; each scenario leaves it thawed."""
    instance = account.launch("agent", volumes=TWO_FILESYSTEMS)
    yield instance
    instance.vanish()


@pytest.fixture(autouse=True)
def nothing_stays_frozen(account: Account) -> Iterator[None]:
    yield
    left = account.frozen()
    account.cloud.admin("POST", "thaw")
    assert left == []


def receipt(account: Account, event: dict[str, Any], stage: str, instance: Instance) -> Any:
    """The one line on standard output of a stage, as a person finds it in Systems Manager."""
    (line,) = account.output(event, stage, instance.id)["StandardOutputContent"].splitlines()
    assert len(line) <= 2_000
    return json.loads(line)


def data_volumes(instance: Instance) -> set[str]:
    return {volume["volumeId"] for volume in instance.volumes if volume["mount"]}


def test_two_filesystems_are_application_consistent(account: Account, instance: Instance) -> None:
    before = len(instance.story())
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert (event["code"], event["reason"], event["thawUnconfirmed"]) == ("", "", False)
    assert instance.story()[before:] == WINDOW

    pre, post = (receipt(account, event, stage, instance) for stage in ("preScript", "postScript"))
    assert (pre["state"], post["state"]) == ("held", "released")
    assert pre["executionId"] == post["executionId"] == event["preScript"]["executionId"]
    assert {(one["mount"], one["fs"]) for one in post["frozen"]} == {
        ("/data", "ext4"), ("/wal", "xfs")}
    assert {volume for one in post["frozen"] for volume in one["volumes"]} == data_volumes(instance)
    # What the receipt claims, the lab has seen: the call lies inside of the hold.
    begun, ended = create_interval(instance)
    assert post["hold"]["frozenAtMs"] <= begun <= ended <= post["hold"]["releasedAtMs"]
    assert post["hold"]["unbroken"] is True
    assert event["frozenMs"] == post["hold"]["frozenMs"] > 0

    snapshots = account.snapshots(event["runId"])
    assert {one["VolumeId"] for one in snapshots} == data_volumes(instance)
    devices = {volume["volumeId"]: volume["device"] for volume in instance.volumes}
    for snapshot in snapshots:
        assert snapshot["tags"] == {
            "stillpoint:run-id": event["runId"],
            "stillpoint:policy-id": "inline",
            "stillpoint:schedule-name": "nightly",
            "stillpoint:instance-id": instance.id,
            "stillpoint:device": devices[snapshot["VolumeId"]],
            "stillpoint:consistency": "application",
            "stillpoint:pre-script": "SUCCESS",
            "stillpoint:post-script": "SUCCESS",
            "stillpoint:frozen-ms": str(event["frozenMs"]),
            "stillpoint:set-consistency": "application",
            "stillpoint:set-size": "2",
        }
    tags = instance_tags(account, instance)
    assert tags["stillpoint:last-outcome"].startswith("completed application 2")
    assert tags["stillpoint:last-application-consistent"].startswith("2")
    assert account.finished.of(event["runId"]) == event


def test_a_killed_holder_is_crash_and_leaves_nothing_frozen(
    account: Account, instance: Instance
) -> None:
    last_good = instance_tags(account, instance).get("stillpoint:last-application-consistent")
    account.faults(killHolderBeforeCreateSnapshots=instance.id)
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert "holder killed" in [entry["event"] for entry in instance.timeline()]
    assert account.frozen() == []
    assert_crash(event, "SP3007")
    assert "holder" in event["reason"], event["reason"]
    post = receipt(account, event, "postScript", instance)
    assert event["postScript"]["exitCode"] == 203 and post["state"] in ("broken", "auto-thawed")
    for snapshot in account.snapshots(event["runId"]):
        assert snapshot["tags"]["stillpoint:consistency"] == "crash"
        assert snapshot["tags"]["stillpoint:reason"].startswith(f"{event['code']}: ")
    # The instance still tells when it was last really good.
    tags = instance_tags(account, instance)
    assert tags.get("stillpoint:last-application-consistent") == last_good
    assert tags["stillpoint:last-outcome"].startswith("completed-with-issues crash 2")


def test_a_volume_without_a_frozen_filesystem_pulls_the_set_down(
    account: Account, agent: None, launch: Launch
) -> None:
    """A volume that is attached and not mounted: it is in the set, and no agent can freeze it."""
    unmounted = {"device": "/dev/sdg", "fs": "ext4", "size_mib": 64}
    instance = launch("raw", volumes=[TWO_FILESYSTEMS[0], unmounted])
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert (event["outcome"], event["consistency"]) == ("completed-with-issues", "crash")
    assert event["code"] == "SP3013" and "/dev/sdg" in event["reason"]
    assert {one["device"]: one["consistency"] for one in event["snapshots"]} == {
        "/dev/sdf": "application", "/dev/sdg": "crash"}


def test_an_instance_without_anything_to_freeze_is_not_ready(
    account: Account, agent: None, launch: Launch
) -> None:
    instance = launch("bare", volumes=[{"device": "/dev/sdf", "fs": "ext4", "size_mib": 64}])
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert_crash(event, "SP3017")
    assert event["preScript"]["exitCode"] == 206
    assert "206 (not ready for it): " in event["reason"]


def test_an_instance_without_the_agent_says_that_it_is_missing(
    account: Account, instance: Instance
) -> None:
    instance.exec("mv", "/usr/local/bin/stillpoint-agent", "/usr/local/bin/elsewhere")
    try:
        event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    finally:
        instance.exec("mv", "/usr/local/bin/elsewhere", "/usr/local/bin/stillpoint-agent")
    assert_crash(event, "SP3017")
    assert "no executable file at /usr/local/bin/stillpoint-agent" in event["reason"]


def test_only_a_pre_script_is_released_all_the_same(account: Account, instance: Instance) -> None:
    """The policy asks for no post-script, and the receipt says that something is held."""
    before = len(instance.story())
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem", Stages=["PRE"]))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert instance.story()[before:] == WINDOW
    assert account.frozen() == []


def test_a_second_post_script_still_proves_the_hold(account: Account, instance: Instance) -> None:
    """The first one released it, and its answer was lost."""
    before = len(instance.story())
    account.faults(ssmEnds={instance.id: {
        "status": "TimedOut", "details": "DeliveryTimedOut", "runs": True, "times": 1,
        "command": "post-script"}})
    event = account.run(policy=policy(
        instance.target, "Stillpoint-Filesystem", MaximumRetryCount=1))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert instance.story()[before:] == [*WINDOW, "post-script"]


def test_a_receipt_on_one_side_only_proves_nothing(
    account: Account, agent: None, launch: Launch
) -> None:
    instance = launch("one-sided", volumes=[TWO_FILESYSTEMS[0]])
    account.put_document("Scenario-One-Sided", document(
        "if [ '{{ command }}' = pre-script ]; then echo frozen, honestly\n"
        "else echo '{\"stillpoint\":1,\"stage\":\"post-script\",\"code\":0,"
        "\"state\":\"released\",\"executionId\":\"{{ executionId }}\","
        "\"hold\":{\"unbroken\":true,\"frozenAtMs\":1,\"deadlineMs\":60000}}'; fi"))
    event = account.run(policy=policy(instance.target, "Scenario-One-Sided"))
    assert_crash(event, "SP3007")


def test_a_set_of_the_boot_volume_alone_is_not_sent_to_the_agent(
    account: Account, agent: None, launch: Launch
) -> None:
    """Without a volume that it may freeze, the agent would freeze all the others."""
    instance = launch("boot-only", volumes=[TWO_FILESYSTEMS[0] | {"tags": {"scratch": "yes"}}])
    details = policy(instance.target, "Stillpoint-Filesystem") | {"Parameters": {
        "ExcludeDataVolumeTags": [{"Key": "scratch", "Value": "yes"}]}}
    event = account.run(policy=details)
    assert_crash(event, "SP3001")
    assert "only the boot volume" in event["reason"]
    assert instance.story() == ["CreateSnapshots"]


def test_a_lost_reply_under_a_real_hold_is_thawed_before_the_search(
    account: Account, instance: Instance
) -> None:
    before = len(instance.story())
    account.faults(loseCreateSnapshotsReply=1)
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert_crash(event, "SP3011")
    assert instance.story()[before:] == WINDOW
    assert receipt(account, event, "postScript", instance)["state"] == "released"
    assert len(account.snapshots(event["runId"])) == 2


def test_a_hold_whose_runner_died_is_released_by_the_next(
    account: Account, agent: None, launch: Launch
) -> None:
    """The worst moment: the pre-script reaches the instance when nobody waits for it any more."""
    instance = launch("orphan", volumes=TWO_FILESYSTEMS)
    account.faults(deliveryDelaySeconds={instance.id: 1.5})
    (order,) = account.plan(policy=policy(instance.target, "Stillpoint-Filesystem"),
                            dryRun=True)["runs"]
    with account.redelivery_after(6):
        account.publish(order)
        until(lambda: "pre-script" in instance.story(), "the pre-script is sent")
        for pid in runners(account.cloud.endpoint):
            os.kill(pid, signal.SIGKILL)
        until(account.frozen, "the orphaned pre-script freezes")
        account.expire_lease(order["runId"])
        until(lambda: account.frozen() == [], "the next runner's post-script thaws")
        event = account.finished.of(order["runId"])
    assert_crash(event, "SP3012")
    assert instance.story() == ["pre-script", "post-script", "CreateSnapshots"]
    assert receipt(account, event, "postScript", instance)["state"] == "released"
    assert len(one_set(account, event)) == 2


@pytest.fixture
def database(account: Account, agent: None, tmp_path: Path) -> Iterator[Instance]:
    """A running PostgreSQL with its data on ext4 and its WAL on xfs."""
    instance = account.launch("database", volumes=[
        {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 256},
        {"device": "/dev/sdg", "fs": "xfs", "mount": "/wal", "size_mib": 320}])
    server = Server(instance.init_pid, "/data", "/wal", tmp_path / "postgresql.log")
    try:
        server.create()
        server.start()
        yield instance
    finally:
        server.stop()
        instance.vanish()


def test_postgresql_by_our_own_and_by_awss_document(
    account: Account, database: Instance, tmp_path: Path
) -> None:
    event = account.run(policy=policy(database.target, "Stillpoint-PostgreSQL"))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    (application,) = receipt(account, event, "postScript", database)["applications"]
    assert application["name"] == "postgresql" and application["state"] == "released"
    assert application["position"]
    assert account.frozen() == []

    # AWS's sample expects of a host what an ordinary Debian has and an instance of the lab has not.
    plan = Plan("database", "postgres", database.target, (), True, "claimed")
    add_stand_ins(Run(plan, database.id, database.volumes, database.init_pid, tmp_path / "unused"))
    account.put_document("Sample-PostgreSQL", (FIXTURES / "aws-dlm-postgresql.yaml").read_text())
    before = len(database.story())
    event = account.run(policy=policy(database.target, "Sample-PostgreSQL"))
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    assert event["code"] == "SP3008"
    assert database.story()[before:] == WINDOW
    until(lambda: account.frozen() == [], "everything is thawed")
    # It really froze: its own words, for both filesystems.
    words = account.output(event, "preScript", database.id)["StandardOutputContent"]
    assert "Freezing /data" in words and "Freezing /wal" in words


def create_interval(instance: Instance) -> tuple[int, int]:
    """When the last CreateSnapshots call began and ended, in CLOCK_BOOTTIME ms."""
    times = {entry["event"]: entry["boottimeMs"] for entry in instance.timeline()}
    return times["CreateSnapshots begin"], times["CreateSnapshots end"]
