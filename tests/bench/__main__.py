"""`python -m bench [--quick] [--only TEXT] [--reps N] [--minutes M]`: the run from start to table.

Enters a mount namespace of its own, builds the machines one after the other, lets the subjects of a
case take turns, and prints and writes what was found. What is left behind, it is told to clear by
leaving the `with` blocks; should it be killed, the guard (disks.py) does.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import (
    cases,
    databases,
    disks,
    equipment,
    footprint,
    page,
    results,
    subjects,
    table,
    targets,
    trial,
)
from .forks import Forks
from .world import CPUACCT, World

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
INSIDE = "STILLPOINT_BENCH_NAMESPACE"
MINUTES_MAX = 38.0
REPS_QUICK = 3
LOOPS_MAX = 16


class Bench:
    def __init__(self, tools: equipment.Equipment, scratch: Path, groups: Path,
                 reps: int | None, until: float) -> None:
        self.tools, self.scratch, self.groups = tools, scratch, groups
        self.reps, self.until = reps, until
        self.forks, self.results = Forks(), results.Results()

    def run(self, chosen: list[cases.Case]) -> None:
        """Those of one machine after each other, the machines in the order of their first case."""
        machines: dict[tuple[str, int], list[cases.Case]] = {}
        for case in chosen:
            machines.setdefault((case.fs, case.count), []).append(case)
        for (fs, count), members in machines.items():
            names = list(dict.fromkeys(name for case in members for name in case.subjects))
            with self.world([fs] * count) as world:
                subjects.stubs(world, databases=False)
                with self.crew(world, names) as crew:
                    for case in members:
                        self.rounds(case.name, [crew[name] for name in case.subjects],
                                    functools.partial(self.measure, world, case.load),
                                    case.reps)

    def measure(self, world: World, load: trial.Load, subject: subjects.Subject
                ) -> dict[str, float]:
        probe = str(self.tools.probe)
        found = trial.run(world, subject, load, self.forks, probe)
        if subject.name == subjects.STILLPOINT and len(world.mounts) == footprint.FILESYSTEMS:
            found |= footprint.measure(world, subject, self.tools.agent, probe)
        return found

    @contextlib.contextmanager
    def world(self, kinds: list[str], first_mb: int = cases.FIRST_MB,
              rest_mb: int = cases.OTHER_MB) -> Iterator[World]:
        world = World(self.scratch, self.tools.agent, kinds, first_mb, rest_mb)
        try:
            world.groups(self.groups)
            self.fill(world)
            for volume in world.volumes:
                disks.limit(volume.number, on=True)
            yield world
        finally:
            world.close()

    def fill(self, world: World) -> None:
        """Allocate what is written later, at full speed: the trials only overwrite."""
        for at, mount in enumerate(world.mounts):
            sizes = {"probe-f": 1, "probe-b": 1} | ({"dirty": 1024, "stream": 1024} if at == 0
                                                    and len(world.mounts) == 1 else {})
            for name, megabytes in sizes.items():
                world.run("dd", "if=/dev/zero", f"of={mount}/{name}", "bs=1M",
                          f"count={megabytes}", "conv=fsync")
        if len(world.mounts) == 1:
            disks.share(world.volumes[0].number)

    @contextlib.contextmanager
    def crew(self, world: World, names: list[str], application: str = "filesystem"
             ) -> Iterator[dict[str, subjects.Subject]]:
        crew: dict[str, subjects.Subject] = {}
        try:
            for name in names:
                crew[name] = subjects.make(name, world, self.groups, self.tools, application)
            yield crew
        finally:
            for subject in crew.values():
                subject.close()

    def rounds(self, name: str, crew: list[subjects.Subject],
               measure: Callable[[subjects.Subject], dict[str, float]],
               reps: int = cases.REPS) -> None:
        print(f"{time.strftime('%H:%M:%S')} {name}", end="", file=sys.stderr, flush=True)
        for number in range(self.reps or reps):
            # Each round begins with another subject, so that none always follows the same one.
            turn = number % len(crew)
            for subject in crew[turn:] + crew[:turn]:
                if time.monotonic() > self.until:
                    self.results.failures.append(f"{name}: out of time in round {number + 1}")
                    print(" out of time", file=sys.stderr)
                    return
                try:
                    found = measure(subject)
                except trial.Invalid as error:
                    self.results.failures.append(f"{name}: {subject.name}: {error}")
                    print(f"\n  {subject.name}: {error}", file=sys.stderr, flush=True)
                else:
                    self.results.add(name, number, subject.name, found)
                    print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few cases, under three minutes")
    parser.add_argument("--only", action="append", metavar="TEXT",
                        help="the cases with TEXT in their names, added to those of earlier runs "
                             "of the same agent; again for more")
    parser.add_argument("--reps", type=int,
                        help=f"rounds of each case ({cases.REPS}, without dirty data "
                             f"{cases.REPS_CLEAN})")
    parser.add_argument("--minutes", type=float, default=MINUTES_MAX,
                        help="no trial begins after this")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench: it freezes real filesystems on loop devices and must run as root",
              file=sys.stderr)
        return 1
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              "-m", "bench", *sys.argv[1:]])
    try:
        return measure(options)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def measure(options: argparse.Namespace) -> int:
    started = time.monotonic()
    out = TARGET / "bench"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError("another benchmark is running") from None
        disks.check()
        disks.claim(LOOPS_MAX)
        tools = equipment.gather(TARGET, out / "tools")
        with surroundings(out) as (scratch, groups):
            reps = options.reps or (REPS_QUICK if options.quick else None)
            bench = Bench(tools, scratch, groups, reps, started + options.minutes * 60)
            chosen = cases.quick() if options.quick else cases.full()
            with_databases = [] if options.quick else list(databases.CASES)
            if options.only:
                def wanted(name: str) -> bool:
                    return any(text in name for text in options.only)

                chosen = [case for case in chosen if wanted(case.name)]
                with_databases = [name for name in with_databases if wanted(name)]
                if not chosen and not with_databases:
                    raise RuntimeError(f"no case has {' or '.join(options.only)} in its name")
            found, sha256 = bench.results, tools.agent_sha256()
            try:
                bench.run(chosen)
                databases.run(bench, with_databases)
            finally:
                # What was measured is kept also when a later case fails: --only adds that one.
                if options.only:
                    found.recall(out / "rounds.json", sha256,
                                 [case.name for case in chosen] + with_databases)
                found.remember(out / "rounds.json", sha256)
        found.write(out / "agent.json")
        facts = {"agent": f"as packaged, sha256 {sha256}", "rounds": found.rounds_text(),
                 "kernel": os.uname().release, "processors": str(os.cpu_count()),
                 "minutes": f"{(time.monotonic() - started) / 60:.0f}"}
        print(table.text(found))
        print(targets.text(found))
        page.write(out / "agent.html", found, facts)
        print(f"bench: {', '.join(f'{k} {v}' for k, v in facts.items())}")
        print(f"bench: wrote {out}/agent.json and {out}/agent.html")
    return 0


@contextlib.contextmanager
def surroundings(out: Path) -> Iterator[tuple[Path, Path]]:
    """A memory filesystem for the images, cgroups for CPU time, debugfs, and the guard, which
    clears all of it away when its standard input closes: here, or with this process."""
    groups = CPUACCT / f"stillpoint-bench-{os.getpid()}"
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=out))
    guard = disks.start_guard(LOOPS_MAX, groups, scratch)
    try:
        groups.mkdir()
        for kind, place in (("tmpfs", str(scratch)), ("debugfs", "/sys/kernel/debug")):
            subprocess.run(["mount", "-t", kind, kind, place], check=True)
        yield scratch, groups
    finally:
        guard.communicate(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
