"""A new user's first hour: README.md and docs/QUICKSTART.md, command by command, in the lab.

All of it in a clean clone, where nothing is but what is committed. Each command is looked up in the page
before it is run, with the lab's own ids in place of the page's; so a page that goes astray fails here. In
between, a host without the agent is found by `stillpoint doctor` and explained by `stillpoint show`, and at
the end the set is restored.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import build_if_missing
from demo.restore import wait_completed
from lab.config import REGION, ZONE
from lab.deploy import code_zip
from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.places import BOOTSTRAP, CLI, ROOT, STATE

ARCHITECTURE = "arm64" if platform.machine() == "aarch64" else "x86_64"
PAGES_INSTANCE = "i-0123456789abcdef0"
# What the pages have, and the test something else for.
WORDS = {"instance": PAGES_INSTANCE, "volume": "vol-0123456789abcdef0", "zone": "eu-central-1a",
         "file": "nightly.json"}
_COMMAND_S = 900.0


class Shell:
    """What the user types from a page of the clone, in the clone."""

    def __init__(self, endpoint: str, clone: Path, page: str, run_id: str) -> None:
        self.clone, self.page = clone, (clone / page).read_text()
        self.packages = clone / "target" / "package"
        self._words = WORDS | {"run": run_id}
        self._environment = {
            # The crates that others have made are not compiled a second time.
            "CARGO_TARGET_DIR": str(ROOT / "target"),
            "PATH": f"{CLI.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", "/root"), "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test", "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "NO_PROXY": "127.0.0.1",
        } | {name: os.environ[name] for name in ("CARGO_TARGET_DIR", "CARGO_HOME", "RUSTUP_HOME")
             if name in os.environ}

    def does(self, command: str, more: str = "", **instead: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the page with something else in place of the page's own words."""
        assert re.search(rf"^{re.escape(command)}(?=\s|$)", self.page, re.MULTILINE), f"not in the page: {command}"
        for theirs, ours in instead.items():
            assert self._words[theirs] in command
            command = command.replace(self._words[theirs], ours)
        return subprocess.run(f"{command} {more}", shell=True, cwd=self.clone, env=self._environment,
                              capture_output=True, text=True, timeout=_COMMAND_S, check=False)

    def says(self, command: str, more: str = "", **instead: str) -> str:
        """What it prints; it must succeed."""
        done = self.does(command, more, **instead)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def clone() -> Iterator[Path]:
    """A clean clone of what is committed, where the lab's hosts can see it."""
    build_if_missing(CLI, "stillpoint-cli")
    clone = STATE / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    yield clone
    shutil.rmtree(clone)


@pytest.fixture(scope="module")
def shell(account: Account, clone: Path) -> Shell:
    return Shell(account.cloud.endpoint, clone, "docs/QUICKSTART.md", "RUN-ID")


@pytest.fixture(scope="module")
def instance(account: Account) -> Iterator[Instance]:
    """A host that has data, and no agent yet."""
    instance = account.launch("first-hour")
    instance.exec("rm", "-f", "/usr/local/bin/stillpoint-agent")
    instance.exec("sh", "-c", "echo 'worth keeping' > /data/proof")
    yield instance
    instance.vanish()


