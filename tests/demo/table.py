"""The result on a terminal: one table, and one small timeline a run.

Plain characters only, so that it reads the same in a CI log. It decides nothing: the
judgement is already in the runs. Used by __main__.py; the report draws the same lanes.
"""

from __future__ import annotations

import textwrap

from demo.facts import CREATE, POST, PRE, SEND_POST, SEND_PRE, Run, Span

HEAD = ("instance", "outcome", "consistency", "frozen ms", "longest write stall ms", "restored",
        "rows checked")
_RIGHT = {"frozen ms", "longest write stall ms", "rows checked"}
KILLED = "holder killed"
_CHART_COLUMNS = 60
# A run that only calls CreateSnapshots would otherwise look like one that takes for ever.
_CHART_MS_MIN = 1000.0


def cells(run: Run) -> tuple[str, ...]:
    """One row of the table."""
    stall = run.stall
    frozen = run.event.get("frozenMs")
    rows = run.restored.get("rowsChecked", 0)
    restored = "yes" if run.verified else "no" if not run.restored else "with problems"
    return (run.plan.name, run.event.get("outcome") or "none", run.consistency,
            "-" if frozen is None else f"{frozen:,}",
            "-" if stall is None else f"{stall.milliseconds:,.0f}", restored, f"{rows:,}")


def table(runs: list[Run]) -> str:
    """All rows under one head."""
    rows = [HEAD, *(cells(run) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]

    def line(row: tuple[str, ...]) -> str:
        parts = (text.rjust(width) if head in _RIGHT else text.ljust(width)
                 for text, width, head in zip(row, widths, HEAD))
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join([line(HEAD), rule, *(line(row) for row in rows[1:])])


def lanes(run: Run) -> list[tuple[str, list[tuple[str, Span]]]]:
    """What happened, as named lanes of intervals; also the report draws these."""
    def present(*names: str) -> list[tuple[str, Span]]:
        return [(name, run.spans[name]) for name in names if name in run.spans]

    freeze, killed = run.freeze, run.holder_killed_at
    frozen = [("frozen", freeze)] if freeze else []
    fault = [(KILLED, Span(killed, killed))] if killed is not None else []
    return [("SendCommand", present(SEND_PRE, SEND_POST)), ("on the instance", present(PRE, POST)),
            ("frozen", frozen), ("fault", fault), ("CreateSnapshots", present(CREATE))]


def timeline(run: Run) -> str:
    """The lanes as rows of characters, in milliseconds since the run's first action."""
    window = run.window
    scale = _CHART_COLUMNS / max(window.milliseconds, _CHART_MS_MIN)
    reason = run.event.get("reason")
    head = f"{run.plan.name}: {run.consistency}" + (f" ({reason})" if reason else "")
    lines = textwrap.wrap(head, 100, subsequent_indent="    ")
    for name, spans in lanes(run):
        if not spans:
            continue
        row = ["."] * _CHART_COLUMNS
        for _, span in spans:
            first = min(int((span.begin - window.begin) * scale), _CHART_COLUMNS - 1)
            last = min(int((span.end - window.begin) * scale), _CHART_COLUMNS - 1)
            mark = {"frozen": "#", "fault": "!", "CreateSnapshots": "S"}.get(name, "=")
            row[max(first, 0):last + 1] = mark * (last + 1 - max(first, 0))
        took = ", ".join(f"{span.milliseconds:,.0f}" for _, span in spans) + " ms"
        if name == "fault":
            took = KILLED
        lines.append(f"  {name:<15} {''.join(row)}  {took}")
    return "\n".join(lines)
