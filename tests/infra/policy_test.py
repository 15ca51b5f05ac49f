"""A policy's stack: what its schedules fire, what its parameters take, what the guard expects of it."""

from __future__ import annotations

import json
import re

import pytest

from infra.stack import FUNCTIONS, POLICY_STACK, STACK, sid
from infra.template import DRILL, POLICY, of_type


def test_policies_and_drills_import_only_what_the_stack_exports() -> None:
    exported = {o["Export"]["Name"] for o in STACK["Outputs"].values() if "Export" in o}
    imported = set(re.findall(r"!ImportValue ([\w-]+)", POLICY.read_text() + DRILL.read_text()))
    assert imported == exported

SUFFIXES = ["", "2", "3", "4"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_firing_is_the_planners_event(suffix: str) -> None:
    schedules = of_type(POLICY_STACK, "AWS::Scheduler::Schedule")
    assert len(schedules) == len(SUFFIXES)
    (schedule,) = [one for one in schedules.values()
                   if one["ScheduleExpression"] == {"Ref": f"ScheduleExpression{suffix}"}]
    text = schedule["Target"]["Input"]["Fn::Sub"]
    names = {"PolicyId": "policy-0a1b2c3d", f"ScheduleName{suffix}": "Every night_1-a"}
    for name, value in names.items():
        assert re.fullmatch(POLICY_STACK["Parameters"][name]["AllowedPattern"], value)
        text = text.replace(f"${{{name}}}", value)
    assert json.loads(text) == {
        "policyId": "policy-0a1b2c3d",
        "schedule": "Every night_1-a",
        "scheduledTime": "<aws.scheduler.scheduled-time>",
    }
    assert schedule["ScheduleExpressionTimezone"] == {"Ref": "TimeZone"}
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}


def test_schedules_beyond_the_first_are_there_when_they_have_a_name() -> None:
    for name, resource in POLICY_STACK["Resources"].items():
        if resource["Type"] == "AWS::Scheduler::Schedule" and name != "Schedule":
            condition = POLICY_STACK["Conditions"][resource["Condition"]]
            number = resource["Condition"].removeprefix("HasSchedule")
            assert condition == {"Fn::Not": [{"Fn::Equals": [{"Ref": f"ScheduleName{number}"}, ""]}]}
            assert f"${{ScheduleName{number}}}" in resource["Properties"]["Target"]["Input"]["Fn::Sub"]


@pytest.mark.parametrize("name", ["PolicyId", *(f"ScheduleName{suffix}" for suffix in SUFFIXES)])
@pytest.mark.parametrize("value", ["", 'a"b', "a\\b", "a\nb", "a${b}", "a/b", "x" * 121])
def test_no_parameter_can_break_the_firings_json(name: str, value: str) -> None:
    optional = value == "" and name[-1].isdigit()
    assert bool(re.fullmatch(POLICY_STACK["Parameters"][name]["AllowedPattern"], value)) is optional


@pytest.mark.parametrize(
    ("value", "legal"),
    [
        ("cron(0 3 * * ? *)", True),
        ("cron(0/30 0-6 ? * MON-FRI *)", True),
        ("rate(1 hour)", False),
        ("at(2026-01-02T03:04:05)", False),
        ("cron(0 3 * *)", False),
    ],
)
def test_a_schedule_expression_is_one_that_dlm_knows(value: str, legal: bool) -> None:
    for suffix in SUFFIXES:
        pattern = POLICY_STACK["Parameters"][f"ScheduleExpression{suffix}"]["AllowedPattern"]
        assert bool(re.fullmatch(pattern, value)) is legal


def test_the_policy_is_where_the_planner_looks() -> None:
    parameter = of_type(POLICY_STACK, "AWS::SSM::Parameter")["Policy"]
    assert parameter["Name"] == {"Fn::Sub": "/stillpoint/policies/${PolicyId}"}
    prefix = FUNCTIONS["Planner"]["Environment"]["Variables"]["STILLPOINT_POLICY_PREFIX"]
    assert parameter["Name"]["Fn::Sub"].startswith(prefix)
    readable = sid("PlannerRole", "ReadPolicies")["Resource"]["Fn::Sub"]
    assert readable.endswith(f":parameter{prefix}*")


def test_the_guard_expects_what_the_schedules_fire() -> None:
    prefix = FUNCTIONS["Guard"]["Environment"]["Variables"]["STILLPOINT_SCHEDULE_PREFIX"]
    parameters = of_type(POLICY_STACK, "AWS::SSM::Parameter")
    names = {"Expected": "", "SecondExpected": "2", "ThirdExpected": "3", "FourthExpected": "4"}
    for name, number in names.items():
        assert parameters[name]["Name"]["Fn::Sub"].startswith(prefix)
        assert json.loads(parameters[name]["Value"]["Fn::Sub"]) == {
            "policyId": "${PolicyId}",
            "schedule": f"${{ScheduleName{number}}}",
            "expression": f"${{ScheduleExpression{number}}}",
            "timeZone": "${TimeZone}",
        }
    schedules = [r for r in POLICY_STACK["Resources"].values()
                 if r["Type"] == "AWS::Scheduler::Schedule"]
    assert len(schedules) == len(names)
    readable = sid("GuardRole", "SeeSchedules")["Resource"]["Fn::Sub"]
    assert readable.endswith(f":parameter{prefix.rstrip('/')}*")
