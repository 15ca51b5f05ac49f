"""The valid policies of the corpus against somebody else's reading of DLM: botocore's own model of
the service, with its required fields, types, enumerations, patterns, lengths and ranges.

The Rust side reads the same files in tests/policy/corpus.rs. What the model refuses must be
refused there as well, so every policy outside this test's net has a name that begins with wrong-.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.model import ListShape, MapShape, Shape, StructureShape

FOLDER = Path(__file__).resolve().parent / "fixtures" / "policies"
VALID = sorted(path for path in FOLDER.glob("*.json") if not path.name.startswith("wrong-"))
DLM = botocore.session.Session().get_service_model("dlm")
KINDS: dict[str, type | tuple[type, ...]] = {
    "structure": dict, "map": dict, "list": list, "string": str, "boolean": bool, "integer": int,
    "timestamp": str,
}


def wrong(shape: Shape, value: Any, path: str) -> list[str]:
    """Everything in which a value differs from its shape."""
    kind = KINDS[shape.type_name]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {shape.type_name}"]
    found = []
    size = value if shape.type_name == "integer" else len(value) if hasattr(value, "__len__") else 0
    limits = shape.metadata
    if not limits.get("min", size) <= size <= limits.get("max", size):
        found.append(f"{path}: {size} is not within {limits.get('min')} to {limits.get('max')}")
    if "enum" in limits and value not in limits["enum"]:
        found.append(f"{path}: {value!r} is not among {limits['enum']}")
    # \p{all} is Java's for any character.
    pattern = limits.get("pattern", "").replace(r"\p{all}", r"\s\S")
    if pattern and not re.fullmatch(pattern, value):
        found.append(f"{path}: {value!r} does not match {pattern}")
    if isinstance(shape, StructureShape):
        found += [f"{path}.{name}: is required" for name in shape.required_members if name not in value]
        found += [f"{path}.{name}: is unknown" for name in value if name not in shape.members]
        for name, member in shape.members.items():
            if name in value:
                found += wrong(member, value[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        for index, entry in enumerate(value):
            found += wrong(shape.member, entry, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        for key, entry in value.items():
            found += wrong(shape.key, key, f"{path} key") + wrong(shape.value, entry, f"{path}.{key}")
    return found


def problems(document: dict[str, Any]) -> list[str]:
    """In any of the three forms; what DLM lacks is left out, it has no model for that."""
    plain = {name: value for name, value in document.items() if name != "Stillpoint"}
    if "Policy" in plain:
        return wrong(DLM.shape_for("GetLifecyclePolicyResponse"), plain, "")
    if "PolicyDetails" in plain:
        return wrong(DLM.shape_for("LifecyclePolicy"), plain, "Policy")
    return wrong(DLM.shape_for("PolicyDetails"), plain, "PolicyDetails")


def test_the_corpus_is_there() -> None:
    assert len(VALID) >= 60
    assert len(list(FOLDER.glob("wrong-*.json"))) >= 60


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_what_is_taken_is_what_the_service_model_takes(path: Path) -> None:
    assert problems(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"PolicyType": "SNAPSHOTS"}, "is not among"),
        ({"TargetTags": []}, "is not within 1 to 50"),
        ({"TargetTags": [{"Key": "a"}]}, "Value: is required"),
        ({"Schedules": [{"Name": "a/b"}]}, "does not match"),
        ({"Schedules": [{"CreateRule": {"Interval": True}}]}, "is no integer"),
        ({"Colour": "red"}, "is unknown"),
    ],
)
def test_the_validator_can_refuse(change: dict[str, Any], expected: str) -> None:
    document = json.loads((FOLDER / "form-bare-details.json").read_text()) | change
    (found,) = problems(document)
    assert expected in found
