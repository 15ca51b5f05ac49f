"""Which resources, with which condition keys, IAM checks for an EC2 call.

AWS checks CreateSnapshots on the instance, each volume and each new snapshot, CreateVolume on the
snapshot and the new volume, RunInstances on all that it uses and makes, CreateTags on each resource.
Pure, as authz.py is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .authz import Check, TagLookup, ec2_arn, numbered, request_tags, tagged

_PREFIX_KINDS = {"i": "instance", "vol": "volume", "snap": "snapshot", "ami": "image"}


def _create_snapshots(params: dict[str, str], tags: TagLookup, volumes: list[str]) -> list[Check]:
    action = "ec2:CreateSnapshots"
    instance = params.get("InstanceSpecification.InstanceId", "")
    new = request_tags(params, r"TagSpecification\.\d+\.Tag")
    checks = [tagged(action, "instance", instance, tags)]
    left_out = numbered(params, "InstanceSpecification.ExcludeDataVolumeId")
    checks += [tagged(action, "volume", v, tags) for v in volumes if v not in left_out]
    checks.append(Check(action, ec2_arn("snapshot", "*"), dict(new)))
    if new:
        context = new | {"ec2:CreateAction": "CreateSnapshots"}
        checks.append(Check("ec2:CreateTags", ec2_arn("snapshot", "*"), context))
    return checks


def _run_instances(params: dict[str, str]) -> list[Check]:
    action, tags = "ec2:RunInstances", {}
    for key, kind in params.items():
        if found := re.fullmatch(r"TagSpecification\.(\d+)\.ResourceType", key):
            tags[kind] = request_tags(params, rf"TagSpecification\.{found[1]}\.Tag")
    made = [Check(action, ec2_arn(kind, "*"), dict(tags.get(kind, {})))
            for kind in ("instance", "volume", "network-interface")]
    used = [("image", params.get("ImageId")), ("subnet", params.get("SubnetId")),
            ("key-pair", params.get("KeyName"))]
    used += [("security-group", group) for group in numbered(params, "SecurityGroupId")]
    made += [Check(action, ec2_arn(kind, ident)) for kind, ident in used if ident]
    return made + [Check("ec2:CreateTags", ec2_arn(kind, "*"),
                         new | {"ec2:CreateAction": "RunInstances"})
                   for kind, new in tags.items()]


def _create_volume(params: dict[str, str], tags: TagLookup) -> list[Check]:
    action, new = "ec2:CreateVolume", request_tags(params, r"TagSpecification\.\d+\.Tag")
    checks = [Check(action, ec2_arn("volume", "*"), dict(new))]
    if snapshot := params.get("SnapshotId"):
        checks.append(tagged(action, "snapshot", snapshot, tags))
    if new:
        context = new | {"ec2:CreateAction": "CreateVolume"}
        checks.append(Check("ec2:CreateTags", ec2_arn("volume", "*"), context))
    return checks


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
        new = request_tags(params, "Tag")
        checks = []
        for ident in numbered(params, "ResourceId"):
            kind = _PREFIX_KINDS.get(ident.split("-", 1)[0], "unknown")
            checks.append(tagged(f"ec2:{action}", kind, ident, tags, new))
        return checks or [Check(f"ec2:{action}", "*")]
    if action == "RunInstances":
        return _run_instances(params)
    if action == "CreateVolume":
        return _create_volume(params, tags)
    if action in ("AttachVolume", "DetachVolume"):
        checks = [tagged(f"ec2:{action}", "volume", params.get("VolumeId", ""), tags)]
        if instance := params.get("InstanceId"):
            checks.append(tagged(f"ec2:{action}", "instance", instance, tags))
        return checks
    for name, kind in (
        ("SnapshotId", "snapshot"),
        ("VolumeId", "volume"),
        ("InstanceId", "instance"),
    ):
        if ident := params.get(name) or next(iter(numbered(params, name)), ""):
            return [tagged(f"ec2:{action}", kind, ident, tags)]
    return [Check(f"ec2:{action}", "*")]
