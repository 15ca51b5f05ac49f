"""What the demo puts into the account: the product, two policies, and an ear of its own.

The templates of infra/ go through CloudFormation unchanged (lab.deploy). The demo's own
part is one queue that every `Snapshot Run Finished` event is copied to. It starts no
instance and no run. Used by the story.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.cloud import Cloud
from lab.deploy import deploy_policy, deploy_product

ROOT = Path(__file__).resolve().parent.parent.parent
BOOTSTRAP = ROOT / "target" / "debug" / "bootstrap"
AGENT = ROOT / "target" / "debug" / "stillpoint-agent"
INFRA = ROOT / "infra"
_BUS = "stillpoint"
_FINISHED = "Snapshot Run Finished"


SCHEDULE = "nightly"
# DLM's default of 10 s is for idle disks; both writers of this demo share one real disk,
# and the flush before the freeze waits for it.
SCRIPT_TIMEOUT_S = 60


@dataclass(frozen=True)
class Policy:
    """One policy of the demo: DLM's PolicyDetails for one tag and one document."""

    policy_id: str
    target: str
    document: str

    def details(self, cron: str) -> dict[str, Any]:
        """As `aws dlm get-lifecycle-policy` prints it; DLM's defaults but for the timeout."""
        script = {"Stages": ["PRE", "POST"], "ExecutionHandlerService": "AWS_SYSTEMS_MANAGER",
                  "ExecutionHandler": self.document, "ExecuteOperationOnScriptFailure": True,
                  "ExecutionTimeout": SCRIPT_TIMEOUT_S, "MaximumRetryCount": 0}
        schedule = {"Name": SCHEDULE, "CopyTags": False,
                    "CreateRule": {"CronExpression": cron, "Scripts": [script]},
                    "RetainRule": {"Count": 7}}
        return {"PolicyType": "EBS_SNAPSHOT_MANAGEMENT", "ResourceTypes": ["INSTANCE"],
                "ResourceLocations": ["CLOUD"],
                "TargetTags": [{"Key": "backup", "Value": self.target}],
                "Schedules": [schedule], "Parameters": {"ExcludeBootVolume": True}}


def deploy(cloud: Cloud) -> None:
    """The functions, queues, roles and documents of infra/template.yaml."""
    deploy_product(cloud.client, BOOTSTRAP, INFRA)


def put_policy(cloud: Cloud, policy: Policy, cron: str) -> None:
    """One policy and its schedule, from infra/policy.yaml."""
    deploy_policy(cloud.client, INFRA, policy.policy_id, policy.details(cron))


def put_document(cloud: Cloud, path: Path) -> str:
    """Somebody's own SSM document; returns the name it gets."""
    name = "Demo-" + "".join(c if c.isalnum() or c in "_-." else "-" for c in path.stem)[:100]
    kind = "JSON" if path.suffix == ".json" else "YAML"
    # Without this tag neither DLM nor the runner's role may send it.
    tags = [{"Key": "DLMScriptsAccess", "Value": "true"}]
    cloud.client("ssm").create_document(
        Name=name, Content=path.read_text(), DocumentType="Command", DocumentFormat=kind,
        TargetType="/AWS::EC2::Instance", Tags=tags)
    return name


class Finished:
    """The events of finished runs, as they come."""

    def __init__(self, cloud: Cloud) -> None:
        self._queues = cloud.client("sqs")
        events = cloud.client("events")
        self._url = self._queues.create_queue(QueueName="demo-finished-runs")["QueueUrl"]
        arn = self._queues.get_queue_attributes(
            QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = events.put_rule(
            Name="demo-finished-runs", EventBusName=_BUS,
            EventPattern=json.dumps({"source": ["stillpoint"], "detail-type": [_FINISHED]}))
        statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                     "Action": "sqs:SendMessage", "Resource": arn,
                     "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}}}
        self._queues.set_queue_attributes(QueueUrl=self._url, Attributes={
            "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
        events.put_targets(Rule="demo-finished-runs", EventBusName=_BUS,
                           Targets=[{"Id": "demo", "Arn": arn}])

    def more(self) -> list[dict[str, Any]]:
        """The details of events that have come since the last call; waits up to a second."""
        answer = self._queues.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10,
                                              WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        for message in messages:
            self._queues.delete_message(QueueUrl=self._url,
                                        ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["detail"] for message in messages]


def dead_letters(cloud: Cloud) -> list[str]:
    """What lies in the product's dead-letter queues, for the message when no run finishes."""
    queues = cloud.client("sqs")
    found = []
    for url in queues.list_queues(QueueNamePrefix="stillpoint-").get("QueueUrls", []):
        if not url.endswith("-dead"):
            continue
        answer = queues.receive_message(QueueUrl=url, MaxNumberOfMessages=3, VisibilityTimeout=0)
        found += [f"{url.rsplit('/', 1)[-1]}: {message['Body'][:400]}"
                  for message in answer.get("Messages", [])]
    return found
