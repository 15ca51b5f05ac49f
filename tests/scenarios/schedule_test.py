"""A firing of EventBridge Scheduler itself, as infra/policy.yaml sets it up, that is refused."""

from __future__ import annotations

from datetime import datetime

from scenarios.account import Account
from scenarios.policies import SCHEDULE


def test_a_firing_that_nobody_watches_is_recorded(account: Account, scheduled: datetime) -> None:
    events = account.finished.wait(policyId="scheduled")
    # Repeats of the failed invocation are the same occasion.
    assert len({event["runId"] for event in events}) == 1
    event = events[0]
    assert (event["outcome"], event["code"]) == ("failed", "SP1003")
    assert "Scripts[0].ExecutionTimeout: found 500, allowed" in event["reason"]
    assert event["scheduleName"] == SCHEDULE
    assert event["nominalTime"] == scheduled.strftime("%Y-%m-%dT%H:%M:%SZ")
