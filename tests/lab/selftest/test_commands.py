"""Run Command behaves as the real SSM and the real agent do."""

from __future__ import annotations

import json
import time
import uuid
from functools import partial

from .harness import LabProcess, error_code


def test_a_command_passes_through_its_statuses(lab: LabProcess, db: dict) -> None:
    command = lab.send(
        db, commands=["echo out; echo err >&2; echo $AWS_SSM_INSTANCE_ID; sleep 0.4; exit 7"]
    )
    seen, answer = lab.follow(db, command)
    assert seen == ["InvocationDoesNotExist", "Pending", "InProgress", "Failed"]
    assert answer["ResponseCode"] == 7 and answer["StatusDetails"] == "Failed"
    assert answer["StandardOutputContent"] == f"out\n{db['instanceId']}\n"
    assert answer["StandardErrorContent"] == "err\n"


def test_the_response_code_is_minus_one_until_the_end(lab: LabProcess, db: dict) -> None:
    command = lab.send(db, commands=["echo early; sleep 1"])
    time.sleep(0.7)
    now = lab.client("ssm").get_command_invocation(CommandId=command, InstanceId=db["instanceId"])
    assert (now["Status"], now["ResponseCode"], now["StandardOutputContent"]) == (
        "InProgress",
        -1,
        "",
    )
    assert lab.follow(db, command)[1]["ResponseCode"] == 0


def test_the_timeout_kills_the_whole_process_group(lab: LabProcess, db: dict) -> None:
    mark = f"/run/{uuid.uuid4().hex}"
    escaped = f"setsid sh -c 'sleep 6; touch {mark}-session' >/dev/null 2>&1 &"
    script = f"(sleep 6; touch {mark}-group) & {escaped} sleep 60"
    begun = time.monotonic()
    seen, answer = lab.follow(db, lab.send(db, commands=[script], executionTimeout=["5"]))
    assert 5 <= time.monotonic() - begun < 7
    assert (seen[-1], answer["StatusDetails"], answer["ResponseCode"]) == (
        "TimedOut",
        "ExecutionTimedOut",
        137,
    )
    time.sleep(2.5)
    # What left the group lives on, what stayed in it died.
    assert lab.run(db, "sh", "-c", f"ls {mark}-*").split() == [f"{mark}-session"]


def test_a_pipe_held_open_keeps_the_command_in_progress(lab: LabProcess, db: dict) -> None:
    begun = time.monotonic()
    seen, answer = lab.follow(db, lab.send(db, commands=["setsid sleep 2 & echo done"]))
    assert time.monotonic() - begun > 2
    assert seen[-1] == "Success" and answer["StandardOutputContent"] == "done\n"
    begun = time.monotonic()
    lab.follow(db, lab.send(db, commands=["setsid sleep 2 >/dev/null 2>&1 </dev/null & echo done"]))
    assert time.monotonic() - begun < 1.5


def test_output_is_cut_as_ssm_cuts_it(lab: LabProcess, db: dict) -> None:
    script = "head -c 30000 /dev/zero | tr '\\0' x; head -c 9000 /dev/zero | tr '\\0' y >&2"
    command = lab.send(db, commands=[script])
    answer = lab.follow(db, command)[1]
    for text, limit in (
        (answer["StandardOutputContent"], 24_000),
        (answer["StandardErrorContent"], 8_000),
    ):
        assert len(text) == limit and text.endswith("--output truncated--")
    listed = lab.client("ssm").list_command_invocations(CommandId=command, Details=True)[
        "CommandInvocations"
    ]
    assert len(listed[0]["CommandPlugins"][0]["Output"]) == 2_500


def test_cancel_kills(lab: LabProcess, db: dict) -> None:
    command = lab.send(db, commands=["sleep 60"])
    time.sleep(0.6)
    lab.client("ssm").cancel_command(CommandId=command)
    assert lab.follow(db, command)[1]["StatusDetails"] == "Cancelled"


def test_only_the_named_instance_runs_it(lab: LabProcess, db: dict, files: dict) -> None:
    mark = f"/run/{uuid.uuid4().hex}"
    lab.follow(db, lab.send(db, commands=[f"touch {mark}"]))
    assert lab.run(db, "sh", "-c", f"test -e {mark} && echo yes").strip() == "yes"
    assert lab.run(files, "sh", "-c", f"test -e {mark} && echo yes || echo no").strip() == "no"


