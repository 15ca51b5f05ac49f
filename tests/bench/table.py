"""The table and the bars that a terminal shows."""

from __future__ import annotations

import math

from .results import Figure, Results
from .subjects import STILLPOINT

COLUMNS = ("added stall", "added transaction stall", "request to frozen", "fsync during flush",
           "cpu to frozen", "cpu", "processes", "programs", "commits between lock and freeze")
HEADS = ("added stall ms", "added txn ms", "request→frozen ms", "fsync in flush ms",
         "CPU→frozen ms", "CPU ms", "procs", "programs", "commits")
BAR_CELLS = 40


def number(value: float) -> str:
    return f"{value:.1f}" if value < 100 and value != int(value) else f"{value:.0f}"


def spread(one: Figure | None) -> str:
    if one is None:
        return "–"
    if one.min == one.max:
        return number(one.median)
    return f"{number(one.median)} [{number(one.min)}..{number(one.max)}]"


def text(results: Results) -> str:
    """One block a case: medians [min..max], and how many times more than ours."""
    lines = []
    for case in results.rounds:
        shown: list[tuple[str, ...]] = [("", *HEADS, "stall / ours")]
        for subject in results.subjects(case):
            ratio = results.ratio(case, subject, "added stall")
            cells = (spread(results.figure(case, subject, column)) for column in COLUMNS)
            shown.append((subject, *cells,
                          "" if subject == STILLPOINT or ratio is None else f"{spread(ratio)}x"))
        keep = [at for at in range(len(shown[0]))
                if at == 0 or any(row[at] not in ("–", "") for row in shown[1:])]
        widths = {at: max(len(row[at]) for row in shown) for at in keep}
        lines += ["", case]
        lines += ["  " + "  ".join(row[at].ljust(widths[at]) for at in keep).rstrip()
                  for row in shown]
        lines += bars(results, case)
    if results.failures:
        lines += ["", "not measured:", *(f"  {one}" for one in results.failures)]
    return "\n".join(lines)


def bars(results: Results, case: str) -> list[str]:
    """The added stall on a logarithmic scale from 1 ms to 10 s."""
    lines = []
    for subject in results.subjects(case):
        one = results.figure(case, subject, "added stall")
        if one:
            cells = round(BAR_CELLS * min(1.0, math.log10(max(one.median, 1.0)) / 4))
            lines.append(f"  {subject:<22}│{'█' * max(cells, 0)} {number(one.median)} ms")
    return lines
