"""The lab as the demo sees it: a process to start and stop, and one endpoint.

Everything that AWS has goes through boto3, exactly as against AWS; what only the lab has
(instances that are namespaces, faults, the timeline, restored devices) through its admin
API. It deploys nothing: stack.py does. Used by the story and by restore.py.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Callable

from demo.inside import tail
from lab.deploy import session

_START_WAIT_S = 60.0
_DOWN_WAIT_S = 90.0
# CreateSnapshots and a restore copy metadata only; anything longer is stuck.
_ADMIN_TIMEOUT_S = 60.0
# linux/prctl.h; loaded here, because a forked child should load nothing.
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_TESTS = Path(__file__).resolve().parent.parent


class Cloud:
    """One running lab."""

    def __init__(self, state: Path, logs: Path) -> None:
        self._state = state
        self._log = logs / "lab.log"
        self._child: subprocess.Popen[bytes] | None = None
        self.endpoint = ""
        # An AWS profile or a proxy of the developer's shell must not come into this.
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
            os.environ.pop(name, None)
        os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
        self.client: Callable[[str], Any] = _not_up
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def up(self) -> None:
        """Start the lab and wait until it answers; what an earlier one left goes first."""
        self.down()
        self._state.mkdir(parents=True, exist_ok=True)
        ready = self._state / "lab.json"
        ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "lab", "up", "--state", str(self._state), "--port",
                str(free_port())]
        with open(self._log, "ab") as log:
            # A session of its own: Ctrl-C reaches the demo first, which thaws and cleans up.
            self._child = subprocess.Popen(argv, cwd=_TESTS, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, start_new_session=True,
                                           preexec_fn=_end_with_the_demo)
        give_up = time.monotonic() + _START_WAIT_S
        while not ready.exists():
            if self._child.poll() is not None:
                raise RuntimeError(f"the lab did not start: {tail(self._log)}")
            if time.monotonic() > give_up:
                raise RuntimeError(f"the lab was not ready after {_START_WAIT_S:.0f} s: "
                                   f"{tail(self._log)}")
            time.sleep(0.1)
        self.endpoint = json.loads(ready.read_text())["endpoint"]
        self.client = session(self._state)

    def down(self) -> None:
        """End the lab and everything it made: instances, mounts, loop devices."""
        argv = [sys.executable, "-m", "lab", "down", "--state", str(self._state)]
        done = subprocess.run(argv, cwd=_TESTS, capture_output=True, text=True,
                              timeout=_DOWN_WAIT_S, check=False, start_new_session=True)
        if self._child is not None:
            self._child.wait(_DOWN_WAIT_S)
            self._child = None
        if done.returncode != 0:
            raise RuntimeError(f"the lab did not clean up: {done.stderr.strip()[-500:]}")

    def failed(self) -> str | None:
        """Why the lab has ended although nobody stopped it; None while it runs."""
        if self._child is None or self._child.poll() is None:
            return None
        return f"the lab ended with exit code {self._child.returncode}: {tail(self._log)}"

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """One call of the lab's own API."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.endpoint}/_lab/{path}", data=data, method=method,
                                         headers={"content-type": "application/json"})
        try:
            with self._opener.open(request, timeout=_ADMIN_TIMEOUT_S) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            words = error.read().decode(errors="replace")[:500]
            raise RuntimeError(f"lab: {method} {path}: {error.code} {words}") from error
        return json.loads(text) if text else None


def _end_with_the_demo() -> None:
    """The lab thaws and cleans up also when the demo is killed outright."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _not_up(service: str) -> Any:
    raise RuntimeError(f"the lab is not up, so there is no {service}")


def free_port() -> int:
    """A port that nobody listens on; the lab's usual one may be another emulator's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
