"""The PostgreSQL volumes, restored: the server starts and no acknowledged commit is lost.

Starts a server on the copies, on a socket of its own, and asks it for every transaction:
those acknowledged before the snapshot are there, those whose commit was sent after it are
not, and none is half there. pgbench's own invariant and amcheck look at the rest. Called
by verify.py, in its private namespaces; the cluster it starts is a throw-away copy.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from demo.ledger import HALF_THERE
from demo.postgres import DATABASE, as_postgres, binaries
from demo.records import Write
from demo.verify_volumes import run

_START_WAIT_S = 60.0
_SOCKETS = Path("/mnt/sockets")
_LOG = Path("/mnt/postgresql.log")

_PGBENCH_SUMS = """
select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
       (select sum(bbalance) from pgbench_branches),
       (select coalesce(sum(delta), 0) from pgbench_history)
"""
_ROWS = """
select (select count(*) from ledger_transaction) + (select count(*) from ledger_row)
     + (select count(*) from pgbench_accounts) + (select count(*) from pgbench_tellers)
     + (select count(*) from pgbench_branches) + (select count(*) from pgbench_history)
"""


def check(places: dict[str, Path], writes: list[Write], cut: dict,
          problems: list[str]) -> tuple[int, list[str]]:
    """Start the copy, ask it everything, stop it; returns rows read, and remarks."""
    data = next(place / "pgdata" for place in places.values() if (place / "pgdata").is_dir())
    wal = next(place / "pg_wal" for place in places.values() if (place / "pg_wal").is_dir())
    # What an operator does on another host: the copy's mount points have other names, and
    # the process id that the lock file names is none of this host's.
    (data / "pg_wal").unlink()
    (data / "pg_wal").symlink_to(wal)
    (data / "postmaster.pid").unlink(missing_ok=True)
    _SOCKETS.mkdir()
    shutil.chown(_SOCKETS, "postgres", "postgres")

    begin = time.monotonic()
    server = start(data)
    notes = [f"PostgreSQL started in {time.monotonic() - begin:.1f} s"]
    try:
        rows = ask(writes, cut, problems, notes)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(_START_WAIT_S)
    damage = [line for line in _LOG.read_text().splitlines() if "PANIC" in line or "ERROR" in line]
    problems.extend(f"server log: {line}" for line in damage[:3])
    return rows, notes


def start(data: Path) -> subprocess.Popen[bytes]:
    """A server on the copy; ready when it has recovered and accepts connections."""
    argv = as_postgres([str(binaries() / "postgres"), "-D", str(data), "-k", str(_SOCKETS)])
    with open(_LOG, "wb") as log:
        server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    give_up = time.monotonic() + _START_WAIT_S
    ready = [str(binaries() / "pg_isready"), "-q", "-h", str(_SOCKETS)]
    while subprocess.run(ready, check=False).returncode != 0:
        if server.poll() is not None or time.monotonic() > give_up:
            words = " | ".join(_LOG.read_text(errors="replace").splitlines()[-3:])
            raise RuntimeError(f"the restored PostgreSQL did not start: {words}")
        time.sleep(0.05)
    return server


def ask(writes: list[Write], cut: dict, problems: list[str], notes: list[str]) -> int:
    """Every question to the running copy."""
    there = {int(line) for line in query("select id from ledger_transaction").split()}
    acknowledged = {write.identity for write in writes if write.end < cut["acknowledgedBefore"]}
    begun_after = {write.identity for write in writes if write.decided > cut["begunAfter"]}
    missing = sorted(acknowledged - there)
    early = sorted(begun_after & there)
    half = query(HALF_THERE).split()
    if missing:
        problems.append(f"{len(missing)} commits acknowledged before the snapshot are missing, "
                        f"first {missing[0]}")
    if early:
        problems.append(f"{len(early)} commits sent after the snapshot are there, "
                        f"first {early[0]}")
    if half:
        problems.append(f"{len(half)} transactions are half there, first {half[0]}")
    if not acknowledged:
        problems.append("no commit was acknowledged before the snapshot, so nothing was proven")
    sums = query(_PGBENCH_SUMS).strip().split("|")
    if len(set(sums)) != 1:
        problems.append(f"pgbench's sums differ: {', '.join(sums)}")
    run(as_postgres([str(binaries() / "pg_amcheck"), "-h", str(_SOCKETS), "-d", DATABASE,
                     "--heapallindexed"]))
    if not (missing or early or half):
        notes.append(f"{len(acknowledged):,} acknowledged commits there, "
                     f"{len(begun_after):,} later ones absent, none half there")
    return int(query(_ROWS))


def query(sql: str) -> str:
    """One query as user postgres; an error of the server is an error here."""
    argv = as_postgres([str(binaries() / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1",
                        "-h", str(_SOCKETS), "-d", DATABASE, "-c", sql])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment,
                          cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"the restored PostgreSQL answered: {done.stderr.strip()}")
    return done.stdout
