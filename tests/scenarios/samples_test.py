"""AWS's and InterSystems' own sample documents, and the three policies of the user guide that
they come with, unchanged: they run, and their success is `claimed`, which is all that it is.

PostgreSQL's sample runs beside a real server in agent_test.py and in the demo. What the others call
(mysql, irissession) is a stand-in here that writes down how it was called.
"""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.account import Account, Json
from scenarios.checks import WINDOW, assert_crash, one_set, until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.places import FIXTURES
from scenarios.policies import document
from scenarios.windows import ROLE, put_role, windows

CALLS = "/run/calls"
SAP_HANA = "AWSSystemsManagerSAP-CreateDLMSnapshotForSAPHANA"
_NOTE = f'echo "$(basename "$0") $*" >>{CALLS}\n'
_STAND_INS = {
    # As in every document: the caller is root already.
    "sudo": '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do [ "$1" = -u ] && shift; shift; done\n'
            'exec "$@"\n',
    "systemctl": '#!/bin/sh\nfor unit; do :; done\n[ "$unit" = mysqld.service ]\n',
    "mysql": f"#!/bin/sh\n{_NOTE}",
    # Where docker is installed, IRIS' sample takes it for granted that IRIS runs in it.
    "docker": '#!/bin/sh\nshift 2\nexec "$@"\n',
    "iris": '#!/bin/sh\nprintf "header\\n------\\nup   IRIS      2024.1\\n"\n',
    # 5 is its success, also as the answer whether it is frozen.
    "irissession": f"""#!/bin/sh
{_NOTE}case "$*" in
*ExternalFreeze*) touch /run/iris-frozen; exit 5 ;;
*ExternalThaw*) rm -f /run/iris-frozen; exit 5 ;;
*IsWDSuspendedExt*) [ -e /run/iris-frozen ] && exit 5; exit 3 ;;
esac
""",
}


@pytest.fixture
def host(launch: Launch) -> Instance:
    """What the samples expect of an ordinary host."""
    instance = launch("sample")
    for name, text in _STAND_INS.items():
        path = f"/usr/local/bin/{name}"
        instance.exec("sh", "-c", f"cat >{path} <<'END'\n{text}END\nchmod 755 {path}")
    return instance


def sample_policy(handler: str, target: str, **values: Any) -> Json:
    """One of the user guide's three policies: the fields that they have, and no others."""
    script: Json = {"ExecutionHandler": handler, "ExecuteOperationOnScriptFailure": True,
                    "MaximumRetryCount": 1} | values
    return {
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
        "TargetTags": [{"Key": "backup", "Value": target}],
        "Schedules": [{"Name": "nightly", "RetainRule": {"Count": 7}, "CreateRule": {
            "CronExpression": "cron(30 3 * * ? *)", "Scripts": [script]}}],
    }


def custom(handler: str, target: str) -> Json:
    return sample_policy(handler, target, Stages=["PRE", "POST"], ExecutionTimeout=30,
                         ExecutionHandlerService="AWS_SYSTEMS_MANAGER")


@pytest.mark.parametrize(
    ("sample", "freezes", "calls"),
    [
        ("aws-dlm-mysql", True, ["mysql -e FLUSH TABLES WITH READ LOCK;",
                                 "mysql -e UNLOCK TABLES;"]),
        ("aws-dlm-iris", False, ["IsWDSuspendedExt", "ExternalFreeze", "IsWDSuspendedExt",
                                 "ExternalThaw", "ExternalSetHistory"]),
        ("aws-dlm-template", False, []),
    ],
)
def test_a_sample_document_is_claimed(
    account: Account, host: Instance, sample: str, freezes: bool, calls: list[str]
) -> None:
    name = f"Sample-{sample}"
    account.put_document(name, (FIXTURES / f"{sample}.yaml").read_text())
    event = account.run(policy=custom(name, host.target))
    assert (event["outcome"], event["consistency"], event["code"]) == (
        "completed", "claimed", "SP3008"), event
    assert host.story() == WINDOW
    assert len(one_set(account, event)) == 2, "the policy takes the boot volume as well"
    words = account.output(event, "preScript", host.id)["StandardOutputContent"]
    assert "INFO: Start execution of pre-script" in words
    assert ("INFO: Freezing complete on /data" in words) == freezes
    told = host.exec("sh", "-c", f"cat {CALLS} 2>/dev/null || :").splitlines()
    assert len(told) == len(calls) and all(
        call in line for call, line in zip(calls, told, strict=True)), told
    until(lambda: account.frozen() == [], "everything is thawed")


