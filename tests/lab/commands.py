"""SSM's side of Run Command: SendCommand to a terminal status, as the API shows it.

Validates what the real front end validates, keeps every command and invocation, and lets
ssm_agent.py execute. Pending, then InProgress, then a terminal status; InvocationDoesNotExist at
first; only the instances that were named. It knows neither HTTP nor documents' grammar.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from . import documents, ssm_agent
from .command_views import (
    TERMINAL,
    Command,
    Invocation,
    Progress,
    command_json,
    instance_json,
    invocation_json,
    listed_json,
)
from .config import DELIVERY_SECONDS, INVOCATION_VISIBLE_AFTER_SECONDS
from .emulator import Emulator
from .faults import Faults, Timeline
from .instance import Instance
from .instances import Fleet
from .ports import ServiceError
from .windows import Windows

DELIVERY_TIMEOUT_MIN_SECONDS, DELIVERY_TIMEOUT_MAX_SECONDS, DELIVERY_TIMEOUT_DEFAULT_SECONDS = (
    30,
    2_592_000,
    3_600,
)


class Commands:
    """Answers the API's actions; each method takes and returns the JSON of the API."""

    def __init__(
        self,
        fleet: Fleet,
        emulator: Emulator,
        faults: Faults,
        timeline: Timeline,
        windows: Windows,
    ) -> None:
        self._fleet, self._emulator, self._faults, self._timeline, self._windows = (
            fleet,
            emulator,
            faults,
            timeline,
            windows,
        )
        self._commands: dict[str, Command] = {}

    def handle(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        name = {
            "SendCommand": self.send,
            "GetCommandInvocation": self.get_invocation,
            "ListCommands": self.list_commands,
            "ListCommandInvocations": self.list_invocations,
            "CancelCommand": self.cancel,
            "DescribeInstanceInformation": self.describe_instances,
            "GetInventory": self.inventory,
        }[action]
        return name(body)

    # --- SendCommand ----------------------------------------------------------------------------

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        name = str(body.get("DocumentName", ""))
        document = documents.BUILT_IN.get(name) or self._emulator.document(
            name, body.get("DocumentVersion")
        )
        values = documents.check_parameters(document, body.get("Parameters") or {})
        if not document.get("mainSteps"):
            raise ServiceError("InvalidDocument", f"the document {name} has no mainSteps")
        timeout = int(body.get("TimeoutSeconds") or DELIVERY_TIMEOUT_DEFAULT_SECONDS)
        if not DELIVERY_TIMEOUT_MIN_SECONDS <= timeout <= DELIVERY_TIMEOUT_MAX_SECONDS:
            raise ServiceError(
                "ValidationException",
                f"timeoutSeconds: found {timeout}, allowed are "
                f"{DELIVERY_TIMEOUT_MIN_SECONDS} to {DELIVERY_TIMEOUT_MAX_SECONDS}",
            )
        instances = self._targets(body)
        steps = {i.id: documents.steps(document, values, i.platform) for i in instances}
        if self._faults.take("loseSendCommand"):
            raise ServiceError("InternalServerError", "An internal error has occurred")
        now = time.time()
        command = Command(
            str(uuid.uuid4()),
            name,
            body.get("Comment", ""),
            body.get("Parameters") or {},
            timeout,
            now,
            now + INVOCATION_VISIBLE_AFTER_SECONDS,
        )
        for instance in instances:
            command.invocations[instance.id] = Invocation(
                command=command,
                instance_id=instance.id,
                steps={step.name: Progress() for step in steps[instance.id]},
            )
        self._commands[command.id] = command
        for instance in instances:
            self._timeline.add(
                "SendCommand",
                instance.id,
                commandId=command.id,
                document=name,
                parameters=command.parameters,
            )
            invocation = command.invocations[instance.id]
            threading.Thread(
                target=self._execute, args=(instance, invocation, steps[instance.id]), daemon=True
            ).start()
        if self._faults.take("loseSendCommandReply"):
            raise ServiceError("InternalServerError", "An internal error has occurred")
        return {"Command": command_json(command)}

    def _targets(self, body: dict[str, Any]) -> list[Instance]:
        ids = list(body.get("InstanceIds") or [])
        if len(ids) != len(set(ids)):
            raise ServiceError("DuplicateInstanceId", "InstanceIds names an instance twice")
        for target in body.get("Targets") or []:
            key, values = target["Key"], target["Values"]
            ids += (
                values
                if key == "InstanceIds"
                else [i for i in self._emulator.instance_ids_with(key, values) if self._managed(i)]
            )
        if not ids and not body.get("Targets"):
            raise ServiceError(
                "InvalidInstanceId", "neither InstanceIds nor Targets name an instance"
            )
        if refused := [i for i in ids if not self._managed(i)]:
            raise ServiceError(
                "InvalidInstanceId",
                f"Instances not in a valid state for account: {', '.join(refused)}",
            )
        return [i for i in (self._fleet.get(ident) for ident in dict.fromkeys(ids)) if i]

    def _managed(self, instance_id: str) -> bool:
        instance = self._fleet.get(instance_id)
        return instance is not None and instance.managed

    # --- execution ------------------------------------------------------------------------------

    def _execute(
        self, instance: Instance, invocation: Invocation, steps: list[documents.Step]
    ) -> None:
        command = invocation.command
        give_up = time.monotonic() + command.timeout_seconds + sum(s.timeout_seconds for s in steps)
        if not self._deliver(instance, invocation, time.monotonic() + command.timeout_seconds):
            return
        end = self._faults.end_of(instance.id, command.parameters)
        if end and not end.get("runs"):
            invocation.stdout = self._faults.output(instance.id, "")
            invocation.response_code = 0 if end["status"] == "Success" else -1
            self._end(invocation, end["status"], end["details"])
            return
        invocation.status = invocation.details = "InProgress"
        invocation.started = time.time()
        results: list[ssm_agent.Outcome] = []
        leaving = False
        for step in steps:
            if leaving and not step.finally_step:
                continue
            progress = invocation.steps[step.name]
            progress.status = progress.details = "InProgress"
            progress.started = time.time()
            outcome = self._run_step(instance, invocation, step, give_up)
            if outcome.status == "Failed" and step.success_and_exit_on_failure:
                outcome.status, outcome.exit_code, outcome.skip_rest = "Success", 0, True
            results.append(outcome)
            self._show(instance, progress, outcome)
            leaving = outcome.skip_rest or outcome.status in ("Failed", "TimedOut", "Cancelled")
        self._finish(instance, invocation, results, end)

    def _deliver(self, instance: Instance, invocation: Invocation, until: float) -> bool:
        delay = DELIVERY_SECONDS + self._faults.delivery_delay(instance.id)
        left = until - time.monotonic()
        delivered = not invocation.cancelled.wait(min(delay, left)) and delay <= left
        if delivered and not instance.gone.is_set():
            return True
        # Nobody takes it: SSM notices when the delivery timeout is over, not before.
        cancelled = invocation.cancelled.wait(max(0.0, until - time.monotonic()))
        self._end(
            invocation,
            "Cancelled" if cancelled else "TimedOut",
            "Cancelled" if cancelled else "DeliveryTimedOut",
        )
        return False

    def _run_step(
        self, instance: Instance, invocation: Invocation, step: documents.Step, give_up: float
    ) -> ssm_agent.Outcome:
        command = invocation.command
        about = {"commandId": command.id, "step": step.name, "parameters": command.parameters}

        def started(pid: int) -> None:
            self._timeline.add("script started", instance.id, pid=pid, **about)

        try:
            if step.action == documents.ACTIONS["Windows"] and not step.skipped:
                started(0)
                outcome = self._windows.run_step(instance, step, invocation.cancelled)
            else:
                outcome = ssm_agent.run_step(
                    instance, command.id, step, invocation.cancelled, give_up, started
                )
        except (ServiceError, OSError, RuntimeError) as error:
            outcome = ssm_agent.Outcome(
                "Failed", 1, stderr=f"the agent could not run the step: {error}"
            )
        if instance.gone.is_set():
            # No result will ever come; SSM gives the command up when its time is over.
            invocation.cancelled.wait(max(0.0, give_up - time.monotonic()))
            outcome = ssm_agent.Outcome(
                "TimedOut", ssm_agent.NO_RESULT, skip_rest=True, gave_up=True
            )
        self._timeline.add(
            "script ended", instance.id, status=outcome.status, exitCode=outcome.exit_code, **about
        )
        return outcome

    def _finish(
        self,
        instance: Instance,
        invocation: Invocation,
        results: list[ssm_agent.Outcome],
        end: dict[str, Any] | None,
    ) -> None:
        # The agent's precedence of results.
        worst = next(
            (r for s in ("Failed", "TimedOut", "Cancelled") for r in results if r.status == s),
            results[-1],
        )
        invocation.stdout = self._faults.output(instance.id, "".join(r.stdout for r in results))
        invocation.stderr = "".join(r.stderr for r in results)
        invocation.words = "".join(r.words for r in results)
        invocation.response_code = worst.exit_code
        self._end(invocation, *((end["status"], end["details"]) if end else _status(worst)))

    def _show(self, instance: Instance, step: Progress, outcome: ssm_agent.Outcome) -> None:
        step.stdout = self._faults.output(instance.id, outcome.stdout)
        step.stderr, step.words = outcome.stderr, outcome.words
        step.response_code = outcome.exit_code
        step.end(*_status(outcome))

    def _end(self, invocation: Invocation, status: str, details: str) -> None:
        invocation.end(status, details)
        self._timeline.add(
            "command ended", invocation.instance_id, commandId=invocation.command.id, status=details
        )
        when = datetime.fromtimestamp(invocation.command.sent, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._emulator.put_event(
            "aws.ssm",
            "EC2 Command Invocation Status-change Notification",
            [],
            {
                "command-id": invocation.command.id,
                "document-name": invocation.command.document,
                "instance-id": invocation.instance_id,
                "requested-date-time": when,
                "status": status,
            },
        )

    # --- the rest of the API --------------------------------------------------------------------

    def cancel(self, body: dict[str, Any]) -> dict[str, Any]:
        command = self._command(body)
        for invocation in command.invocations.values():
            if not body.get("InstanceIds") or invocation.instance_id in body["InstanceIds"]:
                if invocation.status not in TERMINAL:
                    invocation.cancelled.set()
        return {}

    def get_invocation(self, body: dict[str, Any]) -> dict[str, Any]:
        command = self._commands.get(str(body.get("CommandId", "")))
        found = command.invocations.get(str(body.get("InstanceId", ""))) if command else None
        if command is None or found is None or time.time() < command.visible_at:
            raise ServiceError(
                "InvocationDoesNotExist", "the command has no such invocation, or not yet"
            )
        name = body.get("PluginName")
        if name not in (found.steps if name or len(found.steps) > 1 else (None,)):
            raise ServiceError(
                "InvalidPluginName",
                f"PluginName: found {name!r}, it has {', '.join(found.steps)}",
            )
        return invocation_json(found, name)

    def list_commands(self, body: dict[str, Any]) -> dict[str, Any]:
        filters = {one["key"]: one["value"] for one in body.get("Filters") or []}
        after = filters.get("InvokedAfter", "1970-01-01T00:00:00Z")
        since = datetime.fromisoformat(after).timestamp()
        wanted = [
            c
            for c in self._commands.values()
            if body.get("CommandId") in (None, c.id)
            and (not body.get("InstanceId") or body["InstanceId"] in c.invocations)
            and filters.get("DocumentName") in (None, c.document)
            and c.sent >= since
        ]
        return {"Commands": [command_json(c) for c in reversed(wanted)]}

    def list_invocations(self, body: dict[str, Any]) -> dict[str, Any]:
        found = [
            i
            for c in self._commands.values()
            for i in c.invocations.values()
            if time.time() >= c.visible_at
            and body.get("CommandId") in (None, c.id)
            and body.get("InstanceId") in (None, i.instance_id)
        ]
        return {
            "CommandInvocations": [
                listed_json(i, bool(body.get("Details"))) for i in reversed(found)
            ]
        }

    def describe_instances(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted: set[str] | None = None
        for item in (body.get("Filters") or []) + (body.get("InstanceInformationFilterList") or []):
            if item.get("Key", item.get("key")) == "InstanceIds":
                wanted = set(item.get("Values", item.get("valueSet", [])))
        shown = [i for i in self._fleet.all() if i.managed and (wanted is None or i.id in wanted)]
        # Pages as SSM makes them, 5 to 50 entries.
        size = min(max(int(body.get("MaxResults") or 50), 5), 50)
        start = int(body.get("NextToken") or 0)
        answer: dict[str, Any] = {
            "InstanceInformationList": [instance_json(i) for i in shown[start : start + size]]
        }
        return answer | ({"NextToken": str(start + size)} if start + size < len(shown) else {})

    def inventory(self, body: dict[str, Any]) -> dict[str, Any]:
        """What SSM's inventory knows of the components that AWS installed on the instances."""
        wanted: set[str] = set()
        for item in body.get("Filters") or []:
            if item["Key"] == "AWS:InstanceInformation.InstanceId":
                wanted |= set(item["Values"])
        entities = [_inventory_json(i) for i in self._fleet.all() if i.id in wanted and i.managed]
        return {"Entities": entities}

    def _command(self, body: dict[str, Any]) -> Command:
        try:
            return self._commands[str(body.get("CommandId", ""))]
        except KeyError:
            raise ServiceError(
                "InvalidCommandId", f"there is no command {body.get('CommandId')}"
            ) from None


def _status(outcome: ssm_agent.Outcome) -> tuple[str, str]:
    """Status and StatusDetails of how a step, or the worst of them, ended."""
    if outcome.status == "TimedOut":
        return "TimedOut", "DeliveryTimedOut" if outcome.gave_up else "ExecutionTimedOut"
    if outcome.status in ("Failed", "Cancelled"):
        return outcome.status, outcome.status
    return "Success", "Success"


def _inventory_json(instance: Instance) -> dict[str, Any]:
    kind = "AWS:AWSComponent"
    version = instance.vss_components
    found = [{"Name": "AwsVssComponents", "Version": version}] if version else []
    content = [{"Name": "amazon-ssm-agent", "Version": instance.agent_version}, *found]
    data = {"TypeName": kind, "SchemaVersion": "1.0", "Content": content}
    return {"Id": instance.id, "Data": {kind: data}}
