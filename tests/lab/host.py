"""Small things of the host that several rooms use: commands, clocks, thawing, the watchdog.

It knows no instance and no AWS.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

FITHAW = 0xC0045878
# An unlinkat that has not returned by then waits for a thaw; a busy machine needs some of it.
FROZEN_AFTER_SECONDS = 0.4
HEARTBEAT_SECONDS = 5.0
THAW_SECONDS = 0.5


def run(*argv: str | Path) -> str:
    """Run a command to its end; its standard error is in the exception when it fails."""
    done = subprocess.run(
        [str(a) for a in argv], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{' '.join(map(str, argv))}: exit {done.returncode}: {done.stderr.strip()}"
        )
    return done.stdout


def boottime_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def open_folders(paths: list[Path]) -> list[int]:
    """Descriptors to thaw by; opening does not block on a frozen filesystem."""
    return [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths]


def thaw(fds: list[int]) -> None:
    """FITHAW on each; returns soon even when one blocks behind a freeze that is still syncing."""

    def one(fd: int) -> None:
        with contextlib.suppress(OSError):  # EINVAL: it was not frozen
            fcntl.ioctl(fd, FITHAW, 0)

    threads = [threading.Thread(target=one, args=(fd,), daemon=True) for fd in fds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(THAW_SECONDS)


def frozen(paths: list[Path]) -> list[bool]:
    """Whether each filesystem is frozen, without blocking and without changing it.

    unlinkat of a name that does not exist answers ENOENT on a live filesystem and waits on a
    frozen one. It runs in a process of its own, because a waiting one cannot be killed.
    """
    probes = [
        subprocess.Popen(
            ["unlink", str(path / f".lab-probe-{uuid.uuid4().hex}")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for path in paths
    ]
    deadline = time.monotonic() + FROZEN_AFTER_SECONDS
    found = []
    for probe in probes:
        try:
            probe.wait(max(0.01, deadline - time.monotonic()))
            found.append(False)
        except subprocess.TimeoutExpired:
            threading.Thread(target=probe.wait, daemon=True).start()
            found.append(True)
    return found


class Watchdog:
    """The lab's end of watchdog.py."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    str(Path(__file__).with_name("watchdog.py")),
                    str(other.fileno()),
                ],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._beat, name="watchdog-heartbeat", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def hold(self, key: str, path: Path) -> None:
        """Arm for the filesystem of `path`; returns when the watchdog has the descriptor."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            with self._lock:
                self._socket.sendmsg([f"hold {key}".encode()], ancillary)
                self._acknowledged()
        finally:
            os.close(fd)

    def drop(self, key: str) -> None:
        with self._lock:
            self._socket.send(f"drop {key}".encode())
            self._acknowledged()

    def _acknowledged(self) -> None:
        if self._socket.recv(16) != b"ok":
            raise RuntimeError("the watchdog is gone; nothing may be frozen without it")

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            with self._lock:
                self._socket.send(b"beat ")

    def close(self) -> None:
        self._stop.set()
        with self._lock:
            self._socket.close()
        self._process.wait(30)
