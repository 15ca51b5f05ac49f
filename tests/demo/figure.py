"""One run as an SVG: what happened above, what every write waited below, one time axis.

The shaded band is the agent's own account of the freeze; the writes are the writers' own
account of their waiting, so the reader can see whether the two agree. Colours come from
the page's style sheet, which knows light and dark. Used by report.py.
"""

from __future__ import annotations

import math
from html import escape

from demo.facts import CREATE, Run, Span
from demo.table import lanes

WIDTH = 1040
_LEFT, _RIGHT = 132, 18
_LANE, _LANE_GAP, _TOP = 22, 8, 14
_PLOT_GAP, _PLOT, _AXIS = 30, 260, 40
# Shown before and after the run, so that quiet writers can be compared with held ones.
_MARGIN_MS = 700.0
# A buffered write takes 30 to 100 microseconds; below 10 nothing is shown apart.
_LOW = -2.0
SERIES = {"transaction": "commits", "record": "fsynced records", "block": "buffered blocks"}


class Axes:
    """Where an instant and a latency are on the drawing."""

    def __init__(self, run: Run, plot_top: float) -> None:
        window = run.window
        self.begin = window.begin - _MARGIN_MS
        self.end = window.end + _MARGIN_MS
        self.zero = window.begin
        self.top, self.bottom = plot_top, plot_top + _PLOT
        shown = [write for write in run.writes
                 if write.end >= self.begin and write.begin <= self.end]
        slowest = max((write.milliseconds for write in shown), default=10.0)
        fastest = min((write.milliseconds for write in shown), default=1.0)
        # Whole decades, and at least up to 1 s, so that the three figures compare.
        self.low = min(max(_LOW, math.floor(math.log10(max(fastest, 10 ** _LOW)))), 0.0)
        self.high = max(3.0, math.ceil(math.log10(slowest * 1.05)))
        self.writes = shown

    def x(self, instant: float) -> float:
        share = (instant - self.begin) / (self.end - self.begin)
        return _LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, milliseconds: float) -> float:
        place = (math.log10(max(milliseconds, 10 ** self.low)) - self.low) / (self.high - self.low)
        return self.bottom - place * (self.bottom - self.top)


def figure(run: Run, ident: str) -> str:
    """The whole drawing, with a title and a description for those who cannot see it."""
    rows = [lane for lane in lanes(run) if lane[1]]
    plot_top = _TOP + len(rows) * (_LANE + _LANE_GAP) + _PLOT_GAP
    axes = Axes(run, plot_top)
    height = plot_top + _PLOT + _AXIS
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-labelledby="{ident}-title {ident}-desc">',
        f'<title id="{ident}-title">{escape(run.plan.name)}: timeline and write latency</title>',
        f'<desc id="{ident}-desc">{escape(describe(run))}</desc>',
        *_grid(axes, height), *_freeze(run.freeze, axes), *_lanes(rows, axes),
        *_call(run.create, axes), *_writes(axes), *_longest(run, axes), "</svg>"]
    return "\n".join(parts)


def describe(run: Run) -> str:
    """The drawing in words."""
    stall, freeze = run.stall, run.freeze
    words = [f"The run took {run.window.milliseconds:,.0f} ms."]
    if freeze:
        words.append(f"Everything was frozen for {freeze.milliseconds:,.0f} ms, beginning "
                     f"{freeze.begin - run.window.begin:,.0f} ms after its start.")
    if run.create:
        words.append(f"CreateSnapshots took {run.create.milliseconds:,.0f} ms.")
    if stall:
        words.append(f"The write that waited longest waited {stall.milliseconds:,.0f} ms.")
    return " ".join(words)


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f'{escape(words)}</text>')


