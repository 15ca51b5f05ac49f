"""The same figures as one HTML page with a picture a case; nothing is loaded from anywhere."""

from __future__ import annotations

import html
import math
from pathlib import Path

from . import targets
from .results import Figure, Results
from .subjects import NO_RCU, STILLPOINT
from .table import COLUMNS, HEADS, number, spread

LEFT, WIDTH, ROW, RIGHT = 190, 560, 26, 90
DECADES = 4  # from 1 ms to 10 s
OURS, OTHERS, INK, LINE = "#1f7a5c", "#b9bec6", "#1b1f24", "#e4e7eb"

STYLE = f"""
body {{ font: 15px/1.5 system-ui, sans-serif; color: {INK}; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem }}
h1 {{ font-size: 1.5rem }} h2 {{ font-size: 1.05rem; margin: 2rem 0 .3rem }}
table {{ border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }}
th, td {{ text-align: right; padding: .15rem .6rem; border-bottom: 1px solid {LINE} }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0 }}
svg {{ max-width: 100%; height: auto; display: block; margin: .4rem 0 }}
.missed {{ color: #b3261e; font-weight: 600 }} .note {{ color: #59616b }}
.wide {{ overflow-x: auto }}
"""


def write(path: Path, results: Results, facts: dict[str, str]) -> None:
    parts = [f"<!doctype html><html lang=en><meta charset=utf-8><title>freeze benchmark</title>"
             f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
             "<h1>What a freeze costs the writers</h1>",
             "<p>Bars: the longest that any writer waited beyond the hold itself, median. The hold "
             "is from the answer that everything is frozen to the request to thaw, so the start of "
             "the command that thaws counts. The thin line is from the shortest to the longest "
             "trial; the scale is logarithmic. All subjects took turns on the same load, on "
             "devices limited to 125 MB/s.</p>",
             f"<p class=note>{html.escape(', '.join(f'{k}: {v}' for k, v in facts.items()))}</p>"]
    for case in results.rounds:
        parts += [f"<h2>{html.escape(case)}</h2>", _picture(results, case), _table(results, case)]
    parts += ["<h2>Targets</h2>", _targets(results)]
    if results.failures:
        items = "".join(f"<li>{html.escape(one)}</li>" for one in results.failures)
        parts.append(f"<h2>Not measured</h2><ul>{items}</ul>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _x(milliseconds: float) -> float:
    return LEFT + WIDTH * min(1.0, math.log10(max(milliseconds, 1.0)) / DECADES)


def _picture(results: Results, case: str) -> str:
    names = results.subjects(case)
    height = ROW * len(names) + 24
    parts = [f"<svg viewBox='0 0 {LEFT + WIDTH + RIGHT} {height}' role=img "
             f"aria-label='added stall of each subject'>"]
    for decade in range(DECADES + 1):
        x, label = _x(10 ** decade), f"{10 ** decade} ms" if decade < 3 else f"{10**(decade-3)} s"
        parts.append(f"<line x1={x:.0f} x2={x:.0f} y1=0 y2={height - 20} stroke='{LINE}'/>"
                     f"<text x={x:.0f} y={height - 6} font-size=11 text-anchor=middle "
                     f"fill='#59616b'>{label}</text>")
    for at, name in enumerate(names):
        one = results.figure(case, name, "added stall")
        parts.append(_bar(name, one, ROW * at) if one else "")
    return "".join(parts) + "</svg>"


def _bar(name: str, one: Figure, y: int) -> str:
    color = OURS if name in (STILLPOINT, NO_RCU) else OTHERS
    middle = y + ROW / 2
    return (f"<text x={LEFT - 8} y={middle + 4:.0f} font-size=13 text-anchor=end "
            f"fill='{INK}'>{html.escape(name)}</text>"
            f"<rect x={LEFT} y={y + 5} height={ROW - 10} rx=2 fill='{color}' "
            f"width={max(2.0, _x(one.median) - LEFT):.1f} />"
            f"<line x1={_x(one.min):.1f} x2={_x(one.max):.1f} y1={middle} y2={middle} "
            f"stroke='{INK}'/>"
            f"<text x={_x(one.max) + 6:.0f} y={middle + 4:.0f} font-size=12 "
            f"fill='{INK}'>{number(one.median)} ms</text>")


def _table(results: Results, case: str) -> str:
    names = results.subjects(case)
    keep = [at for at, column in enumerate(COLUMNS)
            if any(results.figure(case, name, column) for name in names)]
    rows = ["<tr><th></th>" + "".join(f"<th>{html.escape(HEADS[at])}</th>" for at in keep)
            + "<th>stall / ours</th></tr>"]
    for name in names:
        ratio = results.ratio(case, name, "added stall")
        cells = [spread(results.figure(case, name, COLUMNS[at])) for at in keep]
        cells.append("" if name == STILLPOINT or ratio is None else f"{spread(ratio)}×")
        rows.append(f"<tr><td>{html.escape(name)}</td>"
                    + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f"<div class=wide><table>{''.join(rows)}</table></div>"


def _targets(results: Results) -> str:
    rows = []
    for one in targets.judge(results):
        word = {True: "holds", False: "<span class=missed>missed</span>", None: "open"}[one.holds]
        sign = "≥" if one.least else "≤"
        rows.append(f"<tr><td>{html.escape(one.what)}</td><td>{html.escape(one.value)}</td>"
                    f"<td>{sign} {number(one.limit)}</td><td>{word}</td></tr>")
    return f"<div class=wide><table>{''.join(rows)}</table></div>"
