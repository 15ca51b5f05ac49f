"""A month of hourly sets: at every look the account has exactly what docs/RETENTION.md says.

The functions have the machine's clock, so the month passes the other way round: six hours are over
when everything that is there is six hours older, the reaper's own marks included. What it waits for
is its own grace, and what it deletes it deletes with its own role.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.policies import policy

MONTH, STEP, GRACE = 30 * 24, 6, 24
# Two days at the end of the month are looked at; all that goes in them is older than these.
FIRST = MONTH - 48
HOURLY, DAILY = FIRST - 6, 28
MARKS = ("stillpoint:delete-after", "stillpoint:deleting-at")
HOUR_S = 3600


def is_daily(hour: int) -> bool:
    return hour % 24 == 3


class Month:
    """The sets of one instance; the hour of a set is its name."""

    def __init__(self, account: Account, policy_id: str, instance_id: str, volume_id: str) -> None:
        self._account, self._policy_id = account, policy_id
        self._instance_id, self._volume_id = instance_id, volume_id
        self._made = 0
        self._seen: dict[int, dict[str, Any]] = {}

    def look(self) -> dict[int, dict[str, Any]]:
        """What EC2 has of it."""
        filters = [{"Name": "tag:stillpoint:policy-id", "Values": [self._policy_id]}]
        found = self._account.ec2.describe_snapshots(OwnerIds=["self"], Filters=filters)["Snapshots"]
        tags = [{tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found]
        self._seen = {int(tag["hour"]): {"id": one["SnapshotId"], "tags": tag}
                      for one, tag in zip(found, tags, strict=True)}
        return self._seen

    def pass_until(self, now: int) -> None:
        """It is this hour: its set was made a moment ago, and everything else is older by so much."""
        passed, self._made = now + 1 - self._made, now + 1
        for one in self._seen.values():
            self._age_marks(one, passed)
        ids = {hour: one["id"] for hour, one in self._seen.items()}
        ids |= {hour: self._make(hour) for hour in range(self._made - passed, self._made)}
        at = time.time() - 1
        self._account.cloud.admin("POST", "snapshots/start-times", {
            snapshot_id: at - (now - hour) * HOUR_S for hour, snapshot_id in ids.items()})

    def _age_marks(self, one: dict[str, Any], hours: int) -> None:
        older = [{"Key": key, "Value": (datetime.fromisoformat(one["tags"][key])
                                        - timedelta(hours=hours)).astimezone(UTC)
                  .strftime("%Y-%m-%dT%H:%M:%S.000Z")} for key in MARKS if key in one["tags"]]
        if older:
            self._account.ec2.create_tags(Resources=[one["id"]], Tags=older)

    def _make(self, hour: int) -> str:
        run = f"{self._policy_id}-{hour:04}"
        tags = {"hour": str(hour), "stillpoint:run-id": run, "stillpoint:set-size": "1",
                "stillpoint:policy-id": self._policy_id, "stillpoint:instance-id": self._instance_id,
                "stillpoint:schedule-name": "hourly,daily" if is_daily(hour) else "hourly",
                "stillpoint:consistency": "application"}
        made = self._account.ec2.create_snapshot(
            VolumeId=self._volume_id, Description=f"made by {run}",
            TagSpecifications=[{"ResourceType": "snapshot", "Tags": [
                {"Key": key, "Value": value} for key, value in tags.items()]}])
        return str(made["SnapshotId"])


def kept(now: int) -> set[int]:
    """What the two schedules keep of the sets that were ever made until this hour."""
    daily = [hour for hour in range(now + 1) if is_daily(hour)]
    return set(range(now + 1)[-HOURLY:]) | set(daily[-DAILY:])


def test_a_month_keeps_exactly_what_the_policy_says(account: Account, launch: Launch) -> None:
    instance = launch("month")
    details = policy(instance.target, "none")
    del details["Schedules"][0]["CreateRule"]["Scripts"]
    hourly = details["Schedules"][0] | {
        "Name": "hourly", "RetainRule": {"Count": HOURLY},
        "CreateRule": {"CronExpression": "cron(0 * * * ? *)"}}
    daily = hourly | {"Name": "daily", "RetainRule": {"Count": DAILY},
                      "CreateRule": {"CronExpression": "cron(0 3 * * ? *)"}}
    account.put_policy("month", details | {"Schedules": [hourly, daily]})
    (volume_id,) = [one["volumeId"] for one in instance.volumes if one["mount"]]
    month = Month(account, "month", instance.id, volume_id)

    marked: dict[int, int] = {}
    for now in range(FIRST - 1, MONTH, STEP):
        there = set(range(now + 1)) - {hour for hour, at in marked.items() if at + GRACE <= now}
        month.pass_until(now)
        answer, is_error = account.invoke("stillpoint-reaper", {})
        assert not is_error and not answer["failed"] and not answer["outOfTime"], answer
        marked |= {hour: now for hour in there - kept(now) if hour not in marked}

        found = month.look()
        assert set(found) == there, f"hour {now}"
        waiting = {hour for hour, one in found.items() if MARKS[0] in one["tags"]}
        assert waiting == there - kept(now), f"hour {now}"
    assert there >= kept(MONTH - 1) and len(marked) > 50 and len(there) < MONTH - 24
    # A daily set outlives the hourly ones around it.
    assert 51 in there and not {3, 27} & kept(MONTH - 1)
