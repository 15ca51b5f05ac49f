"""What the scenarios share: instances that end with their test, and a schedule that is started
before the first of them, so that nobody waits a minute for its firing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.deploy import deploy_policy
from scenarios.account import Account
from scenarios.instance import Instance
from scenarios.places import INFRA
from scenarios.policies import policy

# Creating the stack takes less; a firing that is nearer would be missed.
_STACK_S = 10

Launch = Callable[..., Instance]


@pytest.fixture
def launch(account: Account) -> Iterator[Launch]:
    """Starts instances that end with the test."""
    launched: list[Instance] = []

    def one(name: str, **more: Any) -> Instance:
        launched.append(account.launch(name, **more))
        return launched[-1]

    yield one
    for instance in launched:
        if account.is_running(instance):
            instance.vanish()


@pytest.fixture(autouse=True)
def no_faults_left(account: Account) -> Iterator[None]:
    """A fault that one test set never reaches the next."""
    yield
    account.faults(ssmOutput={}, killHolderBeforeCreateSnapshots=None, deliveryDelaySeconds={},
                   throttleCreateSnapshots=0, loseCreateSnapshotsReply=0)


@pytest.fixture(scope="session", autouse=True)
def scheduled(account: Account) -> datetime:
    """A policy with an impossible field whose schedule, through infra/policy.yaml, fires at this
    time: the next full minute."""
    nominal = datetime.now(UTC) + timedelta(seconds=60 + _STACK_S)
    nominal = nominal.replace(second=0, microsecond=0)
    details = policy("nobody", "Stillpoint-Filesystem", ExecutionTimeout=500)
    cron = f"cron({nominal.minute} {nominal.hour} * * ? *)"
    details["Schedules"][0]["CreateRule"]["CronExpression"] = cron
    deploy_policy(account.cloud.client, INFRA, "scheduled", details)
    return nominal
