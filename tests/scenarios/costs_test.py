"""What a run really writes, against what docs/COSTS.md counts."""

from __future__ import annotations

import math
from typing import Any

from infra.costs import POLICY_METRICS, RUN
from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.policies import policy
from scenarios.reported_test import metrics


def size(item: dict[str, Any]) -> int:
    """As DynamoDB counts: names and values, in bytes."""
    return sum(len(name) + len(str(*value.values()).encode()) for name, value in item.items())


def test_a_run_costs_what_the_page_says(account: Account, launch: Launch, agent: None) -> None:
    instance = launch("costs")
    event = account.run(policy=policy(instance.target, "Stillpoint-Filesystem"))
    assert event["consistency"] == "application", event
    item = account.record(event["runId"])
    assert int(item["version"]["N"]) == RUN.saves, "one version a write"
    assert math.ceil(size(item) / 1024) == RUN.item_kb, size(item)
    named = metrics(account, "stillpoint-runner", runId=event["runId"])
    # The planner's own is the one more.
    assert len(named) + 1 == POLICY_METRICS, named
