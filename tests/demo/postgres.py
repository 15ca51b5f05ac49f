"""The PostgreSQL server of the first instance: data on one volume, WAL on another.

Builds the cluster and starts the server inside the instance, the way a Debian host has it:
user postgres, peer authentication, socket in /var/run/postgresql. Its log goes to a file
outside the instance, so that no log line waits on a frozen filesystem. Used by story.py;
the load is workload_postgres.py's, the restored copy is verify_postgres.py's.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from demo.inside import command_in, tail
from demo.ledger import TABLES

DATABASE = "postgres"
SOCKETS = "/var/run/postgresql"
# 75 MB of accounts: enough for pages to be dirty at any moment, loaded in two seconds.
PGBENCH_SCALE = 5
_START_WAIT_S = 30.0

_SETTINGS = f"""
listen_addresses = ''
unix_socket_directories = '{SOCKETS}'
shared_buffers = 128MB
# The WAL volume is 512 MiB; half of it leaves room for a checkpoint that is late.
max_wal_size = 256MB
log_checkpoints = on
"""


def binaries() -> Path:
    """The newest installed server's programs, where Debian puts them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"),
                   key=lambda path: float(path.parent.parent.name))
    if not found:
        raise FileNotFoundError("no PostgreSQL server under /usr/lib/postgresql: "
                                "install the package postgresql")
    return found[-1].parent


def as_postgres(argv: list[str]) -> list[str]:
    """The same command as user postgres, without a login shell."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *argv]


class Server:
    """One running server inside an instance."""

    def __init__(self, init_pid: int, data: str, wal: str, log: Path) -> None:
        self._init_pid = init_pid
        self._data = f"{data}/pgdata"
        self._wal = f"{wal}/pg_wal"
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self.bin = binaries()

    def _run(self, argv: list[str], user: bool = True, text: str | None = None) -> str:
        command = command_in(self._init_pid, as_postgres(argv) if user else argv)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv[:2])} exited with {done.returncode}: "
                               f"{done.stderr.strip()}")
        return done.stdout

    def create(self) -> None:
        """Make the cluster on the instance's two volumes."""
        for folder in (self._data, self._wal, SOCKETS):
            self._run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0755"
                       if folder == SOCKETS else "0700", folder], user=False)
        self._run([f"{self.bin}/initdb", "-D", self._data, "-X", self._wal, "-k", "-N",
                   "-E", "UTF8", "--locale=C.UTF-8", "--auth-local=peer", "--auth-host=reject"])
        self._run(["tee", "-a", f"{self._data}/postgresql.conf"], text=_SETTINGS)

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        argv = command_in(self._init_pid, as_postgres([f"{self.bin}/postgres", "-D", self._data]))
        with open(self._log, "ab") as log:
            self._child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           start_new_session=True)
        give_up = time.monotonic() + _START_WAIT_S
        while True:
            if self._child.poll() is not None:
                raise RuntimeError(f"postgres ended at once: {tail(self._log)}")
            try:
                self._run([f"{self.bin}/pg_isready", "-q", "-h", SOCKETS])
                return
            except RuntimeError:
                if time.monotonic() > give_up:
                    raise
            time.sleep(0.1)

    def fill(self) -> None:
        """Create the ledger's and pgbench's tables."""
        self._run([f"{self.bin}/psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-h", SOCKETS, DATABASE],
                  text=TABLES)
        self._run([f"{self.bin}/pgbench", "-i", "-q", "-s", str(PGBENCH_SCALE), "-h", SOCKETS,
                   DATABASE])

    def failed(self) -> str | None:
        """Why it has ended although nobody stopped it; None while it runs."""
        if self._child is None or self._child.poll() is None:
            return None
        return f"postgres ended with exit code {self._child.returncode}: {tail(self._log)}"

    def stop(self) -> None:
        """Ask for a fast shutdown; the instance's end is the backstop, so nobody waits long."""
        if self._child is None or self._child.poll() is not None:
            return
        for pid in children_of(self._child.pid):
            os.kill(pid, signal.SIGINT)
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()


def children_of(pid: int) -> list[int]:
    """The direct children of a process of ours (nsenter's one child is the program)."""
    try:
        return [int(word) for word in
                Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []
