"""The figures: rows of target/bench/engine.json, and whether they keep what is promised.

Whoever writes the file replaces the rows of its own cases and leaves the others.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.results import figure_of

OURS = "functions"  # how the names of our cases begin
START, MEMORY, PACKAGE = f"{OURS} cold start", f"{OURS} memory", f"{OURS} package"
POLL, COMPUTED = "process start to first poll", "processor time to first poll"
IDLE = "resident, idle"
WAITING, PEAK = "resident, 50 runs in flight", "resident at most, 50 runs"
ZIP, PROGRAM = "zip", "program"
BESIDE = "python3 that only polls"  # the subject that is there to compare with
UNITS = {POLL: "ms", COMPUTED: "ms", IDLE: "MB", WAITING: "MB", PEAK: "MB", ZIP: "MB", PROGRAM: "MB"}
# At most so much, in each row but those of BESIDE; MB are millions of bytes.
TARGETS = {ZIP: ("median", 4.0), POLL: ("median", 15.0), PEAK: ("max", 40.0)}

Row = dict[str, Any]


def row(case: str, subject: str, metric: str, values: list[float]) -> Row:
    figure = figure_of(case, subject, metric, UNITS[metric], values)
    assert figure is not None, f"{case}: nothing was measured of {subject}"
    return asdict(figure)


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    there: list[Row] = json.loads(path.read_text()) if path.exists() else []
    others = [one for one in there if not one["case"].startswith(f"{OURS} ")]
    path.write_text(json.dumps(rows + others, indent=1) + "\n")


def targets(rows: list[Row]) -> list[str]:
    """A line for each target; what was not measured is not judged."""
    lines = []
    for one in rows:
        if one["metric"] in TARGETS and one["subject"] != BESIDE:
            statistic, limit = TARGETS[one["metric"]]
            word = "holds " if one[statistic] <= limit else "MISSED"
            lines.append(f"  {word}  {one['case']}: {one['subject']}: {one['metric']}, {statistic}, "
                         f"{one['unit']}: {one[statistic]:g} (at most {limit:g})")
    return lines


def text(rows: list[Row]) -> str:
    lines, case = [], ""
    for one in rows:
        if one["case"] != case:
            case = one["case"]
            lines.append(f"\n{case}")
        value = f"{one['median']:,.1f} {one['unit']}  ({one['min']:,.1f} to {one['max']:,.1f}"
        lines.append(f"  {one['subject']:<26}{one['metric']:<32}{value}, n = {one['n']})")
    return "\n".join(lines)
