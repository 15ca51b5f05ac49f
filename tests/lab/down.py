"""Takes apart whatever a lab has left, from its record alone; works after SIGKILL of everything.

Ends only processes that the record names and that still are what they were, and detaches only
loop devices that still have the recorded backing file.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from .host import run
from .record import FILE, Record
from .server import READY_FILE, clear_scratch

LAB_STOP_SECONDS = 40.0
# The watchdog thaws for ten seconds after the lab; loop devices go when the last mount is gone.
SETTLE_SECONDS = 20.0


def take_down(state: Path, say: Callable[[str], None]) -> list[str]:
    """Clean up; what could not be cleaned up comes back, each with its reason."""
    if not (state / FILE).exists():
        _clear_files(state)
        return []
    record = Record(state)
    _stop_lab(record, state, say)
    for pid in record["inits"]:
        _kill(pid, "init.py")
    for pid in functions_of(state):
        os.kill(pid, signal.SIGKILL)
    problems = [
        p
        for device, backing in list(record["loops"].items())
        if (p := _detach(device, Path(backing)))
    ]
    if not problems:
        if record["share"]:
            shutil.rmtree(record["share"], ignore_errors=True)
        _clear_files(state)
    return problems


def _stop_lab(record: Record, state: Path, say: Callable[[str], None]) -> None:
    lab = record["lab"]
    if _is(lab, "lab"):
        say("stopping the lab")
        os.kill(lab, signal.SIGTERM)
        if not _gone(lab, "lab", LAB_STOP_SECONDS):
            say("the lab did not stop; killing it")
            os.kill(lab, signal.SIGKILL)
            _gone(lab, "lab", SETTLE_SECONDS)
    # The watchdog ends by itself once it has thawed; ending it earlier would leave holds.
    _gone(record["watchdog"], "watchdog.py", SETTLE_SECONDS)


def functions_of(state: Path) -> list[int]:
    """Processes of deployed Lambda zips: their executables are in the lab's scratch folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            executable = os.readlink(entry / "exe")
            arguments = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        # The second is a script with an interpreter's executable.
        if any(path.startswith(f"{state}/tmp/") for path in (executable, *arguments[:2])):
            found.append(int(entry.name))
    return found


def _is(pid: int | None, word: str) -> bool:
    """Whether `pid` still is the recorded process and not a stranger with its number."""
    if not pid:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        return (
            word in Path(f"/proc/{pid}/cmdline").read_text() and stat.rsplit(") ", 1)[1][0] != "Z"
        )
    except OSError:
        return False


def _gone(pid: int | None, word: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _is(pid, word):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _kill(pid: int, word: str) -> None:
    if _is(pid, word):
        os.kill(pid, signal.SIGKILL)
        _gone(pid, word, SETTLE_SECONDS)


def backing_of(device: str) -> str | None:
    """The backing file of a loop device as the kernel shows it; None when it is detached."""
    try:
        return Path(f"/sys/block/{Path(device).name}/loop/backing_file").read_text().strip()
    except OSError:
        return None


def _detach(device: str, backing: Path) -> str | None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while (shown := backing_of(device)) is not None:
        # Seen from another mount namespace the path begins at the pool's root.
        if not shown.removesuffix(" (deleted)").endswith(
            "/" + "/".join(backing.parts[-2:])
        ) and shown != str(backing):
            return None
        try:
            run("losetup", "-d", device)
        except RuntimeError:
            pass  # it went by itself in between
        if time.monotonic() > deadline:
            return f"{device} is still attached to {shown}: something has it open"
        time.sleep(0.05)
    return None


def _clear_files(state: Path) -> None:
    for name in (READY_FILE, FILE, "ebs.img"):
        (state / name).unlink(missing_ok=True)
    clear_scratch(state)
