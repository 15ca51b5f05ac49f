"""The SSM documents: DLM's contract, and what their few lines of shell do.

The scripts are run with a stand-in for stillpoint-agent; the lab runs them with the real one. The
last part holds AWS's two sample documents, the fixtures, to the text that AWS published.
"""

import hashlib
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.template import ROOT

# Sent by people, not around CreateSnapshots; tests/install_test.py has its tests.
NO_SCRIPTS = {"Stillpoint-InstallAgent"}
FILES = [
    path for path in sorted(ROOT.glob("ssm-documents/*.yaml")) if path.stem not in NO_SCRIPTS
]
FIXTURES = ROOT / "tests" / "fixtures"
AGENT = "/usr/local/bin/stillpoint-agent"
UUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

# DLM's contract (EBS user guide, "Automate application-consistent snapshots").
DLM_EXECUTION_ID = (
    "^(None|[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12})$"
)
DLM_COMMANDS = ["pre-script", "post-script", "dry-run"]
DLM_LONGEST_EXECUTION_TIMEOUT_S = 120

APPLICATIONS = {
    "Stillpoint-Filesystem": "filesystem",
    "Stillpoint-MySQL": "mysql",
    "Stillpoint-PostgreSQL": "postgresql",
}

# SHA-256 of each sample as published, every run of white space squeezed to one blank.
PUBLISHED = {
    "aws-dlm-postgresql.yaml": "5eb6a5357eb6375e9ef460a388b8ec77eaed0141252757f060f0233d60082536",
    "aws-dlm-mysql.yaml": "1e7c75d0feb2328fdd668b3e96c0c7e2257531c7c4766d62d402301da56d3826",
}

every_document = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
every_fixture = pytest.mark.parametrize("name", sorted(PUBLISHED))


