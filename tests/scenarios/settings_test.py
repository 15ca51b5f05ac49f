"""What the Stillpoint object of a policy changes in a run (docs/POLICIES.md)."""

from __future__ import annotations

import json
from typing import Any

from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.policies import SCHEDULE, policy


def receipt(account: Account, event: dict[str, Any], stage: str) -> dict[str, Any]:
    output = account.output(event, stage, event["instanceId"])["StandardOutputContent"]
    return json.loads(output.splitlines()[-1])


def test_deadline_timeout_and_parameters_reach_the_agent(account: Account, launch: Launch) -> None:
    instance = launch("settings")
    details = policy(instance.target, "Stillpoint-Filesystem") | {
        "Stillpoint": {"Scripts": [{"Schedule": SCHEDULE, "ExecutionTimeout": 150, "Deadline": 25}]}}
    event = account.run(policy=details)
    assert (event["outcome"], event["consistency"]) == ("completed", "application")
    sent = [entry["parameters"] for entry in instance.timeline() if entry["event"] == "SendCommand"]
    assert [one["deadline"] for one in sent] == [["25s"], ["25s"]]
    assert [one["timeout"] for one in sent] == [["150s"], ["150s"]]
    assert receipt(account, event, "postScript")["hold"]["deadlineMs"] == 25_000


def test_required_consistency_makes_no_set_where_it_cannot_be_had(
    account: Account, launch: Launch
) -> None:
    instance = launch("required", managed=False)
    details = policy(instance.target, "Stillpoint-Filesystem") | {
        "Stillpoint": {"RequireApplicationConsistency": True}}
    event = account.run(policy=details)
    assert (event["outcome"], event["snapshots"]) == ("failed", [])
    assert account.snapshots(event["runId"]) == []


def test_a_firing_in_a_blackout_window_starts_nothing(account: Account, launch: Launch) -> None:
    instance = launch("blackout")
    details = policy(instance.target, "Stillpoint-Filesystem") | {"Stillpoint": {
        "TimeZone": "Europe/Berlin", "BlackoutWindows": [{"From": "03:00", "To": "04:00"}]}}
    account.put_policy("blackout", details)
    # 02:30 UTC in winter.
    plan = account.plan(policyId="blackout", schedule=SCHEDULE, scheduledTime="2026-01-15T02:30:00Z")
    assert plan["runs"] == []
    (left,) = plan["leftOut"]
    assert left == {"instanceId": instance.id,
                    "reason": "the firing is in a blackout window: daily 03:00 to 04:00"}
    assert instance.story() == []
