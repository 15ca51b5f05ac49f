"""The instance agent of the lab: runs one step of a document as amazon-ssm-agent does.

A script file in the orchestration folder, `sh -c <file>` in a process group of its own, SIGKILL
of the group at the timeout or on cancel, and the end of the step only when every process that
holds the output pipes has closed them. The bookkeeping that the API shows is in commands.py.
"""

from __future__ import annotations

import os
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .config import REGION
from .documents import Step
from .instance import Instance

# Exit codes with a meaning of their own (agent's exitcode constants).
REBOOT, SUCCESS_AND_SKIP_REST, FAIL_AND_SKIP_REST, STOPPED = 194, 168, 169, 137
# What the API shows of a command that never came back.
NO_RESULT = -1
PIPE_POLL_SECONDS = 0.05


@dataclass
class Outcome:
    status: str  # Success, Failed, TimedOut, Cancelled, Skipped
    exit_code: int
    stdout: str = ""
    stderr: str = ""
    skip_rest: bool = False
    # What the list of steps shows where it is not the output.
    words: str = ""
    # SSM waited no longer, whatever the step does.
    gave_up: bool = False


def run_step(
    instance: Instance,
    command_id: str,
    step: Step,
    cancelled: threading.Event,
    give_up_at: float,
    started: Callable[[int], None],
) -> Outcome:
    """Run a step to its end; `give_up_at` (monotonic) is when SSM itself stops waiting."""
    if step.skipped:
        # On a platform the step is not for it is a success with code 0 and without output.
        return Outcome("Skipped", 0, words=step.skipped)
    folder = f"/var/lib/amazon/ssm/{instance.id}/document/orchestration/{command_id}/{step.name}"
    script = _write_script(instance, folder, step.script)
    environment = {
        "AWS_SSM_INSTANCE_ID": instance.id,
        "AWS_SSM_REGION_NAME": REGION,
        "SSM_COMMAND_ID": command_id,
    }
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    process = instance.spawn(
        ["sh", "-c", shlex.quote(script)],
        environment | step.environment,
        step.working_directory or folder,
        output=(out_write, err_write),
    )
    os.close(out_write)
    os.close(err_write)
    out, err = _Reader(out_read), _Reader(err_read)
    started(process.pid)
    deadline = time.monotonic() + step.timeout_seconds
    killed = None
    while not (process.ended.is_set() and out.closed and err.closed):
        now = time.monotonic()
        if killed is None and (cancelled.is_set() or now > deadline):
            killed = "Cancelled" if cancelled.is_set() else "TimedOut"
            instance.kill(process.pid, group=True)
        if now > give_up_at:
            # A process outside the group still holds a pipe: the agent waits on, SSM does not.
            return Outcome(
                "TimedOut", NO_RESULT, out.text(), err.text(), skip_rest=True, gave_up=True
            )
        # The process first, then (it has ended) its pipes, which nobody announces.
        if not process.ended.wait(PIPE_POLL_SECONDS):
            continue
        time.sleep(PIPE_POLL_SECONDS / 5)
    if killed:
        return Outcome(killed, STOPPED, out.text(), err.text(), skip_rest=True)
    return _by_exit_code(process.exit_code, out.text(), err.text())


def _by_exit_code(code: int | None, stdout: str, stderr: str) -> Outcome:
    if code is None or code < 0:
        # Killed by a signal that was not ours.
        return Outcome("Failed", 1 if code is None else 128 - code, stdout, stderr)
    if code == SUCCESS_AND_SKIP_REST:
        return Outcome("Success", 0, stdout, stderr, skip_rest=True)
    if code == REBOOT:
        stderr += "\nthe lab does not reboot instances; on EC2 this exit code reboots the instance"
    return Outcome(
        "Success" if code == 0 else "Failed",
        code,
        stdout,
        stderr,
        skip_rest=code == FAIL_AND_SKIP_REST,
    )


def _write_script(instance: Instance, folder: str, script: str) -> str:
    os.makedirs(instance.path(folder), mode=0o700, exist_ok=True)
    path = f"{folder}/_script.sh"
    with open(
        os.open(instance.path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w"
    ) as file:
        file.write(script + "\n")
    return path


class _Reader:
    """Reads a pipe until every holder of its other end has closed it."""

    def __init__(self, fd: int) -> None:
        self._fd, self._data, self.closed = fd, bytearray(), False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while piece := os.read(self._fd, 1 << 16):
            self._data += piece
        os.close(self._fd)
        self.closed = True

    def text(self) -> str:
        return self._data.decode(errors="replace")
