"""`stillpoint` without AWS: what scripts rely on, exit codes and one line an error.

What it says of real runs is in tests/scenarios/cli_test.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import build_if_missing
from scenarios.places import CLI, FIXTURES, ROOT

POLICY = FIXTURES / "get-lifecycle-policy.json"


def stillpoint(*argv: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    build_if_missing(CLI, "stillpoint-cli")
    # No region, profile or credentials of the machine's own.
    clean = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true",
             "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    return subprocess.run([CLI, *argv], input=stdin, capture_output=True, text=True, timeout=60,
                          env=clean | environment, check=False)


def changed(change: dict[str, Any]) -> str:
    """The fixture's first schedule with these fields replaced."""
    policy = json.loads(POLICY.read_text())
    policy["Policy"]["PolicyDetails"]["Schedules"][0] |= change
    return json.dumps(policy)


def test_a_valid_policy_is_exit_0_whole_or_bare(tmp_path: Path) -> None:
    assert stillpoint("policy", "check", str(POLICY)).returncode == 0
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(json.loads(POLICY.read_text())["Policy"]["PolicyDetails"]))
    done = stillpoint("policy", "check", str(bare))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nightly" in done.stdout and "\x1b" not in done.stdout, "no colour in a pipe"


def test_a_wrong_policy_is_exit_2_with_a_line_an_error_that_names_the_path() -> None:
    wrong = changed({"RetainRule": {"Count": 1001}, "CopyTag": True})
    done = stillpoint("policy", "check", "-", stdin=wrong)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 2, lines
    for path in ("Schedules[0].RetainRule.Count: found 1001, allowed ", "Schedules[0].CopyTag: "):
        assert any(line.startswith(f"stillpoint: PolicyDetails.{path}") for line in lines), lines


def test_the_same_as_json() -> None:
    done = stillpoint("policy", "check", "-", "--json", stdin=changed({"RetainRule": {"Count": 0}}))
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["valid"]) == (2, False)
    assert answer["errors"][0]["path"] == "PolicyDetails.Schedules[0].RetainRule.Count"
    assert json.loads(stillpoint("policy", "check", str(POLICY), "--json").stdout)["valid"] is True


@pytest.mark.parametrize("argv", [
    ("policy", "check", "/nowhere.json"), ("plan", "--policy", "/nowhere.json"),
    ("plan", "--policy", "nightly"), ("nonsense",), ("plan",),
])
def test_what_cannot_be_used_is_exit_2_and_says_what(argv: tuple[str, ...]) -> None:
    done = stillpoint(*argv)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_no_credentials_is_exit_1_and_says_what_to_do() -> None:
    done = stillpoint("plan", "--policy", "nightly", "--region", "eu-central-1")
    assert done.returncode == 1
    assert done.stderr.startswith("stillpoint: no AWS credentials: set AWS_PROFILE"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run([CLI, "policy", "check", str(POLICY)], stdout=closed,
                              stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def documented() -> list[Any]:
    """Every whole policy that a page shows, and the one line of CDK."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "infra" / "README.md"]
    blocks = [(page.name, text) for page in pages
              for text in re.findall(r"```json\n(.*?)```", page.read_text(), re.DOTALL)
              if '"PolicyType"' in text]
    cdk = ROOT / "infra" / "cdk" / "test" / "default-policy.json"
    return [*blocks, (cdk.name, cdk.read_text())]


def test_the_policies_of_the_documentation_are_valid() -> None:
    assert {name for name, _ in documented()} >= {"README.md", "QUICKSTART.md", "default-policy.json"}
    for name, text in documented():
        done = stillpoint("policy", "check", "-", stdin=text)
        assert done.returncode == 0, (name, done.stderr)


# --- import from DLM ------------------------------------------------------------------------------


def stand_in_for_aws(folder: Path, body: str) -> str:
    """A program `aws` of this body, and a PATH that finds it first."""
    program = folder / "aws"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_policy_of_dlm_becomes_one_of_ours_unchanged() -> None:
    done = stillpoint("policy", "import", str(POLICY))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(POLICY.read_text())["Policy"]["PolicyDetails"]
    assert stillpoint("policy", "check", "-", stdin=done.stdout).returncode == 0
    again = stillpoint("policy", "import", "-", stdin=done.stdout)
    assert json.loads(again.stdout) == json.loads(done.stdout), "a bare document stays as it is"


def test_an_id_is_asked_for_with_the_aws_cli_in_the_same_account(tmp_path: Path) -> None:
    path = stand_in_for_aws(tmp_path, f'echo "$@" > {tmp_path}/asked; cat {POLICY}')
    done = stillpoint("policy", "import", "policy-0123456789abcdef0", "--region", "eu-west-1",
                      "--profile", "backup", PATH=path)
    assert done.returncode == 0, done
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["dlm", "get-lifecycle-policy", "--output", "json", "--policy-id",
                     "policy-0123456789abcdef0", "--region", "eu-west-1", "--profile", "backup"]


def test_what_dlm_says_is_passed_on(tmp_path: Path) -> None:
    path = stand_in_for_aws(tmp_path, "echo 'ResourceNotFoundException: no such policy' >&2; exit 254")
    done = stillpoint("policy", "import", "policy-0123456789abcdef0", PATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "stillpoint: ResourceNotFoundException: no such policy\n"
    without = stillpoint("policy", "import", "policy-0123456789abcdef0", PATH="/nowhere")
    assert without.returncode == 1 and "> policy.json" in without.stderr


def test_a_policy_that_would_be_refused_is_not_imported() -> None:
    done = stillpoint("policy", "import", "-", stdin=changed({"RetainRule": {"Count": 1001}}))
    assert (done.returncode, done.stdout) == (2, "")
    assert "RetainRule.Count: found 1001" in done.stderr


def test_an_import_never_writes_over_a_file(tmp_path: Path) -> None:
    target = tmp_path / "nightly.json"
    done = stillpoint("policy", "import", str(POLICY), "--to", str(target))
    assert done.returncode == 0 and f"make policy FILE={target}" in done.stdout
    assert "--policy-id policy-0f2ad5a5b8e6c1d34 --state DISABLED" in done.stdout
    written = target.read_text()
    again = stillpoint("policy", "import", str(POLICY), "--to", str(target))
    assert again.returncode == 2 and "--to: found" in again.stderr
    assert target.read_text() == written
