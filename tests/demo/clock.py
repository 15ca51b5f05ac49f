"""One clock for everything: CLOCK_BOOTTIME in milliseconds.

The agent's receipts, the lab's timeline and the writers' logs all use it, and it never
jumps. AWS speaks wall-clock time, so that is converted here. Used by every module that
compares instants; it does no formatting.
"""

from __future__ import annotations

import datetime
import time


def boot_ms() -> float:
    """Milliseconds since boot, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000.0


def wall_ms_of(text: str) -> float:
    """An RFC 3339 instant as milliseconds since the epoch."""
    instant = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=datetime.timezone.utc)
    return instant.timestamp() * 1000.0


class Clock:
    """Converts wall-clock time to CLOCK_BOOTTIME with the offset of one moment.

    The offset is taken once, because a step of the wall clock during the demo must not
    move events that were recorded before it.
    """

    def __init__(self) -> None:
        self._wall_less_boot_ms = time.time() * 1000.0 - boot_ms()

    def boot_of(self, text: str | None) -> float | None:
        """CLOCK_BOOTTIME milliseconds of an RFC 3339 instant."""
        if not text:
            return None
        return wall_ms_of(text) - self._wall_less_boot_ms

    def wall_of(self, boot: float) -> datetime.datetime:
        """The UTC wall-clock instant of CLOCK_BOOTTIME milliseconds."""
        seconds = (boot + self._wall_less_boot_ms) / 1000.0
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
