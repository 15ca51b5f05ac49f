"""A new user's first hour: docs/QUICKSTART.md, command by command, in the lab.

Each command is looked up in the page before it is run, with the lab's own ids in place of the
page's; so a page that goes astray fails here. In between, a host without the agent is found by
`stillpoint doctor` and explained by `stillpoint show`, and at the end the set is restored.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import build_if_missing
from demo.restore import wait_completed
from lab.config import REGION
from scenarios.account import Account
from scenarios.instance import Instance
from scenarios.places import CLI, ROOT

PAGE = (ROOT / "docs" / "QUICKSTART.md").read_text()
PACKAGES = ROOT / "target" / "package"
ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "x86_64"
PAGES_INSTANCE = "i-0123456789abcdef0"
_COMMAND_S = 900.0


class Shell:
    """What the user types, where they type it."""

    def __init__(self, endpoint: str) -> None:
        self._environment = {
            "PATH": f"{CLI.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/root"), "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "NO_PROXY": "127.0.0.1",
        } | {name: os.environ[name] for name in ("CARGO_TARGET_DIR", "CARGO_HOME", "RUSTUP_HOME")
             if name in os.environ}

    def does(self, command: str, more: str = "", **instead: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the page with something else in place of the page's own words."""
        assert re.search(rf"^{re.escape(command)}(?=\s|$)", PAGE, re.MULTILINE), f"not in the page: {command}"
        for theirs, ours in instead.items():
            word = {"instance": PAGES_INSTANCE, "run": "RUN-ID", "file": "nightly.json"}[theirs]
            assert word in command
            command = command.replace(word, ours)
        return subprocess.run(f"{command} {more}", shell=True, cwd=ROOT, env=self._environment,
                              capture_output=True, text=True, timeout=_COMMAND_S, check=False)

    def says(self, command: str, more: str = "", **instead: str) -> str:
        """What it prints; it must succeed."""
        done = self.does(command, more, **instead)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def shell(account: Account) -> Shell:
    build_if_missing(CLI, "stillpoint-cli")
    return Shell(account.cloud.endpoint)


@pytest.fixture(scope="module")
def instance(account: Account) -> Iterator[Instance]:
    """A host that has data, and no agent yet."""
    instance = account.launch("first-hour")
    instance.exec("rm", "-f", "/usr/local/bin/stillpoint-agent")
    instance.exec("sh", "-c", "echo 'worth keeping' > /data/proof")
    yield instance
    instance.vanish()


def policy_file(folder: Path) -> str:
    """The page's own nightly.json, for a host without a database."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert "Stillpoint-PostgreSQL" in text
    path = folder / "nightly.json"
    path.write_text(text.replace("Stillpoint-PostgreSQL", "Stillpoint-Filesystem"))
    return str(path)


def run(shell: Shell, account: Account) -> tuple[dict[str, Any], int]:
    """The page's run on demand: the event of the one run that it requests, and the exit code."""
    done = shell.does("stillpoint run nightly --wait")
    (run_id,) = set(re.findall(r"run-[0-9a-f]{20}", done.stdout))
    return account.finished.of(run_id), done.returncode


