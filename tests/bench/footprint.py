"""What the agent takes of the machine while it holds. It has a hold of its own, since looking at it
during a trial would cost the writers time."""

from __future__ import annotations

import re
from pathlib import Path

from .subjects import Subject
from .trial import Invalid, Watchdog
from .world import World

# With this many filesystems its threads are the most.
FILESYSTEMS = 16
RESIDENT, PROGRAM = "resident, largest process", "program file"
WATCHDOG_SECONDS = 30


def measure(world: World, subject: Subject, agent: Path, probe: str) -> dict[str, float]:
    """kB: the largest that any of its processes has been by the time everything is frozen, and the
    program's file."""
    pre, post = (request.removeprefix("exec:") for request in subject.requests())
    watchdog = Watchdog(world, probe, WATCHDOG_SECONDS)
    try:
        world.run("sh", "-c", subject.within(pre))
        pids = (subject.group / "cgroup.procs").read_text().split()
        sizes = [peak_kb(Path(f"/proc/{pid}/status").read_text()) for pid in pids]
        world.run("sh", "-c", f"exec {post}")
    finally:
        subject.after()
        thawed = watchdog.close()
    if not thawed or not sizes:
        raise Invalid("the hold to look at its processes was none")
    return {RESIDENT: max(sizes), PROGRAM: agent.stat().st_size / 1024}


def peak_kb(status: str) -> int:
    """The highest resident size in the text of a /proc/PID/status."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise Invalid("a process of the hold has no resident size")
    return int(found[1])
