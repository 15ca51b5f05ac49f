"""Which resources, with which condition keys, IAM checks for an SSM call or an event.

ministack checks one resource an action; AWS checks SendCommand on the document and on each
instance. EC2's calls are authz_ec2.py's. Pure: a call's parameters in, the checks out. The emulator
feeds ministack's own policy evaluator with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .config import ACCOUNT, REGION

Tags = dict[str, str]
# (kind, id) -> tags of that resource; kind is "document" or the part before the slash of an ARN.
TagLookup = Callable[[str, str], Tags]


@dataclass(frozen=True)
class Check:
    action: str
    arn: str
    context: dict[str, Any] = field(default_factory=dict)


def ec2_arn(kind: str, ident: str) -> str:
    # Snapshots and images belong to no account in EC2's ARNs.
    account = "" if kind in ("snapshot", "image") else ACCOUNT
    return f"arn:aws:ec2:{REGION}:{account}:{kind}/{ident}"


def document_arn(name: str) -> str:
    if name.startswith("arn:"):
        return name
    of_aws = ("AWS-", "AWSEC2-", "AWSSystemsManagerSAP-")
    owner = "" if name.startswith(of_aws) else ACCOUNT
    return f"arn:aws:ssm:{REGION}:{owner}:document/{name}"


def resource_context(tags: Tags, *prefixes: str) -> dict[str, Any]:
    return {f"{prefix}/{key}": value for prefix in prefixes for key, value in tags.items()}


def numbered(params: dict[str, str], name: str) -> list[str]:
    found = [
        (int(m[1]), v)
        for k, v in params.items()
        if (m := re.fullmatch(rf"{re.escape(name)}\.(\d+)", k))
    ]
    return [value for _, value in sorted(found)]


def request_tags(params: dict[str, str], pattern: str) -> dict[str, Any]:
    tags = {}
    for key, value in params.items():
        if re.fullmatch(pattern + r"\.(\d+)\.Key", key):
            tags[value] = params.get(key.removesuffix("Key") + "Value", "")
    if not tags:
        return {}
    return {"aws:TagKeys": list(tags)} | {f"aws:RequestTag/{k}": v for k, v in tags.items()}


def tagged(action: str, kind: str, ident: str, tags: TagLookup, more: Tags | None = None) -> Check:
    context = resource_context(tags(kind, ident), "aws:ResourceTag", "ec2:ResourceTag")
    return Check(action, ec2_arn(kind, ident), context | (more or {}))


def events_checks(body: dict[str, Any]) -> list[Check]:
    """The checks for one PutEvents: each entry by its bus, with its source and detail type."""
    checks = []
    for entry in body.get("Entries") or []:
        bus = str(entry.get("EventBusName") or "default").rsplit("/", 1)[-1]
        arn = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"
        context = {"events:source": [entry.get("Source", "")],
                   "events:detail-type": [entry.get("DetailType", "")]}
        checks.append(Check("events:PutEvents", arn, context))
    return checks


def ssm_checks(action: str, body: dict[str, Any], tags: TagLookup) -> list[Check]:
    """The checks for one call of SSM's command and document part."""
    full = f"ssm:{action}"
    if action == "SendCommand":
        name = str(body.get("DocumentName", ""))
        prefixes = ("aws:ResourceTag", "ssm:resourceTag")
        context = resource_context(tags("document", name.rsplit("/", 1)[-1]), *prefixes)
        checks = [Check(full, document_arn(name), context)]
        for ident in body.get("InstanceIds") or []:
            context = resource_context(tags("instance", ident), *prefixes)
            checks.append(Check(full, ec2_arn("instance", ident), context))
        if not body.get("InstanceIds"):
            checks.append(Check(full, ec2_arn("instance", "*")))
        return checks
    if action == "GetParametersByPath":
        path = str(body.get("Path", ""))
        return [Check(full, f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{path}")]
    of_document = body.get("Name") if "Document" in action else None
    if action == "ListTagsForResource":
        of_document = body.get("ResourceId")
    if of_document:
        name = str(of_document)
        return [
            Check(
                full,
                document_arn(name),
                resource_context(tags("document", name), "aws:ResourceTag"),
            )
        ]
    # GetCommandInvocation, CancelCommand, List*, DescribeInstanceInformation.
    return [Check(full, "*")]
