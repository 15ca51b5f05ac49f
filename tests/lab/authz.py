"""Which resources, with which condition keys, IAM checks for an EC2 or SSM call.

ministack checks one resource an action; AWS checks CreateSnapshots on the instance, each volume
and each new snapshot, CreateTags on each resource, SendCommand on the document and on each
instance. Pure: a call's parameters in, the checks out. emulator.py feeds ministack's own policy
evaluator with them.
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

_PREFIX_KINDS = {"i": "instance", "vol": "volume", "snap": "snapshot", "ami": "image"}


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


def _resource_context(tags: Tags, *prefixes: str) -> dict[str, Any]:
    return {f"{prefix}/{key}": value for prefix in prefixes for key, value in tags.items()}


def _numbered(params: dict[str, str], name: str) -> list[str]:
    found = [
        (int(m[1]), v)
        for k, v in params.items()
        if (m := re.fullmatch(rf"{re.escape(name)}\.(\d+)", k))
    ]
    return [value for _, value in sorted(found)]


def _request_tags(params: dict[str, str], pattern: str) -> dict[str, Any]:
    tags = {}
    for key, value in params.items():
        if re.fullmatch(pattern + r"\.(\d+)\.Key", key):
            tags[value] = params.get(key.removesuffix("Key") + "Value", "")
    if not tags:
        return {}
    return {"aws:TagKeys": list(tags)} | {f"aws:RequestTag/{k}": v for k, v in tags.items()}


def _create_snapshots(params: dict[str, str], tags: TagLookup, volumes: list[str]) -> list[Check]:
    action = "ec2:CreateSnapshots"
    instance = params.get("InstanceSpecification.InstanceId", "")
    new = _request_tags(params, r"TagSpecification\.\d+\.Tag")
    checks = [_tagged(action, "instance", instance, tags)]
    left_out = _numbered(params, "InstanceSpecification.ExcludeDataVolumeId")
    checks += [_tagged(action, "volume", v, tags) for v in volumes if v not in left_out]
    checks.append(Check(action, ec2_arn("snapshot", "*"), dict(new)))
    if new:
        context = new | {"ec2:CreateAction": "CreateSnapshots"}
        checks.append(Check("ec2:CreateTags", ec2_arn("snapshot", "*"), context))
    return checks


def _run_instances(params: dict[str, str]) -> list[Check]:
    action, tagged = "ec2:RunInstances", {}
    for key, kind in params.items():
        if found := re.fullmatch(r"TagSpecification\.(\d+)\.ResourceType", key):
            tagged[kind] = _request_tags(params, rf"TagSpecification\.{found[1]}\.Tag")
    made = [Check(action, ec2_arn(kind, "*"), dict(tagged.get(kind, {})))
            for kind in ("instance", "volume", "network-interface")]
    used = [("image", params.get("ImageId")), ("subnet", params.get("SubnetId")),
            ("key-pair", params.get("KeyName"))]
    used += [("security-group", group) for group in _numbered(params, "SecurityGroupId")]
    made += [Check(action, ec2_arn(kind, ident)) for kind, ident in used if ident]
    return made + [Check("ec2:CreateTags", ec2_arn(kind, "*"),
                         tags | {"ec2:CreateAction": "RunInstances"})
                   for kind, tags in tagged.items()]


def _create_volume(params: dict[str, str], tags: TagLookup) -> list[Check]:
    action, new = "ec2:CreateVolume", _request_tags(params, r"TagSpecification\.\d+\.Tag")
    checks = [Check(action, ec2_arn("volume", "*"), dict(new))]
    if snapshot := params.get("SnapshotId"):
        checks.append(_tagged(action, "snapshot", snapshot, tags))
    if new:
        context = new | {"ec2:CreateAction": "CreateVolume"}
        checks.append(Check("ec2:CreateTags", ec2_arn("volume", "*"), context))
    return checks


def _tagged(action: str, kind: str, ident: str, tags: TagLookup, more: Tags | None = None) -> Check:
    context = _resource_context(tags(kind, ident), "aws:ResourceTag", "ec2:ResourceTag")
    return Check(action, ec2_arn(kind, ident), context | (more or {}))


def ec2_checks(
    action: str, params: dict[str, str], tags: TagLookup, attached: Callable[[str], list[str]]
) -> list[Check]:
    """The checks for one EC2 call; Describe calls know no resource-level permission."""
    if action.startswith("Describe"):
        return [Check(f"ec2:{action}", "*")]
    if action == "CreateSnapshots":
        instance = params.get("InstanceSpecification.InstanceId", "")
        return _create_snapshots(params, tags, attached(instance))
    if action in ("CreateTags", "DeleteTags"):
        new = _request_tags(params, "Tag")
        checks = []
        for ident in _numbered(params, "ResourceId"):
            kind = _PREFIX_KINDS.get(ident.split("-", 1)[0], "unknown")
            checks.append(_tagged(f"ec2:{action}", kind, ident, tags, new))
        return checks or [Check(f"ec2:{action}", "*")]
    if action == "RunInstances":
        return _run_instances(params)
    if action == "CreateVolume":
        return _create_volume(params, tags)
    if action in ("AttachVolume", "DetachVolume"):
        checks = [_tagged(f"ec2:{action}", "volume", params.get("VolumeId", ""), tags)]
        if instance := params.get("InstanceId"):
            checks.append(_tagged(f"ec2:{action}", "instance", instance, tags))
        return checks
    for name, kind in (
        ("SnapshotId", "snapshot"),
        ("VolumeId", "volume"),
        ("InstanceId", "instance"),
    ):
        if ident := params.get(name) or next(iter(_numbered(params, name)), ""):
            return [_tagged(f"ec2:{action}", kind, ident, tags)]
    return [Check(f"ec2:{action}", "*")]


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
        context = _resource_context(tags("document", name.rsplit("/", 1)[-1]), *prefixes)
        checks = [Check(full, document_arn(name), context)]
        for ident in body.get("InstanceIds") or []:
            context = _resource_context(tags("instance", ident), *prefixes)
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
                _resource_context(tags("document", name), "aws:ResourceTag"),
            )
        ]
    # GetCommandInvocation, CancelCommand, List*, DescribeInstanceInformation.
    return [Check(full, "*")]
