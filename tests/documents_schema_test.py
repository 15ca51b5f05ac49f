"""Every SSM document against what Systems Manager accepts: schema 2.2 for commands, 0.3 for automations.

AWS publishes no schema file; these are the rules of its user guide ("Data elements and parameters",
"Document schema features and examples"), as CreateDocument applies them, so that a document that
it would refuse fails here and not in somebody's stack.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.template import ROOT

FILES = sorted((ROOT / "ssm-documents").rglob("*.yaml"))
NAME = re.compile(r"[a-zA-Z0-9_\-.]{3,128}")
RESERVED = ("aws", "amazon", "amzn")
CONTENT_BYTES_MAX = 64 * 1024

TYPES = {"String", "StringList", "Boolean", "Integer", "MapList", "StringMap"}
# An automation also knows AWS's own types, which give the console a picker.
AWS_TYPE = re.compile(r"(List<)?AWS::[A-Za-z0-9]+(::[A-Za-z0-9]+)*(>)?")
PARAMETER = {
    "type", "description", "default", "allowedValues", "allowedPattern", "displayType",
    "minItems", "maxItems", "minChars", "maxChars", "interpolationType",
}
TOP = {
    "2.2": {"schemaVersion", "description", "parameters", "mainSteps", "files"},
    "0.3": {"schemaVersion", "description", "assumeRole", "parameters", "variables", "mainSteps",
            "outputs", "files"},
}
# Inputs of the command plugins that are used.
COMMAND_INPUTS = {
    "aws:runShellScript": {"runCommand", "timeoutSeconds", "workingDirectory"},
    "aws:runPowerShellScript": {"runCommand", "timeoutSeconds", "workingDirectory"},
}
FLOW = {"finallyStep", "onFailure", "onSuccess"}
STEP = {
    "2.2": {"action", "name", "precondition", "inputs", "maxAttempts", "timeoutSeconds"},
    "0.3": {"action", "name", "description", "inputs", "outputs", "onFailure", "onCancel",
            "isCritical", "isEnd", "nextStep", "maxAttempts", "timeoutSeconds"},
}
PLATFORMS = {"Linux", "Windows", "MacOS"}


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


every_document = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


@every_document
def test_it_has_a_name_and_a_size_that_ssm_takes(path: Path) -> None:
    assert NAME.fullmatch(path.stem) and not path.stem.lower().startswith(RESERVED)
    assert len(json.dumps(load(path)).encode()) <= CONTENT_BYTES_MAX


@every_document
def test_it_has_only_elements_of_its_schema(path: Path) -> None:
    document = load(path)
    schema = document["schemaVersion"]
    assert isinstance(schema, str) and schema in TOP, "a text: 2.2 as a number is refused"
    assert set(document) <= TOP[schema]
    assert isinstance(document.get("mainSteps"), list) and document["mainSteps"]


@every_document
def test_its_parameters_are_of_its_schema(path: Path) -> None:
    document = load(path)
    for name, parameter in document.get("parameters", {}).items():
        assert re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*", name), name
        assert set(parameter) <= PARAMETER, name
        is_aws = document["schemaVersion"] == "0.3" and AWS_TYPE.fullmatch(parameter["type"])
        assert parameter["type"] in TYPES or is_aws, name
        if "allowedPattern" in parameter:
            # Checked by the API in Java and by the agent in Go's RE2, which knows no look-around.
            pattern = parameter["allowedPattern"]
            re.compile(pattern)
            assert not re.search(r"\(\?[=!<]", pattern), f"{name}: RE2 has no look-around"
            if isinstance(parameter.get("default"), str):
                assert re.search(pattern, parameter["default"]), f"{name}: its default is refused"
        if "allowedValues" in parameter and "default" in parameter:
            assert parameter["default"] in parameter["allowedValues"], name


@every_document
def test_its_steps_are_of_its_schema(path: Path) -> None:
    document = load(path)
    schema, names = document["schemaVersion"], set()
    for step in document["mainSteps"]:
        assert re.fullmatch(r"[a-zA-Z0-9_]{3,128}", step["name"]), step["name"]
        assert step["name"] not in names, f"{step['name']} twice"
        names.add(step["name"])
        assert re.fullmatch(r"aws:[a-zA-Z]+", step["action"])
        assert set(step) <= STEP[schema], step["name"]
        if schema == "2.2":
            assert set(step["inputs"]) <= COMMAND_INPUTS[step["action"]] | FLOW, step["name"]
            assert all(isinstance(line, str) for line in step["inputs"]["runCommand"])
            for operator, (left, right) in step.get("precondition", {}).items():
                assert operator == "StringEquals" and "platformType" in (left, right)
                assert {left, right} & PLATFORMS


@every_document
def test_it_uses_the_parameters_that_it_has(path: Path) -> None:
    document = load(path)
    used = set(re.findall(r"\{\{ ?([a-zA-Z0-9]+) ?\}\}", json.dumps(document["mainSteps"])))
    declared = set(document.get("parameters", {})) | set(document.get("variables", {}))
    assert used <= declared, "a parameter that is not declared"
    assumed = re.findall(r"\{\{ ?(\w+) ?\}\}", str(document.get("assumeRole", "")))
    assert declared <= used | set(assumed), "a parameter that nothing reads"
