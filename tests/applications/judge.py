"""What a copy must have and must not have. Pure.

A transaction that was acknowledged before the snapshot began must be there; one that was begun
after it had returned must not; none may be half there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Write = tuple[int, int, int]  # number, begin, end


@dataclass
class Verdict:
    """One restored copy."""

    lost: int = 0
    early: int = 0
    half: int = 0
    problems: list[str] = field(default_factory=list)
    start_ms: float = 0.0
    replayed_kb: float = 0.0
    position_off: int = 0

    @property
    def failed(self) -> bool:
        return bool(self.problems or self.lost or self.early or self.half)

    def words(self) -> str:
        counts = [f"{count} {what}" for count, what in (
            (self.lost, "acknowledged transactions lost"), (self.early, "from after the snapshot"),
            (self.half, "half there")) if count]
        return "; ".join(self.problems + counts)


def judge(verdict: Verdict, writes: list[Write], one: set[int], other: set[int], begun: int,
          returned: int) -> None:
    """Compare what was written with the two tables of a copy whose snapshot was taken in between."""
    there = one & other
    must = {number for number, _, end in writes if end < begun}
    must_not = {number for number, begin, _ in writes if begin > returned}
    if not must:
        verdict.problems.append("nothing was acknowledged before the snapshot")
    verdict.lost = len(must - there)
    verdict.early = len(must_not & (one | other))
    verdict.half = len(one ^ other)


def longest_ms(writes: list[Write], since: int, until: int) -> float:
    """The longest transaction that was under way in an interval."""
    took = [end - begin for _, begin, end in writes if end > since and begin < until]
    return max(took, default=0) / 1e6
