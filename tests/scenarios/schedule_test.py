"""Firings of EventBridge Scheduler itself, as infra/policy.yaml sets them up."""

from __future__ import annotations

import re

from scenarios.account import Account
from scenarios.conftest import Scheduled
from scenarios.policies import SCHEDULE, SECOND_SCHEDULE


def test_a_firing_that_nobody_watches_is_recorded(account: Account, scheduled: Scheduled) -> None:
    for schedule in (SCHEDULE, SECOND_SCHEDULE):
        events = account.finished.wait(policyId="scheduled", scheduleName=schedule)
        # Repeats of the failed invocation are the same occasion.
        assert len({event["runId"] for event in events}) == 1
        event = events[0]
        assert (event["outcome"], event["code"]) == ("failed", "SP1003")
        assert "Scripts[0].ExecutionTimeout: found 500, allowed" in event["reason"]
        assert event["nominalTime"] == scheduled.nominal


def test_schedules_that_fire_at_the_same_time_make_one_set(
    account: Account, scheduled: Scheduled
) -> None:
    # Both firings are with the planner before those of the other policy have ended.
    (event,) = account.finished.wait(policyId="coinciding")
    assert event["instanceId"] == scheduled.instance.id
    assert event["nominalTime"] == scheduled.nominal
    # The one that keeps it longer.
    assert event["scheduleName"] == SECOND_SCHEDULE
    snapshots = account.snapshots(event["runId"])
    assert {one["tags"]["asked-by"] for one in snapshots} == {SECOND_SCHEDULE}
    assert scheduled.instance.story() == ["CreateSnapshots"]
    for schedule in (SCHEDULE, SECOND_SCHEDULE):
        (again,) = account.plan(policyId="coinciding", schedule=schedule, dryRun=True,
                                scheduledTime=scheduled.nominal)["runs"]
        assert again["runId"] == event["runId"], "whichever of them fires, it is this run"


def test_a_default_policy_looks_at_every_instance(
    account: Account, scheduled: Scheduled
) -> None:
    details = {"PolicyType": "IMAGE_MANAGEMENT", "PolicyLanguage": "SIMPLIFIED",
               "ResourceType": "INSTANCE", "CreateInterval": 1, "RetainInterval": 7}
    everybody = account.plan(policy=details, dryRun=True)
    reasons = {one["instanceId"]: one["reason"] for one in everybody["leftOut"]}
    why = reasons[scheduled.instance.id]
    assert re.fullmatch(r"it was launched \d+ hours ago, less than 24", why), why
    assert everybody["runs"] == []
    # Whoever names an instance has decided.
    named = account.plan(policy=details, instanceIds=[scheduled.instance.id], dryRun=True)
    assert [run["instanceId"] for run in named["runs"]] == [scheduled.instance.id]
