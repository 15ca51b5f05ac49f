"""What the operator's command line says of policies and runs, beside what the account has."""

from __future__ import annotations

import json

import pytest

from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.policies import SCHEDULE, document, policy
from scenarios.snapshots_test import without_occasion


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Cli-Calm", document("exit 0"))
    account.put_document("Cli-Fails", document("[ {{ command }} = pre-script ] && exit 5; exit 0"))


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("cli")


def test_a_plan_is_the_planners_own_and_touches_nothing(
    account: Account, operator: Operator, instance: Instance, launch: Launch
) -> None:
    unmanaged = launch("cli-unmanaged", managed=False, tags={"backup": instance.target})
    details = policy(instance.target, "Cli-Calm")
    account.put_policy("cli-plan", details)
    calls = account.kinds_of_calls()
    by_id = operator.json("plan", "--policy", "cli-plan", "--schedule", SCHEDULE)
    by_file = operator.json("plan", "--policy", "-", stdin=json.dumps(details))
    asked = account.plan(policyId="cli-plan", dryRun=True)
    assert account.kinds_of_calls() == calls and account.messages_left() == 0
    for answer, policy_id in ((by_id, "cli-plan"), (by_file, "inline")):
        assert (answer["dryRun"], answer["policyId"]) == (True, policy_id)
        assert [without_occasion(run) | {"policyId": ""} for run in answer["runs"]] == [
            without_occasion(run) | {"policyId": ""} for run in asked["runs"]]
    one = operator.json("plan", "--policy", "cli-plan", "--instance", instance.id)
    assert [run["instanceId"] for run in one["runs"]] == [instance.id]

    text = operator.says("plan", "--policy", "cli-plan")
    for words in (instance.id, "Cli-Calm: pre and post", "boot volume (ExcludeBootVolume)",
                  "2 ec2:CreateSnapshots", by_id["nextFirings"][0]["at"],
                  f"{unmanaged.id}  Cli-Calm cannot run: the instance is not managed"):
        assert words in text, text


def test_what_the_planner_refuses_is_bad_input(account: Account, operator: Operator) -> None:
    done = operator.does("plan", "--policy", "cli-nobody-put-it")
    assert (done.returncode, done.stderr.split(":")[1]) == (2, " SP1002"), done
    account.put_policy("cli-other", policy("nobody", "Cli-Calm"))
    done = operator.does("plan", "--policy", "cli-other", "--schedule", "never")
    assert done.returncode == 2 and "one of the policy's schedules: nightly" in done.stderr


def test_runs_are_listed_newest_first_and_narrowed(
    account: Account, operator: Operator, instance: Instance, launch: Launch
) -> None:
    other = launch("cli-other", tags={"backup": instance.target})
    account.put_policy("cli-calm", policy(instance.target, "Cli-Calm"))
    account.put_policy("cli-fails", policy(instance.target, "Cli-Fails",
                                           ExecuteOperationOnScriptFailure=False))
    good = account.run(policyId="cli-calm", instanceIds=[instance.id])
    bad = account.run(policyId="cli-fails", instanceIds=[instance.id])
    elsewhere = account.run(policyId="cli-calm", instanceIds=[other.id])

    def listed(*argv: str) -> list[str]:
        return [row["runId"] for row in operator.json("runs", *argv)]

    here = ("--instance", instance.id)
    assert listed(*here) == [bad["runId"], good["runId"]]
    assert listed(*here, "--policy", "cli-calm") == [good["runId"]]
    assert listed(*here, "--outcome", "failed") == [bad["runId"]]
    assert listed(*here, "--limit", "1") == [bad["runId"]]
    assert listed("--policy", "cli-calm", "--instance", other.id) == [elsewhere["runId"]]
    assert listed(*here, "--until", bad["startedAt"]) == [good["runId"]]
    assert listed(*here, "--since", bad["startedAt"]) == [bad["runId"]]
    assert listed(*here, "--since", "90d", "--until", "1d") == []
    (row,) = operator.json("runs", "--policy", "cli-fails")
    assert (row["outcome"], row["code"], row["consistency"]) == ("failed", "SP3002", None)

    text = operator.says("runs", *here)
    assert "claimed SP3008" in text and "failed SP3002" in text and other.id not in text
    assert operator.does("runs", "--since", "yesterday").returncode == 2


def test_a_story_has_the_times_the_cause_what_to_do_and_the_snapshots(
    account: Account, operator: Operator, instance: Instance
) -> None:
    account.put_policy("cli-story", policy(instance.target, "Cli-Fails"))
    event = account.run(policyId="cli-story")
    text = operator.says("show", event["runId"])
    for words in (event["runId"], "crash SP3002", "failed, exit code 5", "docs/codes/SP3002.md",
                  # The page's commands, ready to be pasted.
                  f"stillpoint run cli-story --instance {instance.id}",
                  event["preScript"]["commandId"]):
        assert words in text, text
    for snapshot in event["snapshots"]:
        assert f"{snapshot['snapshotId']}  {snapshot['volumeId']}" in text
    # In the order of what happened: the post-script released before the fallback was made.
    bars = [line.split()[0] for line in text.splitlines() if "█" in line]
    assert bars == ["pre-script", "post-script", "CreateSnapshots"]
    record = operator.json("show", event["runId"])
    assert record["run"]["verdict"]["cause"]["code"] == "SP3002"


def test_a_run_that_nobody_knows_is_bad_input(operator: Operator) -> None:
    done = operator.does("show", "run-0123456789abcdef0123")
    assert done.returncode == 2 and "run-0123456789abcdef0123" in done.stderr
