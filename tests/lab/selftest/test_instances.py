"""Instances are machines of their own, and none can freeze anything but its own volumes."""

from __future__ import annotations

import time
from pathlib import Path

from .harness import LabProcess


def test_lsblk_shows_only_the_instances_own_mounts(lab: LabProcess, db: dict, files: dict) -> None:
    """AWS's sample documents freeze every mountpoint that lsblk prints."""
    shown = set(lab.run(db, "lsblk", "-nlo", "MOUNTPOINTS").split())
    assert shown - {"/"} == {"/data", "/wal"}
    on_disks = {
        line.split()[4]
        for line in lab.run(db, "cat", "/proc/self/mountinfo").splitlines()
        if line.split(" - ")[1].split()[1].startswith("/dev/")
    }
    assert on_disks == {"/data", "/wal"}


def test_the_hosts_root_cannot_be_frozen_from_an_instance(lab: LabProcess, db: dict) -> None:
    for path in ("/", "/usr/local/bin/stillpoint-agent", "/etc/hostname", "/var/lib/amazon/ssm"):
        script = f"test -e {path} || exit 0; fsfreeze -f {path} 2>&1; echo $?"
        assert lab.run(db, "sh", "-c", script).split()[-1:] != ["0"], path


def test_an_instance_has_its_own_machine(lab: LabProcess, db: dict, files: dict) -> None:
    boot = "/proc/sys/kernel/random/boot_id"
    assert lab.run(db, "cat", boot).strip() == db["bootId"]
    assert len({lab.run(db, "cat", boot), lab.run(files, "cat", boot), Path(boot).read_text()}) == 3
    assert lab.run(db, "hostname").strip() == "db"
    assert lab.run(db, "ls", "/etc/stillpoint") == ""
    assert len(lab.run(db, "ps", "-e", "-o", "pid=").split()) <= 3
    for path in ("/run", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"):
        assert lab.run(db, "stat", "-f", "-c", "%T", path).strip() == "tmpfs"
    lab.run(db, "touch", "/etc/only-here")
    assert not Path("/etc/only-here").exists()


def test_volumes_look_like_ebs_disks(lab: LabProcess, db: dict) -> None:
    for volume in db["volumes"][1:]:
        device = lab.run(db, "findmnt", "-nro", "MAJ:MIN", volume["mount"]).strip()
        folder = f"/sys/dev/block/{device}"
        assert lab.run(db, "cat", f"{folder}/device/serial").strip() == volume["volumeId"].replace(
            "-", ""
        )
        assert lab.run(db, "cat", f"{folder}/device/model").strip() == "Amazon Elastic Block Store"
        assert lab.run(db, "sh", "-c", f"ls {folder}/loop 2>/dev/null | wc -l").strip() == "0"
        assert int(lab.run(db, "cat", f"{folder}/size")) > 0


def test_orphans_are_reaped(lab: LabProcess, db: dict) -> None:
    lab.run(db, "sh", "-c", "(sh -c 'sleep 0.1' &)")
    time.sleep(0.5)
    assert "Z" not in lab.run(db, "ps", "-e", "-o", "stat=")


def test_ec2_knows_the_instance(lab: LabProcess, db: dict, files: dict) -> None:
    found = lab.client("ec2").describe_instances(
        Filters=[{"Name": "tag:backup", "Values": ["yes"]}]
    )
    ids = {i["InstanceId"]: i for r in found["Reservations"] for i in r["Instances"]}
    assert set(ids) >= {db["instanceId"], files["instanceId"]}
    mapped = {
        m["DeviceName"]: m["Ebs"]["VolumeId"] for m in ids[db["instanceId"]]["BlockDeviceMappings"]
    }
    assert mapped == {v["device"]: v["volumeId"] for v in db["volumes"]}
    assert ids[db["instanceId"]]["RootDeviceName"] == "/dev/xvda"
