"""What is known of one instance's run, gathered from those who saw it.

The product's own word is the event and the agent's receipts; independent of it are the
lab's timeline, the writers' logs and the restored copy. This module only holds them side
by side; judge.py compares them, table.py and report.py show them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.records import Write, longest


@dataclass(frozen=True)
class Span:
    """An interval in CLOCK_BOOTTIME milliseconds."""

    begin: float
    end: float

    @property
    def milliseconds(self) -> float:
        return self.end - self.begin


@dataclass(frozen=True)
class Plan:
    """One instance of the demo, before anything runs."""

    name: str
    kind: str
    policy: str
    volumes: tuple[tuple[str, str], ...]
    managed: bool
    expected: str

    @property
    def mounts(self) -> list[str]:
        """The mount points, in the order of the volumes."""
        return [mount for mount, _ in self.volumes]


@dataclass
class Run:
    """One instance's run, filled in as the demo goes on."""

    plan: Plan
    instance_id: str
    volumes: list[dict[str, Any]]
    init_pid: int
    log: Path
    event: dict[str, Any] = field(default_factory=dict)
    pre_receipt: dict[str, Any] | None = None
    post_receipt: dict[str, Any] | None = None
    labels: set[str] = field(default_factory=set)
    # SendCommand, script and CreateSnapshots intervals, in the order in which they happened.
    spans: dict[str, Span] = field(default_factory=dict)
    holder_killed_at: float | None = None
    writes: list[Write] = field(default_factory=list)
    restored: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def consistency(self) -> str:
        """The label, as the event has it."""
        return self.event.get("consistency") or "none"

    @property
    def freeze(self) -> Span | None:
        """When everything was frozen until the first thaw, by the agent's last receipt."""
        for receipt in (self.post_receipt, self.pre_receipt):
            hold = (receipt or {}).get("hold") or {}
            if "frozenAtMs" in hold and "releasedAtMs" in hold:
                return Span(float(hold["frozenAtMs"]), float(hold["releasedAtMs"]))
        return None

    @property
    def deadline_ms(self) -> float | None:
        """After how long the agent would have thawed by itself."""
        hold = ((self.pre_receipt or self.post_receipt) or {}).get("hold") or {}
        return hold.get("deadlineMs")

    @property
    def create(self) -> Span | None:
        """The CreateSnapshots call, as the lab saw it; None when there was none."""
        return self.spans.get(CREATE)

    @property
    def window(self) -> Span:
        """From the first to the last thing that the run did to the instance.

        Without any, from the run's own begin to its end: the runner also writes down and
        tags, which no writer can feel.
        """
        seen = [span for name, span in self.spans.items() if name != WHOLE]
        seen = seen or list(self.spans.values())
        return Span(min(span.begin for span in seen), max(span.end for span in seen))

    @property
    def stall(self) -> Write | None:
        """The write that waited longest while the run was going on."""
        return longest(self.writes, self.window.begin, self.window.end)

    @property
    def verified(self) -> bool:
        """Restored, and nothing wrong with it or with its label."""
        return bool(self.restored) and not self.problems


SEND_PRE = "SendCommand pre-script"
PRE = "pre-script"
CREATE = "CreateSnapshots"
SEND_POST = "SendCommand post-script"
POST = "post-script"
WHOLE = "the run"


def receipt_in(output: str) -> dict[str, Any] | None:
    """The receipt among the lines of a command's output; documents of others print none."""
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict) and "stillpoint" in value:
                return value
    return None
