"""The templates as the tests look at them, and what several of them ask; it judges nothing."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from infra.template import POLICY, TEMPLATE, load, of_type, statements

STACK = load(TEMPLATE)
POLICY_STACK = load(POLICY)
ROLES = of_type(STACK, "AWS::IAM::Role")
FUNCTIONS = of_type(STACK, "AWS::Lambda::Function")
QUEUES = of_type(STACK, "AWS::SQS::Queue")
SOURCES = of_type(STACK, "AWS::Lambda::EventSourceMapping")
ALL_DOCUMENTS = of_type(STACK, "AWS::SSM::Document")
# Those that run on an instance; the others are Automation's.
DOCUMENTS = {n: one for n, one in ALL_DOCUMENTS.items() if one["DocumentType"] == "Command"}
PEOPLE = of_type(STACK, "AWS::IAM::ManagedPolicy")

SNAPSHOT_MAKERS = {
    "ec2:CreateSnapshot",
    "ec2:CreateSnapshots",
    "ec2:CopySnapshot",
    "ec2:CreateImage",
    "ec2:CreateVolume",
    "ec2:RunInstances",
}

SNAPSHOT_DELETERS = {
    "ec2:DeleteSnapshot",
    "ec2:DeregisterImage",
    "ec2:DeleteTags",
    "ec2:ModifySnapshotTier",
    "ec2:DeleteVolume",
    "ec2:TerminateInstances",
}


def sid(role: str, name: str) -> dict[str, Any]:
    found = [s for s in statements(ROLES[role]) if s.get("Sid") == name]
    assert len(found) == 1, f"{role} has {len(found)} statements with Sid {name}"
    return found[0]


def grants(allowed: set[str], wanted: set[str]) -> set[str]:
    """Those of the wanted actions that the allowed ones cover, wildcards and case included."""
    return {w for w in wanted for a in allowed if fnmatchcase(w.lower(), a.lower())}
