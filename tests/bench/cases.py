"""The cases: which filesystems, which load, who takes part.

Not every combination: the number of filesystems is varied without dirty data, and dirty data and
the writers' rate with one filesystem, because that is where each of them shows.
"""

from __future__ import annotations

from dataclasses import dataclass

from .subjects import AWS_MYSQL, AWS_POSTGRES, FLOOR, FSFREEZE, NO_RCU, QEMU_GA, STILLPOINT
from .trial import Load

ALL = (STILLPOINT, AWS_POSTGRES, AWS_MYSQL, FSFREEZE, QEMU_GA)
CLEAN = (STILLPOINT, NO_RCU, AWS_POSTGRES, AWS_MYSQL, FSFREEZE, QEMU_GA, FLOOR)
# For the longest cases: the two samples differ only in the database they ask.
FOUR = (STILLPOINT, AWS_POSTGRES, FSFREEZE, QEMU_GA)
HALF_MB_S, NEAR_MB_S = 60, 110
# The first filesystem takes the dirty data and the stream, 1 GiB each at most.
FIRST_MB, OTHER_MB = 2600, 320
# Without dirty data a round takes seconds, and stalls of a millisecond differ by as much.
REPS, REPS_CLEAN = 3, 9


@dataclass(frozen=True)
class Case:
    fs: str
    count: int
    load: Load
    subjects: tuple[str, ...] = ALL

    @property
    def reps(self) -> int:
        return REPS_CLEAN if self.load == Load() else REPS

    @property
    def name(self) -> str:
        words = [self.fs, f"{self.count} filesystem{'s' if self.count > 1 else ''}"]
        if self.load.dirty_mb or not self.load.stream_mb_s:
            words.append(f"{self.load.dirty_mb} MB dirty" if self.load.dirty_mb != 1024
                         else "1 GB dirty")
        if self.load.stream_mb_s:
            words.append(f"writer of {self.load.stream_mb_s} MB/s")
        return ", ".join(words)


def full() -> list[Case]:
    """Those on one machine follow each other in the run; the last are given up first when the time
    is over."""
    cases = [Case(fs, count, Load(), CLEAN) for fs in ("ext4", "xfs") for count in (1, 4, 16)]
    cases += [Case(fs, 1, Load(dirty)) for fs in ("ext4", "xfs") for dirty in (64, 256)]
    cases += [Case(fs, 1, Load(1024), FOUR) for fs in ("ext4", "xfs")]
    cases += [Case(fs, 1, Load(0, HALF_MB_S), FOUR) for fs in ("ext4", "xfs")]
    cases += [Case("ext4", 1, Load(1024, HALF_MB_S), FOUR)]
    cases += [Case("ext4", 1, Load(0, NEAR_MB_S), (STILLPOINT, AWS_POSTGRES))]
    return cases


def quick() -> list[Case]:
    return [Case("ext4", 1, Load()), Case("ext4", 1, Load(64)), Case("ext4", 1, Load(256), FOUR),
            Case("xfs", 1, Load(64), FOUR), Case("ext4", 16, Load(), FOUR)]
