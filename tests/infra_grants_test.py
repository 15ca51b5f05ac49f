"""Each function's role, and the operator's policy, against what the sources can reach, both ways:
nothing is missing, and nothing is allowed that nobody calls.
"""

import re

import pytest

from infra.reach import CLI, COMMANDS, calls_the_outside, operations, operations_of_command
from infra.template import ROOT, TEMPLATE, actions, as_list, load, of_type

STACK = load(TEMPLATE)
ROLES = of_type(STACK, "AWS::IAM::Role")
FUNCTIONS = of_type(STACK, "AWS::Lambda::Function")

# What Lambda itself does with a function's role.
LAMBDA = {"logs:CreateLogStream", "logs:PutLogEvents"}
POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
GIVING_UP = {"sqs:SendMessage"}

# A call that tags what it makes is also authorised as CreateTags.
ALSO = {
    "ec2:CreateSnapshots": {"ec2:CreateTags"},
    "ec2:CreateVolume": {"ec2:CreateTags"},
    "ec2:CopySnapshot": {"ec2:CreateTags"},
    "ec2:RunInstances": {"ec2:CreateTags"},
}


# What is reached in sources that functions share, and never called by the one, with the reason. A role
# that allows it all the same is found: it is taken away from what is reached, not from what is allowed.
NEVER = {
    # Looking for overdue runs is the guard's.
    "Runner": {"dynamodb:Query"},
    # It drives runs with the runner's code and begins nothing.
    "Guard": {"ec2:CreateSnapshots"},
}


def role_of(name: str) -> str:
    return FUNCTIONS[name]["Role"]["Fn::GetAtt"].removesuffix(".Arn")


def lambdas_own(name: str) -> set[str]:
    """What the services around a function do in its name."""
    polled = {s["FunctionName"]["Ref"] for s in of_type(STACK, "AWS::Lambda::EventSourceMapping").values()}
    gives_up = {c["FunctionName"]["Ref"] for c in of_type(STACK, "AWS::Lambda::EventInvokeConfig").values()
                if "DestinationConfig" in c}
    return LAMBDA | (POLLER if name in polled else set()) | (GIVING_UP if name in gives_up else set())


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_a_role_allows_exactly_what_its_function_can_reach(name: str) -> None:
    reached = operations(FUNCTIONS[name]["Handler"])
    assert reached, "no operation was found in its sources"
    reached -= NEVER.get(name, set())
    reached |= {more for action in reached for more in ALSO.get(action, ())}
    allowed = actions(ROLES[role_of(name)]) - lambdas_own(name)
    assert reached - allowed == set(), "it calls what its role does not allow"
    assert allowed - reached == set(), "its role allows what it never calls"


# --- the operator's policy --------------------------------------------------------------------------

OPERATOR = of_type(STACK, "AWS::IAM::ManagedPolicy")["OperatorPolicy"]["PolicyDocument"]["Statement"]
ALLOWED = {action for statement in OPERATOR for action in as_list(statement["Action"])}

# A plan is made by the planner's code as a dry run, which records and requests nothing.
DRY = {"dynamodb:PutItem", "events:PutEvents"}
COMMAND_NEVER = {
    "plan": DRY,
    "doctor": DRY,
    "run": {"dynamodb:PutItem"},
}
# Automation documents run with the rights of whoever starts them.
RUN_NOW = {"lambda:InvokeFunction", "dynamodb:BatchGetItem"}
# `stillpoint policy import` leaves it to AWS's own command line.
BY_AWS_CLI = {"dlm:GetLifecyclePolicy"}


def commands_reach(name: str) -> set[str]:
    return operations_of_command(name) - COMMAND_NEVER.get(name, set())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_operators_policy_allows_what_a_command_can_reach(name: str) -> None:
    assert commands_reach(name), "no operation was found in its sources"
    assert commands_reach(name) - ALLOWED == set(), "it calls what the operator's policy does not allow"


def test_the_operators_policy_allows_nothing_that_no_command_reaches() -> None:
    reached = set().union(*map(commands_reach, COMMANDS))
    assert ALLOWED - RUN_NOW - BY_AWS_CLI - reached == set()
    assert BY_AWS_CLI <= ALLOWED and '"dlm"' in (CLI / "policy" / "import.rs").read_text()


def test_the_page_says_what_each_command_calls() -> None:
    page = (ROOT / "docs" / "OPERATOR.md").read_text()
    rows = re.findall(r"^\| `([a-z ]+)` \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE)
    said = {name: set(re.findall(r"`(\w+:\w+)`", cell)) for name, cell in rows}
    for name, cell in rows:
        said[name] |= said["plan"] if "those of `plan`" in cell else set()
    assert said.pop("policy check") == set() and said.pop("policy import") == BY_AWS_CLI
    assert said == {name: commands_reach(name) for name in COMMANDS}


def test_no_call_of_the_command_line_is_left_out() -> None:
    named = {path for paths in COMMANDS.values() for path in paths}
    assert {path for path in CLI.glob("**/*.rs") if calls_the_outside(path)} - named == set()


def test_the_reader_of_sources_sees_calls() -> None:
    runner, planner = operations("runner"), operations("planner")
    assert {"ec2:CreateSnapshots", "ssm:SendCommand", "dynamodb:PutItem"} <= runner
    assert {"ec2:DescribeInstances", "ssm:GetParameter", "events:PutEvents"} <= planner
    assert "ec2:CreateSnapshots" not in planner and "ec2:DescribeInstances" not in runner
    assert {"ssm:SendCommand", "dynamodb:GetItem"} <= operations_of_command("doctor")
    assert operations_of_command("runs") == {"dynamodb:Query"}