def _grid(axes: Axes, height: float) -> list[str]:
    """Decades of latency, seconds of the run."""
    parts = []
    for exponent in range(int(axes.low), int(axes.high) + 1):
        y = axes.y(10.0 ** exponent)
        words = f"{10 ** exponent // 1000:,} s" if exponent >= 3 else f"{10.0 ** exponent:g} ms"
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}" class="grid"/>')
        parts.append(_text(_LEFT - 10, y + 4, words, "tick", "end"))
    parts.append(_text(_LEFT - 10, axes.top - 14, "write latency", "lane", "end"))
    step = _step(axes.end - axes.begin)
    tick = math.ceil((axes.begin - axes.zero) / step) * step
    while axes.zero + tick <= axes.end:
        x = axes.x(axes.zero + tick)
        parts.append(f'<path d="M{x:.1f} {_TOP}V{axes.bottom}" class="grid faint"/>')
        parts.append(_text(x, axes.bottom + 18, f"{tick / 1000:g} s", "tick", "middle"))
        tick += step
    parts.append(_text(WIDTH - _RIGHT, height - 4, "seconds since the run's first action", "tick",
                       "end"))
    return parts


def _step(span_ms: float) -> float:
    """A round distance that gives about ten ticks."""
    for step in (100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0):
        if span_ms / step <= 14:
            return step
    return 20000.0


def _freeze(freeze: Span | None, axes: Axes) -> list[str]:
    if freeze is None:
        return []
    begin, end = axes.x(freeze.begin), axes.x(freeze.end)
    width = max(end - begin, 1.5)
    return [f'<rect x="{begin:.1f}" y="{_TOP - 6}" width="{width:.1f}" '
            f'height="{axes.bottom - _TOP + 6:.1f}" class="frozen-band"/>']


def _lanes(rows: list[tuple[str, list[tuple[str, Span]]]], axes: Axes) -> list[str]:
    parts = []
    for number, (name, spans) in enumerate(rows):
        y = _TOP + number * (_LANE + _LANE_GAP)
        parts.append(_text(_LEFT - 10, y + 15, name, "lane", "end"))
        for label, span in spans:
            begin = axes.x(span.begin)
            width = max(axes.x(span.end) - begin, 3.0)
            kind = {"frozen": "bar frozen", "fault": "bar fault",
                    CREATE: "bar create"}.get(name, "bar")
            words = _bar_words(name, label, span)
            parts.append(f'<rect x="{begin:.1f}" y="{y}" width="{width:.1f}" height="{_LANE}" '
                         f'rx="3" class="{kind}"><title>{escape(words)}</title></rect>')
            inside = width > 6.6 * len(words) + 12
            place = begin + 7 if inside else begin + width + 6
            ground = {"frozen": " on-ice", CREATE: " on-create"}.get(name, "")
            parts.append(_text(place, y + 15, words, f"in-bar{ground}" if inside else "by-bar"))
    return parts


def _bar_words(lane: str, label: str, span: Span) -> str:
    if lane == "fault":
        return label
    what = "" if lane in ("frozen", CREATE) else label.replace("SendCommand ", "") + " "
    return f"{what}{span.milliseconds:,.0f} ms"


def _call(create: Span | None, axes: Axes) -> list[str]:
    """The moment that the copies are of, down through the writes."""
    if create is None:
        return []
    x = axes.x(create.begin)
    return [f'<path d="M{x:.1f} {_TOP}V{axes.bottom}" class="call"/>']


def _writes(axes: Axes) -> list[str]:
    """Every write as a stroke from its begin to its end, at the height of its latency.

    One path a series: thousands of elements would make the page slow to open.
    """
    parts = []
    for kind in sorted({write.kind for write in axes.writes}):
        strokes = []
        for write in axes.writes:
            if write.kind == kind:
                begin, end = axes.x(write.begin), axes.x(write.end)
                strokes.append(f"M{begin:.1f} {axes.y(write.milliseconds):.1f}"
                               f"h{max(end - begin, 0.01):.2f}")
        parts.append(f'<path d="{"".join(strokes)}" class="writes {kind}"/>')
    return parts


def _longest(run: Run, axes: Axes) -> list[str]:
    """The number that a reader looks for, at the stroke that it belongs to."""
    stall = run.stall
    if stall is None:
        return []
    words = f"longest wait {stall.milliseconds:,.0f} ms"
    y = axes.y(stall.milliseconds) - 9
    end = axes.x(stall.end)
    if end + 7 * len(words) < WIDTH - _RIGHT:
        return [_text(end + 8, y + 13, words, "note")]
    return [_text(end, y, words, "note", "end")]
