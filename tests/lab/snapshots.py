"""CreateSnapshots of the lab: the atomic copy, the faults around it, completion and its events.

Called by emulator.py with a function that makes moto's snapshot objects; the data is ebs.py's.
It does not choose volumes.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .authz import ec2_arn
from .config import REGION, SNAPSHOT_LAG_SECONDS
from .ebs import Pool, Stored
from .emulator import Emulator
from .faults import HOLDER_GONE_SECONDS, Faults, Timeline
from .holder import find_holder
from .instances import Fleet
from .ports import NewSnapshot, ServiceError


class Snapshots:
    """The data side of EC2's snapshots."""

    def __init__(
        self, pool: Pool, fleet: Fleet, emulator: Emulator, faults: Faults, timeline: Timeline
    ) -> None:
        self._pool, self._fleet, self._emulator = pool, fleet, emulator
        self._faults, self._timeline = faults, timeline

    def create(self, instance_id: str, make: Callable[[], list[NewSnapshot]]) -> list[NewSnapshot]:
        """One point in time for the whole set, taken before this returns."""
        self._timeline.add("CreateSnapshots begin", instance_id)
        if self._faults.take("throttleCreateSnapshots"):
            self._timeline.add("CreateSnapshots end", instance_id, error="RequestLimitExceeded")
            raise ServiceError("RequestLimitExceeded", "Request limit exceeded.")
        if self._faults.take("loseCreateSnapshots"):
            self._timeline.add("CreateSnapshots end", instance_id, error="InternalError")
            raise ServiceError("InternalError", "An internal error has occurred")
        if self._fleet.known(instance_id) is None:
            raise ServiceError(
                "IncorrectInstanceState",
                f"{instance_id} was not launched by the lab; it has no volumes",
            )
        if self._faults.kills_holder_of(instance_id):
            self._kill_holder(instance_id)
        set_name = f"{instance_id}-{uuid.uuid4().hex[:12]}"
        self._pool.snapshot_set(instance_id, set_name)
        made = make()
        for snapshot in made:
            self._pool.register(snapshot.snapshot_id, Stored(set_name, snapshot.volume_id))
        self._timeline.add(
            "CreateSnapshots end", instance_id, snapshotIds=[s.snapshot_id for s in made]
        )
        started = _now()
        timer = threading.Timer(SNAPSHOT_LAG_SECONDS, self._complete, (made, started))
        timer.daemon = True
        timer.start()
        if self._faults.take("loseCreateSnapshotsReply"):
            raise ServiceError("InternalError", "An internal error has occurred")
        return made

    def delete(self, snapshot_id: str) -> None:
        self._pool.delete_snapshot(snapshot_id)

    def _kill_holder(self, instance_id: str) -> None:
        instance = self._fleet.get(instance_id)
        pid = find_holder(instance) if instance else None
        if instance is None or pid is None:
            self._timeline.add("holder not found", instance_id)
            return
        instance.kill(pid, group=False)
        self._timeline.add("holder killed", instance_id, pid=pid, signal=int(signal.SIGKILL))
        time.sleep(HOLDER_GONE_SECONDS)

    def _complete(self, made: list[NewSnapshot], started: str) -> None:
        for snapshot in made:
            self._emulator.complete_snapshot(snapshot.snapshot_id)
        ended = _now()
        times = {
            "startTime": started,
            "endTime": ended,
            "request-id": "",
            "cause": "",
            "result": "succeeded",
        }
        entries = [
            {
                "snapshot_id": _event_arn(s.snapshot_id),
                "source": ec2_arn("volume", s.volume_id),
                "status": "completed",
            }
            for s in made
        ]
        for entry in entries:
            detail: dict[str, Any] = {
                "event": "createSnapshot",
                "snapshot_id": entry["snapshot_id"],
                "source": entry["source"],
            } | times
            self._emulator.put_event(
                "aws.ec2", "EBS Snapshot Notification", [entry["snapshot_id"]], detail
            )
        self._emulator.put_event(
            "aws.ec2",
            "EBS Multi-Volume Snapshots Completion Status",
            [e["snapshot_id"] for e in entries],
            {"event": "createSnapshots", "snapshots": entries} | times,
        )


def _event_arn(snapshot_id: str) -> str:
    # EBS events have the Region where the account belongs.
    return f"arn:aws:ec2::{REGION}:snapshot/{snapshot_id}"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
