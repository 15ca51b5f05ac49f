"""Commands and invocations, and how the API shows them; no threads, no instances' processes.

Limits and field names are SSM's. commands.py changes these objects, this file only reads them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .instance import Instance

STDOUT_LIMIT, STDERR_LIMIT, PLUGIN_OUTPUT_LIMIT = 24_000, 8_000, 2_500
TRUNCATED = "--output truncated--"
TERMINAL = frozenset(["Success", "Failed", "TimedOut", "Cancelled"])


@dataclass
class Progress:
    """How far a command, or a step of it, is on one instance."""

    status: str = "Pending"
    details: str = "Pending"
    response_code: int = -1
    stdout: str = ""
    stderr: str = ""
    # What the list of steps shows where it is not the output.
    words: str = ""
    started: float | None = None
    ended: float | None = None

    def end(self, status: str, details: str) -> None:
        self.ended = time.time()
        self.status, self.details = status, details


@dataclass
class Invocation(Progress):
    command: Command = field(kw_only=True)
    instance_id: str = field(kw_only=True)
    # By name, in order; every document has at least one.
    steps: dict[str, Progress] = field(kw_only=True)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def shown(self, step: str | None) -> tuple[str, Progress]:
        """The step that GetCommandInvocation tells of; with one step, that is the whole."""
        if len(self.steps) == 1:
            return next(iter(self.steps)), self
        return str(step), self.steps[str(step)]


@dataclass
class Command:
    id: str
    document: str
    comment: str
    parameters: dict[str, list[str]]
    timeout_seconds: int
    sent: float
    visible_at: float
    invocations: dict[str, Invocation] = field(default_factory=dict)


def invocation_json(invocation: Invocation, step: str | None) -> dict[str, Any]:
    """As GetCommandInvocation shows it."""
    command = invocation.command
    plugin, found = invocation.shown(step)
    done = found.status in TERMINAL
    return {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "PluginName": plugin,
        "ResponseCode": found.response_code if done else -1,
        "Status": found.status,
        "StatusDetails": found.details,
        "ExecutionStartDateTime": iso(found.started),
        "ExecutionEndDateTime": iso(found.ended),
        "ExecutionElapsedTime": f"PT{(found.ended - found.started):.3f}S"
        if found.ended and found.started
        else "",
        "StandardOutputContent": limited(found.stdout, STDOUT_LIMIT) if done else "",
        "StandardErrorContent": limited(found.stderr, STDERR_LIMIT) if done else "",
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": {"CloudWatchOutputEnabled": False},
    }


def command_json(command: Command) -> dict[str, Any]:
    states = [i.status for i in command.invocations.values()]
    done = all(s in TERMINAL for s in states)
    worst = next((s for s in ("Failed", "TimedOut", "Cancelled") if s in states), "Success")
    status = worst if done else ("Pending" if all(s == "Pending" for s in states) else "InProgress")
    return {
        "CommandId": command.id,
        "DocumentName": command.document,
        "DocumentVersion": "$DEFAULT",
        "Comment": command.comment,
        "ExpiresAfter": command.sent + command.timeout_seconds,
        "Parameters": command.parameters,
        "InstanceIds": list(command.invocations),
        "Targets": [],
        "RequestedDateTime": command.sent,
        "Status": status,
        "StatusDetails": status,
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": len(states),
        "CompletedCount": sum(s in TERMINAL for s in states),
        "TimeoutSeconds": command.timeout_seconds,
        "ErrorCount": sum(s in ("Failed", "TimedOut") for s in states),
        "DeliveryTimedOutCount": 0,
    }


def listed_json(invocation: Invocation, details: bool) -> dict[str, Any]:
    command = invocation.command
    shown = {
        "CommandId": command.id,
        "InstanceId": invocation.instance_id,
        "Comment": command.comment,
        "DocumentName": command.document,
        "RequestedDateTime": command.sent,
        "Status": invocation.status,
        "StatusDetails": invocation.details,
    }
    if not details:
        return shown
    return shown | {"CommandPlugins": [_step_json(*invocation.shown(n)) for n in invocation.steps]}


def _step_json(name: str, step: Progress) -> dict[str, Any]:
    plugin = {
        "Name": name,
        "Status": step.status,
        "StatusDetails": step.details,
        "ResponseCode": step.response_code,
        "Output": limited(step.words or step.stdout, PLUGIN_OUTPUT_LIMIT),
    }
    times = {"ResponseStartDateTime": step.started, "ResponseFinishDateTime": step.ended}
    return plugin | {k: v for k, v in times.items() if v}


def instance_json(i: Instance) -> dict[str, Any]:
    """As DescribeInstanceInformation shows it."""
    platform = {
        "Linux": ("Debian GNU/Linux", "12"),
        "Windows": ("Microsoft Windows Server 2022 Datacenter", "10.0.20348"),
    }[i.platform]
    return {
        "InstanceId": i.id,
        "PingStatus": "Online",
        "LastPingDateTime": time.time(),
        "AgentVersion": i.agent_version,
        "IsLatestVersion": True,
        "PlatformType": i.platform,
        "PlatformName": platform[0],
        "PlatformVersion": platform[1],
        "ResourceType": "EC2Instance",
        "IPAddress": "127.0.0.1",
        "ComputerName": i.name,
        "SourceId": i.id,
        "SourceType": "AWS::EC2::Instance",
    }


def limited(text: str, limit: int) -> str:
    """As SSM shows it: cut, with the suffix inside the limit."""
    return text if len(text) <= limit else text[: limit - len(TRUNCATED)] + TRUNCATED


def iso(moment: float | None) -> str:
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
