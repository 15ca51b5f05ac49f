"""EventBridge Scheduler on time: within a second, in UTC, with its context attributes filled in.

ministack looks every ten seconds and hands `<aws.scheduler.scheduled-time>` on as it is; and neither
for schedules nor for rules does it repeat an invocation that failed, as Lambda does.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from ..config import ACCOUNT, REGION
from .moto_calls import as_account


def install() -> None:
    """Schedules fire within a second of their time and see their context attributes."""
    from ministack.services import eventbridge, scheduler

    eventbridge._dispatch_to_lambda = _invoke
    scheduler._SCHEDULE_TICK_INTERVAL = 1
    fired: dict[Any, float] = {}

    def tick() -> None:
        now = time.time()
        for key, schedule in list(scheduler._schedules._data.items()):
            if schedule.get("State") != "ENABLED":
                continue
            start = scheduler._to_epoch(schedule.get("StartDate")) or 0
            end = scheduler._to_epoch(schedule.get("EndDate")) or now + 1
            if not start <= now <= end:
                continue
            due = _due(schedule, fired.get(key, float(schedule["CreationDate"])), key in fired)
            if due is None or due > now:
                continue
            fired[key] = due
            with as_account():
                _fire(schedule, due)
            if schedule.get("ActionAfterCompletion") == "DELETE" and schedule[
                "ScheduleExpression"
            ].startswith("at("):
                scheduler._schedules._data.pop(key, None)

    scheduler._tick_schedules = tick


def _invoke(arn: str, payload: str) -> None:
    """As Lambda takes what EventBridge gives it: with repeats, and then the destination of failures."""
    from ministack.services import lambda_svc

    function, settings, _ = lambda_svc._get_func_record_for_ref(arn)
    if function and settings:
        record = lambda_svc._execution_record_for_config(function, settings)
        lambda_svc.invoke_async_with_retry(record, json.loads(payload))


def _due(schedule: dict, after: float, fired_before: bool) -> float | None:
    """The first nominal time after `after`, in epoch seconds."""
    from ministack.services import eventbridge, scheduler

    expression = schedule.get("ScheduleExpression", "")
    at = scheduler._at_time_epoch(expression)
    if at is not None:
        return None if fired_before else at
    seconds = eventbridge._parse_rate_seconds(expression)
    if seconds is not None:
        return after + seconds
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    following = eventbridge._cron_next_fire(fields, datetime.fromtimestamp(after, tz=UTC))
    return following.timestamp() if following else None


def _fire(schedule: dict, due: float) -> None:
    from ministack.services import eventbridge

    nominal = datetime.fromtimestamp(due, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    attributes = {
        "scheduled-time": nominal,
        "schedule-arn": schedule["Arn"],
        "execution-id": str(uuid.uuid4()),
        "attempt-number": "1",
    }
    target = dict(schedule["Target"])
    for name, value in attributes.items():
        target["Input"] = target.get("Input", "").replace(f"<aws.scheduler.{name}>", value)
    event = {
        "EventId": str(uuid.uuid4()),
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "Time": int(due),
        "Resources": [schedule["Arn"]],
        "Account": ACCOUNT,
        "Region": REGION,
    }
    eventbridge._invoke_target(target, event, schedule)
