"""A command that somebody outside runs in an instance: its output and its exit code."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from .instance import Instance, host_pid


def execute(
    instance: Instance,
    argv: list[str],
    detach: bool,
    log: Path | None,
    env: dict[str, str] | None,
    wait_seconds: float,
) -> dict[str, Any]:
    """Run a command in an instance; its output comes back, or goes to `log` when detached."""
    if detach:
        target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            process = instance.spawn(argv, env, output=(target, target))
        finally:
            os.close(target)
        return {
            "pid": process.pid,
            "hostPid": host_pid(instance, process.pid),
            "log": str(log) if log else None,
        }
    pipes = [os.pipe(), os.pipe()]
    process = instance.spawn(argv, env, output=(pipes[0][1], pipes[1][1]))
    texts: list[bytes] = [b"", b""]
    readers = [
        threading.Thread(target=_drain, args=(read, write, texts, n))
        for n, (read, write) in enumerate(pipes)
    ]
    for reader in readers:
        reader.daemon = True
        reader.start()
    finished = process.ended.wait(wait_seconds)
    if not finished:
        instance.kill(process.pid, group=True)
    for reader in readers:
        reader.join(1.0)
    return {
        "exitCode": process.exit_code if finished else None,
        "stdout": texts[0].decode(errors="replace"),
        "stderr": texts[1].decode(errors="replace"),
    }


def _drain(read: int, write: int, texts: list[bytes], index: int) -> None:
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        for piece in iter(lambda: pipe.read1(1 << 16), b""):
            texts[index] += piece
