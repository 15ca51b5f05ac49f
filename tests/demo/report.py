"""The HTML page: one file without any outside asset, readable in light and dark.

Shows each run's figure with a table of the same facts for those who cannot see it. Every
number comes from the runs; nothing is judged here. Used by the story.
"""

from __future__ import annotations

import platform
from html import escape
from pathlib import Path
from statistics import median

from demo.clock import Clock
from demo.facts import Run, Span
from demo.figure import SERIES, describe, figure
from demo.table import HEAD, cells, lanes

_STYLE = (Path(__file__).parent / "report.css").read_text()
_MEANING = {
    "application": "One unbroken hold covered the whole CreateSnapshots call, and the receipt "
                   "proves it.",
    "claimed": "Somebody else's document reported success; nothing proves it.",
    "crash": "The copy is as after a power cut: nothing was held through the whole call.",
}


def write(path: Path, runs: list[Run], sentence: str, title: str, clock: Clock) -> None:
    """Write the page; the demo's last line is its headline."""
    good = all(run.verified for run in runs)
    first = min(run.window.begin for run in runs)
    when = clock.wall_of(first).strftime("%Y-%m-%d %H:%M UTC")
    verdict = "every label held" if good else "something did not hold"
    body = "\n".join(_section(run, f"run-{number}", clock)
                     for number, run in enumerate(runs, start=1))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Stillpoint demo: {escape(verdict)}</title>
<style>
{_STYLE}</style></head><body><main>
<header>
<p class="brand">Stillpoint</p>
<h1>{escape(sentence.removeprefix("demo: "))}</h1>
<p class="sub"><span class="pill {'good' if good else 'bad'}">{verdict}</span>
{escape(title)} &middot; fired {when} &middot; Linux {escape(platform.release())}</p>
</header>
{_summary(runs)}
{body}
<footer><p>Times are CLOCK_BOOTTIME. The frozen interval is the agent's own account, the
latencies are the writers', and CreateSnapshots is as the local cloud saw it: three
witnesses that know nothing of each other. The table's frozen ms is the longest that one
filesystem was frozen; the shaded band begins when the last one was.</p></footer>
</main></body></html>
"""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)


def _summary(runs: list[Run]) -> str:
    numeric = {"frozen ms", "longest write stall ms", "rows checked"}
    head = "".join(f'<th scope="col"{_numeric(name in numeric)}>{name}</th>' for name in HEAD)
    rows = []
    for number, run in enumerate(runs, start=1):
        row = cells(run)
        shown = [_pill(text) if name == "consistency" else escape(text)
                 for name, text in zip(HEAD, row)]
        data = "".join(f"<td{_numeric(name in numeric)}>{text}</td>"
                       for name, text in zip(HEAD[1:], shown[1:]))
        rows.append(f'<tr><th scope="row"><a href="#run-{number}">{escape(row[0])}</a></th>'
                    f"{data}</tr>")
    return (f'<div class="scroll" tabindex="0"><table><caption>The three runs</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>")


def _numeric(yes: bool) -> str:
    return ' class="n"' if yes else ""


def _pill(consistency: str) -> str:
    return f'<span class="pill {escape(consistency)}">{escape(consistency)}</span>'


def _section(run: Run, ident: str, clock: Clock) -> str:
    reason = run.event.get("reason")
    meaning = _MEANING.get(run.consistency, "No snapshot was made.")
    why = f" <strong>Reason:</strong> {escape(reason)}." if reason else ""
    problems = "".join(f"<li>{escape(problem)}</li>" for problem in run.problems)
    wrong = f'<ul class="problems">{problems}</ul>' if problems else ""
    notes = "".join(f"<li>{escape(note)}</li>" for note in _checked(run))
    legend = "".join(f'<span class="key {kind}">{escape(name)}</span>'
                     for kind, name in SERIES.items()
                     if any(write.kind == kind for write in run.writes))
    band = '<span class="key band">frozen</span>' if run.freeze else ""
    return f"""<section id="{ident}" aria-labelledby="{ident}-name">
<h2 id="{ident}-name">{escape(run.plan.name)} {_pill(run.consistency)}
<small>{escape(run.instance_id)}</small></h2>
<p>{meaning}{why}</p>{wrong}
<figure tabindex="0">{figure(run, ident)}
<figcaption>{legend}{band}<span class="key cut">CreateSnapshots begins</span>
<br>Every stroke is one write, from its begin to its end, at the height of its
latency.</figcaption></figure>
<details><summary>The same as tables</summary>
<p>{escape(describe(run))}</p>
{_events(run, clock)}{_latencies(run)}</details>
<h3>Checked on the restored copy</h3><ul class="checks">{notes}</ul>
</section>"""


def _checked(run: Run) -> list[str]:
    notes = []
    for volume in run.restored.get("volumes", []):
        recovery = {None: "", True: ", journal replayed", False: ", no journal recovery needed"}
        state = "mounts" if volume["mounted"] else "does not mount"
        clean = ", checked clean" if volume["clean"] else ""
        notes.append(f"{volume['mount']} ({volume['fs']}): {state}"
                     f"{recovery[volume['needsRecovery']]}{clean}")
    return notes + run.restored.get("notes", [])


def _events(run: Run, clock: Clock) -> str:
    rows = []
    for lane, spans in lanes(run):
        for label, span in spans:
            begin = clock.wall_of(span.begin).strftime("%H:%M:%S.%f")[:-3]
            rows.append((span.begin, f"<tr><td>{begin}</td><td>{escape(label)}</td>"
                         f'<td class="n">{span.begin - run.window.begin:,.0f}</td>'
                         f'<td class="n">{span.milliseconds:,.0f}</td></tr>'))
    body = "".join(row for _, row in sorted(rows))
    return ('<div class="scroll" tabindex="0"><table><caption>Timeline</caption><thead><tr>'
            '<th scope="col">UTC</th><th scope="col">what</th>'
            '<th scope="col" class="n">began after ms</th>'
            '<th scope="col" class="n">took ms</th></tr></thead>'
            f"<tbody>{body}</tbody></table></div>")


def _latencies(run: Run) -> str:
    window = run.window
    spans = [("before the run", Span(window.begin - 5000.0, window.begin)),
             ("during the run", window), ("after the run", Span(window.end, window.end + 5000.0))]
    rows = []
    for kind, name in SERIES.items():
        for label, span in spans:
            waits = sorted(write.milliseconds for write in run.writes
                           if write.kind == kind and span.begin <= write.end < span.end)
            if waits:
                high = waits[int(len(waits) * 0.99)]
                rows.append(f"<tr><td>{name}</td><td>{label}</td>"
                            f'<td class="n">{len(waits):,}</td><td class="n">{median(waits):,.1f}'
                            f'</td><td class="n">{high:,.1f}</td><td class="n">{waits[-1]:,.1f}'
                            "</td></tr>")
    head = "".join(f'<th scope="col"{_numeric(name not in ("writes", "when"))}>{name}</th>'
                   for name in ("writes", "when", "count", "median ms", "99th ms", "longest ms"))
    return ('<div class="scroll" tabindex="0"><table><caption>Latency of the writes</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>")
