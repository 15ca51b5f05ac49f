"""`python -m applications [--rounds N] [--only NAME,...]`: every server, every round, the table.

Enters a mount namespace of its own. Exits with 1 when a copy that was made with the agent failed.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import mariadb, postgresql, redis, rounds, sample, table
from .machine import Machine, store
from .servers import Server

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
INSIDE = "STILLPOINT_APPLICATIONS_NAMESPACE"
ROUNDS, ROUNDS_QUICK = 50, 5


def servers() -> list[Server]:
    found: list[Server] = [postgresql.PostgreSql(folder) for folder in postgresql.programs()]
    if mariadb.found():
        found.append(mariadb.MariaDb())
    found += [redis.Redis(*program) for program in redis.programs()]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="applications", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{ROUNDS_QUICK} rounds of each")
    parser.add_argument("--rounds", type=int, help=f"snapshots of each server, {ROUNDS} by default")
    parser.add_argument("--only", help="servers, joined by commas: postgresql, mariadb, redis, valkey")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("applications: it freezes real filesystems on loop devices and must run as root",
              file=sys.stderr)
        return 1
    if not os.environ.get(INSIDE):
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              "-m", "applications", *sys.argv[1:]])
    chosen = [one for one in servers() if not options.only or one.name in options.only.split(",")]
    count = options.rounds or (ROUNDS_QUICK if options.quick else ROUNDS)
    try:
        return measure(chosen, count)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"applications: {error}", file=sys.stderr)
        return 1


def measure(chosen: list[Server], count: int) -> int:
    out = TARGET / "bench"
    out.mkdir(parents=True, exist_ok=True)
    agent = TARGET / "debug/stillpoint-agent"
    if not agent.exists():
        raise RuntimeError("no debug/stillpoint-agent in the target folder: run 'make build'")
    found: table.Rounds = {}
    wrong: list[str] = []
    with open(out / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with tempfile.TemporaryDirectory(prefix="applications-", dir=out) as folder:
            os.chmod(folder, 0o755)
            with store(Path(folder)) as place:
                for server in chosen:
                    wrong += series(place, agent, server, count, found)
    listed = table.figures(found)
    (out / "applications.json").write_text(json.dumps(listed, indent=1) + "\n")
    print(table.text(listed))
    for line in wrong:
        print(f"failed: {line}")
    print(f"applications: wrote {out}/applications.json")
    ours = [one for one in listed if one["subject"] == rounds.AGENT and one["median"] > 0
            and one["metric"] in table.SUMS]
    return int(bool(ours))


def series(place: Path, agent: Path, server: Server, count: int, found: table.Rounds) -> list[str]:
    case = f"{server.name} {server.version()}"
    print(f"{time.strftime('%H:%M:%S')} {case} ", end="", file=sys.stderr, flush=True)
    subjects, wrong = found.setdefault(case, {}), []
    machine = Machine(place, agent)
    try:
        with server.running(machine.world):
            for number in range(1, count + 1):
                figures, problems = rounds.one(machine, server, number)
                wrong += [f"{case}: {problem}" for problem in problems]
                for subject, one in figures.items():
                    subjects.setdefault(subject, []).append(one)
                ours = figures[rounds.AGENT]["failed restores"]
                print("x" if ours else ".", end="", file=sys.stderr, flush=True)
            if server.name == "mariadb":
                subjects[sample.SUBJECT] = [sample.one(machine, server, count + 1)]
    finally:
        machine.close()
        print(file=sys.stderr)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
