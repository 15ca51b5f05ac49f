"""`stillpoint doctor`: each thing that would spoil the next run is found, with what to do about it,
and looking changes nothing. A missing agent is in first_hour_test.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from scenarios.account import Account
from scenarios.conftest import Launch
from scenarios.operator import Operator
from scenarios.policies import document, policy

TWO = [
    {"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64},
    {"device": "/dev/sdg", "fs": "ext4", "mount": "/more", "size_mib": 64},
]


@pytest.fixture(autouse=True)
def looking_changes_nothing(account: Account) -> Iterator[None]:
    before = [call for call in account.kinds_of_calls() if call.startswith("CreateSnapshots")]
    yield
    after = [call for call in account.kinds_of_calls() if call.startswith("CreateSnapshots")]
    assert after == before and account.messages_left() == 0 and account.frozen() == []


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


def test_an_unknown_policy_is_exit_2(operator: Operator) -> None:
    done = operator.does("doctor", "--policy", "never-deployed")
    assert done.returncode == 2 and "--policy: found never-deployed, allowed a deployed policy" in done.stderr
