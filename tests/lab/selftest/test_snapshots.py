"""CreateSnapshots is one instant of all volumes, and what comes after it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import boto3
from botocore.config import Config

from .harness import LabProcess, create_snapshots, error_code

# A log entry is durable before its data is written: no instant has data without its log.
WRITER = """
import os
log, data = (os.open(p, os.O_RDWR | os.O_CREAT, 0o644) for p in ("/wal/log", "/data/data"))
n = 0
while True:
    n += 1
    for fd in (log, data):
        os.pwrite(fd, b"%020d" % n, 0)
        os.fdatasync(fd)
"""


def test_a_snapshot_set_is_one_instant_of_all_volumes(lab: LabProcess, tmp_path: Path) -> None:
    instance = lab.launch("writer")
    lab.admin(
        "POST",
        f"instances/{instance['instanceId']}/exec",
        {"argv": ["python3", "-c", WRITER], "detach": True},
    )
    time.sleep(1)
    counts = []
    for _ in range(4):
        made = create_snapshots(lab, instance)
        restored = lab.admin("POST", "restore", {"snapshotIds": [s["SnapshotId"] for s in made]})
        found = {}
        for volume in restored:
            spec = next(v for v in instance["volumes"] if v["volumeId"] == volume["volumeId"])
            target = tmp_path / "mnt"
            target.mkdir(exist_ok=True)
            options = ["-o", "nouuid"] if spec["fs"] == "xfs" else []
            subprocess.run(
                ["mount", "-t", spec["fs"], *options, volume["device"], target], check=True
            )
            try:
                found[spec["mount"]] = int(
                    next(p for p in target.iterdir() if p.name in ("log", "data")).read_text()
                )
            finally:
                subprocess.run(["umount", target], check=True)
        lab.admin("POST", "release", {"devices": [v["device"] for v in restored]})
        assert found["/wal"] - found["/data"] in (0, 1), found
        counts.append(found["/data"])
    assert counts == sorted(set(counts)), "the writer stood still, the test saw nothing"
    lab.admin("DELETE", f"instances/{instance['instanceId']}")


def test_a_frozen_ext4_is_restored_clean(lab: LabProcess, db: dict) -> None:
    """Frozen: no journal to replay. Not frozen under a writer: a journal."""
    lab.run(db, "sh", "-c", "echo hello > /data/f; fsfreeze -f /data")
    try:
        assert [
            f["mount"] for f in lab.admin("GET", "frozen") if f["instanceId"] == db["instanceId"]
        ] == ["/data"]
        made = create_snapshots(lab, db)
    finally:
        lab.run(db, "fsfreeze", "-u", "/data")
    assert lab.admin("GET", "frozen") == []
    device = next(
        v["device"]
        for v in lab.admin("POST", "restore", {"snapshotIds": [s["SnapshotId"] for s in made]})
        if v["volumeId"] == db["volumes"][1]["volumeId"]
    )
    header = subprocess.run(
        ["dumpe2fs", "-h", device], capture_output=True, text=True, check=True
    ).stdout
    assert "needs_recovery" not in header
    lab.admin("POST", "release", {})


def test_createsnapshots_honours_its_parameters(lab: LabProcess, db: dict) -> None:
    ec2 = lab.client("ec2")
    root, data, wal = (v["volumeId"] for v in db["volumes"])
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "set", "Value": "1"}]}]
    made = create_snapshots(lab, db, TagSpecifications=tags, CopyTagsFromSource="volume")
    assert {s["VolumeId"] for s in made} == {data, wal} and {s["State"] for s in made} == {
        "pending"
    }
    assert len({s["StartTime"] for s in made}) == 1
    by_volume = {s["VolumeId"]: {t["Key"]: t["Value"] for t in s["Tags"]} for s in made}
    assert by_volume == {data: {"team": "a", "set": "1"}, wal: {"set": "1"}}
    assert {
        s["VolumeId"] for s in create_snapshots(lab, db, spec={"ExcludeDataVolumeIds": [wal]})
    } == {data}
    assert {
        s["VolumeId"] for s in create_snapshots(lab, db, spec={"ExcludeBootVolume": False})
    } == {root, data, wal}
    found = ec2.describe_snapshots(
        Filters=[{"Name": "tag:set", "Values": ["1"]}], OwnerIds=["self"]
    )["Snapshots"]
    assert {s["SnapshotId"] for s in found} == {s["SnapshotId"] for s in made}
    assert (
        error_code(lambda: create_snapshots(lab, {"instanceId": "i-0123456789abcdef0"}))
        == "InvalidInstanceID.NotFound"
    )
    assert (
        error_code(lambda: create_snapshots(lab, db, spec={"ExcludeDataVolumeIds": [root]}))
        == "InvalidParameterValue"
    )


def test_snapshots_complete_later_and_say_so(lab: LabProcess, db: dict) -> None:
    sqs, events = lab.client("sqs"), lab.client("events")
    url = sqs.create_queue(QueueName="ebs-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    events.put_rule(Name="ebs", EventPattern=json.dumps({"source": ["aws.ec2"]}))
    events.put_targets(Rule="ebs", Targets=[{"Id": "q", "Arn": arn}])
    ids = {s["SnapshotId"] for s in create_snapshots(lab, db)}

    def states() -> set[str]:
        found = lab.client("ec2").describe_snapshots(SnapshotIds=sorted(ids))["Snapshots"]
        return {s["State"] for s in found}

    assert states() == {"pending"}
    time.sleep(2.5)
    assert states() == {"completed"}
    received = []
    for _ in range(3):
        received += sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    said = [json.loads(m["Body"]) for m in received]
    single = {
        s["detail"]["snapshot_id"].rsplit("/")[-1]
        for s in said
        if s["detail-type"] == "EBS Snapshot Notification"
    }
    multi = [
        s["detail"]
        for s in said
        if s["detail-type"] == "EBS Multi-Volume Snapshots Completion Status"
    ]
    assert single >= ids
    assert any(
        {e["snapshot_id"].rsplit("/")[-1] for e in m["snapshots"]} == ids
        and m["result"] == "succeeded"
        for m in multi
    )


def test_faults_of_createsnapshots(lab: LabProcess, db: dict) -> None:
    ec2 = boto3.client(
        "ec2",
        endpoint_url=lab.client("ec2").meta.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    spec = {"InstanceId": db["instanceId"], "ExcludeBootVolume": True}
    tags = [{"ResourceType": "snapshot", "Tags": [{"Key": "lost", "Value": "1"}]}]
    lab.admin("POST", "faults", {"throttleCreateSnapshots": 1, "loseCreateSnapshotsReply": 1})
    assert (
        error_code(lambda: ec2.create_snapshots(InstanceSpecification=spec))
        == "RequestLimitExceeded"
    )
    assert (
        error_code(lambda: ec2.create_snapshots(InstanceSpecification=spec, TagSpecifications=tags))
        == "InternalError"
    )
    found = ec2.describe_snapshots(Filters=[{"Name": "tag:lost", "Values": ["1"]}])["Snapshots"]
    assert len(found) == 2


def test_ssm_output_can_be_replaced(lab: LabProcess, db: dict) -> None:
    lab.admin("POST", "faults", {"ssmOutput": {db["instanceId"]: "not a receipt"}})
    try:
        answer = lab.follow(db, lab.send(db, commands=["echo real"]))[1]
    finally:
        lab.admin("POST", "faults", {"ssmOutput": {}})
    assert answer["StandardOutputContent"] == "not a receipt"


def test_describe_calls_page(lab: LabProcess, db: dict, files: dict) -> None:
    ec2 = lab.client("ec2")
    for _ in range(3):
        create_snapshots(lab, db)
    for call, key in (("describe_snapshots", "Snapshots"), ("describe_volumes", "Volumes")):
        whole = getattr(ec2, call)()[key]
        pages = list(ec2.get_paginator(call).paginate(PaginationConfig={"PageSize": 5}))
        assert len(pages) == -(-len(whole) // 5) > 1, call
        assert [one for page in pages for one in page[key]] == whole