def load(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(path.read_text())
    return document


def script(path: Path) -> str:
    """The lines that SSM writes to one file and runs."""
    (step,) = load(path)["mainSteps"]
    return "\n".join(step["inputs"]["runCommand"])


def run(
    path: Path, agent: Path, command: str, execution_id: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs the script as SSM does: parameters put into the text, then sh."""
    values = {"command": command, "executionId": execution_id, "timeout": "", "volumes": ""} | more
    text = script(path)
    for name, value in values.items():
        text = text.replace("{{ " + name + " }}", value)
    assert AGENT in text and "{{" not in text
    return subprocess.run(
        ["sh"], input=text.replace(AGENT, str(agent)), capture_output=True, text=True, check=False
    )


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """Prints its arguments, one a line, and exits with the status that the test asks for."""
    path = tmp_path / "stillpoint-agent"
    path.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@"\nexit "$(cat "$0.status" 2>/dev/null || echo 0)"\n'
    )
    path.chmod(0o755)
    return path


# --- DLM's contract -------------------------------------------------------------------------------


def test_there_is_a_document_for_each_application() -> None:
    assert [path.stem for path in FILES] == sorted(APPLICATIONS)


@every_document
def test_document_satisfies_dlm(path: Path) -> None:
    document = load(path)
    assert document["schemaVersion"] == "2.2"
    # DLM sends the first two and no others, and one without a default would fail every run.
    assert set(document["parameters"]) == {"executionId", "command", "timeout", "volumes"}
    for name in ("timeout", "volumes"):
        parameter = document["parameters"][name]
        assert (parameter["type"], parameter["default"]) == ("String", "")
        assert re.fullmatch(parameter["allowedPattern"], "")
    execution_id, command = document["parameters"]["executionId"], document["parameters"]["command"]
    assert execution_id["type"] == command["type"] == "String"
    assert execution_id["default"] == "None"
    assert execution_id["allowedPattern"] == DLM_EXECUTION_ID
    assert command["default"] == "dry-run"
    assert command["allowedValues"] == DLM_COMMANDS


@every_document
def test_document_is_one_linux_step_with_a_timeout_that_ssm_honours(path: Path) -> None:
    (step,) = load(path)["mainSteps"]
    assert step["action"] == "aws:runShellScript"
    assert step["precondition"] == {"StringEquals": ["platformType", "Linux"]}
    timeout = step["inputs"]["timeoutSeconds"]
    # A string, as in AWS's documents: CloudFormation may turn a number into one on its way.
    assert isinstance(timeout, str)
    # Below 5 the SSM agent takes 3600 instead.
    assert 5 <= int(timeout) <= DLM_LONGEST_EXECUTION_TIMEOUT_S


@every_document
def test_parameters_stand_in_quotes_and_nowhere_else(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "{{" in line:
            assert re.fullmatch(r"\s*\w+='\{\{ (executionId|command|timeout|volumes) \}\}'", line), line


# --- what the shell does --------------------------------------------------------------------------


@every_document
def test_script_is_posix_shell(path: Path) -> None:
    assert script(path).startswith("#!/bin/sh\n")
    check = subprocess.run(
        ["sh", "-n"], input=script(path), capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


@every_document
@pytest.mark.parametrize("command", DLM_COMMANDS)
def test_agent_gets_stage_application_and_execution_id(
    path: Path, agent: Path, command: str
) -> None:
    done = run(path, agent, command, UUID)
    expected = [command, "--application", APPLICATIONS[path.stem], "--execution-id", UUID]
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, expected, "")


@every_document
def test_agent_gets_the_time_and_the_volumes_that_the_runner_sends(path: Path, agent: Path) -> None:
    done = run(path, agent, "pre-script", UUID, timeout="60s", volumes="vol-0a1,vol-0b2")
    assert done.stdout.splitlines()[-4:] == ["--timeout", "60s", "--volumes", "vol-0a1,vol-0b2"]


@every_document
def test_none_is_no_execution_id(path: Path, agent: Path) -> None:
    done = run(path, agent, "dry-run", "None")
    assert done.stdout.splitlines() == ["dry-run", "--application", APPLICATIONS[path.stem]]


@every_document
@pytest.mark.parametrize("status", [0, 201, 202, 203, 204, 205, 206])
def test_the_agents_exit_status_is_the_documents(path: Path, agent: Path, status: int) -> None:
    agent.with_name("stillpoint-agent.status").write_text(str(status))
    assert run(path, agent, "post-script", UUID).returncode == status


@every_document
@pytest.mark.parametrize("state", ["missing", "not executable"])
def test_without_an_agent_it_is_206_one_line_and_no_receipt(
    path: Path, agent: Path, state: str
) -> None:
    if state == "missing":
        agent.unlink()
    else:
        agent.chmod(0o644)  # no x bit at all, which test -x refuses to root as well
    done = run(path, agent, "pre-script", UUID)
    assert done.returncode == 206
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and str(agent) in done.stderr


@every_document
def test_a_value_with_shell_in_it_stays_one_word(path: Path, agent: Path, tmp_path: Path) -> None:
    # SSM's pattern refuses this value; a copy of the document may not.
    value = f"$(touch {tmp_path}/a) `touch {tmp_path}/b`; touch {tmp_path}/c *"
    done = run(path, agent, "pre-script", value)
    assert done.stdout.splitlines()[-1] == value
    assert not [name for name in "abc" if (tmp_path / name).exists()]


# --- AWS's sample documents -----------------------------------------------------------------------


@every_fixture
def test_fixture_is_awss_text_but_for_white_space(name: str) -> None:
    text = (FIXTURES / name).read_text()
    note, published = text.split("###", 1)
    assert all(line.startswith("# ") for line in note.splitlines()), "our note, then AWS's text"
    squeezed = re.sub(r"\s+", " ", "###" + published).strip()
    assert hashlib.sha256(squeezed.encode()).hexdigest() == PUBLISHED[name]


@every_fixture
def test_fixture_is_a_document_that_dlm_would_send(name: str) -> None:
    parameters = load(FIXTURES / name)["parameters"]
    assert parameters["executionId"]["allowedPattern"] == DLM_EXECUTION_ID
    assert parameters["command"]["allowedValues"] == DLM_COMMANDS
    check = subprocess.run(
        ["bash", "-n"], input=script(FIXTURES / name), capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")


@every_fixture
def test_fixture_takes_no_action_on_dry_run(name: str) -> None:
    text = script(FIXTURES / name).replace("{{ command }}", "dry-run")
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "INFO: dry-run option invoked - taking no action" in done.stdout.splitlines()
