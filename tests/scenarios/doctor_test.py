"""`stillpoint doctor`: each thing that would spoil the next run is found, with what to do about it,
and looking changes nothing. A missing agent is in first_hour_test.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scenarios.account import Account
from scenarios.checks import until
from scenarios.conftest import Launch, Scheduled
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.policies import document, policy

TWO = [
    {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64},
    {"device": "/dev/sdg", "fs": "ext4", "mount": "/more", "size_mib": 64},
]


@pytest.fixture(autouse=True)
def looking_changes_nothing(account: Account, scheduled: Scheduled) -> Iterator[None]:
    """What fires by itself meanwhile is not the doctor's doing."""

    def sets() -> list[str]:
        calls = account.kinds_of_calls(but_of=scheduled.instance.id)
        return [call for call in calls if call.startswith("CreateSnapshots")]

    before = sets()
    yield
    until(lambda: account.messages_left() == 0, "no run is requested")
    assert sets() == before and account.frozen() == []


def examine(operator: Operator, *argv: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the findings."""
    done = operator.does("doctor", "--json", *argv)
    assert done.returncode in (0, 1), done
    return done.returncode, json.loads(done.stdout)["findings"]


def bad(findings: list[dict[str, Any]]) -> list[str]:
    return [f"{one['subject']}: {one['text']}" for one in findings if one["level"] == "bad"]


def test_a_healthy_policy_is_exit_0(account: Account, operator: Operator, agent: None, launch: Launch) -> None:
    instance = launch("doctor-healthy")
    account.put_policy("doctor-healthy", policy(instance.target, "Stillpoint-Filesystem"))
    code, found = examine(operator, "--policy", "doctor-healthy", "--probe")
    assert (code, bad(found)) == (0, [])
    good = {one["subject"]: one["text"] for one in found if one["level"] == "ok"}
    assert good["deployed"] == "version 0.1.0" and "AWS" in good["clock"]
    assert good[instance.id] == "would freeze /data"
    (nightly, *_) = account.plan(policyId="doctor-healthy", dryRun=True)["nextFirings"]
    assert good["quota CreateSnapshots"].startswith(f"1 run(s) at {nightly['at']} (doctor-healthy): ")
    assert "EC2 grants 100 at once and 5 a second, so that the last begins after 0 s of its 60 min" in (
        good["quota CreateSnapshots"])
    # 7 nightly sets of one volume.
    assert good["quota snapshots"].startswith("about 7 are kept") and good["quota DeleteSnapshot"].startswith("about 1 a day")
    assert good["quota unfinished snapshots"] == "at most 0 of 5 of one volume (1 of st1, sc1)"


def test_a_policy_that_matches_nothing(account: Account, operator: Operator) -> None:
    account.put_policy("doctor-nobody", policy("nobody-at-all", "Stillpoint-Filesystem"))
    code, found = examine(operator, "--policy", "doctor-nobody")
    assert code == 1
    (one,) = [one for one in found if one["level"] == "bad"]
    assert "matches no instance" in one["text"] and "backup=nobody-at-all" in one["remedy"]


def test_a_policy_with_a_wrong_field(account: Account, operator: Operator) -> None:
    account.put_policy("doctor-wrong", policy("x", "Stillpoint-Filesystem", ExecutionTimeout=500))
    code, found = examine(operator, "--policy", "doctor-wrong")
    assert code == 1 and any("ExecutionTimeout: found 500" in text for text in bad(found))


def test_a_document_that_is_not_there_or_not_marked(account: Account, operator: Operator, launch: Launch) -> None:
    instance = launch("doctor-documents")
    account.put_policy("doctor-absent", policy(instance.target, "Nobody-Made-This"))
    account.put_document("Doctor-Unmarked", document("exit 0"), marked_for_dlm=False)
    account.put_policy("doctor-unmarked", policy(instance.target, "Doctor-Unmarked"))
    code, found = examine(operator, "--policy", "doctor-absent", "--policy", "doctor-unmarked")
    assert code == 1
    assert "policy doctor-absent: there is no SSM document Nobody-Made-This in this Region" in bad(found)
    (unmarked,) = [one for one in found if "may not send Doctor-Unmarked" in one["text"]]
    assert "aws ssm add-tags-to-resource" in unmarked["remedy"]


def test_an_instance_that_is_not_managed(account: Account, operator: Operator, launch: Launch) -> None:
    instance = launch("doctor-unmanaged", managed=False)
    account.put_policy("doctor-unmanaged", policy(instance.target, "Stillpoint-Filesystem"))
    code, found = examine(operator, "--policy", "doctor-unmanaged", "--probe")
    assert code == 1 and any(text.startswith(f"{instance.id}: ") and "not managed" in text for text in bad(found))


def test_a_volume_that_cannot_be_frozen(account: Account, operator: Operator, agent: None, launch: Launch) -> None:
    instance = launch("doctor-unfrozen", volumes=TWO)
    instance.exec("umount", "--lazy", "/more")
    account.put_policy("doctor-unfrozen", policy(instance.target, "Stillpoint-Filesystem"))
    code, found = examine(operator, "--policy", "doctor-unfrozen", "--probe")
    (volume,) = [one["volumeId"] for one in instance.volumes if one["mount"] == "/more"]
    assert code == 1 and any(f"{volume} (/dev/sdg) is in the set and cannot be frozen" in text for text in bad(found))


def test_policies_that_want_the_same_volume_at_the_same_time(
    account: Account, operator: Operator, launch: Launch
) -> None:
    instance = launch("doctor-shared")
    names = ("doctor-shared-a", "doctor-shared-b")
    for name in names:
        account.put_policy(name, policy(instance.target, "Stillpoint-Filesystem"))
    _, found = examine(operator, "--policy", names[0], "--policy", names[1])
    (volume,) = [one["volumeId"] for one in instance.volumes if one["mount"] == "/data"]
    (one,) = [one for one in found if one["subject"] == "quota snapshots of a volume"]
    assert one["level"] == "warn" and one["text"].startswith(f"{volume} is in the sets of several policies at ")
    assert ", ".join(names) in one["text"] and "Amazon EBS endpoints and quotas" in one["remedy"]
    _, alone = examine(operator, "--policy", names[0])
    assert not [one for one in alone if one["subject"] == "quota snapshots of a volume"]


# --- what an agent says of itself -------------------------------------------------------------------


def replace_in_answers(instance: Instance, pattern: str) -> None:
    """As if the agent there had answered otherwise."""
    agent = "/usr/local/bin/stillpoint-agent"
    instance.exec("sh", "-c", f"cp {agent} {agent}.real && rm {agent} && "
                              f"printf '%s\\n' '#!/bin/bash' 'set -o pipefail' "
                              f"'{agent}.real \"$@\" | sed -E \"{pattern}\"' >{agent} && chmod 755 {agent}")


def probed(account: Account, operator: Operator, instance: Instance, name: str) -> dict[str, str]:
    """What was found of the instance: level -> text and remedy."""
    account.put_policy(name, policy(instance.target, "Stillpoint-Filesystem"))
    _, found = examine(operator, "--policy", name, "--probe")
    return {one["level"]: f"{one['text']} -> {one['remedy']}" for one in found
            if one["subject"] == instance.id}


def test_an_agent_of_another_version(account: Account, operator: Operator, agent: None, launch: Launch) -> None:
    instance = launch("doctor-older")
    replace_in_answers(instance, "s/\\\"agent\\\":\\\"[0-9.]+/\\\"agent\\\":\\\"0.0.9/")
    said = probed(account, operator, instance, "doctor-older")
    assert said["warn"].startswith("stillpoint-agent 0.0.9, this command is 0.1.0 -> ")
    assert "Stillpoint-InstallAgent" in said["warn"] and "would freeze /data" in said["ok"]


@pytest.mark.parametrize(("digits", "level", "side"), [("1", "bad", "behind"), ("9", "bad", "ahead of")])
def test_an_instance_whose_clock_is_off(
    account: Account, operator: Operator, agent: None, launch: Launch, digits: str, level: str, side: str
) -> None:
    instance = launch(f"doctor-clock-{digits}")
    replace_in_answers(instance, f"s/\\\"clockMs\\\":[0-9]/\\\"clockMs\\\":{digits}/" if digits == "9" else
                       f"s/\\\"clockMs\\\":[0-9]+/\\\"clockMs\\\":{digits}/")
    said = probed(account, operator, instance, f"doctor-clock-{digits}")
    assert f"s {side} AWS -> set the clock" in said[level], said
    assert "the instance's clock is " in said[level]


# --- what IAM refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("sid", "missing"), [
    ("SeeTargetsAndCommands", "ec2:DescribeInstances, which stillpoint plan, run, retain, restore needs"),
    ("SeeSets", "ec2:DescribeLockedSnapshots, which stillpoint retain needs"),
    ("ReadPolicies", "ssm:GetParametersByPath on /stillpoint/policies"),
    ("ReadVersion", "ssm:GetParameter on /stillpoint/version"),
    ("SeeDocuments", "ssm:DescribeDocument"),
    ("ReadLedger", "dynamodb:GetItem on stillpoint-runs, which stillpoint show needs"),
    ("ListRuns", "dynamodb:Query on stillpoint-runs/index/by-day, which stillpoint runs needs"),
    ("ReadJobs", "dynamodb:GetItem on stillpoint-jobs"),
    ("ReadReportsOfReaper", "dynamodb:GetItem on stillpoint-state"),
])
def test_a_missing_right_is_named_with_what_needs_it(
    account: Account, operator: Operator, sid: str, missing: str
) -> None:
    account.put_policy("doctor-rights", policy("nobody-at-all", "Stillpoint-Filesystem"))
    code, found = examine(account.operator_without(sid), "--policy", "doctor-rights")
    assert code == 1 and any(text.startswith(f"grants: this caller may not {missing}") for text in bad(found)), found
    assert any("OperatorPolicyArn" in one["remedy"] for one in found if one["subject"] == "grants")
    _, whole = examine(operator, "--policy", "doctor-rights")
    assert [one["level"] for one in whole if one["subject"] in ("grants", "roles")] == ["ok", "ok"]


def test_a_probe_that_may_not_be_sent(account: Account, agent: None, launch: Launch) -> None:
    instance = launch("doctor-unasked")
    account.put_policy("doctor-unasked", policy(instance.target, "Stillpoint-Filesystem"))
    someone = account.operator_without("AskAgents")
    code, found = examine(someone, "--policy", "doctor-unasked", "--probe")
    assert code == 1 and any("ssm:SendCommand" in text and "doctor --probe needs" in text for text in bad(found)), found


def test_what_iam_refused_a_function(account: Account, operator: Operator, launch: Launch) -> None:
    instance = launch("doctor-roles")
    account.put_policy("doctor-roles", policy(instance.target, "Stillpoint-Filesystem",
                                              ExecuteOperationOnScriptFailure=False))
    with account.role_without("stillpoint-runner", "runner", "SendToInstances"):
        event = account.run(policyId="doctor-roles")
    code, found = examine(operator, "--policy", "doctor-roles")
    account.forget_record(event["runId"])
    assert code == 1, found
    (one,) = [one for one in found if one["subject"] == "roles"]
    assert event["runId"] in one["text"] and "AccessDenied" in one["text"] and "make deploy" in one["remedy"]


def test_an_unknown_policy_is_exit_2(operator: Operator) -> None:
    done = operator.does("doctor", "--policy", "never-deployed")
    assert done.returncode == 2 and "--policy: found never-deployed, allowed a deployed policy" in done.stderr
