"""One function's process, started as Lambda starts it: the same environment and nothing else."""

from __future__ import annotations

import os
import queue
import signal
import time
from pathlib import Path

from .runtime_api import RuntimeApi

POLL_SECONDS = 20.0
# What infra/template.yaml sets; a function that does not know one of them ignores it.
ENVIRONMENT = {
    "STILLPOINT_BUS": "stillpoint", "STILLPOINT_TABLE": "stillpoint-runs",
    "STILLPOINT_STATE": "stillpoint-state", "STILLPOINT_JOBS_TABLE": "stillpoint-jobs",
    "STILLPOINT_POLICY_PREFIX": "/stillpoint/policies/",
    "STILLPOINT_SCHEDULE_PREFIX": "/stillpoint/schedules/", "STILLPOINT_GRACE_HOURS": "24",
}
# What Lambda sets.
OF_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "stillpoint", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test", "LANG": "en_US.UTF-8", "TZ": ":UTC",
    "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
}


class Function:
    """A running process; `with` ends it."""

    def __init__(self, argv: list[str], handler: str, log: Path,
                 more: dict[str, str] | None = None) -> None:
        self.api = RuntimeApi()
        environment = OF_LAMBDA | ENVIRONMENT | (more or {}) | {
            "_HANDLER": handler, "AWS_LAMBDA_RUNTIME_API": self.api.address}
        self._log = log
        with open(log, "wb") as output:
            actions = [(os.POSIX_SPAWN_DUP2, output.fileno(), to) for to in (1, 2)]
            self._started = time.monotonic_ns()
            self.pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions)

    def first_poll_ms(self) -> float:
        """From just before the process was made until its first request was read."""
        try:
            return (self.api.polls.get(timeout=POLL_SECONDS) - self._started) / 1e6
        except queue.Empty:
            words = self._log.read_text(errors="replace")[-500:]
            raise RuntimeError(f"no poll within {POLL_SECONDS:.0f} s: {words}") from None

    def processor_ms(self) -> float:
        """What its threads have computed, which other load on the machine does not stretch."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in threads) / 1e6

    def memory_mb(self, field: str) -> float:
        """VmRSS, what is resident now, or VmHWM, the most that was."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"process {self.pid} has ended: {self._log.read_text()[-500:]}")

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.api.close()
