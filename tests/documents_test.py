"""The SSM documents: DLM's contract, and what their few lines of shell do.

The scripts are run with a stand-in for stillpoint-agent; the lab runs them with the real one. The
last part holds AWS's two sample documents, the fixtures, to the text that AWS published.
"""

import hashlib
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.template import ROOT

# Not sent around CreateSnapshots; drill_document_test.py and scenarios/install_test.py have their tests.
NO_SCRIPTS = {"Stillpoint-Drill", "Stillpoint-InstallAgent"}
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
# Of a policy with a Stillpoint object (docs/POLICIES.md); the document ends after that.
LONGEST_EXECUTION_TIMEOUT_S = 300

APPLICATIONS = {
    "Stillpoint-Filesystem": "filesystem",
    "Stillpoint-Hooks": "hooks",
    "Stillpoint-IRIS": "iris",
    "Stillpoint-MongoDB": "mongodb",
    "Stillpoint-MySQL": "mysql",
    "Stillpoint-PostgreSQL": "postgresql",
    "Stillpoint-Redis": "redis",
    "Stillpoint-SAPHANA": "saphana",
    "Stillpoint-SQLServer": "sqlserver",
}
# The shell-only way, which knows no agent.
TEMPLATE = ROOT / "ssm-documents/Stillpoint-Template.yaml"
# SSM's quota for a document of type Command.
LONGEST_DOCUMENT_BYTES = 64 * 1024

# SHA-256 of each sample as published, every run of white space squeezed to one blank.
PUBLISHED = {
    "aws-dlm-postgresql.yaml": "5eb6a5357eb6375e9ef460a388b8ec77eaed0141252757f060f0233d60082536",
    "aws-dlm-mysql.yaml": "1e7c75d0feb2328fdd668b3e96c0c7e2257531c7c4766d62d402301da56d3826",
}

AGENTS = [path for path in FILES if path != TEMPLATE]
any_document = pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
every_document = pytest.mark.parametrize("path", AGENTS, ids=lambda p: p.stem)
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
    values = {"command": command, "executionId": execution_id, "timeout": "", "volumes": "", "deadline": ""} | more
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
    assert [path.stem for path in AGENTS] == sorted(APPLICATIONS) and TEMPLATE in FILES


@any_document
def test_document_satisfies_dlm(path: Path) -> None:
    document = load(path)
    assert document["schemaVersion"] == "2.2"
    assert len(path.read_bytes()) < LONGEST_DOCUMENT_BYTES
    # DLM sends the first two and no others, and one without a default would fail every run.
    more = set(document["parameters"]) - {"executionId", "command"}
    assert more == (set() if path == TEMPLATE else {"timeout", "volumes", "deadline"})
    for name in more:
        parameter = document["parameters"][name]
        assert (parameter["type"], parameter["default"]) == ("String", "")
        assert re.fullmatch(parameter["allowedPattern"], "")
    execution_id, command = document["parameters"]["executionId"], document["parameters"]["command"]
    assert execution_id["type"] == command["type"] == "String"
    assert execution_id["default"] == "None"
    assert execution_id["allowedPattern"] == DLM_EXECUTION_ID
    assert command["default"] == "dry-run"
    assert command["allowedValues"] == DLM_COMMANDS


@any_document
def test_document_is_one_linux_step_with_a_timeout_that_ssm_honours(path: Path) -> None:
    (step,) = load(path)["mainSteps"]
    assert step["action"] == "aws:runShellScript"
    assert step["precondition"] == {"StringEquals": ["platformType", "Linux"]}
    timeout = step["inputs"]["timeoutSeconds"]
    # A string, as in AWS's documents: CloudFormation may turn a number into one on its way.
    assert isinstance(timeout, str)
    # Below 5 the SSM agent takes 3600 instead.
    if path == TEMPLATE:
        assert 5 <= int(timeout) <= DLM_LONGEST_EXECUTION_TIMEOUT_S
    else:
        assert int(timeout) > LONGEST_EXECUTION_TIMEOUT_S


@any_document
def test_parameters_stand_in_quotes_and_nowhere_else(path: Path) -> None:
    for line in path.read_text().splitlines():
        if "{{" in line:
            assert re.fullmatch(r"\s*\w+='\{\{ (executionId|command|timeout|volumes|deadline) \}\}'", line), line


# --- what the shell does --------------------------------------------------------------------------


@any_document
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
    done = run(path, agent, "pre-script", UUID, timeout="60s", volumes="vol-0a1,vol-0b2", deadline="30s")
    sent = ["--timeout", "60s", "--volumes", "vol-0a1,vol-0b2", "--deadline", "30s"]
    assert done.stdout.splitlines()[-6:] == sent


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


# --- the shell-only document ----------------------------------------------------------------------

