"""SSM Command documents: parameters checked and filled in, steps picked out; schema 2.2.

Pure. What SSM's front end refuses at SendCommand is ServiceError here; what only the agent finds
out (precondition, timeout range) is in the steps. No process is started here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from . import vss_documents
from .ports import ServiceError

# The agent's range; a value outside it silently becomes the default.
STEP_TIMEOUT_MIN_SECONDS, STEP_TIMEOUT_MAX_SECONDS, STEP_TIMEOUT_DEFAULT_SECONDS = 5, 172_800, 3_600
# platformType -> the action that this platform's agent executes.
ACTIONS = {"Linux": "aws:runShellScript", "Windows": "aws:runPowerShellScript"}

# AWS's own documents that are known here.
BUILT_IN: dict[str, dict[str, Any]] = vss_documents.DOCUMENTS | {
    "AWS-RunShellScript": {
        "schemaVersion": "2.2",
        "parameters": {
            "commands": {"type": "StringList"},
            "workingDirectory": {"type": "String", "default": ""},
            "executionTimeout": {
                "type": "String",
                "default": "3600",
                "allowedPattern": "[1-9][0-9]{0,5}",
            },
        },
        "mainSteps": [
            {
                "action": "aws:runShellScript",
                "name": "runShellScript",
                "inputs": {
                    "timeoutSeconds": "{{ executionTimeout }}",
                    "workingDirectory": "{{ workingDirectory }}",
                    "runCommand": "{{ commands }}",
                },
            }
        ],
    },
}

Values = dict[str, str | list[str]]


@dataclass(frozen=True)
class Step:
    name: str
    action: str
    skipped: str | None  # why, when the precondition does not hold
    script: str
    working_directory: str
    timeout_seconds: float
    environment: dict[str, str]
    values: Values
    success_and_exit_on_failure: bool
    finally_step: bool


def _refuse(message: str) -> ServiceError:
    return ServiceError("InvalidParameters", message)


def check_parameters(document: dict[str, Any], given: dict[str, list[str]]) -> Values:
    """The value of every parameter of the document; what the front end refuses is refused."""
    declared = document.get("parameters") or {}
    if unknown := sorted(set(given) - set(declared)):
        raise _refuse(f"the document does not declare the parameter {', '.join(unknown)}")
    values: Values = {}
    for name, spec in declared.items():
        values[name] = _check_one(name, spec, given.get(name))
    return values


def _check_one(name: str, spec: dict[str, Any], given: list[str] | None) -> str | list[str]:
    kind = spec.get("type", "String")
    if given is None:
        if "default" not in spec:
            raise _refuse(f"the parameter {name} is required and was not given")
        default = spec["default"]
        return [str(v) for v in default] if isinstance(default, list) else str(default)
    if not isinstance(given, list) or not all(isinstance(v, str) for v in given):
        raise _refuse(f"the parameter {name}: found {given!r}, a list of strings is needed")
    if kind == "String" and len(given) != 1:
        raise _refuse(f"the parameter {name} is a String and takes one value, found {len(given)}")
    for value in given:
        allowed = [str(v) for v in spec.get("allowedValues") or []]
        if allowed and value not in allowed:
            raise _refuse(
                f"the parameter {name}: found {value!r}, allowed are {', '.join(allowed)}"
            )
        pattern = spec.get("allowedPattern")
        if pattern and not re.fullmatch(pattern, value):
            raise _refuse(f"the parameter {name}: found {value!r}, which does not match {pattern}")
        if not int(spec.get("minChars", 0)) <= len(value) <= int(spec.get("maxChars", 1 << 20)):
            raise _refuse(f"the parameter {name}: {len(value)} characters are not allowed")
    return given if kind == "StringList" else given[0]


def fill_in(text: Any, document: dict[str, Any], values: Values) -> Any:
    """`text` with every {{ parameter }} replaced, as the agent does it: textually, unquoted."""
    if isinstance(text, list):
        filled: list[Any] = []
        for item in text:
            done = fill_in(item, document, values)
            filled += done if isinstance(done, list) else [done]
        return filled
    if not isinstance(text, str):
        return text
    for name, value in values.items():
        place = r"\{\{\s*" + re.escape(name) + r"\s*\}\}"
        if isinstance(value, list):
            if re.fullmatch(place, text.strip()):
                return list(value)
            value = json.dumps(value)
        if _by_environment(document, name):
            # The value reaches the script as SSM_<name> only, so that it cannot be code.
            value = "${SSM_" + name + "}"
        # Split and join: a replacement string would have its backslashes read.
        text = value.join(re.split(place, text))
    return text


def _by_environment(document: dict[str, Any], name: str) -> bool:
    return (document.get("parameters") or {}).get(name, {}).get("interpolationType") == "ENV_VAR"


def steps(document: dict[str, Any], values: Values, platform: str) -> list[Step]:
    """The steps to execute on an instance of this platform, in order."""
    if str(document.get("schemaVersion")) != "2.2":
        raise ServiceError(
            "InvalidDocument",
            f"schemaVersion: found {document.get('schemaVersion')!r}, only 2.2 is run here",
        )
    environment = {
        f"SSM_{name}": value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
        if _by_environment(document, name)
    }
    return [
        _step(step, document, values, environment, platform)
        for step in document.get("mainSteps") or []
    ]


def _step(
    step: dict[str, Any],
    document: dict[str, Any],
    values: Values,
    environment: dict[str, str],
    platform: str,
) -> Step:
    inputs = step.get("inputs") or {}
    command = fill_in(inputs.get("runCommand", []), document, values)
    lines = command if isinstance(command, list) else [command]
    return Step(
        name=step.get("name", ""),
        action=step.get("action", ""),
        skipped=_precondition(step, platform),
        script="\n".join(str(line) for line in lines),
        working_directory=str(fill_in(inputs.get("workingDirectory", ""), document, values)),
        timeout_seconds=_timeout(fill_in(inputs.get("timeoutSeconds"), document, values)),
        environment=environment,
        values=values,
        success_and_exit_on_failure=inputs.get("onFailure") == "successAndExit",
        finally_step=str(inputs.get("finallyStep", "")).lower() == "true",
    )


def _precondition(step: dict[str, Any], platform: str) -> str | None:
    for operator, operands in (step.get("precondition") or {}).items():
        if operator != "StringEquals" or len(operands) != 2 or "platformType" not in operands:
            return f"the precondition {operator} {operands} is not one this agent knows"
        wanted = next((o for o in operands if o != "platformType"), "")
        if wanted != platform:
            found = f"platformType is {platform}, not {wanted}"
            return f"Step execution skipped due to unsatisfied preconditions: {found}"
    if step.get("action") != ACTIONS[platform]:
        return f"Step execution skipped due to unsupported plugin: {step.get('action')}"
    return None


def _timeout(value: Any) -> float:
    try:
        seconds = int(str(value))
    except ValueError:
        return STEP_TIMEOUT_DEFAULT_SECONDS
    in_range = STEP_TIMEOUT_MIN_SECONDS <= seconds <= STEP_TIMEOUT_MAX_SECONDS
    return seconds if in_range else STEP_TIMEOUT_DEFAULT_SECONDS
