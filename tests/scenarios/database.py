"""A real PostgreSQL on two volumes of an instance: rows that can be told, and what destroys them."""

from __future__ import annotations

from pathlib import Path

from demo.cloud import Cloud
from demo.postgres import SOCKETS, Server, as_postgres
from scenarios.account import Account
from scenarios.instance import Instance

VOLUMES = [{"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 256},
           {"device": "/dev/sdg", "fs": "xfs", "mount": "/wal", "size_mib": 320}]
ROWS = 1000
# How many rows there are, and a checksum of all that is in them.
TOLD = "select count(*), md5(string_agg(n || word, ',' order by n)) from kept"


class Database:
    """The server of one instance, which may have been booted anew meanwhile."""

    def __init__(self, account: Account, name: str, log: Path) -> None:
        self._cloud: Cloud = account.cloud
        self._log = log
        self.instance: Instance = account.launch(name, volumes=VOLUMES)
        self._server = self._on_this_boot()
        self._server.create()

    def _on_this_boot(self) -> Server:
        shown = next(one for one in self._cloud.admin("GET", "instances")
                     if one["instanceId"] == self.instance.id)
        return Server(shown["initPid"], "/data", "/wal", self._log)

    def start(self) -> None:
        """On what is mounted now."""
        self.instance.exec("install", "-d", "-o", "postgres", "-g", "postgres", SOCKETS)
        self._server = self._on_this_boot()
        self._server.start()

    def fill(self) -> str:
        """Rows that nobody could guess; what there is to tell of them."""
        self.asks("create table kept as select n, md5(random()::text) as word "
                  f"from generate_series(1, {ROWS}) n")
        return self.asks(TOLD)

    def asks(self, sql: str) -> str:
        argv = [f"{self._server.bin}/psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", SOCKETS,
                "-d", "postgres", "-c", sql]
        return self.instance.exec(*as_postgres(argv)).strip()

    def stop(self) -> None:
        self._server.stop()