MOUNTINFO = """\
20 1 8:1 / / rw,relatime - ext4 /dev/nvme0n1p1 rw
21 20 0:5 / /proc rw - proc proc rw
22 20 8:1 /var /bind rw - ext4 /dev/nvme0n1p1 rw
23 20 8:2 / /boot/efi rw - vfat /dev/nvme0n1p2 rw
24 20 259:1 / /data rw,noatime shared:7 - xfs /dev/nvme1n1 rw
25 24 259:2 / /data/a\\040b rw - ext4 /dev/nvme2n1 rw
26 20 259:1 /sub /again rw - xfs /dev/nvme1n1 rw
27 20 259:3 / /archive ro - ext4 /dev/nvme3n1 ro
28 20 0:40 / /pool rw - btrfs /dev/nvme4n1 rw
"""
TARGETS = ["/pool", "/data/a b", "/data"]


class Shell:
    """The document's script with its tools replaced: `fsfreeze` notes what it is asked, and fails for
    a mount that is named in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keep = folder, folder / "keep"
        (folder / "mountinfo").write_text(MOUNTINFO)
        (folder / "bin").mkdir()
        self.tool("fsfreeze", f'echo "$*" >> {folder}/log\n'
                              f'! grep -qxF -e "$*" {folder}/fails 2>/dev/null\n')
        self.tool("sync", f'echo "sync $2" >> {folder}/log\n')

    def tool(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)

    def run(self, command: str, execution_id: str = UUID, deadline: str = "60", **bodies: str) -> int:
        text = script(TEMPLATE)
        for name, body in bodies.items():
            text = text.replace(f"{name}_application() {{ :; }}", f"{name}_application() {{ {body}; }}")
        for found, value in (("{{ executionId }}", execution_id), ("{{ command }}", command),
                             ("deadline=60", f"deadline={deadline}"),
                             ("/run/stillpoint-template", str(self.keep)),
                             ("/proc/self/mountinfo", str(self.folder / "mountinfo"))):
            assert found in text
            text = text.replace(found, value)
        done = subprocess.run(["sh"], input=text, capture_output=True, text=True, check=False,
                              env={"PATH": f"{self.folder}/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
        self.out = done.stdout
        return done.returncode

    def log(self) -> list[str]:
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def fails(self, *calls: str) -> None:
        (self.folder / "fails").write_text("".join(f"{call}\n" for call in calls))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


FREEZES = [f"--freeze {mount}" for mount in TARGETS]
THAWS = [f"--unfreeze {mount}" for mount in reversed(TARGETS)]


def test_template_freezes_each_filesystem_once_and_thaws_in_reverse(shell: Shell) -> None:
    assert shell.run("dry-run") == 0
    assert shell.out.splitlines() == TARGETS and shell.log() == []
    assert shell.run("pre-script", quiesce=f"echo quiesce >> {shell.folder}/log") == 0
    assert shell.log() == [f"sync {mount}" for mount in TARGETS] + ["quiesce"] + FREEZES
    assert shell.run("pre-script") == 204 and shell.log() == []
    other = UUID.replace("0a1b", "ffff")
    assert shell.run("post-script", other) == 205 and shell.log() == []
    assert shell.run("post-script") == 0
    assert shell.log() == THAWS
    assert shell.run("post-script") == 205 and shell.log() == []


def test_template_rolls_back_when_one_cannot_be_frozen(shell: Shell) -> None:
    shell.fails("--freeze /data")
    assert shell.run("pre-script") == 201
    # That one may be somebody else's freeze; it is not ours to end.
    assert shell.log()[-4:] == ["--freeze /data/a b", "--freeze /data", *THAWS[1:]]
    shell.fails()
    assert shell.run("pre-script") == 0 and shell.run("post-script") == 0
    shell.log()
    assert shell.run("pre-script", quiesce="false", release=f"echo release >> {shell.folder}/log") == 201
    assert [line for line in shell.log() if not line.startswith("sync")] == ["release"]


def test_template_thaws_the_others_when_one_cannot_be_thawed(shell: Shell) -> None:
    assert shell.run("pre-script") == 0
    shell.log()
    shell.fails("--unfreeze /data/a b")
    assert shell.run("post-script") == 202
    assert shell.log() == THAWS
    assert shell.run("pre-script") == 204, "nothing new begins while something is frozen"


def test_template_thaws_by_itself_and_says_so(shell: Shell) -> None:
    assert shell.run("pre-script", deadline="1", release=f"echo release >> {shell.folder}/log") == 0
    shell.log()
    give_up = time.monotonic() + 10
    while shell.keep.joinpath("hold").exists() or shell.keep.joinpath("ending").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert shell.log() == [*THAWS, "release"]
    assert shell.run("post-script") == 203
    # The timer of one execution never ends the hold of the next.
    assert shell.run("pre-script", deadline="1") == 0
    assert shell.run("post-script") == 0
    other = UUID.replace("0a1b", "ffff")
    assert shell.run("pre-script", other) == 0
    time.sleep(1.5)
    assert shell.run("post-script", other) == 0


def test_template_is_not_ready_without_a_filesystem_or_a_tool(shell: Shell) -> None:
    (shell.folder / "mountinfo").write_text(MOUNTINFO.splitlines()[0] + "\n")
    assert shell.run("pre-script") == 206
    assert shell.run("post-script") == 205


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
