"""The writers' logs, read: what was acknowledged, when, and how long it took.

Both workloads log in CLOCK_BOOTTIME milliseconds (clock.py). This module turns their lines
into values; it compares them with nothing. Used by the story, the verifiers and the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, Iterator


@dataclass(frozen=True)
class Write:
    """One write as its writer saw it.

    `identity` is a transaction id, or a sequence number. `decided` is the instant before
    which nothing of the write could have become durable: its begin, or for a transaction
    the moment its commit was sent.
    """

    kind: str
    identity: int
    slot: int
    begin: float
    decided: float
    end: float

    @property
    def milliseconds(self) -> float:
        """How long the writer waited."""
        return self.end - self.begin



def read(path: Path) -> list[Write]:
    """All writes of a log, in the order of their ends."""
    with open(path, encoding="ascii") as lines:
        return list(parse(lines))


def parse(lines: Iterable[str]) -> Iterator[Write]:
    """The writes of log lines; a line that is none is an error, because a log with holes
    would let a lost write go unnoticed."""
    for number, line in enumerate(lines, start=1):
        if not line.endswith("\n"):
            # The writer was ended in the middle of its last line.
            return
        match line.split():
            case ["T", identity, begin, sent, end]:
                yield Write("transaction", int(identity), 0, float(begin), float(sent), float(end))
            case ["B", identity, slot, begin, end]:
                yield Write("block", int(identity), int(slot), float(begin), float(begin),
                            float(end))
            case ["R", identity, begin, end]:
                yield Write("record", int(identity), 0, float(begin), float(begin), float(end))
            case _:
                raise ValueError(f"line {number} of a writer's log: {line.strip()!r} is no write")


def longest(writes: Iterable[Write], begin: float, end: float) -> Write | None:
    """The write that waited longest among those that overlap an interval."""
    overlapping = (write for write in writes if write.end >= begin and write.begin <= end)
    return max(overlapping, key=lambda write: write.milliseconds, default=None)
