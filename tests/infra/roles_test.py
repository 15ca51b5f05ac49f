"""Who may call what: no role is wider than its function needs, and only the reaper deletes."""

from __future__ import annotations

import re

import pytest

from infra.calls import CALLS
from infra.stack import FUNCTIONS, PEOPLE, ROLES, SNAPSHOT_DELETERS, SNAPSHOT_MAKERS, STACK, grants
from infra.template import actions, as_list, statements


def test_every_role_is_known() -> None:
    assert set(ROLES) == set(CALLS)
    assert not [
        t
        for t in STACK["Resources"].values()
        if t["Type"] in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy")
    ]
    for name, role in ROLES.items():
        assert "ManagedPolicyArns" not in role, f"{name}: a managed policy is not ours to bound"


def test_the_operators_policy_reads_and_asks_and_is_attached_to_nobody() -> None:
    (operator,) = PEOPLE.values()
    assert not {"Roles", "Users", "Groups"} & set(operator)
    allowed = {one["Sid"]: one for one in operator["PolicyDocument"]["Statement"]}
    reading = re.compile(
        r"(ec2|ssm|dlm):(Describe|Get|List)\w+|dynamodb:(GetItem|BatchGetItem|Query)"
    )
    does = {action for one in allowed.values() for action in as_list(one["Action"])}
    assert {one for one in does if not reading.fullmatch(one)} == {
        "ec2:CreateTags", "events:PutEvents", "lambda:InvokeFunction", "ssm:SendCommand"}
    # Not "Snapshot Run Requested", which the runner takes for an order of the planner's.
    assert allowed["Ask"]["Condition"] == {"ForAllValues:StringEquals": {
        "events:source": "stillpoint",
        "events:detail-type": [
            "Policy Firing Requested", "Restore Requested", "Retention Requested"]}}
    # Documents without the tag run what their parameters say.
    assert allowed["AskAgents"]["Condition"] == {
        "StringEquals": {"ssm:resourceTag/DLMScriptsAccess": "true"}}
    # What anybody else made cannot be brought under retention.
    assert allowed["AdoptSetsOfDlm"]["Condition"] == {
        "StringLike": {"aws:ResourceTag/aws:dlm:lifecycle-policy-id": "?*"},
        "ForAllValues:StringLike": {"aws:TagKeys": "stillpoint:*"},
        "Null": {"aws:TagKeys": "false", "aws:ResourceTag/stillpoint:run-id": "true"}}
    assert allowed["InvokePlanner"]["Resource"] == {"Fn::GetAtt": "Planner.Arn"}


def test_functions_have_a_role_each() -> None:
    roles = [function["Role"]["Fn::GetAtt"] for function in FUNCTIONS.values()]
    assert len(set(roles)) == len(FUNCTIONS)


@pytest.mark.parametrize("role", sorted(CALLS))
def test_a_role_allows_what_its_caller_calls_and_no_more(role: str) -> None:
    assert actions(ROLES[role]) == CALLS[role]
    for statement in statements(ROLES[role]):
        assert statement["Effect"] == "Allow" and statement.get("Sid"), statement
        assert not {"NotAction", "NotResource"} & set(statement), statement


@pytest.mark.parametrize("role", sorted(CALLS))
def test_no_function_both_creates_and_deletes_snapshots(role: str) -> None:
    allowed = actions(ROLES[role])
    makes, deletes = grants(allowed, SNAPSHOT_MAKERS), grants(allowed, SNAPSHOT_DELETERS)
    assert not (makes and deletes), f"{role} may {makes} and {deletes}"
    assert not deletes or role == "ReaperRole", f"{role} may {deletes}: only the reaper deletes"


def test_nobody_but_the_reaper_deletes() -> None:
    """Neither a role nor a person, by the policies of this template."""
    (operator,) = PEOPLE.values()
    allowed = {action for one in operator["PolicyDocument"]["Statement"]
               for action in as_list(one["Action"])}
    assert not grants(allowed, SNAPSHOT_DELETERS | SNAPSHOT_MAKERS)


def test_the_mix_test_sees_wildcards() -> None:
    assert grants({"ec2:*"}, SNAPSHOT_DELETERS) == SNAPSHOT_DELETERS
    assert grants({"ec2:deletesnap*"}, SNAPSHOT_DELETERS) == {"ec2:DeleteSnapshot"}


def test_the_scheduler_role_serves_this_groups_schedules_only() -> None:
    (trust,) = ROLES["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "aws:SourceAccount": {"Ref": "AWS::AccountId"},
        "aws:SourceArn": {"Fn::GetAtt": "Schedules.Arn"},
    }