def policy_file(page: str, folder: Path) -> str:
    """The page's own nightly.json, for a host without a database."""
    (text,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert "Stillpoint-PostgreSQL" in text
    path = folder / "nightly.json"
    path.write_text(text.replace("Stillpoint-PostgreSQL", "Stillpoint-Filesystem"))
    return str(path)


def run(shell: Shell, account: Account, command: str, **instead: str) -> tuple[dict[str, Any], int]:
    """The page's run on demand: the event of the one run that it requests, and the exit code."""
    done = shell.does(command, **instead)
    (run_id,) = set(re.findall(r"run-[0-9a-f]{20}", done.stdout))
    return account.finished.of(run_id), done.returncode


def install(account: Account, instance: Instance, agent: Path, sha256: str) -> None:
    """The page's send-command. The lab's hosts have no network, so the host serves the file itself."""
    instance.exec("sh", "-c", "mkdir -p /srv/agent && ip link set lo up")
    instance.exec("cp", str(agent), "/srv/agent/agent")
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
    agent = shell.packages / f"stillpoint-agent-{ARCHITECTURE}"
    sha256 = hashlib.sha256(agent.read_bytes()).hexdigest()
    assert f"sha256={sha256}" in published and "published StillpointAgent" in published
    sums = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=shell.packages, check=False)
    assert sums.returncode == 0

    # 3: a policy.
    shell.says(f"aws ec2 create-tags --resources {PAGES_INSTANCE} --tags Key=Backup,Value=nightly",
               instance=instance.id)
    path = policy_file(shell.page, tmp_path)
    assert "valid" in shell.says("stillpoint policy check nightly.json", file=path)
    assert "CREATE_COMPLETE Schedule" in shell.says("make policy FILE=nightly.json", file=path)

    # 4: the doctor finds that the agent is missing.
    found = shell.does("stillpoint doctor --probe", "--policy nightly")
    assert found.returncode == 1, found
    assert re.search(rf"bad +{instance.id} +stillpoint-agent is not installed", found.stdout), found.stdout
    assert instance.id in shell.says("stillpoint plan --policy nightly")

    # Whoever goes on all the same gets a set that says what it is, and why.
    broken, code = run(shell, account, "stillpoint run nightly --wait")
    assert (broken["consistency"], broken["code"], code) == ("crash", "SP3017", 1)
    story = shell.says("stillpoint show RUN-ID", run=broken["runId"])
    assert "SP3017" in story and "is not installed" in story, story

    # 2: the agent, and the doctor is content.
    install(account, instance, agent, sha256)
    healthy = shell.does("stillpoint doctor --probe", "--policy nightly")
    assert (healthy.returncode, "would freeze /data" in healthy.stdout) == (0, True), healthy.stdout

    # 5: a set, and the proof.
    event, code = run(shell, account, "stillpoint run nightly --wait")
    assert (event["outcome"], event["consistency"], code) == ("completed", "application", 0), event
    assert event["runId"] in shell.says("stillpoint runs")
    assert "application" in shell.says("stillpoint show RUN-ID", run=event["runId"])

    # 6: restored beside the original, and what was written is there.
    wait_completed(account.cloud, [snapshot["snapshotId"] for snapshot in event["snapshots"]])
    instance.exec("rm", "/data/proof")
    restored = shell.says("stillpoint restore --run RUN-ID --to-volumes eu-central-1a", "--yes",
                          run=event["runId"], zone=ZONE)
    (volume,) = set(re.findall(r"vol-[0-9a-f]{17}", restored)) - {one["volumeId"] for one in event["snapshots"]}
    shell.says("aws ec2 attach-volume --volume-id vol-0123456789abcdef0 --instance-id i-0123456789abcdef0 "
               "--device /dev/sdx", volume=volume, instance=instance.id)
    link = f"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{volume.replace('-', '')}"
    seen = instance.exec("unshare", "--mount", "sh", "-ec", f"mount -o ro {link} /mnt; cat /mnt/proof; umount /mnt")
    assert seen == "worth keeping\n"
    account.ec2.detach_volume(VolumeId=volume)
    assert account.frozen() == []


def test_the_readme(
    account: Account, clone: Path, launch: Launch, agent: None, tmp_path: Path
) -> None:
    """Its chapter on use, from the first command to the last."""
    shell = Shell(account.cloud.endpoint, clone, "README.md", "run-0123456789abcdef0123")
    instance = launch("readme")
    account.ec2.create_tags(Resources=[instance.id], Tags=[{"Key": "Backup", "Value": "nightly"}])
    # The functions as the lab has them, since those of a release take many minutes.
    package = tmp_path / f"functions-{ARCHITECTURE}.zip"
    package.write_bytes(code_zip(BOOTSTRAP))
    deployed = shell.says("make package deploy", f"PROFILE=dev ARCH={ARCHITECTURE} AGENT_ONLY=1 PACKAGE={package}")
    assert "stillpoint: nothing has changed" in deployed and "PlannerArn: " in deployed, deployed

    path = policy_file(shell.page, tmp_path)
    assert "valid" in shell.says("stillpoint policy check nightly.json", file=path)
    assert instance.id in shell.says("stillpoint plan --policy nightly.json", file=path)
    shell.says("make policy FILE=nightly.json", file=path)
    drills = shell.says(f"make drill-schedule POLICY=nightly HOST={PAGES_INSTANCE}", instance=instance.id)
    assert "CREATE_COMPLETE Schedule" in drills

    event, code = run(shell, account, f"stillpoint run nightly --instance {PAGES_INSTANCE} --wait",
                      instance=instance.id)
    assert (event["instanceId"], event["consistency"], code) == (instance.id, "application", 0), event
    assert event["runId"] not in shell.says("stillpoint runs --since 24h --outcome failed")
    assert "application" in shell.says("stillpoint show run-0123456789abcdef0123", run=event["runId"])


def test_deploying_again_changes_nothing(shell: Shell, tmp_path: Path) -> None:
    """`make policy` twice, for the program's way when there is nothing to do."""
    path = policy_file(shell.page, tmp_path)
    shell.says("make policy FILE=nightly.json", file=path)
    # AWS's command line names a change set after the second.
    time.sleep(1.1)
    assert "nothing has changed" in shell.says("make policy FILE=nightly.json", file=path)
    Path(path).write_text("{")
    wrong = shell.does("make policy FILE=nightly.json", file=path)
    assert wrong.returncode != 0 and "deploy: FILE: " in wrong.stderr, wrong
