"""Windows instances with AWS's VSS components, and the policies that use them.

The role is what AWS's managed policy AWSEC2VssSnapshotPolicy grants, in own words: the document
makes and marks its snapshots with it. Used by the scenarios of VSS.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from scenarios.account import Account
from scenarios.instance import Instance
from scenarios.policies import policy

ROLE = "scenario-vss"
COMPONENTS = "2.5.1"
READY = {"platform": "Windows", "role": ROLE, "vssComponents": COMPONENTS}
_SNAPSHOTS = "arn:aws:ec2:*::snapshot/*"
_RIGHTS: dict[str, dict[str, Any]] = {
    "Describe": {"Action": ["ec2:DescribeInstances", "ec2:DescribeSnapshots"], "Resource": "*"},
    "Create": {
        "Action": "ec2:CreateSnapshots",
        "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*:*:volume/*", _SNAPSHOTS],
    },
    "TagAtCreation": {
        "Action": "ec2:CreateTags",
        "Resource": _SNAPSHOTS,
        "Condition": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}},
    },
    "Mark": {
        "Action": "ec2:CreateTags",
        "Resource": _SNAPSHOTS,
        "Condition": {
            "ForAllValues:StringEquals": {"aws:TagKeys": ["AppConsistent", "Device"]},
            "Null": {"aws:TagKeys": "false"},
        },
    },
}


def put_role(account: Account, name: str, without: str | None = None) -> str:
    """A role for instances, with one of its rights left out or none."""
    iam = account.cloud.client("iam")
    trust = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    statements = [{"Sid": sid, "Effect": "Allow", **one}
                  for sid, one in _RIGHTS.items() if sid != without]
    rights = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName="vss", PolicyDocument=json.dumps(rights))
    return name


def windows(launch: Callable[..., Instance], name: str, **more: Any) -> Instance:
    """A Windows instance that is ready for VSS; `more` changes it."""
    return launch(name, **(READY | more))


def vss_policy(target: str, **script: Any) -> dict[str, Any]:
    """DLM's policy for VSS snapshots, boot volume included."""
    details = policy(target, "AWS_VSS_BACKUP", **script)
    (handler,) = details["Schedules"][0]["CreateRule"]["Scripts"]
    for name in ("Stages", "ExecutionHandlerService", "ExecutionTimeout"):
        del handler[name]
    del details["Schedules"][0]["CopyTags"]
    details["Parameters"] = {"ExcludeBootVolume": False}
    # The document cannot take this value of a tag.
    details["Schedules"][0]["TagsToAdd"] = [{"Key": "owner", "Value": "dba & web"}]
    return details
