"""One lab as anybody outside it uses it: a process, an endpoint, an admin API."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ..deploy import session

TESTS = Path(__file__).resolve().parents[2]


class LabProcess:
    """One lab, as anybody outside it uses it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = state.parent / f"{state.name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> None:
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "lab",
                    "up",
                    "--state",
                    str(self.state),
                    "--port",
                    str(self.port),
                ],
                cwd=TESTS,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not (self.state / "lab.json").exists():
            assert self.process.poll() is None and time.monotonic() < deadline, (
                self.log.read_text()[-2000:]
            )
            time.sleep(0.05)
        self.client = session(self.state)

    def down(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "lab", "down", "--state", str(self.state)],
            cwd=TESTS,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if self.process:
            self.process.wait(60)
        assert done.returncode == 0, done.stderr

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/_lab/{path}", data=data, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(
                f"{method} {path}: {error.code} {error.read().decode()}"
            ) from error

    def launch(self, name: str, **more: Any) -> dict[str, Any]:
        volumes = [
            {
                "device": "/dev/sdf",
                "fs": "ext4",
                "mount": "/data",
                "size_mib": 256,
                "tags": {"team": "a"},
            },
            {"device": "/dev/sdg", "fs": "xfs", "mount": "/wal", "size_mib": 320},
        ]
        return self.admin("POST", "instances", {"name": name, "volumes": volumes} | more)

    def run(self, instance: dict[str, Any], *argv: str) -> str:
        done = self.admin("POST", f"instances/{instance['instanceId']}/exec", {"argv": list(argv)})
        assert done["exitCode"] == 0, done
        return str(done["stdout"])

    def send(
        self,
        instance: dict[str, Any],
        document: str = "AWS-RunShellScript",
        **parameters: list[str],
    ) -> str:
        sent = self.client("ssm").send_command(
            InstanceIds=[instance["instanceId"]], DocumentName=document, Parameters=parameters
        )
        return str(sent["Command"]["CommandId"])

    def follow(
        self,
        instance: dict[str, Any],
        command: str,
        seconds: float = 30,
        step: str | None = None,
    ) -> tuple[list[str], dict[str, Any]]:
        """Every status seen until the end, and the last answer; of a step, if there are several."""
        named = {"PluginName": step} if step else {}
        seen: list[str] = []
        deadline = time.monotonic() + seconds
        while True:
            try:
                answer = self.client("ssm").get_command_invocation(
                    CommandId=command, InstanceId=instance["instanceId"], **named
                )
                status = answer["Status"]
            except ClientError as error:
                answer, status = {}, error.response["Error"]["Code"]
            if seen[-1:] != [status]:
                seen.append(status)
            if status in ("Success", "Failed", "TimedOut", "Cancelled"):
                return seen, answer
            assert time.monotonic() < deadline, f"still {status} after {seconds} s: {seen}"
            time.sleep(0.02)


def error_code(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def create_snapshots(
    lab: LabProcess, instance: dict[str, Any], **more: Any
) -> list[dict[str, Any]]:
    spec = {"InstanceId": instance["instanceId"], "ExcludeBootVolume": True} | more.pop("spec", {})
    return list(lab.client("ec2").create_snapshots(InstanceSpecification=spec, **more)["Snapshots"])