def test_unmanaged_and_unknown_instances_are_refused(lab: LabProcess, db: dict) -> None:
    unmanaged = lab.launch("plain", managed=False)
    assert error_code(lambda: lab.send(unmanaged, commands=["true"])) == "InvalidInstanceId"
    assert (
        error_code(lambda: lab.send({"instanceId": "i-0123456789abcdef0"}, commands=["true"]))
        == "InvalidInstanceId"
    )
    listed = {
        i["InstanceId"]: i
        for i in lab.client("ssm").describe_instance_information()["InstanceInformationList"]
    }
    assert unmanaged["instanceId"] not in listed
    assert (listed[db["instanceId"]]["PingStatus"], listed[db["instanceId"]]["PlatformType"]) == (
        "Online",
        "Linux",
    )


DOCUMENT = {
    "schemaVersion": "2.2",
    "parameters": {
        "executionId": {
            "type": "String",
            "default": "None",
            "allowedPattern": "^(None|[a-f0-9]{8})$",
        },
        "command": {
            "type": "String",
            "default": "dry-run",
            "allowedValues": ["pre-script", "dry-run"],
        },
        "safe": {"type": "String", "default": "x", "interpolationType": "ENV_VAR"},
    },
    "mainSteps": [
        {
            "action": "aws:runPowerShellScript",
            "name": "windows",
            "inputs": {"runCommand": ["exit 1"]},
            "precondition": {"StringEquals": ["platformType", "Windows"]},
        },
        {
            "action": "aws:runShellScript",
            "name": "linux",
            "precondition": {"StringEquals": ["platformType", "Linux"]},
            "inputs": {
                "timeoutSeconds": "20",
                "runCommand": [
                    "#!/bin/bash",
                    "[[ x == x ]] && echo {{ command }} {{executionId}}",
                    'echo "$SSM_safe"',
                ],
            },
        },
    ],
}


def test_a_document_is_checked_and_filled_in(lab: LabProcess, db: dict) -> None:
    ssm = lab.client("ssm")
    ssm.create_document(
        Name="Lab-Test", Content=json.dumps(DOCUMENT), DocumentType="Command", DocumentFormat="JSON"
    )
    command = lab.send(db, "Lab-Test", executionId=["0123abcd"], safe=["$(id) 'a'"])
    seen, answer = lab.follow(db, command, step="linux")
    assert seen[-1] == "Success" and answer["ResponseCode"] == 0
    assert "dry-run 0123abcd\n$(id) 'a'\n" in answer["StandardOutputContent"]
    # A step that was skipped is a silent success; the list of steps has the agent's word.
    seen, answer = lab.follow(db, command, step="windows")
    assert (seen[-1], answer["StandardOutputContent"]) == ("Success", "")
    found = ssm.list_command_invocations(CommandId=command, Details=True)["CommandInvocations"]
    windows, linux = found[0]["CommandPlugins"]
    assert windows["Output"].startswith("Step execution skipped due to unsatisfied preconditions")
    assert linux["Output"].startswith("dry-run 0123abcd")
    whole = partial(ssm.get_command_invocation, CommandId=command, InstanceId=db["instanceId"])
    assert error_code(whole) == "InvalidPluginName"
    refused: list[dict[str, list[str]]] = [
        {"executionId": ["; id"]},
        {"command": ["format"]},
        {"other": ["x"]},
        {"command": ["dry-run", "dry-run"]},
    ]
    for parameters in refused:
        send = partial(lab.send, db, "Lab-Test", **parameters)
        assert error_code(send) == "InvalidParameters"
    assert error_code(lambda: lab.send(db)) == "InvalidParameters"
    assert error_code(lambda: lab.send(db, "No-Such-Document")) == "InvalidDocument"


def test_a_command_on_a_vanished_instance_never_ends_well(lab: LabProcess) -> None:
    """SSM hears nothing any more: the command goes on until its whole time is over."""
    instance = lab.launch("away")
    command = lab.send(instance, commands=["sleep 30"], executionTimeout=["5"])
    time.sleep(0.6)
    lab.admin("DELETE", f"instances/{instance['instanceId']}")
    time.sleep(6)
    now = lab.client("ssm").get_command_invocation(
        CommandId=command, InstanceId=instance["instanceId"]
    )
    assert (now["Status"], now["ResponseCode"]) == ("InProgress", -1)
