"""The way of a run through the stack: functions, rules, the ledger, logs."""

from __future__ import annotations

import re

from infra.stack import FUNCTIONS, ROLES, SNAPSHOT_MAKERS, STACK, grants, sid
from infra.template import ROOT, actions, of_type

# Environment variables beside those that all functions have.
OWN_SETTINGS = {
    "Reaper": {"STILLPOINT_GRACE_HOURS": {"Ref": "RetentionGraceHours"}},
    "Lifecycle": {"STILLPOINT_JOBS_TABLE": {"Ref": "Jobs"}},
    "Restorer": {"STILLPOINT_JOBS_TABLE": {"Ref": "Jobs"}},
}


def test_functions_are_what_the_binary_expects() -> None:
    assert {f["Handler"] for f in FUNCTIONS.values()} == {"planner", "runner", "guard", "reaper", "restorer", "lifecycle"}
    for name, function in FUNCTIONS.items():
        assert function["Runtime"] == "provided.al2023", name
        assert function["Environment"]["Variables"] == {
            "STILLPOINT_BUS": {"Ref": "Bus"},
            "STILLPOINT_TABLE": {"Ref": "Ledger"},
            "STILLPOINT_STATE": {"Ref": "State"},
            "STILLPOINT_POLICY_PREFIX": "/stillpoint/policies/",
            "STILLPOINT_SCHEDULE_PREFIX": "/stillpoint/schedules/",
        } | OWN_SETTINGS.get(name, {}), name
        assert function["FunctionName"] == f"stillpoint-{function['Handler']}"


def test_the_rule_takes_requests_and_nothing_else() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["RunRequestedRule"]
    assert rule["EventPattern"] == {
        "source": ["stillpoint"],
        "detail-type": ["Snapshot Run Requested"],
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": "RunsQueue.Arn"}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": "RequestsDeadQueue.Arn"}}


def test_a_requested_firing_reaches_the_planner_as_its_event() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["FiringRequestedRule"]
    assert rule["EventPattern"]["detail-type"] == ["Policy Firing Requested"]
    (target,) = rule["Targets"]
    assert (target["Arn"], target["InputPath"]) == ({"Fn::GetAtt": "Planner.Arn"}, "$.detail")
    permission = of_type(STACK, "AWS::Lambda::Permission")["FiringRequestedInvokesPlanner"]
    assert permission["SourceArn"] == {"Fn::GetAtt": "FiringRequestedRule.Arn"}


def test_requested_retention_reaches_the_reaper_as_its_event() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["RetentionRequestedRule"]
    assert rule["EventPattern"]["detail-type"] == ["Retention Requested"]
    (target,) = rule["Targets"]
    assert (target["Arn"], target["InputPath"]) == ({"Fn::GetAtt": "Reaper.Arn"}, "$.detail")
    permission = of_type(STACK, "AWS::Lambda::Permission")["RetentionRequestedPermission"]
    assert permission["SourceArn"] == {"Fn::GetAtt": "RetentionRequestedRule.Arn"}
    reports = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "retention:*"}}
    assert sid("ReaperRole", "ReportToWhoeverAsked")["Condition"] == reports


def test_the_guard_looks_around_every_minute_and_begins_nothing() -> None:
    schedule = STACK["Resources"]["GuardSchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": "Guard.Arn"}
    assert not grants(actions(ROLES["GuardRole"]), SNAPSHOT_MAKERS)
    indexes = STACK["Resources"]["Ledger"]["Properties"]["GlobalSecondaryIndexes"]
    assert "due" in {index["IndexName"] for index in indexes}


def test_reapers_of_the_schedule_do_not_overlap() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["ReaperRule"]
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    assert FUNCTIONS["Reaper"]["Timeout"] < 15 * 60


def test_the_ledger_is_protected() -> None:
    ledger = STACK["Resources"]["Ledger"]
    assert ledger["DeletionPolicy"] == "RetainExceptOnCreate"
    properties = ledger["Properties"]
    assert properties["KeySchema"] == [{"AttributeName": "runId", "KeyType": "HASH"}]
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert properties["SSESpecification"] == {"SSEEnabled": True}


def test_every_function_has_a_log_group_that_expires() -> None:
    groups = of_type(STACK, "AWS::Logs::LogGroup")
    for name, function in FUNCTIONS.items():
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}", name
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_stack_says_which_version_it_is() -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    (parameter,) = of_type(STACK, "AWS::SSM::Parameter").values()
    assert (parameter["Name"], parameter["Value"]) == ("/stillpoint/version", version[1])