def test_a_sample_document_that_cannot_freeze_is_crash(account: Account, host: Instance) -> None:
    """The sample's own rule: what is frozen already is not its to snapshot."""
    account.put_document("Sample-Busy", (FIXTURES / "aws-dlm-mysql.yaml").read_text())
    host.exec("fsfreeze", "-f", "/data")
    try:
        event = account.run(policy=custom("Sample-Busy", host.target))
    finally:
        account.cloud.admin("POST", "thaw")
    # Each of its attempts is followed by its own post-script, which thaws what it finds.
    assert event["attempts"] == 2
    first = [one for one in host.story() if one != "CreateSnapshots"][:2]
    assert first == ["pre-script", "post-script"]


def test_the_guides_policy_for_vss(account: Account, launch: Launch) -> None:
    put_role(account, f"{ROLE}-sample")
    instance = windows(launch, "sample-vss", role=f"{ROLE}-sample")
    event = account.run(policy=sample_policy("AWS_VSS_BACKUP", instance.target))
    assert (event["outcome"], event["consistency"]) == ("completed", "application"), event
    assert len(one_set(account, event)) == 2


def test_the_guides_policy_for_sap_hana(account: Account, launch: Launch) -> None:
    """AWS's document itself is not public; this one has its three parameters."""
    content = document(f"echo '{{{{ command }}}} within {{{{ executionTimeout }}}}' | tee -a {CALLS}")
    content = content.replace("parameters:\n", """parameters:
  executionTimeout:
    type: String
    default: "120"
    allowedPattern: ^([1-9][0-9]|1[01][0-9]|120)$
""", 1)
    account.put_document(SAP_HANA, content, marked_for_dlm=False)
    instance = launch("sample-hana")
    event = account.run(policy=custom(SAP_HANA, instance.target))
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    assert instance.exec("cat", CALLS).splitlines() == [
        "pre-script within 30", "post-script within 30"]
    assert instance.story() == WINDOW


def test_the_guides_policy_for_a_custom_document_that_is_shared(
    account: Account, launch: Launch
) -> None:
    """By its ARN, as a document of another account is named."""
    account.put_document("Sample-Shared", document("echo done"))
    arn = "arn:aws:ssm:us-east-1:123456789012:document/Sample-Shared"
    instance = launch("sample-shared")
    event = account.run(policy=custom(arn, instance.target))
    assert (event["outcome"], event["consistency"]) == ("completed", "claimed"), event
    sent = [one["document"] for one in instance.timeline() if one["event"] == "SendCommand"]
    assert sent == [arn, arn]


def test_the_dry_run_of_a_sample_takes_no_action(host: Instance, account: Account) -> None:
    account.put_document("Sample-Dry", (FIXTURES / "aws-dlm-mysql.yaml").read_text())
    sent = account.ssm.send_command(
        InstanceIds=[host.id], DocumentName="Sample-Dry",
        Parameters={"command": ["dry-run"], "executionId": ["None"]})
    command = sent["Command"]["CommandId"]

    def ended() -> Json:
        found = account.ssm.list_command_invocations(CommandId=command, Details=True)
        done = [one for one in found["CommandInvocations"] if one["Status"] == "Success"]
        return done[0] if done else {}

    shown = until(ended, "the dry-run ends")
    assert "taking no action" in str(shown)
    assert account.frozen() == []
