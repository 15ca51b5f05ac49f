"""MariaDB: data and binary log on ext4, InnoDB's redo log on xfs. Commits stand still from the lock
to the thaw, so that the copy is exactly at the receipt's GTID."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from bench.world import World

from .judge import Verdict
from .servers import COPY, Server, ask, inside, numbers

SOCKET = "/run/mysqld/mysqld.sock"
# InnoDB writes out what is dirty, and moves its checkpoint, when it may have no dirty pages.
CHECKPOINT_SECONDS = 1.0
SIZES = ["--innodb-log-file-size=64M", "--innodb-buffer-pool-size=96M"]


class MariaDb(Server):
    name, application = "mariadb", "mysql"

    def version(self) -> str:
        return ask("mariadbd", "--version").split()[2].split("-")[0]

    @contextlib.contextmanager
    def running(self, world: World) -> Iterator[None]:
        data, redo = (f"{mount}/mysql" for mount in world.mounts)
        world.run("mkdir", "-p", data, redo, "/run/mysqld")
        common = [f"--datadir={data}", f"--innodb-log-group-home-dir={redo}", "--user=root", *SIZES]
        world.run("mariadb-install-db", "--no-defaults", "--basedir=/usr", *common,
                  "--auth-root-authentication-method=socket", "--skip-test-db",
                  "--skip-name-resolve")
        argv = ["mariadbd", "--no-defaults", *common, f"--socket={SOCKET}", "--skip-networking",
                "--pid-file=/run/mysqld/pid", "--log-bin=binlog", "--server-id=1"]
        client = ["mariadb", "--no-defaults", f"--socket={SOCKET}", "-e"]
        with inside(world, argv, [*client, "SELECT 1"]):
            world.run(*client, "CREATE DATABASE ledger; USE ledger; "
                               "CREATE TABLE one_side (n BIGINT PRIMARY KEY) ENGINE=InnoDB; "
                               "CREATE TABLE other_side (n BIGINT PRIMARY KEY) ENGINE=InnoDB")
            yield

    def checkpoint(self, world: World) -> None:
        for percent in (0, 90):
            world.run("mariadb", "--no-defaults", f"--socket={SOCKET}", "-e",
                      f"SET GLOBAL innodb_max_dirty_pages_pct = {percent}")
            time.sleep(CHECKPOINT_SECONDS)

    def start_copy(self, mounts: list[Path], log: Path) -> tuple[subprocess.Popen[bytes], list[str]]:
        data, redo = (mount / "mysql" for mount in mounts)
        argv = ["mariadbd", "--no-defaults", f"--datadir={data}", "--user=root",
                f"--innodb-log-group-home-dir={redo}", *SIZES, f"--socket={COPY}/sock",
                "--skip-networking", f"--pid-file={COPY}/pid", "--log-bin=binlog",
                "--server-id=1", f"--tmpdir={COPY}"]
        with open(log, "wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=file, cwd="/")
        return process, ["mariadb", "--no-defaults", f"--socket={COPY}/sock", "-e", "SELECT 1"]

    def query(self, sql: str) -> str:
        return ask("mariadb", "--no-defaults", "-N", "-B", f"--socket={COPY}/sock", "-e", sql)

    def tables(self) -> tuple[set[int], set[int]]:
        return (numbers(self.query("SELECT n FROM ledger.one_side")),
                numbers(self.query("SELECT n FROM ledger.other_side")))

    def after(self, log: str, position: str, verdict: Verdict) -> None:
        if position:
            said = re.search(r"gtid (\S+)", position)
            found = self.query("SELECT @@gtid_binlog_pos").strip()
            verdict.position_off = int(not said or said[1] != found)
        begin = re.search(r"recovery from checkpoint LSN=(\d+)", log)
        end = re.search(r"End of log at LSN=(\d+)", log)
        if begin and end:
            verdict.replayed_kb = (int(end[1]) - int(begin[1])) / 1024
        damage = [line for line in log.splitlines() if "[ERROR] InnoDB" in line]
        verdict.problems += damage[:1]


def found() -> bool:
    return shutil.which("mariadbd") is not None
