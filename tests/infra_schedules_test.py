"""The schedules that infra/deploy.py reads in a policy file: the parameters of infra/policy.yaml."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = Path("nightly.json")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("stillpoint_deploy", ROOT / "infra" / "deploy.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DEPLOY = load()


def schedule(name: str | None, **rule: Any) -> dict[str, Any]:
    return ({} if name is None else {"Name": name}) | {"CreateRule": rule}


def test_every_schedule_of_the_document_is_fired() -> None:
    document = {"Schedules": [schedule("A", CronExpression="cron(0 3 * * ? *)"), schedule(None, Interval=24)]}
    assert DEPLOY.policy_parameters(document, FILE, None) == {
        "TimeZone": "UTC",
        "ScheduleName": "A", "ScheduleExpression": "cron(0 3 * * ? *)",
        "ScheduleName2": "Schedule 2", "ScheduleExpression2": "cron(0 0 * * ? *)",
    }
    only = DEPLOY.policy_parameters(document, FILE, "Schedule 2")
    assert (only["ScheduleName"], "ScheduleName2" in only) == ("Schedule 2", False)


@pytest.mark.parametrize(
    ("rule", "expression"),
    [
        ({"Interval": 12, "Times": ["21:45"]}, "cron(45 9,21 * * ? *)"),
        ({"Interval": 8, "Times": ["23:00"]}, "cron(0 7,15,23 * * ? *)"),
        ({"Interval": 1, "Times": ["17:10"]}, "cron(10 * * * ? *)"),
        ({"Interval": 6}, "cron(0 0,6,12,18 * * ? *)"),
    ],
)
def test_an_interval_is_written_out_as_the_planner_counts_it(rule: dict[str, Any], expression: str) -> None:
    assert DEPLOY.expression(rule) == expression


def test_a_default_policy_has_the_schedule_that_the_planner_gives_it() -> None:
    parameters = DEPLOY.policy_parameters({"PolicyLanguage": "SIMPLIFIED", "ResourceType": "INSTANCE"}, FILE, None)
    assert (parameters["ScheduleName"], parameters["ScheduleExpression"]) == ("Default", "cron(0 0 * * ? *)")


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: {"PolicyDetails": d}, lambda d: {"Policy": {"PolicyDetails": d}}])
def test_what_dlm_lacks_is_deployed_too(wrap: Any) -> None:
    details = {"Schedules": [schedule("A", CronExpression="cron(0 3 * * ? *)")]}
    document = wrap(dict(details)) | {"Stillpoint": {"TimeZone": "Europe/Berlin"}}
    assert DEPLOY.bare(document) == details | {"Stillpoint": {"TimeZone": "Europe/Berlin"}}
    assert DEPLOY.policy_parameters(document, FILE, None)["TimeZone"] == "Europe/Berlin"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"Schedules": []},
        {"Schedules": [schedule("A", Interval=5)]},
        {"Schedules": [schedule(f"{n}", Interval=24) for n in range(5)]},
    ],
)
def test_a_document_that_cannot_be_fired_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(DEPLOY.Failed, match="nightly.json"):
        DEPLOY.policy_parameters(document, FILE, None)
