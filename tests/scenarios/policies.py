"""Policies and SSM documents, as text that a user would have written."""

from __future__ import annotations

from typing import Any

SCHEDULE = "nightly"
SECOND_SCHEDULE = "monthly"
# What DLM's documents allow as an execution id.
EXECUTION_ID = "^(None|" + "-".join(f"[a-fA-F0-9]{{{n}}}" for n in (8, 4, 4, 4, 12)) + ")$"


def policy(target: str, document: str, **script: Any) -> dict[str, Any]:
    """DLM's PolicyDetails for the instances tagged backup=<target>; `script` adds or replaces
    fields of its one script."""
    handler = {"Stages": ["PRE", "POST"], "ExecutionHandlerService": "AWS_SYSTEMS_MANAGER",
               "ExecutionHandler": document, "ExecuteOperationOnScriptFailure": True,
               "ExecutionTimeout": 60, "MaximumRetryCount": 0}
    return {
        "PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
        "ResourceLocations": ["CLOUD"], "TargetTags": [{"Key": "backup", "Value": target}],
        "Schedules": [{
            "Name": SCHEDULE, "CopyTags": False, "RetainRule": {"Count": 7},
            "CreateRule": {"CronExpression": "cron(30 3 * * ? *)", "Scripts": [handler | script]},
        }],
        "Parameters": {"ExcludeBootVolume": True},
    }


def document(script: str) -> str:
    """An SSM document with DLM's two parameters that runs this shell text."""
    lines = "\n".join(" " * 10 + line for line in script.strip().splitlines())
    return f"""\
schemaVersion: "2.2"
description: a document of a scenario
parameters:
  executionId:
    type: String
    default: None
    allowedPattern: {EXECUTION_ID}
  command:
    type: String
    default: dry-run
    allowedValues: [pre-script, post-script, dry-run]
mainSteps:
  - action: aws:runShellScript
    name: scenario
    precondition:
      StringEquals: [platformType, Linux]
    inputs:
      timeoutSeconds: "3600"
      runCommand:
        - |
{lines}
"""
