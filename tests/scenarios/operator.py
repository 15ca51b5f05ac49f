"""The operator's command line against the lab, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from lab.config import REGION
from scenarios.places import CLI

# A run of the slowest scenario takes half of it.
_WAIT_S = 120.0


class Operator:
    """`stillpoint` with one person's key."""

    def __init__(self, endpoint: str, key: str = "test", secret: str = "test",
                 token: str | None = None) -> None:
        self.environment = {
            "PATH": os.environ["PATH"], "AWS_REGION": REGION, "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }
        if token:
            self.environment["AWS_SESSION_TOKEN"] = token

    def does(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs it to its end, whatever that is."""
        return subprocess.run([CLI, *argv], input=stdin, env=self.environment, check=False,
                              capture_output=True, text=True, timeout=_WAIT_S)

    def says(self, *argv: str, stdin: str = "") -> str:
        """What it prints; it must succeed."""
        done = self.does(*argv, stdin=stdin)
        assert done.returncode == 0, f"{argv}: {done}"
        return done.stdout

    def json(self, *argv: str, stdin: str = "") -> Any:
        return json.loads(self.says(*argv, "--json", stdin=stdin))