def install(account: Account, instance: Instance, sha256: str) -> None:
    """The page's send-command. The lab's hosts have no network, so the host serves the file itself."""
    instance.exec("sh", "-c", "mkdir -p /srv/agent && ip link set lo up")
    instance.exec("cp", str(PACKAGES / f"stillpoint-agent-{ARCHITECTURE}"), "/srv/agent/agent")
    instance.exec("sh", "-c", "setsid python3 -m http.server --bind 127.0.0.1 --directory /srv/agent 8098 "
                              ">/dev/null 2>&1 </dev/null & for i in $(seq 200); do "
                              "curl -sf -o /dev/null http://127.0.0.1:8098/ && exit; sleep 0.1; done; exit 1")
    sent = account.ssm.send_command(
        InstanceIds=[instance.id], DocumentName="Stillpoint-InstallAgent",
        Parameters={"url": ["http://127.0.0.1:8098/agent"], "sha256": [sha256]})
    waiter = account.ssm.get_waiter("command_executed")
    waiter.wait(CommandId=sent["Command"]["CommandId"], InstanceId=instance.id,
                WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_the_first_hour(account: Account, shell: Shell, instance: Instance, tmp_path: Path) -> None:
    # 1, 2: what is deployed is in the lab already, by the same program; the agent is packaged here.
    shell.says("make package", f"PROFILE=dev ARCH={ARCHITECTURE} AGENT_ONLY=1")
    published = shell.says("make publish-agent")
    agent = PACKAGES / f"stillpoint-agent-{ARCHITECTURE}"
    sha256 = hashlib.sha256(agent.read_bytes()).hexdigest()
    assert f"sha256={sha256}" in published and "published StillpointAgent" in published
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=PACKAGES, check=False)
    assert sums.returncode == 0

    # 3: a policy.
    shell.says(f"aws ec2 create-tags --resources {PAGES_INSTANCE} --tags Key=Backup,Value=nightly",
               instance=instance.id)
    path = policy_file(tmp_path)
    assert "valid" in shell.says("stillpoint policy check nightly.json", file=path)
    assert "CREATE_COMPLETE Schedule" in shell.says("make policy FILE=nightly.json", file=path)

    # 4: the doctor finds that the agent is missing.
    found = shell.does("stillpoint doctor --probe", "--policy nightly")
    assert found.returncode == 1, found
    assert re.search(rf"bad +{instance.id} +stillpoint-agent is not installed", found.stdout), found.stdout
    assert instance.id in shell.says("stillpoint plan --policy nightly")

    # Whoever goes on all the same gets a set that says what it is, and why.
    broken, code = run(shell, account)
    assert (broken["consistency"], broken["code"], code) == ("crash", "SP3017", 1)
    story = shell.says("stillpoint show RUN-ID", run=broken["runId"])
    assert "SP3017" in story and "is not installed" in story, story

    # 2: the agent, and the doctor is content.
    install(account, instance, sha256)
    healthy = shell.does("stillpoint doctor --probe", "--policy nightly")
    assert (healthy.returncode, "would freeze /data" in healthy.stdout) == (0, True), healthy.stdout

    # 5: a set, and the proof.
    event, code = run(shell, account)
    assert (event["outcome"], event["consistency"], code) == ("completed", "application", 0), event
    assert event["runId"] in shell.says("stillpoint runs")
    assert "application" in shell.says("stillpoint show RUN-ID", run=event["runId"])

    # 6: restored, and what was written is there.
    snapshots = [snapshot["snapshotId"] for snapshot in event["snapshots"]]
    wait_completed(account.cloud, snapshots)
    listed = shell.says("aws ec2 describe-snapshots --owner-ids self",
                        f"--filters Name=tag:stillpoint:run-id,Values={event['runId']} --output text")
    assert all(snapshot in listed for snapshot in snapshots)
    (device,) = account.cloud.admin("POST", "restore", {"snapshotIds": snapshots})
    try:
        copied = subprocess.run(
            ["unshare", "--mount", "sh", "-c", 'mount -o ro,noload "$0" /mnt && cat /mnt/proof', device["device"]],
            capture_output=True, text=True, check=False)
    finally:
        account.cloud.admin("POST", "release", {"devices": [device["device"]]})
    assert copied.stdout == "worth keeping\n", copied
    assert account.frozen() == []


def test_deploying_again_changes_nothing(account: Account, tmp_path: Path) -> None:
    """`make policy` twice, for the program's way when there is nothing to do."""
    shell = Shell(account.cloud.endpoint)
    path = policy_file(tmp_path)
    shell.says("make policy FILE=nightly.json", file=path)
    # AWS's command line names a change set after the second.
    time.sleep(1.1)
    assert "nothing has changed" in shell.says("make policy FILE=nightly.json", file=path)
    Path(path).write_text("{")
    wrong = shell.does("make policy FILE=nightly.json", file=path)
    assert wrong.returncode != 0 and "deploy: FILE: " in wrong.stderr, wrong
