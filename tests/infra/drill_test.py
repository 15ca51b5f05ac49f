"""infra/drill.yaml: what its schedule gives to the restorer, and what may be put into that."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from infra.template import DRILL, ROOT, TEMPLATE, as_list, load, of_type, statements
from infra_schedules_test import DEPLOY

STACK = load(DRILL)
PARAMETERS = STACK["Parameters"]
# Each field that the restorer knows; it refuses others.
KNOWN = set(re.findall(r"pub (\w+):", (ROOT / "shared/upkeep/src/jobs/request.rs").read_text()))


def target() -> dict[str, Any]:
    (schedule,) = of_type(STACK, "AWS::Scheduler::Schedule").values()
    return schedule["Target"]


def fired(**chosen: str) -> dict[str, Any]:
    """The request, with parameters that the template takes."""
    values = {name: str(one.get("Default", "")) for name, one in PARAMETERS.items()}
    values |= {"PolicyId": "nightly", "HostInstanceId": "i-0123456789abcdef0"} | chosen
    text = target()["Input"]["Fn::Sub"]
    for name, value in values.items():
        assert re.fullmatch(PARAMETERS[name].get("AllowedPattern", ".*"), value), (name, value)
        text = text.replace(f"${{{name}}}", value)
    request: dict[str, Any] = json.loads(text)
    return request


def test_a_firing_is_a_request_of_the_restorers() -> None:
    request = fired()
    assert request == {
        "into": "drill", "policyId": "nightly", "hostInstanceId": "i-0123456789abcdef0",
        "document": "Stillpoint-Drill", "parameters": {}, "timeoutSeconds": 1800,
    }
    snake = {re.sub(r"[A-Z]", lambda m: f"_{m[0].lower()}", name) for name in request}
    assert snake <= KNOWN
    documents = of_type(load(TEMPLATE), "AWS::SSM::Document").values()
    assert request["document"] in {one["Name"] for one in documents}


def test_the_schedules_role_may_invoke_what_is_fired() -> None:
    stack = load(TEMPLATE)
    exported = {o["Export"]["Name"]: o["Value"] for o in stack["Outputs"].values() if "Export" in o}
    may = [(action, arn) for one in statements(of_type(stack, "AWS::IAM::Role")["SchedulerRole"])
           for action in as_list(one["Action"]) for arn in as_list(one["Resource"])]
    assert ("lambda:InvokeFunction", exported[target()["Arn"]["Fn::ImportValue"]]) in may
    letters = exported[target()["DeadLetterConfig"]["Arn"]["Fn::ImportValue"]]
    assert ("sqs:SendMessage", letters) in may


@pytest.mark.parametrize(
    "checks",
    [{}, {"application": "postgresql", "mounts": "/dev/sdf:/data,/dev/sdg:/wal"},
     {"query": "select 'a{b}, c' <> '' and count(*) > 0 from \u00fcbersicht"}],
)
def test_what_is_verified_arrives_as_it_was_written(checks: dict[str, str]) -> None:
    given = DEPLOY.document_parameters(json.dumps(checks, indent=2))
    assert fired(DocumentParameters=given)["parameters"] == checks


@pytest.mark.parametrize("text", [
    "", "{", "[]", "{}}", '{"a":1}', '{"a":"b",}', '{"a":"\\"}', '{"a":"b"},"into":"volumes","x":{"a":"b"}',
])
def test_nothing_that_is_verified_can_break_the_request(text: str) -> None:
    assert not re.fullmatch(PARAMETERS["DocumentParameters"]["AllowedPattern"], text)


@pytest.mark.parametrize("text", ["{", "[]", '{"timeout":60}'])
def test_a_person_is_told_what_can_be_verified(text: str) -> None:
    with pytest.raises(DEPLOY.Failed, match="VERIFY: found"):
        DEPLOY.document_parameters(text)
