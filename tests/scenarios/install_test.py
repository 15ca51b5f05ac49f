"""Stillpoint-InstallAgent on an instance: verified before it is put in place, and nothing that it does
leaves a filesystem frozen.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
import uuid
from collections.abc import Iterator

import pytest
import yaml

from scenarios.account import Account
from scenarios.instance import Instance
from scenarios.places import AGENT, ROOT

INSTALLED = "/usr/local/bin/stillpoint-agent"
URL = "http://127.0.0.1:8099/stillpoint-agent"
REPLACE = ROOT / "infra" / "agent" / "replace.sh"


@pytest.fixture(scope="module")
def instance(account: Account, agent: None) -> Iterator[Instance]:
    """A host that can fetch the agent: its network has nobody but itself, so it serves the file."""
    instance = account.launch("install")
    instance.exec("sh", "-c", "mkdir -p /srv/agent && ip link set lo up")
    instance.exec("cp", str(AGENT), "/srv/agent/stillpoint-agent")
    instance.exec("sh", "-c", "setsid python3 -m http.server --bind 127.0.0.1 --directory /srv/agent 8099 "
                              ">/dev/null 2>&1 </dev/null &")
    deadline = time.monotonic() + 20
    while instance.exec("sh", "-c", "curl -sf -o /dev/null http://127.0.0.1:8099/ && echo up || true") == "":
        assert time.monotonic() < deadline, "the file server did not start"
        time.sleep(0.1)
    yield instance
    instance.vanish()


@pytest.fixture(autouse=True)
def nothing_stays_frozen(account: Account) -> Iterator[None]:
    yield
    left = account.frozen()
    account.cloud.admin("POST", "thaw")
    assert left == []


def checksum() -> str:
    return hashlib.sha256(AGENT.read_bytes()).hexdigest()


def send(account: Account, instance: Instance, **parameters: str) -> str:
    """Sends the document as a person does; returns the command's id."""
    answer = account.ssm.send_command(InstanceIds=[instance.id], DocumentName="Stillpoint-InstallAgent",
                                      Parameters={name: [value] for name, value in parameters.items()})
    return str(answer["Command"]["CommandId"])


def state(account: Account, instance: Instance, command: str) -> dict[str, str]:
    try:
        return account.ssm.get_command_invocation(CommandId=command, InstanceId=instance.id)
    except account.ssm.exceptions.InvocationDoesNotExist:
        return {"Status": "Pending"}


def ended(account: Account, instance: Instance, command: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while (found := state(account, instance, command))["Status"] in ("Pending", "InProgress"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def install(account: Account, instance: Instance, sha256: str | None = None) -> dict[str, str]:
    return ended(account, instance, send(account, instance, url=URL, sha256=sha256 or checksum()))


def is_installed(instance: Instance) -> bool:
    return instance.exec("sh", "-c", f"[ -x {INSTALLED} ] && echo yes || echo no").strip() == "yes"


def freeze(instance: Instance, deadline: str) -> str:
    execution = str(uuid.uuid4())
    instance.exec(INSTALLED, "pre-script", "--execution-id", execution, "--deadline", deadline)
    return execution


def test_the_document_has_the_same_shell_as_the_distributor_package() -> None:
    document = yaml.safe_load((ROOT / "ssm-documents" / "Stillpoint-InstallAgent.yaml").read_text())
    (script,) = document["mainSteps"][0]["inputs"]["runCommand"]
    assert REPLACE.read_text() in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_it_installs_where_there_was_nothing(account: Account, instance: Instance) -> None:
    instance.exec("rm", "-f", INSTALLED)
    done = install(account, instance)
    assert done["Status"] == "Success", done
    assert f"installed {INSTALLED}, sha256 {checksum()}" in done["StandardOutputContent"]
    assert is_installed(instance)


def test_a_wrong_checksum_installs_nothing(account: Account, instance: Instance) -> None:
    instance.exec("rm", "-f", INSTALLED)
    done = install(account, instance, "0" * 64)
    assert (done["Status"], done["ResponseCode"]) == ("Failed", 1)
    assert f"sha256: found {checksum()}, wanted {'0' * 64}" in done["StandardErrorContent"]
    assert not is_installed(instance)
    assert install(account, instance)["Status"] == "Success"


def test_a_file_that_does_not_run_leaves_the_old_agent(account: Account, instance: Instance) -> None:
    install(account, instance)
    instance.exec("sh", "-c", "printf 'not a program' > /srv/agent/broken")
    sha256 = hashlib.sha256(b"not a program").hexdigest()
    done = ended(account, instance, send(account, instance, url=URL.replace("stillpoint-agent", "broken"), sha256=sha256))
    assert done["Status"] == "Failed"
    assert "does not run on this machine" in done["StandardErrorContent"]
    assert '"state"' in instance.exec(INSTALLED, "status", "--json")


def test_an_update_waits_for_the_hold_in_place(account: Account, instance: Instance) -> None:
    install(account, instance)
    execution = freeze(instance, "60s")
    command = send(account, instance, url=URL, sha256=checksum())
    time.sleep(3)
    assert state(account, instance, command)["Status"] == "InProgress"
    instance.exec(INSTALLED, "post-script", "--execution-id", execution)  # 0: the hold was unbroken
    assert ended(account, instance, command)["Status"] == "Success"
    assert account.frozen() == []


def test_uninstalling_waits_for_the_hold_and_leaves_nothing(account: Account, instance: Instance) -> None:
    install(account, instance)
    freeze(instance, "5s")
    done = ended(account, instance, send(account, instance, action="uninstall"))
    assert done["Status"] == "Success", done
    assert f"removed {INSTALLED}" in done["StandardOutputContent"]
    assert account.frozen() == [] and not is_installed(instance)
    again = ended(account, instance, send(account, instance, action="uninstall"))
    assert again["Status"] == "Success" and "is not installed" in again["StandardOutputContent"]


@pytest.mark.parametrize("wrong", [{"url": "file:///etc/passwd"}, {"sha256": "abc"}, {"url": "http://a/'; id; '"}])
def test_a_parameter_that_could_be_shell_is_refused_by_ssm(account: Account, instance: Instance, wrong: dict[str, str]) -> None:
    with pytest.raises(account.ssm.exceptions.InvalidParameters):
        send(account, instance, **({"url": URL, "sha256": checksum()} | wrong))
