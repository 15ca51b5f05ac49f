"""The figures as lines for a person and as the JSON list that other tools read."""

from __future__ import annotations

import statistics
from typing import Any

UNITS = {"failed restores": "count", "acknowledged transactions lost": "count",
         "transactions half there": "count", "positions that differ": "count",
         "commits between lock and freeze": "count", "longest transaction": "ms",
         "start of the copy": "ms", "log replayed": "kB", "held": "ms"}
# Of these the sum is told, of all others the median.
SUMS = ("failed restores", "positions that differ")

Rounds = dict[str, dict[str, list[dict[str, float]]]]  # case, subject, a round each


def figures(rounds: Rounds) -> list[dict[str, Any]]:
    listed = []
    for case, subjects in rounds.items():
        for subject, found in subjects.items():
            for metric, unit in UNITS.items():
                values = [one[metric] for one in found if metric in one]
                if values:
                    middle = sum(values) if metric in SUMS else statistics.median(values)
                    listed.append({"case": case, "subject": subject, "metric": metric,
                                   "unit": unit, "median": round(middle, 2),
                                   "min": round(min(values), 2), "max": round(max(values), 2),
                                   "n": len(values)})
    return listed


def text(listed: list[dict[str, Any]]) -> str:
    lines, case, subject = [], "", ""
    for one in listed:
        if one["case"] != case:
            case, subject = one["case"], ""
            lines.append(f"\n{case}")
        if one["subject"] != subject:
            subject = one["subject"]
            lines.append(f"  {subject}")
        value = (f"{one['median']:.0f} of {one['n']}" if one["metric"] in SUMS else
                 f"{one['median']:,.1f} {one['unit']}  ({one['min']:,.1f} to {one['max']:,.1f})")
        lines.append(f"    {one['metric']:<34}{value}")
    return "\n".join(lines)
