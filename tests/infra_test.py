"""The CloudFormation templates: valid, free of drift, and no wider than the functions need.

That the policies are wide enough is shown where the functions run under them, in the lab.
"""

import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.template import DRILL, HUB, POLICY, ROOT, TEMPLATE, actions, as_list, load, of_type, statements

TEMPLATE_TEXT = TEMPLATE.read_text()
STACK = load(TEMPLATE)
POLICY_STACK = load(POLICY)
ROLES = of_type(STACK, "AWS::IAM::Role")
FUNCTIONS = of_type(STACK, "AWS::Lambda::Function")
QUEUES = of_type(STACK, "AWS::SQS::Queue")
ALL_DOCUMENTS = of_type(STACK, "AWS::SSM::Document")
# Those that run on an instance; the others are Automation's.
DOCUMENTS = {n: one for n, one in ALL_DOCUMENTS.items() if one["DocumentType"] == "Command"}
PEOPLE = of_type(STACK, "AWS::IAM::ManagedPolicy")
SOURCES = of_type(STACK, "AWS::Lambda::EventSourceMapping")

# What each role calls, and nothing else: an action that is added here needs a caller.
CALLS = {
    "PlannerRole": {
        "ec2:DescribeInstances",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ssm:DescribeInstanceInformation",
        "ssm:GetInventory",
        "ssm:GetParameter",
        "events:PutEvents",
        "dynamodb:PutItem",
        "sqs:SendMessage",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "RunnerRole": {
        "ec2:CreateSnapshots",
        "ec2:CreateTags",
        "ec2:DescribeSnapshots",
        "ssm:SendCommand",
        "ssm:GetCommandInvocation",
        "ssm:ListCommands",
        "ssm:ListCommandInvocations",
        "ssm:CancelCommand",
        "events:PutEvents",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "GuardRole": {
        "ec2:CreateTags",
        "ec2:DescribeSnapshots",
        "ssm:SendCommand",
        "ssm:GetCommandInvocation",
        "ssm:ListCommands",
        "ssm:ListCommandInvocations",
        "ssm:CancelCommand",
        "ssm:GetParameter",
        "ssm:GetParametersByPath",
        "events:PutEvents",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "sqs:ReceiveMessage",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "ReaperRole": {
        "ec2:CreateTags",
        "ec2:DeleteSnapshot",
        "ec2:DeleteTags",
        "ec2:DeleteVolume",
        "ec2:DescribeImages",
        "ec2:DescribeInstances",
        "ec2:DescribeLockedSnapshots",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ec2:TerminateInstances",
        "ssm:GetParametersByPath",
        "dynamodb:PutItem",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "LifecycleRole": {
        "ec2:CopySnapshot",
        "ec2:CreateTags",
        "ec2:DescribeFastSnapshotRestores",
        "ec2:DescribeSnapshots",
        "ec2:DisableFastSnapshotRestores",
        "ec2:EnableFastSnapshotRestores",
        "ec2:ModifySnapshotAttribute",
        "ssm:GetParametersByPath",
        "dynamodb:PutItem",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "RestorerRole": {
        "ec2:AttachVolume",
        "ec2:CreateTags",
        "ec2:CreateVolume",
        "ec2:DescribeInstances",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ec2:DetachVolume",
        "ec2:RunInstances",
        "ec2:StartInstances",
        "ec2:StopInstances",
        "ssm:GetCommandInvocation",
        "ssm:ListCommands",
        "ssm:ListCommandInvocations",
        "ssm:SendCommand",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "events:PutEvents",
        "sqs:SendMessage",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    },
    "SchedulerRole": {"lambda:InvokeFunction", "sqs:SendMessage"},
    "HubRole": {"events:PutEvents"},
}

# Statements whose actions have no resource-level permission in IAM, so that "*" is all there is.
STAR_SIDS = {
    ("PlannerRole", "SeeTargets"),
    ("RunnerRole", "SeeSnapshotsAndCommands"),
    ("GuardRole", "SeeSnapshotsAndCommands"),
    ("ReaperRole", "SeeWhatThereIs"),
    ("RestorerRole", "SeeSetsAndMachines"),
    ("LifecycleRole", "SeeSetsAndCopies"),
}

# Environment variables beside those that all functions have.
OWN_SETTINGS = {
    "Reaper": {"STILLPOINT_GRACE_HOURS": {"Ref": "RetentionGraceHours"}},
    "Lifecycle": {"STILLPOINT_JOBS_TABLE": {"Ref": "Jobs"}},
    "Restorer": {"STILLPOINT_JOBS_TABLE": {"Ref": "Jobs"}},
}

# Copies are in other Regions.
ACROSS_REGIONS = {"LifecycleRole", "ReaperRole"}

SNAPSHOT_MAKERS = {
    "ec2:CreateSnapshot",
    "ec2:CreateSnapshots",
    "ec2:CopySnapshot",
    "ec2:CreateImage",
    "ec2:CreateVolume",
    "ec2:RunInstances",
}
SNAPSHOT_DELETERS = {
    "ec2:DeleteSnapshot",
    "ec2:DeregisterImage",
    "ec2:DeleteTags",
    "ec2:ModifySnapshotTier",
    "ec2:DeleteVolume",
    "ec2:TerminateInstances",
}


def sid(role: str, name: str) -> dict[str, Any]:
    found = [s for s in statements(ROLES[role]) if s.get("Sid") == name]
    assert len(found) == 1, f"{role} has {len(found)} statements with Sid {name}"
    return found[0]


def grants(allowed: set[str], wanted: set[str]) -> set[str]:
    """Those of the wanted actions that the allowed ones cover, wildcards and case included."""
    return {w for w in wanted for a in allowed if fnmatchcase(w.lower(), a.lower())}


# --- valid ----------------------------------------------------------------------------------------


def test_cfn_lint_passes_with_every_rule(tmp_path: Path) -> None:
    # An empty home and working folder: no .cfnlintrc anywhere can switch a rule off.
    lint = subprocess.run(
        [
            Path(sys.executable).with_name("cfn-lint"),
            "--include-checks",
            "I",
            "--",
            TEMPLATE,
            POLICY,
            DRILL,
            HUB,
        ],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (lint.returncode, lint.stdout) == (0, ""), lint.stdout + lint.stderr


@pytest.mark.parametrize("path", [TEMPLATE, POLICY, DRILL, HUB], ids=lambda p: p.name)
def test_templates_are_plain_cloudformation(path: Path) -> None:
    template = load(path)
    assert "Transform" not in template
    assert "cfn-lint" not in path.read_text(), "a rule is ignored"
    for name, resource in template["Resources"].items():
        assert not resource["Type"].startswith(("Custom::", "AWS::CloudFormation::")), name
    for name, parameter in template["Parameters"].items():
        assert parameter.get("Description"), f"parameter {name} has no description"


# --- the documents in the template ----------------------------------------------------------------


def test_documents_in_the_template_equal_the_files() -> None:
    files = {
        path.stem: yaml.safe_load(path.read_text()) for path in ROOT.glob("ssm-documents/**/*.yaml")
    }
    deployed = {document["Name"]: document["Content"] for document in ALL_DOCUMENTS.values()}
    assert deployed == files


# Documents for people, which neither DLM nor a policy may send.
NO_SCRIPTS = {"DrillDocument", "InstallAgentDocument"}


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - NO_SCRIPTS))
def test_documents_are_deployed_so_that_dlm_may_send_them(name: str) -> None:
    document = DOCUMENTS[name]
    assert {"Key": "DLMScriptsAccess", "Value": "true"} in document["Tags"]
    assert document["DocumentType"] == "Command"
    assert document["TargetType"] == "/AWS::EC2::Instance"
    # Without it a changed document with a fixed name fails the stack update.
    assert document["UpdateMethod"] == "NewVersion"


@pytest.mark.parametrize("name", sorted(NO_SCRIPTS))
def test_documents_for_people_are_not_for_dlm(name: str) -> None:
    assert "Tags" not in DOCUMENTS[name]
    assert DOCUMENTS[name]["UpdateMethod"] == "NewVersion"


# --- least privilege ------------------------------------------------------------------------------


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
        r"(ec2|ssm):(Describe|Get|List)\w+|dynamodb:(GetItem|BatchGetItem|Query)"
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


def test_the_mix_test_sees_wildcards() -> None:
    assert grants({"ec2:*"}, SNAPSHOT_DELETERS) == SNAPSHOT_DELETERS
    assert grants({"ec2:deletesnap*"}, SNAPSHOT_DELETERS) == {"ec2:DeleteSnapshot"}


def test_star_is_used_only_where_iam_offers_nothing_else() -> None:
    stars = {
        (role, statement["Sid"])
        for role in ROLES
        for statement in statements(ROLES[role])
        if "*" in as_list(statement["Resource"])
    }
    assert stars == STAR_SIDS
    region = {"StringEquals": {"aws:RequestedRegion": {"Ref": "AWS::Region"}}}
    with_copies = {"Fn::Split": [",", {"Fn::Sub": "${AWS::Region},${CopyRegions}"}]}
    regions = {"StringEquals": {"aws:RequestedRegion": with_copies}}
    for role, name in stars:
        assert sid(role, name)["Condition"] == (regions if role in ACROSS_REGIONS else region)
        above = TEMPLATE_TEXT[: TEMPLATE_TEXT.index(f"- Sid: {name}\n")].splitlines()[:-1]
        comment: list[str] = []
        while above and above[-1].strip().startswith("#"):
            comment.insert(0, above.pop().strip())
        assert comment and comment[0].startswith('# "*":'), f"{name} does not say why it needs *"


def test_resources_stay_in_this_account_and_region() -> None:
    for role in ROLES:
        for statement in statements(ROLES[role]):
            for resource in as_list(statement["Resource"]):
                arn = resource.get("Fn::Sub") if isinstance(resource, dict) else None
                if resource == {"Ref": "HubBusArn"}:  # wherever the operator's hub is
                    assert role == "HubRole"
                    continue
                if arn is None:  # "*", checked above, or the ARN of a resource of this template
                    continue
                assert arn.startswith("arn:${AWS::Partition}:"), arn
                if role in ACROSS_REGIONS and ":ec2:*::snapshot/" in arn:
                    continue  # the tags of the snapshot are the bound
                assert ":${AWS::Region}:" in arn, arn
                # Snapshot ARNs carry no account, nor do documents of AWS; a document may be shared
                # from another account.
                foreign = {"SendDocumentsMarkedForDlm", "SendDocumentsOfAws"}
                shared = any(f"::{kind}/" in arn for kind in ("snapshot", "image"))
                if not shared and statement["Sid"] not in foreign:
                    assert ":${AWS::AccountId}:" in arn, arn


def test_a_snapshot_cannot_be_made_without_a_run_id() -> None:
    making = [
        s for s in statements(ROLES["RunnerRole"]) if "ec2:CreateSnapshots" in as_list(s["Action"])
    ]
    on_snapshots = [s for s in making if "snapshot/" in json.dumps(s["Resource"])]
    assert [s["Sid"] for s in on_snapshots] == ["CreateSnapshotsWithRunId"]
    assert on_snapshots[0]["Condition"] == {
        "StringLike": {"aws:RequestTag/stillpoint:run-id": "?*"}
    }


def test_tags_are_written_only_where_and_as_promised() -> None:
    tagging = {
        s["Sid"]: s["Condition"]
        for s in statements(ROLES["RunnerRole"])
        if "ec2:CreateTags" in as_list(s["Action"])
    }
    named = {"Null": {"aws:TagKeys": "false"}}
    assert tagging == {
        "TagSnapshotsAtCreation": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}},
        "TagOwnSnapshots": named
        | {
            "StringLike": {"aws:ResourceTag/stillpoint:run-id": "?*"},
            "ForAllValues:StringLike": {"aws:TagKeys": "stillpoint:*"},
        },
        "AdoptSnapshotsOfVss": {
            "StringLike": {"aws:RequestTag/stillpoint:run-id": "?*"},
            "Null": {
                "aws:ResourceTag/aws:dlm:lifecycle-policy-id": "true",
                "aws:ResourceTag/aws:backup:source-resource": "true",
            },
        },
        "TagInstancesWithOutcome": named
        | {
            "ForAllValues:StringEquals": {
                "aws:TagKeys": [
                    "stillpoint:last-outcome",
                    "stillpoint:last-application-consistent",
                ]
            }
        },
    }


def test_commands_go_only_to_marked_documents_and_willing_instances() -> None:
    sending = {
        s["Sid"]: s
        for s in statements(ROLES["RunnerRole"])
        if "ssm:SendCommand" in as_list(s["Action"])
    }
    assert set(sending) == {
        "SendOwnDocuments",
        "SendDocumentsMarkedForDlm",
        "SendDocumentsOfAws",
        "SendToInstances",
    }
    of_aws = [arn["Fn::Sub"] for arn in sending["SendDocumentsOfAws"]["Resource"]]
    assert [arn.rsplit(":", 1)[1] for arn in of_aws] == [
        "document/AWSEC2-CreateVssSnapshot",
        "document/AWSEC2-VssInstallAndSnapshot",
        "document/AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA",
    ]
    own = sending["SendOwnDocuments"]["Resource"]["Fn::Sub"].rsplit("/", 1)[1]
    for document in DOCUMENTS.values():
        assert fnmatchcase(document["Name"], own)
    marked = sending["SendDocumentsMarkedForDlm"]["Condition"]
    assert marked == {"StringEquals": {"ssm:resourceTag/DLMScriptsAccess": "true"}}
    opted_out = sending["SendToInstances"]["Condition"]
    assert opted_out == {"StringNotEqualsIgnoreCase": {"aws:ResourceTag/DLMScriptsAccess": "false"}}


def test_the_scheduler_role_serves_this_groups_schedules_only() -> None:
    (trust,) = ROLES["SchedulerRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Condition"]["StringEquals"] == {
        "aws:SourceAccount": {"Ref": "AWS::AccountId"},
        "aws:SourceArn": {"Fn::GetAtt": "Schedules.Arn"},
    }


def test_nothing_is_deleted_that_is_not_on_record() -> None:
    deleting = {
        s["Sid"]: s["Condition"]
        for s in statements(ROLES["ReaperRole"])
        if {"ec2:DeleteSnapshot", "ec2:DeleteVolume"} & set(as_list(s["Action"]))
    }
    tag = "aws:ResourceTag/stillpoint:"
    assert deleting == {
        "DeleteSnapshotsOnRecord": {
            "StringLike": {f"{tag}run-id": "?*", f"{tag}deleting-at": "?*"}
        },
        "ClearAwayAfterRestores": {
            "StringLike": {f"{tag}job-id": "?*", f"{tag}delete-after": "?*"}
        },
    }


def test_reapers_of_the_schedule_do_not_overlap() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["ReaperRule"]
    assert rule["ScheduleExpression"] == "rate(15 minutes)"
    assert FUNCTIONS["Reaper"]["Timeout"] < 15 * 60


def test_only_the_rules_may_send_to_their_queues() -> None:
    policies = of_type(STACK, "AWS::SQS::QueuePolicy").values()
    allowed = [s for p in policies for s in p["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    sends = set()
    for statement in allowed:
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        (rules,) = statement["Condition"]["ArnEquals"].values()
        # The hub's rule is there with the hub.
        named = [one["Fn::If"][1] if "Fn::If" in one else one for one in as_list(rules)]
        sends |= {(rule["Fn::GetAtt"], queue["Fn::GetAtt"])
                  for rule in named for queue in as_list(statement["Resource"])}
    wanted = set()
    for name, rule in of_type(STACK, "AWS::Events::Rule").items():
        for target in rule["Targets"]:
            queues = [target["DeadLetterConfig"]["Arn"], target["Arn"]]
            wanted |= {(f"{name}.Arn", one["Fn::GetAtt"]) for one in queues
                       if one.get("Fn::GetAtt", "").endswith("Queue.Arn")}
    assert sends == wanted


def test_every_queue_refuses_what_is_not_encrypted_on_its_way() -> None:
    refusing = set()
    for policy in of_type(STACK, "AWS::SQS::QueuePolicy").values():
        (deny,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert (deny["Principal"], deny["Action"]) == ("*", "sqs:*")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        named = {queue["Ref"] for queue in policy["Queues"]}
        assert {arn["Fn::GetAtt"] for arn in deny["Resource"]} == {f"{name}.Arn" for name in named}
        refusing |= named
    assert refusing == set(QUEUES)


# --- the way of a run -----------------------------------------------------------------------------


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


def test_a_message_stays_hidden_while_its_runner_may_live() -> None:
    runs, source = QUEUES["RunsQueue"], SOURCES["RunnerSource"]
    limit_s = FUNCTIONS["Runner"]["Timeout"]
    assert runs["VisibilityTimeout"] > limit_s + source["MaximumBatchingWindowInSeconds"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # The bound that makes a visibility timeout below six function timeouts safe.
    assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
    tries_s = runs["VisibilityTimeout"] * runs["RedrivePolicy"]["maxReceiveCount"]
    assert tries_s < runs["MessageRetentionPeriod"], "a message would expire before it is given up"


def test_every_dead_letter_of_a_run_reaches_the_guard() -> None:
    letters = {name: s for name, s in SOURCES.items() if name != "RunnerSource"}
    read = {s["EventSourceArn"]["Fn::GetAtt"].removesuffix(".Arn") for s in letters.values()}
    # What is in the last one is no run; a person reads it.
    assert read == {name for name in QUEUES if name.endswith("DeadQueue")} - {"EventsDeadQueue"}
    for source in letters.values():
        assert source["FunctionName"] == {"Ref": "Guard"}
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    for queue in read:
        assert QUEUES[queue]["VisibilityTimeout"] > FUNCTIONS["Guard"]["Timeout"]


def test_the_guard_looks_around_every_minute_and_begins_nothing() -> None:
    schedule = STACK["Resources"]["GuardSchedule"]["Properties"]
    assert schedule["ScheduleExpression"] == "rate(1 minute)"
    assert schedule["Target"]["Arn"] == {"Fn::GetAtt": "Guard.Arn"}
    assert not grants(actions(ROLES["GuardRole"]), SNAPSHOT_MAKERS)
    indexes = STACK["Resources"]["Ledger"]["Properties"]["GlobalSecondaryIndexes"]
    assert "due" in {index["IndexName"] for index in indexes}


def test_what_is_given_up_is_kept_longer_than_what_waits() -> None:
    dead = {name for name in QUEUES if name.endswith("DeadQueue")}
    assert dead == {"RunsDeadQueue", "RequestsDeadQueue", "FiringsDeadQueue", "EventsDeadQueue"}
    for name in dead:
        kept_s = QUEUES[name]["MessageRetentionPeriod"]
        assert kept_s > QUEUES["RunsQueue"]["MessageRetentionPeriod"], name
    for name, queue in QUEUES.items():
        assert queue["SqsManagedSseEnabled"] is True, name


def test_the_rule_takes_requests_and_nothing_else() -> None:
    rule = of_type(STACK, "AWS::Events::Rule")["RunRequestedRule"]
    assert rule["EventPattern"] == {
        "source": ["stillpoint"],
        "detail-type": ["Snapshot Run Requested"],
    }
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": "RunsQueue.Arn"}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": "RequestsDeadQueue.Arn"}}


def test_every_target_of_a_rule_or_schedule_has_a_dead_letter_queue() -> None:
    targets = {name: target for name, rule in of_type(STACK, "AWS::Events::Rule").items()
               for target in rule["Targets"]}
    targets |= {name: one["Target"]
                for stack in (STACK, POLICY_STACK, load(DRILL))
                for name, one in of_type(stack, "AWS::Scheduler::Schedule").items()}
    queues = {name: target.get("DeadLetterConfig", {}).get("Arn") for name, target in targets.items()}
    dead = [{"Fn::GetAtt": f"{name}.Arn"} for name in QUEUES if name.endswith("DeadQueue")]
    exported = [{"Fn::ImportValue": o["Export"]["Name"]} for o in STACK["Outputs"].values()
                if "Export" in o and o["Value"] in dead]
    assert [name for name, queue in queues.items() if queue not in dead + exported] == []
    # Firings get their outcome from the guard, whoever asked for them.
    assert queues["FiringRequestedRule"] == {"Fn::GetAtt": "FiringsDeadQueue.Arn"}


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


def test_nobody_but_the_reaper_deletes() -> None:
    """Neither a role nor a person, by the policies of this template."""
    (operator,) = PEOPLE.values()
    allowed = {action for one in operator["PolicyDocument"]["Statement"]
               for action in as_list(one["Action"])}
    assert not grants(allowed, SNAPSHOT_DELETERS | SNAPSHOT_MAKERS)


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


# --- a policy's stack -----------------------------------------------------------------------------


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


def test_the_stack_says_which_version_it_is() -> None:
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    (parameter,) = of_type(STACK, "AWS::SSM::Parameter").values()
    assert (parameter["Name"], parameter["Value"]) == ("/stillpoint/version", version[1])


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
