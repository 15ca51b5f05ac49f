"""The cases with a database: data on ext4, its log on xfs, transactions while it is frozen.

The servers run inside the machine, from Debian's programs; the loads are pgbench and
mysql_load.py. A transaction is late by what it took beyond the hold. No commit may end between a
lock and the freeze: of the sample's lock we know when its client returned, ours is held before
the first FIFREEZE is called, which the agent's page of memory tells.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from . import subjects, trial
from .subjects import AWS_MYSQL, AWS_POSTGRES, FSFREEZE, QEMU_GA, STILLPOINT, Subject
from .world import World

if TYPE_CHECKING:
    from .__main__ import Bench

POSTGRES_CASE = "PostgreSQL, data on ext4, WAL on xfs"
MARIADB_CASE = "MariaDB, data on ext4, redo log on xfs"
CASES = (POSTGRES_CASE, MARIADB_CASE)
KINDS = ["ext4", "xfs"]
LOG_MB = 1200
LOAD_SECONDS, LOAD_WARM_SECONDS = 7, 1.5
START_SECONDS = 60.0
PGBENCH_SCALE, CLIENTS, TRANSACTIONS_PER_SECOND = 10, 8, 800
LOCK_RETURNED = "/run/lock-returned"

Commits = list[tuple[int, int]]  # begin and end, on the monotonic clock in ns
Load = Callable[[World], subprocess.Popen[bytes]]
_AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


def run(bench: Bench, chosen: list[str]) -> None:
    for case, there, serve, load, parse, names, application in (
            (POSTGRES_CASE, bench.tools.postgres, postgres, pgbench, parse_pgbench,
             (STILLPOINT, AWS_POSTGRES, FSFREEZE, QEMU_GA), "postgresql"),
            (MARIADB_CASE, bench.tools.mariadb, mariadb, mysql_load, parse_pairs,
             (STILLPOINT, AWS_MYSQL, FSFREEZE, QEMU_GA), "mysql")):
        if case not in chosen:
            continue
        if not there:
            bench.results.failures.append(f"{case}: the server is not there")
            continue
        with bench.world(KINDS, rest_mb=LOG_MB) as world:
            subjects.stubs(world, databases=True)
            with serve(world, there), bench.crew(world, list(names), application) as crew:
                bench.rounds(case, list(crew.values()),
                             functools.partial(_one, bench, world, load, parse))


def _one(bench: Bench, world: World, load: Load, parse: Callable[[str], Commits],
         subject: Subject) -> dict[str, float]:
    world.outside(LOCK_RETURNED).unlink(missing_ok=True)
    process = load(world)
    time.sleep(LOAD_WARM_SECONDS)
    try:
        found = trial.run(world, subject, trial.Load(), bench.forks, str(bench.tools.probe),
                          tries=1)
    finally:
        output = process.communicate(timeout=START_SECONDS)[0].decode()
    if "refused" in found:
        return found
    commits = parse(output)
    answered, thawing = found["answered ns"], found["thawing ns"]
    held = [end - begin for begin, end in commits if end > answered and begin < thawing]
    if not held:
        raise trial.Invalid("no transaction met the hold")
    found["added transaction stall"] = max(0, max(held) - (thawing - answered)) / 1e6
    locked = world.outside(LOCK_RETURNED)
    if locked.exists():
        since = int(locked.read_text()) - time.time_ns() + time.monotonic_ns()
    elif subject.name == STILLPOINT:
        since = first_freeze(world)
    else:
        return found
    found["commits between lock and freeze"] = sum(since < end < answered for _, end in commits)
    return found


def first_freeze(world: World) -> int:
    """When the agent's last hold called its first FIFREEZE (agent/src/page.rs): the boot clock,
    which is the monotonic one on a machine that was never suspended."""
    # The name of the page of a hold that is over.
    pages = world.outside("/run/stillpoint").glob("run-*.over")
    page = max(pages, key=lambda path: path.stat().st_mtime_ns).read_bytes()
    words = struct.unpack_from(f"<{len(page) // 8}Q", page)
    head, entry, count = 16, 4, words[2]
    return min(words[head + entry * at + 1] for at in range(count))


def parse_pairs(output: str) -> Commits:
    return [(int(begin), int(end)) for begin, end in
            (line.split() for line in output.splitlines())]


@contextlib.contextmanager
def postgres(world: World, programs: Path) -> Iterator[None]:
    data, wal = (f"{mount}/pg" for mount in world.mounts)
    for folder in (data, wal, "/run/postgresql", "/run/pgbench"):
        world.run("install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", folder)
    world.run("chmod", "0755", "/run/postgresql", *world.mounts)
    world.run(*_AS_POSTGRES, f"{programs}/initdb", "-D", data, "-X", wal, "-N", "-k",
              "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject")
    options = ["listen_addresses=", "unix_socket_directories=/run/postgresql",
               "shared_buffers=256MB", "max_wal_size=512MB"]
    argv = [*_AS_POSTGRES, f"{programs}/postgres", "-D", data]
    for option in options:
        argv += ["-c", option]
    with _server(world, argv, [*_AS_POSTGRES, f"{programs}/pg_isready", "-q",
                               "-h", "/run/postgresql"]):
        world.run(*_AS_POSTGRES, f"{programs}/pgbench", "-i", "-q", "-s", str(PGBENCH_SCALE),
                  "-h", "/run/postgresql", "postgres", seconds=120)
        yield


def pgbench(world: World) -> subprocess.Popen[bytes]:
    """Prints pgbench's log when its time is over."""
    words = (f"rm -f /run/pgbench/*; cd /run/pgbench && {' '.join(_AS_POSTGRES)} pgbench -n "
             f"-c {CLIENTS} -j 2 -R {TRANSACTIONS_PER_SECOND} -T {LOAD_SECONDS} -l "
             f"-h /run/postgresql postgres >pgbench.out 2>&1; cat pgbench_log.*")
    return world.spawn(["sh", "-c", words], stdout=subprocess.PIPE)


