"""The judgement: does every label say what was true, and is every copy good.

Compares what the product said (event, snapshot tags, receipts) with what others saw (the
lab's timeline, the writers, the restored copy), and computes the demo's last line from the
verified sets. It asks nobody anything; the story gathers, this only compares.
"""

from __future__ import annotations

from typing import Iterable

from demo.facts import PRE, Run

_OUTCOMES = {"application": "completed", "claimed": "completed",
             "crash": "completed-with-issues"}
# A receipt has whole milliseconds, and the holder may lose the processor between the thaw
# and looking at the clock; a write that falls into this edge proves nothing.
_EDGE_MS = 20.0


def judge(run: Run) -> None:
    """Add a sentence to `run.problems` for everything that is not as it must be."""
    say = run.problems.append
    event = run.event
    if run.consistency != run.plan.expected:
        reason = event.get("reason") or "no reason given"
        say(f"labelled {run.consistency} instead of {run.plan.expected} ({reason})")
    wanted = _OUTCOMES[run.plan.expected]
    if event.get("outcome") != wanted:
        say(f"outcome {event.get('outcome')} instead of {wanted}")
    if run.labels != {run.consistency}:
        say(f"the snapshots are tagged {', '.join(sorted(run.labels)) or 'nothing'}, "
            f"the event says {run.consistency}")
    snapshots = {snapshot["volumeId"] for snapshot in event.get("snapshots", [])}
    missing = {volume["volumeId"] for volume in run.volumes} - snapshots
    if missing:
        say(f"no snapshot of {', '.join(sorted(missing))}")
    if run.consistency == "application":
        check_hold(run)
    if run.consistency == "crash" and not event.get("reason"):
        say("labelled crash without a reason")
    check_thaw(run)
    run.problems.extend(run.restored.get("problems", []))


def check_hold(run: Run) -> None:
    """An application label needs a hold that covered the whole call; the writers were there."""
    freeze = run.freeze
    hold = (run.post_receipt or {}).get("hold") or {}
    if freeze is None or not hold.get("unbroken"):
        run.problems.append("labelled application without the receipt of an unbroken hold")
        return
    create = run.create
    if create is None or create.begin < freeze.begin or create.end > freeze.end:
        run.problems.append("labelled application, but CreateSnapshots was not wholly inside "
                            "the frozen interval")
    if leak := through_the_freeze(run):
        run.problems.append(f"labelled application, but {leak} writes began and ended while "
                            "everything was frozen")


def through_the_freeze(run: Run) -> int:
    """Writes that a real freeze would have held back."""
    freeze = run.freeze
    if freeze is None:
        return 0
    return sum(1 for write in run.writes
               if write.decided > freeze.begin and write.end < freeze.end - _EDGE_MS)


def check_thaw(run: Run) -> None:
    """Whatever happened, writers go on within the deadline and have gone on since."""
    deadline = run.deadline_ms
    if deadline is not None and run.stall is not None and run.stall.milliseconds > deadline:
        run.problems.append(f"a writer waited {run.stall.milliseconds:.0f} ms; "
                            f"the deadline is {deadline:.0f} ms")
    if not any(write.begin > run.window.end for write in run.writes):
        run.problems.append("no write has ended since the run did")


def check_kill(run: Run) -> None:
    """The fault must really have struck after the freeze and before the copy."""
    struck, before, call = run.holder_killed_at, run.spans.get(PRE), run.create
    if struck is None or before is None or call is None:
        run.problems.append("the holder was to be killed, and the lab has not done it")
    elif not before.end <= struck <= call.end:
        run.problems.append("the holder was not killed between freeze and CreateSnapshots")


def sentence(runs: Iterable[Run], left_frozen: int) -> str:
    """The last line; a set counts as verified only when nothing at all is wrong with it."""
    runs = list(runs)
    application = [run for run in runs if run.consistency == "application"]
    claimed = [run for run in runs if run.consistency == "claimed" and run.verified]
    crash = [run for run in runs if run.consistency == "crash" and run.verified]
    good = sum(run.verified for run in application)
    parts = [f"{good} of {len(application)} application-consistent sets restored and verified"]
    if claimed:
        parts.append(f"{len(claimed)} claimed")
    parts.append(f"{len(crash)} crash-consistent as labelled")
    parts.append(f"{left_frozen} left frozen")
    return f"demo: {', '.join(parts)}"
