"""Switches that make the lab misbehave, and the timeline of what really happened.

A fault is set through the admin API, stays until it is changed, and is asked for by the room
that it concerns. The timeline has wall-clock and CLOCK_BOOTTIME milliseconds, the clock of the
agent's receipts. Neither changes anything by itself.
"""

from __future__ import annotations

import threading
from typing import Any

from .host import boottime_ms, wall_ms

# How long the instance has to notice that its holder was killed before the snapshot is taken.
HOLDER_GONE_SECONDS = 0.05


class Timeline:
    """Everything worth drawing, in the order it happened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []

    def add(self, event: str, instance_id: str, **more: Any) -> None:
        with self._lock:
            self._entries.append(
                {
                    "event": event,
                    "instanceId": instance_id,
                    "wallMs": wall_ms(),
                    "boottimeMs": boottime_ms(),
                }
                | more
            )

    def all(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._entries)


class Faults:
    """The switches; names as in the admin API."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set: dict[str, Any] = {
            # The instance whose holder is killed when its CreateSnapshots arrives.
            "killHolderBeforeCreateSnapshots": None,
            # instance id -> what its commands seem to have printed on standard output.
            "ssmOutput": {},
            # How many CreateSnapshots calls are still answered RequestLimitExceeded.
            "throttleCreateSnapshots": 0,
            # How many CreateSnapshots calls still make snapshots and answer InternalError.
            "loseCreateSnapshotsReply": 0,
            # How many CreateSnapshots calls still make nothing and answer InternalError.
            "loseCreateSnapshots": 0,
            # How many SendCommand calls still are taken and answer InternalServerError.
            "loseSendCommandReply": 0,
            # How many SendCommand calls still are lost and answer InternalServerError.
            "loseSendCommand": 0,
            # instance id -> seconds that its commands take to be delivered, on top.
            "deliveryDelaySeconds": {},
            # instance id -> how SSM says that its commands ended: {status, details, runs: whether
            # they run all the same, command: only those with this value of that parameter,
            # times: so often and no more}.
            "ssmEnds": {},
            # instance id -> what its VSS document does; the keys are windows.py's.
            "vss": {},
        }

    def change(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Set the named faults, leave the others; a name that does not exist is refused."""
        with self._lock:
            if unknown := sorted(set(wanted) - set(self._set)):
                raise ValueError(
                    f"no such fault: {', '.join(unknown)}; there are {', '.join(self._set)}"
                )
            self._set |= wanted
            return dict(self._set)

    def kills_holder_of(self, instance_id: str) -> bool:
        return bool(self._set["killHolderBeforeCreateSnapshots"] == instance_id)

    def output(self, instance_id: str, real: str) -> str:
        return str(self._set["ssmOutput"].get(instance_id, real))

    def vss(self, instance_id: str) -> dict[str, Any]:
        return dict(self._set["vss"].get(instance_id, {}))

    def end_of(
        self, instance_id: str, parameters: dict[str, list[str]]
    ) -> dict[str, Any] | None:
        with self._lock:
            end = self._set["ssmEnds"].get(instance_id)
            if not end or end.get("command") not in (None, *parameters.get("command", [])):
                return None
            if end.get("times", 1) <= 0:
                return None
            if "times" in end:
                end["times"] -= 1
            return dict(end)

    def delivery_delay(self, instance_id: str) -> float:
        return float(self._set["deliveryDelaySeconds"].get(instance_id, 0))

    def take(self, name: str) -> bool:
        """Use up one of a counted fault."""
        with self._lock:
            if self._set[name] <= 0:
                return False
            self._set[name] -= 1
            return True
