"""Programs of the demo that run inside an instance, and how they get there.

A program starts in the instance's PID namespace (so that it dies with the instance) and
enters the other namespaces only after its imports, because the instance need not see the
directory that Python or this repository lives in. It ends when its standard input ends,
so that no writer outlives the demo. Used by the workloads; it freezes and mounts nothing.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

# The kernel's numbers of the namespaces (linux/sched.h); Python has os.setns from 3.12 on.
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWUTS = 0x0400_0000
_CLONE_NEWIPC = 0x0800_0000
_CLONE_NEWNET = 0x4000_0000

# How long a program may take to end: its last transaction and its last record are short.
_STOP_WAIT_S = 10.0


def enter(init_pid: int, user: str | None = None) -> None:
    """Put this process into the instance of `init_pid`, then become `user`.

    Must be called while the process has one thread: the kernel refuses to move a mount
    namespace under several.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kinds = (("ipc", _CLONE_NEWIPC), ("uts", _CLONE_NEWUTS), ("net", _CLONE_NEWNET),
             ("mnt", _CLONE_NEWNS))
    # All are opened first: after `mnt` the host's /proc is out of sight.
    opened = [(os.open(f"/proc/{init_pid}/ns/{name}", os.O_RDONLY), kind) for name, kind in kinds]
    for descriptor, kind in opened:
        if libc.setns(descriptor, kind) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"entering instance {init_pid}: {os.strerror(number)}")
        os.close(descriptor)
    os.chdir("/")
    if user is not None:
        entry = pwd.getpwnam(user)
        os.initgroups(user, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def until_stdin_ends() -> threading.Event:
    """An event that is set when the demo closes this program's standard input."""
    ended = threading.Event()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    return ended


def command_in(init_pid: int, argv: list[str]) -> list[str]:
    """The command line that runs `argv` in all namespaces of the instance."""
    return ["nsenter", "-t", str(init_pid), "-m", "-u", "-i", "-n", "-p", "--wd", "--", *argv]


class Program:
    """One `python -m demo.<module>` inside an instance, logging to a file outside of it."""

    def __init__(self, module: str, init_pid: int, arguments: list[str], log: Path) -> None:
        self.module = module
        self.log = log
        self._errors = log.with_suffix(".err")
        environment = dict(os.environ, PYTHONPATH=str(Path(__file__).resolve().parent.parent),
                           PYTHONDONTWRITEBYTECODE="1")
        argv = ["nsenter", "-t", str(init_pid), "-p", "--", sys.executable, "-m", f"demo.{module}",
                "--instance-pid", str(init_pid), *arguments]
        with open(log, "ab") as out, open(self._errors, "ab") as err:
            # A session of its own keeps the terminal's Ctrl-C away from it: the demo decides
            # when a writer ends, not the terminal.
            self._child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=out, stderr=err,
                                           env=environment, start_new_session=True)

    def failed(self) -> str | None:
        """Why it has ended although nobody stopped it; None while it runs."""
        if self._child.poll() is None:
            return None
        return (f"{self.module} ended with exit code {self._child.returncode}: "
                f"{tail(self._errors)}")

    def ask_to_stop(self) -> None:
        """Close its standard input; returns at once."""
        pipe: IO[bytes] | None = self._child.stdin
        if pipe is not None and not pipe.closed:
            pipe.close()

    def stop(self) -> str | None:
        """Stop it and wait; returns why it did not end well."""
        self.ask_to_stop()
        try:
            code = self._child.wait(_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            # Only the waiting nsenter dies of this; the program itself is ended with its
            # instance, also when a frozen filesystem holds it.
            self._child.kill()
            return f"{self.module} did not end within {_STOP_WAIT_S:.0f} s"
        return None if code == 0 else f"{self.module} ended with exit code {code}: " \
                                      f"{tail(self._errors)}"


def tail(path: Path, lines: int = 4) -> str:
    """The last lines of a log, on one line, for an error message."""
    try:
        text = path.read_text(errors="replace").strip()
    except FileNotFoundError:
        return "(no output)"
    return " | ".join(text.splitlines()[-lines:]) or "(no output)"
