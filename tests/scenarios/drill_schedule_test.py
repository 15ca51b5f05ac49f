"""Restore drills on a schedule, deployed as a person does it, by `make drill-schedule`'s program."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from lab.deploy import run_deploy
from scenarios.account import Account
from scenarios.checks import until
from scenarios.conftest import Launch
from scenarios.places import INFRA

# Deploying takes less; a firing that is nearer would be missed.
_STACK_S = 20
_FIRING_S = 60.0 + _STACK_S + 30


def test_a_firing_reaches_the_restorer_under_the_schedules_role(account: Account, launch: Launch) -> None:
    host = launch("drill-host")
    at = datetime.now(UTC) + timedelta(seconds=60 + _STACK_S)
    said = run_deploy(account.cloud.client, INFRA, "drill", "--policy", "without-sets", "--host", host.id,
                      "--cron", f"cron({at.minute} {at.hour} * * ? *)", "--verify", '{"application": "none"}')
    assert "CREATE_COMPLETE Schedule" in said
    # There is no set to drill: the restorer says so, and as nobody waits for its answer, in a letter.
    (letter,) = until(lambda: account.dead_letters("EventsDeadQueueUrl"), "the firing is a letter", _FIRING_S)
    told = json.loads(letter)
    assert told["requestPayload"] == {
        "into": "drill", "policyId": "without-sets", "hostInstanceId": host.id,
        "document": "Stillpoint-Drill", "parameters": {"application": "none"}, "timeoutSeconds": 1800}
    assert "found a policy without sets" in told["responsePayload"]["errorMessage"]
    account.cloud.client("cloudformation").delete_stack(StackName="stillpoint-drill-without-sets")
