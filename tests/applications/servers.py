"""The servers: how each is set up in the machine, and how a copy of it is started and asked.

Data on the first volume, log on the second, where the server can have them apart. Their own log
files are in memory: a log line must not wait on a frozen filesystem.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.world import World

from .judge import Verdict

START_SECONDS = 60.0
COPY = Path("/mnt/server")
LOAD = Path(__file__).with_name("load.py")
_AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]


class Server:
    name = ""
    application = ""  # what the agent calls it
    volumes = 2  # on how many volumes it is
    user: list[str] = []
    end = signal.SIGKILL  # what ends every process of a copy at once

    def version(self) -> str:
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self, world: World) -> Iterator[None]:
        """In the machine, with two empty tables."""
        raise NotImplementedError
        yield

    def start_copy(self, mounts: list[Path], log: Path) -> tuple[subprocess.Popen[bytes], list[str]]:
        """The process, and what succeeds when it is ready."""
        raise NotImplementedError

    def tables(self) -> tuple[set[int], set[int]]:
        """Both tables of the running copy."""
        raise NotImplementedError

    def before(self, mounts: list[Path], position: str, verdict: Verdict) -> None:
        """Looks at a copy's files before a server changes them."""

    def after(self, log: str, position: str, verdict: Verdict) -> None:
        """Looks at the running copy and its log."""

    def checkpoint(self, world: World) -> None:
        """What the server does by itself every few minutes."""

    def load(self, world: World, first: int) -> subprocess.Popen[bytes]:
        """Writers in the machine, until their standard input closes."""
        process = world.spawn([*self.user, "python3", "-I", str(LOAD), self.name, str(first)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        if process.stdout.readline() != b"started\n":
            raise RuntimeError(f"{self.name}: the writers did not start")
        return process

    def ask(self, mounts: list[Path], position: str, verdict: Verdict) -> tuple[set[int], set[int]]:
        """Start a server on the copy, ask it for everything, end it."""
        COPY.mkdir(exist_ok=True)
        log = COPY / "log"
        self.before(mounts, position, verdict)
        begun = time.monotonic()
        process, ready = self.start_copy(mounts, log)
        try:
            wait(lambda: succeeds(ready), process, log)
            verdict.start_ms = (time.monotonic() - begun) * 1000
            found = self.tables()
            self.after(log.read_text(errors="replace"), position, verdict)
            return found
        finally:
            process.send_signal(self.end)  # a throw-away copy
            process.wait(START_SECONDS)
            shutil.rmtree(COPY, ignore_errors=True)


def succeeds(argv: list[str]) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def wait(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > give_up:
            words = log.read_text(errors="replace").splitlines()
            telling = [line for line in words if re.search("PANIC|FATAL|ERROR|Bad file", line)
                       and "is starting up" not in line]
            raise RuntimeError(f"the copy did not start: {' | '.join((telling or words)[:2])[:300]}")
        time.sleep(0.02)


@contextlib.contextmanager
def inside(world: World, argv: list[str], ready: list[str]) -> Iterator[None]:
    """A server in the machine, until the end of the block; the machine's end is the backstop."""
    process = world.spawn(["sh", "-c", 'exec "$@" >/run/server.log 2>&1', "sh", *argv])

    def answers() -> bool:
        with contextlib.suppress(RuntimeError):
            world.run(*ready)
            return True
        return False

    try:
        wait(answers, process, world.outside("/run/server.log"))
        yield
    finally:
        process.kill()
        process.wait(30)


def packaged(name: str) -> Path:
    """The folder of a Python package that carries programs; beside the packages that are used as
    such, because one of these would meddle with pytest."""
    return Path(sys.prefix) / "servers" / name


def numbers(text: str) -> set[int]:
    return {int(line) for line in text.split()}


def ask(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the copy answered: {done.stderr.strip()[-300:]}")
    return done.stdout
