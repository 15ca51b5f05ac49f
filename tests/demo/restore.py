"""Restores one snapshot set to fresh devices and has it checked.

The lab makes the devices from the snapshots; demo.verify looks at them in namespaces of
its own, so that nothing mounted or started there can stay behind. What must be on the copy
follows from the label: this is where a label becomes a test. Used by the story.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from demo.cloud import Cloud
from demo.facts import Run

_COMPLETED_WAIT_S = 60.0
# Recovery of the database and a full check take seconds; a stuck mount would take for ever.
_VERIFY_WAIT_S = 150.0
_TESTS = Path(__file__).resolve().parent.parent
_UNSHARE = ["unshare", "--mount", "--ipc", "--pid", "--net", "--fork", "--kill-child",
            "--mount-proc"]


def cut_of(run: Run) -> dict[str, float | None]:
    """Where the line runs between what must be on the copy and what must not.

    A commit that was acknowledged before the call began is there in every set. Only a
    frozen one also has the buffered writes, and nothing at all begun after the freeze.
    """
    freeze = run.freeze if run.consistency == "application" else None
    create = run.create
    if create is None:
        raise RuntimeError(f"{run.plan.name}: a snapshot set without a CreateSnapshots call")
    return {"acknowledgedBefore": create.begin,
            "begunAfter": freeze.begin if freeze else create.end,
            "flushedBefore": freeze.begin if freeze else None}


def restore(cloud: Cloud, run: Run) -> dict[str, Any]:
    """Restore, check, let go; the answer of demo.verify."""
    snapshots = {snapshot["snapshotId"]: snapshot["volumeId"]
                 for snapshot in run.event["snapshots"]}
    wait_completed(cloud, list(snapshots))
    known = {volume["volumeId"]: volume for volume in run.volumes}
    devices = cloud.admin("POST", "restore", {"snapshotIds": list(snapshots)})
    try:
        volumes = [
            {"device": device["device"], "fs": known[device["volumeId"]]["fs"],
             "mount": known[device["volumeId"]]["mount"], "frozen": was_frozen(run)}
            for device in devices]
        request = {"kind": run.plan.kind, "volumes": volumes, "log": str(run.log),
                   "cut": cut_of(run)}
        done = subprocess.run([*_UNSHARE, sys.executable, "-m", "demo.verify"], cwd=_TESTS,
                              input=json.dumps(request), capture_output=True, text=True,
                              timeout=_VERIFY_WAIT_S, check=False, start_new_session=True)
    finally:
        cloud.admin("POST", "release", {"devices": [device["device"] for device in devices]})
    if done.returncode != 0:
        raise RuntimeError(f"the check of {run.plan.name} ended with {done.returncode}: "
                           f"{done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


def was_frozen(run: Run) -> bool:
    """Whether the label promises frozen filesystems; a claim is not held to it, since nobody
    proved anything, and a crash set promises none."""
    return run.consistency == "application"


def wait_completed(cloud: Cloud, snapshot_ids: list[str]) -> None:
    """EBS restores from completed snapshots only."""
    compute = cloud.client("ec2")
    give_up = time.monotonic() + _COMPLETED_WAIT_S
    while True:
        found = compute.describe_snapshots(SnapshotIds=snapshot_ids)["Snapshots"]
        states = {snapshot["State"] for snapshot in found}
        if states == {"completed"}:
            return
        if "error" in states or time.monotonic() > give_up:
            raise RuntimeError(f"snapshots {', '.join(snapshot_ids)} are {', '.join(states)}")
        time.sleep(0.3)
