"""The operator's command line against the lab, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import boto3
from botocore.config import Config

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

    def client(self, service: str) -> Any:
        """boto3 with the same rights."""
        session = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
        return session.client(service, endpoint_url=self.environment["AWS_ENDPOINT_URL"],
                              config=Config(proxies={}))

    def invoke(self, function: str, event: Any) -> Any:
        """A function's answer, errors included."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read())

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
