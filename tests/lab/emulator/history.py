"""The past, as EC2 shows it: when a snapshot was made. Nobody else can set that."""

from __future__ import annotations

from datetime import UTC, datetime

from .moto_calls import ec2_backend


def set_start_times(times: dict[str, float]) -> None:
    """Snapshot id -> seconds since the epoch; KeyError for one that does not exist."""
    snapshots = ec2_backend().snapshots
    found = {snapshots[snapshot_id]: at for snapshot_id, at in times.items()}
    for snapshot, at in found.items():
        snapshot.start_time = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
