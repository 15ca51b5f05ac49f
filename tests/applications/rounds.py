"""One round: the same load snapshotted with the agent, without it, and one volume after the other;
then every copy is restored and asked."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from .judge import Verdict, Write, judge, longest_ms
from .machine import Machine
from .servers import Server

AGENT, NONE, APART = "stillpoint", "no agent", "no agent, one volume after the other"
WARM_SECONDS, BETWEEN_SECONDS, APART_SECONDS = 0.8, 0.4, 0.3
NUMBERS_A_ROUND = 1_000_000
SECOND_NS = 1_000_000_000


@dataclass
class Taken:
    """One snapshot, from before it was asked for until all of it was there."""

    subject: str
    sets: list[str]
    begun: int
    returned: int
    asked: int
    ended: int
    position: str = ""
    held_ms: float = 0.0


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def one(machine: Machine, server: Server, number: int) -> tuple[dict[str, dict[str, float]],
                                                               list[str]]:
    """Figures by subject, and what was wrong with which copy."""
    process = server.load(machine.world, number * NUMBERS_A_ROUND)
    taken: list[Taken] = []
    try:
        time.sleep(WARM_SECONDS)
        taken.append(_with_agent(machine, server))
        time.sleep(BETWEEN_SECONDS)
        taken.append(_without(machine))
        if server.volumes > 1:
            taken.append(_apart(machine, server, number))
        time.sleep(BETWEEN_SECONDS)
    finally:
        out, _ = process.communicate(timeout=90)
    if process.returncode:
        raise RuntimeError(f"{server.name}: the writers failed")
    writes: list[Write] = [tuple(map(int, line.split())) for line in  # type: ignore[misc]
                           out.decode().splitlines()]
    figures: dict[str, dict[str, float]] = {}
    wrong = []
    for snapshot in taken:
        verdict = _verdict(machine, server, snapshot, writes)
        if verdict.failed:
            wrong.append(f"{snapshot.subject}, round {number}: {verdict.words()}")
        found = {"failed restores": float(verdict.failed),
                 "acknowledged transactions lost": float(verdict.lost),
                 "transactions half there": float(verdict.half),
                 "longest transaction": longest_ms(writes, snapshot.asked,
                                                   snapshot.ended + SECOND_NS // 2)}
        if not verdict.problems:
            found |= {"start of the copy": verdict.start_ms, "log replayed": verdict.replayed_kb}
        if snapshot.subject == AGENT:
            found |= {"positions that differ": float(verdict.position_off),
                      "held": snapshot.held_ms}
        figures[snapshot.subject] = found
        for name in dict.fromkeys(snapshot.sets):
            machine.forget(name)
    return figures, wrong


def _with_agent(machine: Machine, server: Server) -> Taken:
    execution, asked = str(uuid.uuid4()), now()
    receipt = machine.agent("pre-script", execution, server.application)
    begun = now()
    try:
        name = machine.snapshot()
        returned = now()
    finally:
        last = machine.agent("post-script", execution, server.application)
    if not last["hold"]["unbroken"]:
        raise RuntimeError(f"the hold was broken: {last}")
    (application,) = receipt["applications"]
    return Taken(AGENT, [name, name], begun, returned, asked, now(), application["position"],
                 last["hold"]["frozenMs"])


def _without(machine: Machine) -> Taken:
    begun = now()
    name = machine.snapshot()
    return Taken(NONE, [name, name], begun, now(), begun, now())


def _apart(machine: Machine, server: Server, number: int) -> Taken:
    """Data first in one round, the log first in the next."""
    begun = now()
    sets = [machine.snapshot()]
    time.sleep(APART_SECONDS)
    # It comes at any time; copies of large volumes are minutes apart.
    server.checkpoint(machine.world)
    sets.append(machine.snapshot())
    return Taken(APART, sets if number % 2 else sets[::-1], begun, now(), begun, now())


def _verdict(machine: Machine, server: Server, snapshot: Taken, writes: list[Write]) -> Verdict:
    verdict = Verdict()
    try:
        with machine.restored(snapshot.sets) as mounts:
            found = server.ask(mounts, snapshot.position, verdict)
    except RuntimeError as error:
        verdict.problems.append(str(error))
    else:
        judge(verdict, writes, *found, snapshot.begun, snapshot.returned)
    return verdict
