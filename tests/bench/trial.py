"""One freeze under load, and the figures of it.

Arms the watchdog, starts the probe inside, checks that the load is as wanted, lets it go, and reads
the times. All times are one clock's. What a figure means is written at `figures`.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

from . import disks
from .forks import Forks
from .subjects import Subject
from .world import World

# The same for all: long enough that every writer meets it, short enough to be repeated often.
HOLD_MS = 200
WARM_MS, STREAM_WARM_MS = 250, 3000
# Two threads a filesystem: all together make at most two thousand calls a second, so that the
# writers themselves do not fill the machine.
PAUSE_US = 1000
SPARE_SECONDS = 45
# The kernel may have begun to write back; less than this is another load.
DIRTY_SHARE_MIN = 0.85
TRIES = 3
WATCHDOG_FOUND_FROZEN = 9
# The code by which a pre-script says that it has touched nothing: an answer, and not a failure.
NOT_READY = 206


@dataclass(frozen=True)
class Load:
    dirty_mb: int = 0
    stream_mb_s: int = 0


class Invalid(Exception):
    """A trial that says nothing: the load was not as wanted, or something failed."""


def run(world: World, subject: Subject, load: Load, forks: Forks, probe: str,
        tries: int = TRIES) -> dict[str, float]:
    """The figures of one valid trial."""
    why = ""
    for _ in range(tries):
        try:
            return _once(world, subject, load, forks, probe)
        except Invalid as error:
            why = str(error)
    raise Invalid(why)


class Watchdog:
    """Thaws the machine's filesystems after `seconds`, or when we are gone; one a freeze."""

    def __init__(self, world: World, probe: str, seconds: int) -> None:
        paths = [str(world.outside(mount)) for mount in world.mounts]
        self._process = subprocess.Popen([probe, "watchdog", str(seconds), *paths],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         start_new_session=True)
        assert self._process.stdout
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the watchdog did not start; nothing may be frozen without it")

    def close(self) -> bool:
        """Whether everything was thawed when it looked."""
        self._process.communicate(b"done\n", 60)
        return self._process.returncode != WATCHDOG_FOUND_FROZEN


def _once(world: World, subject: Subject, load: Load, forks: Forks, probe: str
          ) -> dict[str, float]:
    world.verify()
    # Other filesystems' dirty pages would be in the way of the sample's global sync.
    subprocess.run(["sync", "-f", "/"], check=False)
    pre, post = subject.requests()
    subject.before()
    watchdog = Watchdog(world, probe, SPARE_SECONDS + 3 * load.dirty_mb // 125)
    try:
        text, counted, cpu_ns, dirty = _perform(world, subject, load, forks, probe, pre, post)
    finally:
        subject.after()
        thawed = watchdog.close()
    if not thawed:
        raise Invalid("a filesystem was still frozen at the end, and the watchdog thawed it")
    found = figures(text, len(world.mounts))
    found["cpu"] = cpu_ns / 1e6
    # Each of the two commands is itself a program, which somebody had to start.
    found["processes"], found["programs"] = counted
    found["dirty at request"] = dirty
    return found


def _perform(world: World, subject: Subject, load: Load, forks: Forks, probe: str, pre: str,
             post: str) -> tuple[str, tuple[int, int], int, float]:
    n = len(world.mounts)
    words = [",".join(world.mounts), PAUSE_US * max(2, n), WARM_MS, load.dirty_mb,
             load.stream_mb_s, STREAM_WARM_MS, HOLD_MS, subject.cgroup_inside, "/run/trial.log",
             pre, post]
    process = world.spawn([probe, "trial", *map(str, words)],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout
    if process.stdout.readline() != b"ready\n":
        process.wait(10)
        raise Invalid("the probe did not start")
    dirty = disks.dirty_mb(disks.FIRST_LOOP)
    if dirty < load.dirty_mb * 1.048576 * DIRTY_SHARE_MIN:
        process.communicate(b"stop\n", 30)
        raise Invalid(f"only {dirty:.0f} MB were dirty at the request")
    prepared = children(children([process.pid]))
    forks.begin(prepared + subject.daemons)
    before = subject.cpu_ns()
    process.stdin.write(b"go\n")
    process.stdin.flush()
    out = process.stdout.read().decode()
    process.wait(10)
    processes, programs = forks.end()
    time.sleep(0.02)
    commands = 2 if prepared else 0
    return out, (processes, programs - commands), subject.cpu_ns() - before, dirty


def children(pids: list[int]) -> list[int]:
    found: list[int] = []
    for pid in pids:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def figures(text: str, mounts: int) -> dict[str, float]:
    """Milliseconds. `added stall`: the longest call of any writer that overlapped the hold, less
    the hold, from the answer "frozen" to the request to thaw. `fsync during flush`: the longest
    fsync that ended between the request and the answer, so one that was not yet held."""
    lines = text.splitlines()
    if not lines or lines[-1] != "." or not lines[0].startswith("= "):
        raise Invalid("the probe did not finish")
    requested, answered, thawing, thawed, pre, post, cpu = map(int, lines[0].split()[1:])
    if pre == NOT_READY:
        return {"refused": 1, "request to refusal": (answered - requested) / 1e6}
    if pre or post:
        raise Invalid(f"it failed: {pre} to the freeze, {post} to the thaw")
    hold = thawing - answered
    longest, held, flush, calls = 0, set(), 0, 0
    for line in lines[1:-1]:
        kind, mount, start, end = line.split()
        begin, finish = int(start), int(end)
        if finish > answered and begin < thawing:
            longest = max(longest, finish - begin)
            # A writer that paused, or waited for a processor, met the freeze a little later.
            if begin <= answered + hold // 2 and finish >= thawing:
                held.add(mount)
        elif requested < finish <= answered and kind == "f":
            flush, calls = max(flush, finish - begin), calls + 1
    if len(held) != mounts:
        raise Invalid(f"writers of {len(held)} of {mounts} filesystems were held")
    return {"added stall": max(0, longest - hold) / 1e6,
            "request to frozen": (answered - requested) / 1e6, "cpu to frozen": cpu / 1e6,
            "thaw": (thawed - thawing) / 1e6, "answered ns": answered, "thawing ns": thawing,
            **({"fsync during flush": flush / 1e6} if calls else {})}
