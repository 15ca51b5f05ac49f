"""A CloudFormation template as plain Python values.

Job: turn the short forms (`!Ref X`, `!GetAtt X.Y`) into the long ones, and hand out the parts that
the tests ask for: resources by type, the statements of a role. It resolves no reference and knows
no rule; the rules are in the tests beside it.
"""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "infra" / "template.yaml"
POLICY = ROOT / "infra" / "policy.yaml"
DRILL = ROOT / "infra" / "drill.yaml"
HUB = ROOT / "infra" / "hub.yaml"


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows CloudFormation's tags; a class of its own, so none leaks to others."""


def _intrinsic(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise TypeError(f"!{name} on a mapping: no short form of CloudFormation takes one")
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)
    return template


def of_type(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Properties of every resource of this type, by logical id."""
    return {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == kind
    }


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: dict[str, Any]) -> list[dict[str, Any]]:
    """Every statement of a role's inline policies."""
    return [
        statement
        for policy in role.get("Policies", [])
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(role: dict[str, Any]) -> set[str]:
    """Every action that a role's statements allow."""
    return {action for statement in statements(role) for action in as_list(statement["Action"])}
