"""The operator's policy: every command that README names runs with it alone, and each of its statements
is needed by one of them.
"""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from scenarios.account import Account
from scenarios.checks import until
from scenarios.conftest import Launch
from scenarios.operator import Operator
from scenarios.policies import policy

POLICY = "operators"


@pytest.fixture(scope="module")
def made(account: Account, agent: None) -> dict[str, Any]:
    """One run of a policy that stays deployed: its event, its instance, and another one."""
    instance = account.launch("operators")
    account.put_policy(POLICY, policy(instance.target, "Stillpoint-Filesystem"))
    event = account.run(policyId=POLICY)
    until(lambda: all(one["State"] == "completed" for one in account.snapshots(event["runId"])),
          "the set is completed")
    return event | {"instance": instance, "host": account.launch("operators-host")}


@pytest.fixture(scope="module")
def commands(made: dict[str, Any]) -> dict[str, list[str]]:
    """README's commands, by what they show."""
    run = made["runId"]
    return {
        "plan": ["plan", "--policy", POLICY],
        "run": ["run", POLICY, "--wait"],
        "runs": ["runs", "--since", "24h"],
        "show": ["show", run],
        "doctor": ["doctor", "--policy", POLICY],
        "probe": ["doctor", "--policy", POLICY, "--probe"],
        "retain": ["retain", "--dry-run"],
        "reap": ["retain", "--yes"],
        "restore": ["restore", "--run", run, "--to-instance", "--dry-run"],
        "drill": ["drill", "--policy", POLICY, "--host", made["host"].id, "--dry-run"],
        "undo": ["restore", "--undo", "restore-0123456789abcdef0123", "--dry-run"],
        "adopt": ["retain", "adopt", "--from", "policy-0123456789abcdef0", "--policy", POLICY, "--yes"],
    }


def denied(done: subprocess.CompletedProcess[str]) -> bool:
    """Each service has its own word for it, and the doctor."""
    words = ("AccessDenied", "UnauthorizedOperation", "this caller may not")
    return any(word in done.stdout + done.stderr for word in words)


@pytest.mark.parametrize("name", ["plan", "run", "runs", "show", "doctor", "probe", "retain", "reap",
                                  "restore", "drill", "adopt"])
def test_a_command_runs_with_the_operators_policy_alone(
    operator: Operator, commands: dict[str, list[str]], name: str
) -> None:
    done = operator.does(*commands[name])
    assert (done.returncode, denied(done)) == (0, False), done


def test_a_restore_that_nobody_knows_is_looked_up(
    operator: Operator, commands: dict[str, list[str]]
) -> None:
    done = operator.does(*commands["undo"])
    assert done.returncode == 2 and "of which there is no record" in done.stderr, done


NEEDED = [
    ("SeeTargetsAndCommands", "plan"),
    ("SeeSets", "retain"),
    ("ReadPolicies", "plan"),
    ("ReadVersion", "doctor"),
    ("SeeDocuments", "doctor"),
    ("ReadLedger", "show"),
    ("ListRuns", "runs"),
    ("ReadJobs", "undo"),
    ("ReadReportsOfReaper", "reap"),
    ("Ask", "run"),
    ("AskAgents", "probe"),
    ("AskAgentsOfInstances", "probe"),
]
# Tried in run_test.py (Stillpoint-RunNow) and retention_test.py; the last is for AWS's command line.
ELSEWHERE = {"InvokePlanner", "AdoptSetsOfDlm", "ReadPoliciesOfDlm"}


def test_every_statement_is_tried(account: Account) -> None:
    assert account.operators_sids() == {sid for sid, _ in NEEDED} | ELSEWHERE


@pytest.mark.parametrize(("sid", "name"), NEEDED)
def test_a_missing_statement_is_seen(
    account: Account, commands: dict[str, list[str]], sid: str, name: str
) -> None:
    assert denied(account.operator_without(sid).does(*commands[name]))


def test_an_operator_sends_no_document_that_runs_what_it_is_told(
    operator: Operator, made: dict[str, Any]
) -> None:
    for name, parameters in (("Stillpoint-InstallAgent", {"url": ["http://x/"], "sha256": ["0" * 64]}),
                             ("AWS-RunShellScript", {"commands": ["id"]})):
        with pytest.raises(Exception, match="AccessDenied"):
            operator.client("ssm").send_command(
                InstanceIds=[made["instance"].id], DocumentName=name, Parameters=parameters)


def test_an_operator_brings_nobodys_snapshot_under_retention(
    account: Account, operator: Operator, made: dict[str, Any]
) -> None:
    (one, *_) = account.snapshots(made["runId"])
    own = account.ec2.create_snapshot(VolumeId=one["VolumeId"], Description="by hand")
    for snapshot in (own["SnapshotId"], one["SnapshotId"]):
        with pytest.raises(Exception, match="UnauthorizedOperation"):
            operator.client("ec2").create_tags(
                Resources=[snapshot], Tags=[{"Key": "stillpoint:run-id", "Value": "run-x"}])
