"""Carries out an Automation document as Systems Manager would, against the lab.

It knows what AWS documents of the actions that our documents use, and refuses everything else.
Scripts run in this process, with boto3 set to the lab's endpoint and the starter's key.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import yaml

Values = dict[str, Any]
_VARIABLE = re.compile(r"\{\{\s*([\w:.]+)\s*\}\}")


class StepFailed(Exception):
    """A step failed, and with it the execution."""


class Automation:
    """One execution."""

    def __init__(self, document: Path, invoke: Any, **parameters: Any) -> None:
        self._document = yaml.safe_load(document.read_text())
        assert self._document["schemaVersion"] == "0.3"
        self._invoke = invoke
        self.values: Values = {"automation:EXECUTION_ID": str(uuid.uuid4())}
        self.steps: list[str] = []
        declared = self._document["parameters"]
        assert set(parameters) <= set(declared), f"unknown parameters: {parameters}"
        for name, one in declared.items():
            assert name in parameters or "default" in one, f"{name} is required"
            value = parameters.get(name, one.get("default"))
            if "allowedPattern" in one:
                assert re.search(one["allowedPattern"], value), f"{name}: {value!r}"
            assert isinstance(value, list) == (one["type"] == "StringList"), name
            self.values[name] = value

    def run(self) -> Values:
        """Every step, in order; the outputs of the document."""
        for step in self._document["mainSteps"]:
            self._step(step)
        return {name: self.values[name] for name in self._document.get("outputs", [])}

    def _step(self, step: Values) -> None:
        self.steps.append(step["name"])
        action = {"aws:executeScript": self._script, "aws:invokeLambdaFunction": self._lambda,
                  "aws:loop": self._loop}[step["action"]]
        action(step)

    def _script(self, step: Values) -> None:
        inputs = step["inputs"]
        assert inputs["Runtime"] == "python3.11" and step["timeoutSeconds"] <= 600
        scope: Values = {}
        exec(compile(inputs["Script"], step["name"], "exec"), scope)  # noqa: S102
        try:
            answer = scope[inputs["Handler"]](self._filled(inputs["InputPayload"]), None)
        except Exception as error:
            raise StepFailed(f"{step['name']}: {error}") from error
        # What a script returns goes over the wire.
        self._outputs(step, {"Payload": json.loads(json.dumps(answer))})

    def _lambda(self, step: Values) -> None:
        inputs = step["inputs"]
        answer = self._invoke(inputs["FunctionName"], json.loads(self._filled(inputs["Payload"])))
        self.values[f"{step['name']}.Payload"] = json.dumps(answer)

    def _loop(self, step: Values) -> None:
        inputs = step["inputs"]
        for _ in range(inputs["MaxIterations"]):
            for inner in inputs["Steps"]:
                self._step(inner)
            if self._filled(inputs["LoopCondition"]["Variable"]) is not True:
                return
        raise StepFailed(f"{step['name']}: still true after {inputs['MaxIterations']} iterations")

    def _outputs(self, step: Values, answer: Values) -> None:
        kinds = {"String": str, "StringList": list, "Boolean": bool}
        for output in step.get("outputs", []):
            value: Any = answer
            for name in output["Selector"].removeprefix("$.").split("."):
                value = value[name]
            assert isinstance(value, kinds[output["Type"]]), (step["name"], output, value)
            self.values[f"{step['name']}.{output['Name']}"] = value

    def _filled(self, given: Any) -> Any:
        """Variables put in; one that is the whole text keeps its type."""
        if isinstance(given, dict):
            return {name: self._filled(value) for name, value in given.items()}
        if isinstance(given, list):
            return [self._filled(value) for value in given]
        if not isinstance(given, str):
            return given
        if whole := _VARIABLE.fullmatch(given):
            return self.values[whole[1]]
        return _VARIABLE.sub(lambda found: str(self.values[found[1]]), given)
