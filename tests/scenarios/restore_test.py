"""Restores by the real functions: a database comes back into its own instance, and goes back again;
and a set becomes volumes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.restore import wait_completed
from lab.config import ZONE
from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.database import TOLD, Database
from scenarios.finished import Finished
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.policies import policy


@pytest.fixture(scope="module")
def restored(account: Account) -> Finished:
    """The events of restores."""
    cloud = account.cloud
    return Finished(cloud.client("events"), cloud.client("sqs"), "scenarios-restores",
                    "Restore Finished")


@pytest.fixture
def database(account: Account, agent: None, tmp_path: Path) -> Iterator[Database]:
    database = Database(account, "restored", tmp_path / "postgresql.log")
    try:
        database.start()
        yield database
    finally:
        database.stop()
        database.instance.vanish()


def snapshot(account: Account, target: str, document: str) -> str:
    """A proven and completed set; its run."""
    event = account.run(policy=policy(target, document))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    wait_completed(account.cloud, [one["snapshotId"] for one in event["snapshots"]])
    return str(event["runId"])


def volumes(account: Account, ids: list[str]) -> list[dict[str, Any]]:
    found = account.ec2.describe_volumes(VolumeIds=ids)["Volumes"]
    return [one | {"tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}}
            for one in found]


def attached(account: Account, instance_id: str) -> dict[str, str]:
    found = account.ec2.describe_instances(InstanceIds=[instance_id])
    (instance,) = found["Reservations"][0]["Instances"]
    assert instance["State"]["Name"] == "running"
    return {one["DeviceName"]: one["Ebs"]["VolumeId"] for one in instance["BlockDeviceMappings"]}


def read(instance: Instance, volume_id: str) -> str:
    """The file `proof` of a volume that the instance has attached and not mounted."""
    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume_id.replace('-', '')}"
    return instance.exec("unshare", "--mount", "sh", "-ec", f"mount {link} /mnt; cat /mnt/proof; umount /mnt")


def test_a_database_comes_back_into_its_instance_and_the_old_volumes_are_kept(
    account: Account, operator: Operator, database: Database, restored: Finished
) -> None:
    instance = database.instance
    told = database.fill()
    run = snapshot(account, instance.target, "Stillpoint-PostgreSQL")
    before, boot = attached(account, instance.id), instance.exec("cat", "/proc/sys/kernel/random/boot_id")
    # Lost twice: the rows, and then the server with everything that it had.
    database.asks("update kept set word = 'lost'")
    database.stop()
    instance.exec("rm", "-rf", "/data/pgdata/base")

    job = operator.json("restore", "--run", run, "--to-instance", "--yes")
    assert instance.exec("cat", "/proc/sys/kernel/random/boot_id") != boot
    database.start()
    assert database.asks(TOLD) == told

    after = attached(account, instance.id)
    assert after["/dev/xvda"] == before["/dev/xvda"]
    old, new = ([at[device] for device in ("/dev/sdf", "/dev/sdg")] for at in (before, after))
    assert not set(old) & set(new)
    for one in volumes(account, old):
        assert (one["State"], one["tags"]["stillpoint:replaced-by"]) == ("available", job["order"]["id"])
        assert "stillpoint:delete-after" not in one["tags"]
    for one in volumes(account, new):
        assert one["tags"]["stillpoint:delete-after"] == "", "nobody clears away what was asked for"
    (event,) = restored.wait(jobId=job["order"]["id"])
    assert (event["verdict"], event["runId"]) == ("good", run)
    assert event["replaced"] == {"/dev/sdf": before["/dev/sdf"], "/dev/sdg": before["/dev/sdg"]}

    # The way back has what was there right before, which is what was destroyed.
    database.stop()
    operator.json("restore", "--undo", job["order"]["id"], "--yes")
    assert attached(account, instance.id) == before
    assert instance.exec("sh", "-c", "ls /data/pgdata | grep -cx base || true") == "0\n"
    assert instance.exec("cat", "/data/pgdata/PG_VERSION").strip()


def test_a_set_becomes_volumes(
    account: Account, operator: Operator, launch: Launch, restored: Finished, agent: None
) -> None:
    source, other = launch("volumes"), launch("other")
    source.exec("sh", "-c", "echo 'worth keeping' >/data/proof; sync")
    run = snapshot(account, source.target, "Stillpoint-Filesystem")
    source.exec("rm", "/data/proof")
    said = operator.says("restore", "--run", run, "--to-volumes", ZONE, "--yes")
    (event,) = restored.wait(runId=run)
    (volume_id,) = event["volumes"].values()
    assert event["verdict"] == "good" and volume_id in said, said
    (made,) = volumes(account, [volume_id])
    (of_run,) = account.snapshots(run)
    assert (made["State"], made["SnapshotId"]) == ("available", of_run["SnapshotId"])

    account.ec2.attach_volume(VolumeId=volume_id, InstanceId=other.id, Device="/dev/sdp")
    assert read(other, volume_id) == "worth keeping\n"
    account.ec2.detach_volume(VolumeId=volume_id)


def test_a_set_becomes_a_new_instance(
    account: Account, operator: Operator, launch: Launch, restored: Finished, agent: None
) -> None:
    source = launch("original")
    source.exec("sh", "-c", "echo 'worth keeping' >/data/proof; sync")
    run = snapshot(account, source.target, "Stillpoint-Filesystem")
    operator.says("restore", "--run", run, "--to-new-instance", "--yes")
    (event,) = restored.wait(runId=run)
    try:
        assert event["verdict"] == "good" and event["instanceId"] != source.id, event
        devices = attached(account, event["instanceId"])
        assert devices["/dev/sdf"] == event["volumes"]["/dev/sdf"] and len(devices) == 2
        for one in volumes(account, list(devices.values())):
            assert one["tags"]["stillpoint:delete-after"] == "", "nobody clears it away"
        new = Instance(account.cloud, next(
            one for one in account.cloud.admin("GET", "instances")
            if one["instanceId"] == event["instanceId"]), "none")
        assert read(new, devices["/dev/sdf"]) == "worth keeping\n"
    finally:
        account.ec2.terminate_instances(InstanceIds=[event["instanceId"]])
    (seen,) = volumes(account, [event["volumes"]["/dev/sdf"]])
    assert seen["State"] == "available", "what was restored outlives the instance"


@pytest.mark.parametrize(("sid", "how"), [
    ("MakeVolumesOfSets", "--to-instance"), ("ChangeVolumesOfInstances", "--to-instance"),
    ("LaunchInstancesOfJobs", "--to-new-instance")])
def test_a_restore_that_is_refused_leaves_the_instance_as_it_was(
    account: Account, operator: Operator, launch: Launch, agent: None, sid: str, how: str
) -> None:
    source = launch("refused")
    run = snapshot(account, source.target, "Stillpoint-Filesystem")
    before, boot = attached(account, source.id), source.exec("cat", "/proc/sys/kernel/random/boot_id")
    with account.role_without("stillpoint-restorer", "restorer", sid):
        done = operator.does("restore", "--run", run, how, "--yes")
    assert done.returncode != 0 and "not done: UnauthorizedOperation" in done.stdout, done
    assert attached(account, source.id) == before
    assert source.exec("cat", "/proc/sys/kernel/random/boot_id") == boot
    (first,) = account.snapshots(run)
    filters = [{"Name": "snapshot-id", "Values": [first["SnapshotId"]]}]
    made = account.ec2.describe_volumes(Filters=filters)["Volumes"]
    assert len(made) == (sid == "ChangeVolumesOfInstances")
    for volume in made:
        (one,) = volumes(account, [volume["VolumeId"]])
        assert one["State"] == "available" and one["tags"]["stillpoint:delete-after"]
