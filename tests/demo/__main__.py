"""`python -m demo [--kill holder] [--document FILE]`: tells the story and says how it ended.

Exit code 0 only when every label was right, every set restored and verified, nothing left
frozen and everything cleaned up; 1 otherwise, 130 when it was interrupted. The last line
of standard output is computed from what was verified. Called by `make demo`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from demo import judge, preflight, report
from demo.clock import Clock
from demo.progress import Progress
from demo.stack import AGENT, BOOTSTRAP, ROOT
from demo.story import Story, Variant
from demo.table import table, timeline

_OUT = ROOT / "target" / "demo"
_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The demo was asked to end; not an Exception, so that nothing on the way swallows it."""


def options() -> Variant:
    """The command line as a variant of the story."""
    parser = argparse.ArgumentParser(prog="demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kill", choices=["holder"],
                        help="kill the agent's holder between freeze and CreateSnapshots")
    parser.add_argument("--document", type=Path, metavar="FILE",
                        help="SSM document (YAML or JSON) for the first instance")
    given = parser.parse_args()
    if given.document is not None:
        # `make demo DOCUMENT=file.yaml` is said in the root of the checkout, and runs in tests/.
        places = [given.document, ROOT / given.document]
        given.document = next((place for place in places if place.is_file()), None)
        if given.document is None:
            parser.error(f"--document {places[0]}: no such file")
    if given.kill and given.document:
        parser.error("--kill holder needs the agent, --document may not run it: give one of them")
    return Variant(given.kill, given.document)


def stop_on_signals() -> None:
    """The first signal unwinds the story; later ones must not cut the cleaning up short."""
    def stop(number: int, _frame: object) -> None:
        ignore_signals()
        raise Stopped(signal.Signals(number).name)

    for number in _SIGNALS:
        signal.signal(number, stop)


def ignore_signals() -> None:
    """No signal stops the demo any more."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def unready() -> list[str]:
    """Why the demo cannot even begin."""
    found = preflight.complaints()
    if missing := preflight.missing_packages():
        found.append(f"missing packages: {' '.join(missing)} (make demo installs them)")
    for binary in (BOOTSTRAP, AGENT):
        if not binary.is_file():
            found.append(f"{binary.relative_to(ROOT)} is not built (make demo builds it)")
    return found


def leftovers(state: Path) -> list[str]:
    """Loop devices and mounts of this demo that should be gone."""
    listing = subprocess.run(["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
                             capture_output=True, text=True, check=False).stdout
    mounts = Path("/proc/self/mountinfo").read_text()
    return [line.strip() for text in (listing, mounts) for line in text.splitlines()
            if f"{state}/" in line]


def tell(variant: Variant, progress: Progress) -> int:
    """Tell the story, clean up whatever happens, then say how it ended."""
    clock = Clock()
    state, logs = _OUT / "lab", _OUT / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    page = _OUT / "report.html"
    page.unlink(missing_ok=True)
    result, last, code = None, "", 1
    undo = ExitStack()
    try:
        try:
            result = Story(variant, state, logs, progress, clock, undo).tell()
        finally:
            # From here on nothing may interrupt: what is frozen has to be thawed.
            ignore_signals()
    except Stopped as stopped:
        last, code = f"demo: stopped by {stopped}", _INTERRUPTED
    except Exception as error:
        last = f"demo: failed: {error}"
    progress.step("cleaning up")
    troubles = clean_up(undo, state)
    if result is not None:
        last = judge.sentence(result.runs, result.left_frozen)
        good = all(run.verified for run in result.runs) and result.left_frozen == 0
        code = 0 if good and not troubles else 1
        print("\n" + table(result.runs) + "\n")
        print("\n\n".join(timeline(run) for run in result.runs) + "\n")
        for run in result.runs:
            for problem in run.problems:
                print(f"problem: {run.plan.name}: {problem}")
        report.write(page, result.runs, last, variant.title(), clock)
        print(f"report: {os.path.relpath(page, ROOT)}")
    for trouble in troubles:
        print(f"problem: cleaning up: {trouble}")
    if code == 1:
        print(f"logs: {os.path.relpath(logs, ROOT)}")
    print(last, flush=True)
    return code


def clean_up(undo: ExitStack, state: Path) -> list[str]:
    """Undo everything, then look whether it is gone."""
    troubles = []
    try:
        undo.close()
    except Exception as error:
        troubles.append(str(error))
    troubles += [f"still there: {thing}" for thing in leftovers(state)]
    if not troubles:
        shutil.rmtree(state, ignore_errors=True)
    return troubles


def main() -> int:
    variant = options()
    found = unready()
    for complaint in found:
        print(f"demo: {complaint}", file=sys.stderr)
    if found:
        return 1
    _OUT.mkdir(parents=True, exist_ok=True)
    with open(_OUT / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("demo: another demo is running in this checkout", file=sys.stderr)
            return 1
        stop_on_signals()
        return tell(variant, Progress())


if __name__ == "__main__":
    sys.exit(main())
