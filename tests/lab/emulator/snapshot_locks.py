"""LockSnapshot, UnlockSnapshot and DescribeLockedSnapshots, and what a lock refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ..config import ACCOUNT


def install() -> None:
    """Add the three calls; a locked snapshot cannot be deleted."""
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models.elastic_block_store import EBSBackend
    from moto.ec2.responses import EC2Response

    locks: dict[str, dict[str, Any]] = {}
    delete = EBSBackend.delete_snapshot

    def lock_snapshot(response: Any) -> Any:
        snapshot_id = response._get_param("SnapshotId")
        response.ec2_backend.get_snapshot(snapshot_id)
        days = int(response._get_param("LockDuration") or 1)
        now = datetime.now(UTC).replace(tzinfo=None)
        locks[snapshot_id] = {
            "SnapshotId": snapshot_id,
            "OwnerId": ACCOUNT,
            "LockState": response._get_param("LockMode"),
            "LockDuration": days,
            "LockCreatedOn": now,
            "LockExpiresOn": now + timedelta(days=days),
        }
        return ActionResult(locks[snapshot_id])

    def unlock_snapshot(response: Any) -> Any:
        locks.pop(response._get_param("SnapshotId"), None)
        return ActionResult({"SnapshotId": response._get_param("SnapshotId")})

    def describe_locked_snapshots(response: Any) -> Any:
        return ActionResult({"Snapshots": list(locks.values())})

    def delete_snapshot(backend: Any, snapshot_id: str) -> Any:
        if snapshot_id in locks:
            text = f"snapshot {snapshot_id} is locked and cannot be deleted"
            raise EC2ClientError("InvalidSnapshot.Locked", text)
        return delete(backend, snapshot_id)

    EC2Response.lock_snapshot = lock_snapshot  # type: ignore
    EC2Response.unlock_snapshot = unlock_snapshot  # type: ignore
    EC2Response.describe_locked_snapshots = describe_locked_snapshots  # type: ignore
    EBSBackend.delete_snapshot = delete_snapshot  # type: ignore