def parse_pgbench(output: str) -> Commits:
    """Its log has the wall clock's end and the microseconds since the transaction was due, of
    which the last column was before it began."""
    offset_us = (time.time_ns() - time.monotonic_ns()) // 1000
    commits = []
    for line in output.splitlines():
        _, _, took, _, seconds, micro, lag = map(int, line.split())
        end = seconds * 1_000_000 + micro - offset_us
        commits.append(((end - took + lag) * 1000, end * 1000))
    return commits


@contextlib.contextmanager
def mariadb(world: World, tree: Path) -> Iterator[None]:
    data, redo = (f"{mount}/mysql" for mount in world.mounts)
    socket = "/run/mysqld/mysqld.sock"
    world.run("mkdir", "-p", data, redo, "/run/mysqld")
    common = [f"--basedir={tree}/usr", f"--datadir={data}", f"--innodb-log-group-home-dir={redo}",
              "--user=root"]
    world.run("sh", f"{tree}/usr/bin/mariadb-install-db", "--no-defaults", *common,
              "--auth-root-authentication-method=normal", "--skip-test-db")
    client = f"{tree}/usr/bin/mariadb --no-defaults --socket={socket}"
    # As the sample finds it; it notes when the lock statement has returned.
    subjects.put(world, "/usr/local/sbin/mysql",
                 f'#!/bin/sh\n{client} "$@"\ncode=$?\ncase "$*" in *FLUSH*) '
                 f'date +%s%N > {LOCK_RETURNED};; esac\nexit $code\n')
    argv = [f"{tree}/usr/sbin/mariadbd", "--no-defaults", *common, f"--socket={socket}",
            "--pid-file=/run/mysqld/pid", "--skip-networking", "--innodb-log-file-size=256M"]
    with _server(world, argv, ["mysql", "-e", "SELECT 1"]):
        world.run("mysql", "-e",
                  "CREATE DATABASE bench; USE bench; "
                  "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB; "
                  "INSERT INTO accounts SELECT seq, 1000 FROM seq_1_to_10000")
        yield


def mysql_load(world: World) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("mysql_load.py")
    return world.spawn(["python3", "-I", str(script), "/run/mysqld/mysqld.sock",
                        str(LOAD_SECONDS)], stdout=subprocess.PIPE)


@contextlib.contextmanager
def _server(world: World, argv: list[str], ready: list[str]) -> Iterator[None]:
    """A server, until the end of the block; the machine's end is the backstop."""
    # Its log is in memory: a log line must not wait on a frozen filesystem.
    process = world.spawn(["sh", "-c", 'log=$1; shift; exec "$@" >$log 2>&1', "sh",
                           "/run/server.log", *argv])
    try:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                world.run(*ready)
                break
            except RuntimeError as error:
                if process.poll() is not None or time.monotonic() > give_up:
                    log = world.outside("/run/server.log").read_text(errors="replace")
                    raise RuntimeError(f"{argv[-1]}: {error}: {log[-800:]}") from error
                time.sleep(0.2)
        yield
    finally:
        for pid in trial.children([process.pid]):
            with contextlib.suppress(RuntimeError):
                subprocess.run(["kill", "-INT" if "postgres" in argv[0] else "-TERM", str(pid)],
                               check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)
