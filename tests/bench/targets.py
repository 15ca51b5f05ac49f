"""What the agent promises about its speed, held against this run.

Each target is a sentence, a limit and the figure that decides it; one whose case was not measured
is open. Ratios to others are of this run only. Beside a stall that misses its target stands what the
floor did in the same run: where that misses it too, no agent could have reached it.
"""

from __future__ import annotations

from dataclasses import dataclass

from .cases import HALF_MB_S, NEAR_MB_S, Case
from .databases import MARIADB_CASE, POSTGRES_CASE
from .footprint import PROGRAM, RESIDENT
from .results import Figure, Results
from .subjects import (
    AGENT_TIMEOUT_SECONDS,
    AWS_MYSQL,
    AWS_POSTGRES,
    FLOOR,
    FSFREEZE,
    NO_RCU,
    QEMU_GA,
    STILLPOINT,
)
from .table import number
from .trial import Load

# Half of the stall at least is what no agent could spare the writers.
FLOOR_SHARE = 0.5
# Processors differ: where the 10 ms were measured as possible, the sample took 147.
CPU_RATIO = 14.7
STALL, TXN, FSYNC = "added stall", "added transaction stall", "fsync during flush"


@dataclass(frozen=True)
class Target:
    what: str
    found: Figure | None
    limit: float
    least: bool = False  # whether it has to be at least the limit
    worst: bool = False  # whether the worst trial decides, and not the median
    floor: Figure | None = None  # the same figure of what nothing can be quicker than

    @property
    def holds(self) -> bool | None:
        return None if self.found is None else self._held_by(self.found)

    @property
    def value(self) -> str:
        """In words; beside one that is missed, the floor's."""
        if self.found is None:
            return "not measured"
        told = number(self._decides(self.found))
        if self.holds or self.floor is None:
            return told
        misses = "" if self._held_by(self.floor) else ", which misses it too"
        return f"{told} [the floor: {number(self._decides(self.floor))}{misses}]"

    def _decides(self, figure: Figure) -> float:
        return (figure.min if self.least else figure.max) if self.worst else figure.median

    def _held_by(self, figure: Figure) -> bool:
        value = self._decides(figure)
        return value >= self.limit if self.least else value <= self.limit


def judge(results: Results) -> list[Target]:
    found: list[Target] = []
    loads = [Load(d) for d in (0, 64, 256, 1024)] + [Load(0, HALF_MB_S), Load(1024, HALF_MB_S)]
    one = [Case(fs, 1, load).name for fs in ("ext4", "xfs") for load in loads]
    many = [Case(fs, n, Load()).name for fs in ("ext4", "xfs") for n in (4, 16)]
    for case in (c for c in one + many if c in results.rounds):
        stall, floor = (results.figure(case, name, STALL) for name in (STILLPOINT, FLOOR))
        found.append(Target(f"{case}: added stall, median, ms", stall, 10, floor=floor))
        found.append(Target(f"{case}: added stall, longest, ms", stall, 25, worst=True,
                            floor=floor))
    for fs in ("ext4", "xfs"):
        for n, times in ((1, 50), (16, 200)):
            case = Case(fs, n, Load()).name
            found.append(Target(f"{case}: added stall, sample / ours",
                                results.ratio(case, AWS_POSTGRES, STALL), times, least=True,
                                floor=results.ratio(case, AWS_POSTGRES, STALL, FLOOR)))
        for n in (1, 4, 16):
            case = Case(fs, n, Load()).name
            found.append(Target(f"{case}: added stall, floor / ours",
                                results.ratio(case, FLOOR, STALL), FLOOR_SHARE, least=True))
            found.append(Target(f"{case}: added stall with plain RCU, ms",
                                results.figure(case, NO_RCU, STALL), 60))
        case = Case(fs, 16, Load()).name
        for metric, limit in (("request to frozen", 50), ("cpu to frozen", 10), ("cpu", 10),
                              ("programs", 0)):
            found.append(Target(f"{case}: {metric}", results.figure(case, STILLPOINT, metric),
                                limit))
        found.append(Target(f"{case}: cpu, sample / ours", results.ratio(case, AWS_POSTGRES, "cpu"),
                            CPU_RATIO, least=True))
        for metric, limit in ((RESIDENT, 10 * 1024), (PROGRAM, 5 * 1024)):
            found.append(Target(f"{case}: {metric}, kB", results.figure(case, STILLPOINT, metric),
                                limit, worst=True))
        case = Case(fs, 1, Load(1024)).name
        for rival in (FSFREEZE, QEMU_GA):
            found.append(Target(f"{case}: added stall, {rival} / ours",
                                results.ratio(case, rival, STALL), 500, least=True))
        for dirty in (64, 256, 1024):
            case = Case(fs, 1, Load(dirty)).name
            found.append(Target(f"{case}: fsync during the flush, sample / ours",
                                results.ratio(case, AWS_POSTGRES, FSYNC), 5, least=True))
    case = Case("ext4", 1, Load(0, NEAR_MB_S)).name
    found.append(Target(f"{case}: added stall, ms", results.figure(case, STILLPOINT, STALL), 200))
    refusal = results.figure(case, STILLPOINT, "request to refusal")
    if refusal:
        found.append(Target(f"{case}: refused (206) within its time, ms", refusal,
                            AGENT_TIMEOUT_SECONDS * 1000, worst=True))
    for case in (POSTGRES_CASE, MARIADB_CASE):
        found.append(Target(f"{case}: added transaction stall, ms",
                            results.figure(case, STILLPOINT, TXN), 15))
    found.append(Target(f"{MARIADB_CASE}: commits between lock and freeze",
                        results.figure(MARIADB_CASE, STILLPOINT,
                                       "commits between lock and freeze"), 0, worst=True))
    return found


def text(results: Results) -> str:
    lines = ["", "targets"]
    judged = judge(results)
    for one in (target for target in judged if target.holds is not None):
        lines.append(f"  {'holds ' if one.holds else 'MISSED'}  {one.what}: {one.value} "
                     f"({'at least' if one.least else 'at most'} {number(one.limit)})")
    count = sum(target.holds is None for target in judged)
    if count:
        lines.append(f"  {count} more not decided: their cases were not measured")
    commits = results.figure(MARIADB_CASE, AWS_MYSQL, "commits between lock and freeze")
    if commits:
        lines.append(f"  for comparison: AWS's sample let {number(commits.median)} commits happen "
                     "between MariaDB's lock and the freeze")
    return "\n".join(lines)
