"""Runs on demand: from the command line, from the Automation document, from a saved test event."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from lab.automation import Automation, StepFailed
from scenarios.account import Account, Refused
from scenarios.checks import WINDOW
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.places import CLI, INFRA, ROOT
from scenarios.policies import document, policy

RUN_NOW = ROOT / "ssm-documents" / "automation" / "Stillpoint-RunNow.yaml"
TEST_EVENTS = sorted((INFRA / "test-events").glob("*.json"))


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Now-Calm", document("sleep 1"))
    account.put_document("Now-Fails", document("[ {{ command }} = pre-script ] && exit 5; exit 0"))


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("now")


# --- stillpoint run ------------------------------------------------------------------------------


def test_a_run_that_is_waited_for_is_told_phase_by_phase(
    account: Account, operator: Operator, instance: Instance
) -> None:
    account.put_policy("now-calm", policy(instance.target, "Now-Calm"))
    done = operator.does("run", "now-calm", "--wait", "--json")
    assert done.returncode == 0, done
    (row,) = json.loads(done.stdout)
    event = account.finished.of(row["runId"])
    assert (row["outcome"], row["consistency"]) == (event["outcome"], "claimed")
    assert row["nominalTime"].startswith("on-demand:cli-")
    assert instance.story() == WINDOW
    told = [line.split("  ")[1] for line in done.stderr.splitlines()]
    assert told[0] in ("requested", "pre-script, then the set") and told[-1] == "claimed SP3008"
    assert "pre-script, then the set" in told and "set of 1 made, post-script" in told, told
    # The same without an instance of it left out, and to a person.
    assert "claimed SP3008" in operator.says("run", "now-calm", "--wait", "--instance", instance.id)


def test_a_run_that_fails_is_exit_1_and_one_that_is_not_waited_for_is_found_again(
    account: Account, operator: Operator, instance: Instance
) -> None:
    account.put_policy("now-fails", policy(instance.target, "Now-Fails"))
    done = operator.does("run", "now-fails", "--wait")
    assert done.returncode == 1 and "crash SP3002" in done.stdout, done
    requested = operator.json("run", "now-fails")
    (run_id,) = requested["runIds"]
    assert account.finished.of(run_id)["nominalTime"] == f"on-demand:{requested['requestId']}"
    assert "crash SP3002" in operator.says("show", run_id)


def test_what_cannot_be_run_is_not_requested(
    account: Account, operator: Operator, instance: Instance
) -> None:
    details = policy(instance.target, "Now-Calm")
    account.put_policy("now-nobody", policy("nobody", "Now-Calm"))
    assert operator.does("run", "now-nobody").returncode == 1
    assert operator.does("run", "now-is-not-there").returncode == 2
    assert operator.does("run", "now-nobody", "--schedule", "never").returncode == 2
    dry = operator.json("run", "-", "--dry-run", stdin=json.dumps(details))
    assert [run["instanceId"] for run in dry["runs"]] == [instance.id]
    time.sleep(1)
    assert account.messages_left() == 0 and instance.timeline() == []


def test_the_operators_policy_is_enough_and_no_more(
    account: Account, operator: Operator, instance: Instance
) -> None:
    """The tests above show that it is enough."""
    (order,) = account.plan(policy=policy(instance.target, "Now-Calm"), dryRun=True)["runs"]
    events, ec2, table, commands = map(operator.client, ("events", "ec2", "dynamodb", "ssm"))
    forged = {"EventBusName": "stillpoint", "Source": "stillpoint", "Detail": json.dumps(
        {"version": 1, "order": order})}
    for kind in ("Snapshot Run Requested", "Snapshot Run Finished"):
        assert denied(lambda: events.put_events(Entries=[forged | {"DetailType": kind}]))
    assert denied(lambda: ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance.id}))
    assert denied(lambda: table.put_item(TableName="stillpoint-runs", Item={"runId": {"S": "x"}}))
    assert denied(lambda: commands.send_command(
        InstanceIds=[instance.id], DocumentName="Now-Calm"))


def denied(call) -> bool:
    try:
        call()
    except Exception as error:  # each service names it differently
        return any(word in str(error) for word in ("AccessDenied", "UnauthorizedOperation"))
    return False


def test_on_a_terminal_the_runs_are_lines_that_move(
    account: Account, operator: Operator, instance: Instance
) -> None:
    account.put_policy("now-terminal", policy(instance.target, "Now-Calm"))
    # script(1) gives it a terminal.
    done = subprocess.run(
        ["script", "-qec", f"{CLI} run now-terminal --wait", "/dev/null"], check=False,
        env=operator.environment | {"TERM": "xterm-256color"}, capture_output=True, text=True,
        timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done
    assert f"○ {instance.id}  pre-script, then the set" in done.stdout
    assert "0 of 1 done" in done.stdout
    # Every line that was drawn is taken back before the table of the end.
    assert "\x1b[2A" in done.stdout and "BEGAN (UTC)" in done.stdout.splitlines()[-2]


# --- Stillpoint-RunNow -----------------------------------------------------------------------------


@pytest.fixture
def run_now(account: Account, operator: Operator, monkeypatch: pytest.MonkeyPatch):
    """The deployed document's steps, with the operator's rights."""
    for name, value in operator.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", operator.environment["AWS_REGION"])

    def run(**parameters: object) -> tuple[list[str], list[str]]:
        automation = Automation(RUN_NOW, operator.invoke, **parameters)
        outputs = automation.run()
        return outputs["outcome.lines"], automation.steps

    return run


def test_run_now_waits_for_every_run_and_reports(
    account: Account, launch: Launch, run_now
) -> None:
    first = launch("now-first")
    second = launch("now-second", tags={"backup": first.target})
    account.put_policy("now-both", policy(first.target, "Now-Calm"))
    lines, steps = run_now(PolicyId="now-both")
    assert sorted(line.split()[0] for line in lines) == sorted([first.id, second.id])
    assert all(line.endswith("completed claimed SP3008") for line in lines), lines
    assert steps == ["request", "plan", "runs", "wait", "look", "outcome"]
    assert first.story() == second.story() == WINDOW
    (one,), _ = run_now(PolicyId="now-both", InstanceIds=[second.id], Schedule="nightly")
    assert one.startswith(second.id)


def test_run_now_fails_with_the_reason(account: Account, instance: Instance, run_now) -> None:
    account.put_policy("now-fails-too", policy(instance.target, "Now-Fails"))
    with pytest.raises(StepFailed, match="not every run is completed: .* crash SP3002"):
        run_now(PolicyId="now-fails-too")
    with pytest.raises(StepFailed, match="SP1002"):
        run_now(PolicyId="now-is-not-there")
    with pytest.raises(StepFailed, match="no instance to run: .*target tags"):
        account.put_policy("now-nobody", policy("nobody", "Now-Calm"))
        run_now(PolicyId="now-nobody", InstanceIds=[instance.id])


# --- the console's Test button -----------------------------------------------------------------


@pytest.mark.parametrize("path", TEST_EVENTS, ids=lambda path: path.stem)
def test_a_saved_test_event_is_taken_as_it_is(account: Account, path) -> None:
    """With its examples of a policy and an instance it finds neither here, and says so; nothing
    else is wrong with it."""
    event = json.loads(path.read_text())
    details = policy("a-target-that-nothing-has", "Stillpoint-Filesystem")
    account.put_policy("nightly", details)
    try:
        answer = account.plan(**event)
        assert answer["runs"] == [] and answer["dryRun"] == event.get("dryRun", False)
    except Refused as refused:
        pytest.fail(f"{path.name}: {refused.text}")
