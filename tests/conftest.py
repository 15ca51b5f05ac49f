"""One lab for the whole pytest session, with the product deployed into it.

The lab keeps its state in target/, under a lock, so that what a killed session left behind is
taken down by the next one, and two sessions wait for each other. Nothing is started before a
test asks for `account`.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.cloud import Cloud
from lab.deploy import deploy_product
from scenarios.account import Account
from scenarios.places import AGENT, BOOTSTRAP, INFRA, ROOT, STATE


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    """A running lab."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root: it makes filesystems, mounts, loop devices and namespaces")
    STATE.mkdir(parents=True, exist_ok=True)
    with open(STATE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cloud = Cloud(STATE / "lab", STATE)
        try:
            cloud.up()
            yield cloud
        finally:
            cloud.down()


@pytest.fixture(scope="session")
def account(cloud: Cloud) -> Account:
    """The lab with the functions, queues, roles and documents of infra/template.yaml in it."""
    build_if_missing(BOOTSTRAP, "stillpoint-bootstrap")
    return Account(cloud, deploy_product(cloud.client, BOOTSTRAP, INFRA))


@pytest.fixture(scope="session")
def agent() -> None:
    """The agent's binary; instances that are launched from now on have it."""
    build_if_missing(AGENT, "stillpoint-agent")


def build_if_missing(binary: Path, package: str) -> None:
    if not binary.exists():
        print(f"building {package}, which takes minutes the first time")
        subprocess.run(["cargo", "build", "-q", "-p", package], cwd=ROOT, check=True)
