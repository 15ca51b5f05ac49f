"""The figures of a run: medians with their spread, ratios to ours, and the JSON file.

Ratios are made of the two trials of one round, which ran a moment apart, not of medians.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .footprint import PROGRAM, RESIDENT
from .subjects import FLOOR, NO_RCU, RIVALS, STILLPOINT

UNITS = {"added stall": "ms", "added transaction stall": "ms", "request to frozen": "ms",
         "fsync during flush": "ms", "thaw": "ms", "cpu": "ms", "cpu to frozen": "ms",
         "processes": "count", "programs": "count", "refused": "count",
         "request to refusal": "ms", "dirty at request": "MB",
         "commits between lock and freeze": "count", RESIDENT: "kB", PROGRAM: "kB"}
# Two calls of a writer are one to two milliseconds apart: less is not told from nothing.
RESOLUTION_MS = 1.0
RATIOS = ("added stall", "added transaction stall", "request to frozen", "fsync during flush",
          "cpu", "cpu to frozen")


@dataclass(frozen=True)
class Figure:
    case: str
    subject: str
    metric: str
    unit: str
    median: float
    min: float
    max: float
    n: int


@dataclass
class Results:
    rounds: dict[str, list[dict[str, dict[str, float]]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, case: str, number: int, subject: str, found: dict[str, float]) -> None:
        rounds = self.rounds.setdefault(case, [])
        while len(rounds) <= number:
            rounds.append({})
        rounds[number][subject] = found

    def rounds_text(self) -> str:
        counts = sorted({len(rounds) for rounds in self.rounds.values()})
        return " to ".join(map(str, dict.fromkeys([counts[0], counts[-1]]))) if counts else "none"

    def subjects(self, case: str) -> list[str]:
        order = (STILLPOINT, NO_RCU, *RIVALS, FLOOR)
        seen = {name for one in self.rounds[case] for name in one}
        return [name for name in order if name in seen]

    def figure(self, case: str, subject: str, metric: str) -> Figure | None:
        values = [one[subject][metric] for one in self.rounds.get(case, [])
                  if metric in one.get(subject, {})]
        return figure_of(case, subject, metric, UNITS[metric], values)

    def ratio(self, case: str, subject: str, metric: str, to: str = STILLPOINT) -> Figure | None:
        """How many times more than ours, or than another's."""
        values = []
        for one in self.rounds.get(case, []):
            theirs = one.get(subject, {}).get(metric)
            ours = one.get(to, {}).get(metric)
            if theirs is not None and ours is not None:
                values.append(max(theirs, RESOLUTION_MS) / max(ours, RESOLUTION_MS))
        return figure_of(case, f"{subject} / {to}", metric, "ratio", values)

    def figures(self) -> list[Figure]:
        found = []
        for case in self.rounds:
            for subject in self.subjects(case):
                found += [self.figure(case, subject, metric) for metric in UNITS]
                if subject != STILLPOINT:
                    found += [self.ratio(case, subject, metric) for metric in RATIOS]
        return [one for one in found if one is not None]

    def write(self, path: Path) -> None:
        rows: list[dict[str, Any]] = [asdict(one) for one in self.figures()]
        path.write_text(json.dumps(rows, indent=1) + "\n")

    def remember(self, path: Path, agent: str) -> None:
        """Every trial, for a later run of other cases to add to."""
        kept = {"agent": agent, "rounds": self.rounds, "failures": self.failures}
        path.write_text(json.dumps(kept) + "\n")

    def recall(self, path: Path, agent: str, measured: list[str]) -> None:
        """Add the trials of earlier runs, of the very same agent and of other cases than were
        measured now: figures of two agents must not stand in one table."""
        kept = json.loads(path.read_text()) if path.exists() else {}
        if kept.get("agent") != agent:
            return
        others = {case: rounds for case, rounds in kept["rounds"].items() if case not in measured}
        self.rounds = others | self.rounds
        self.failures += [one for one in kept["failures"]
                          if not any(one.startswith(f"{case}:") for case in measured)]


def figure_of(case: str, subject: str, metric: str, unit: str, values: list[float]) -> Figure | None:
    if not values:
        return None
    middle = statistics.median(values)
    return Figure(case, subject, metric, unit, round(middle, 3), round(min(values), 3),
                  round(max(values), 3), len(values))
