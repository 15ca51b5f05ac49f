"""Volumes of snapshots, and instances that stop and start: what a restore needs of EC2."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from ..ebs import XFS_MIN_MIB
from .harness import LabProcess, create_snapshots, error_code

ZONE = "us-east-1a"


@pytest.fixture
def host(lab: LabProcess) -> Iterator[dict[str, Any]]:
    made = lab.launch("restored")
    yield made
    lab.admin("DELETE", f"instances/{made['instanceId']}")


def snapshot_of(lab: LabProcess, host: dict[str, Any], device: str) -> str:
    made = create_snapshots(lab, host)
    volume = next(one["volumeId"] for one in host["volumes"] if one["device"] == device)
    (snapshot,) = [one["SnapshotId"] for one in made if one["VolumeId"] == volume]
    while lab.client("ec2").describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0][
        "State"] == "pending":
        time.sleep(0.1)
    return snapshot


def now(lab: LabProcess, host: dict[str, Any]) -> dict[str, Any]:
    return next(one for one in lab.admin("GET", "instances")
                if one["instanceId"] == host["instanceId"])


def test_a_volume_of_a_snapshot_takes_the_place_of_the_old_one(
    lab: LabProcess, host: dict[str, Any]
) -> None:
    ec2, ident = lab.client("ec2"), host["instanceId"]
    old = next(one["volumeId"] for one in host["volumes"] if one["device"] == "/dev/sdf")
    lab.run(host, "sh", "-c", "echo kept >/data/proof && sync")
    snapshot = snapshot_of(lab, host, "/dev/sdf")
    lab.run(host, "rm", "/data/proof")
    new = [ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=ZONE, ClientToken="once")[
        "VolumeId"] for _ in range(2)]
    assert new[0] == new[1], "one token, one volume"
    attach = {"VolumeId": new[0], "InstanceId": ident, "Device": "/dev/sdf"}
    assert error_code(lambda: ec2.attach_volume(**attach)) == "InvalidParameterValue"

    ec2.stop_instances(InstanceIds=[ident])
    assert ident not in [one["instanceId"] for one in lab.admin("GET", "instances")]
    ec2.detach_volume(VolumeId=old)
    ec2.attach_volume(**attach)
    assert error_code(lambda: ec2.attach_volume(**attach)) == "VolumeInUse"
    ec2.start_instances(InstanceIds=[ident])

    again = now(lab, host)
    assert again["bootId"] != host["bootId"]
    assert lab.run(host, "cat", "/proc/sys/kernel/random/boot_id").strip() == again["bootId"]
    assert lab.run(host, "cat", "/data/proof") == "kept\n"
    # The old one is as it was, and may go.
    (seen,) = ec2.describe_volumes(VolumeIds=[old])["Volumes"]
    assert (seen["State"], seen["Attachments"]) == ("available", [])
    ec2.delete_volume(VolumeId=old)
    # What runs now can have a snapshot as any other.
    assert len(create_snapshots(lab, again)) == 2


def test_a_disk_comes_and_goes_while_the_instance_runs(
    lab: LabProcess, host: dict[str, Any]
) -> None:
    ec2, ident = lab.client("ec2"), host["instanceId"]
    lab.run(host, "sh", "-c", "echo kept >/wal/proof && sync")
    snapshot = snapshot_of(lab, host, "/dev/sdg")
    volume = ec2.create_volume(SnapshotId=snapshot, AvailabilityZone=ZONE)["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=ident, Device="/dev/sdp")
    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"
    shown = lab.run(host, "unshare", "--mount", "sh", "-ec",
                    f"mount -o ro,nouuid {link} /mnt && cat /mnt/proof")
    assert shown == "kept\n"
    assert int(lab.run(host, "blockdev", "--getsize64", link)) == max(320, XFS_MIN_MIB) << 20
    ec2.detach_volume(VolumeId=volume)
    assert lab.run(host, "sh", "-c", f"test -e {link} || echo gone") == "gone\n"
    assert now(lab, host)["bootId"] == host["bootId"]
    ec2.delete_volume(VolumeId=volume)


def test_a_snapshot_can_be_damaged(lab: LabProcess, host: dict[str, Any]) -> None:
    snapshot = snapshot_of(lab, host, "/dev/sdf")
    lab.admin("POST", f"snapshots/{snapshot}/damage", {"offset": 0, "length": 128 << 10})
    (copy,) = lab.admin("POST", "restore", {"snapshotIds": [snapshot]})
    try:
        done = lab.admin("POST", f"instances/{host['instanceId']}/exec",
                         {"argv": ["blkid", "-p", copy["device"]]})
        assert done["exitCode"] == 2, done
    finally:
        lab.admin("POST", "release", {"devices": [copy["device"]]})
