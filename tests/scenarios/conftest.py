"""What the scenarios share: instances that end with their test, and a schedule that is started
before the first of them, so that nobody waits a minute for its firing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from conftest import build_if_missing
from lab.deploy import deploy_policy
from scenarios.account import Account
from scenarios.checks import until
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.places import CLI, INFRA
from scenarios.policies import SCHEDULE, SECOND_SCHEDULE, policy

# A policy that has a schedule on record, a start window of a minute, and no schedule that fires.
UNFIRED = "unfired"
# Creating the stack takes less; a firing that is nearer would be missed.
_STACK_S = 10

Launch = Callable[..., Instance]


class Scheduled(NamedTuple):
    """What fires by itself: when (RFC 3339), and the instance of the policy `coinciding`."""

    nominal: str
    instance: Instance


@pytest.fixture(scope="session")
def operator(account: Account) -> Operator:
    """The command line of a person with the rights of the operator's policy and no others."""
    build_if_missing(CLI, "stillpoint-cli")
    return account.operator("scenarios-operator")


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
def nothing_left(account: Account) -> Iterator[None]:
    """A fault that one test set never reaches the next, nor does a run that it asked for."""
    yield
    account.faults(ssmOutput={}, killHolderBeforeCreateSnapshots=None, deliveryDelaySeconds={},
                   throttleCreateSnapshots=0, loseCreateSnapshotsReply=0, loseCreateSnapshots=0,
                   loseSendCommand=0, loseSendCommandReply=0, ssmEnds={}, vss={})
    try:
        until(lambda: account.messages_left() == 0, "the runs that this test asked for are over")
    except AssertionError:
        account.purge()
        raise


@pytest.fixture(scope="session", autouse=True)
def scheduled(account: Account) -> Iterator[Scheduled]:
    """Two policies that fire through infra/policy.yaml at the next full minute, each with two
    schedules: `scheduled` has an impossible field, `coinciding` one instance and no script."""
    at = datetime.now(UTC) + timedelta(seconds=60 + _STACK_S)
    at = at.replace(second=0, microsecond=0)
    cron = f"cron({at.minute} {at.hour} * * ? *)"
    broken = policy("nobody", "Stillpoint-Filesystem", ExecutionTimeout=500)
    instance = account.launch("coinciding")
    whole = policy(instance.target, "Stillpoint-Filesystem")
    for details in (broken, whole):
        (first,) = details["Schedules"]
        first["CreateRule"]["CronExpression"] = cron
        second = {"Name": SECOND_SCHEDULE, "RetainRule": {"Count": 30},
                  "CreateRule": {"CronExpression": cron},
                  "TagsToAdd": [{"Key": "asked-by", "Value": SECOND_SCHEDULE}]}
        details["Schedules"] = [first, second]
    del whole["Schedules"][0]["CreateRule"]["Scripts"]
    # And one that nothing fires, of which only the guard can tell.
    account.put_policy(UNFIRED, whole | {"Stillpoint": {"StartWithinMinutes": 1}})
    account.expect_schedule(UNFIRED, SCHEDULE, cron)
    deploy_policy(account.cloud.client, INFRA, "scheduled", broken)
    deploy_policy(account.cloud.client, INFRA, "coinciding", whole)
    yield Scheduled(at.strftime("%Y-%m-%dT%H:%M:%SZ"), instance)
    instance.vanish()
