"""A shard that gets a hub: an update of the stack in place, by the same program that made it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest

from lab.deploy import deploy_product
from scenarios.account import Account
from scenarios.places import BOOTSTRAP, INFRA

HUB = "hub-of-the-lab"


@pytest.fixture
def hub(account: Account) -> Iterator[str]:
    """A bus of another name, and a queue that gets what comes to it; the shard forgets it again."""
    events, queues = account.cloud.client("events"), account.sqs
    arn = events.create_event_bus(Name=HUB)["EventBusArn"]
    url = queues.create_queue(QueueName=HUB)["QueueUrl"]
    queue = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rule = events.put_rule(Name=HUB, EventBusName=HUB, EventPattern=json.dumps({"source": ["stillpoint"]}))
    statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                 "Action": "sqs:SendMessage", "Resource": queue,
                 "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}}}
    queues.set_queue_attributes(QueueUrl=url, Attributes={
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
    events.put_targets(Rule=HUB, EventBusName=HUB, Targets=[{"Id": "queue", "Arn": queue}])
    deploy_product(account.cloud.client, BOOTSTRAP, INFRA, {"HubBusArn": arn})
    yield url
    deploy_product(account.cloud.client, BOOTSTRAP, INFRA, {"HubBusArn": ""})


def test_a_finished_run_comes_to_the_hub_and_a_request_does_not(account: Account, hub: str) -> None:
    mark = uuid.uuid4().hex
    for detail_type in ("Something Else", "Snapshot Run Finished"):
        account.cloud.client("events").put_events(Entries=[{
            "EventBusName": "stillpoint", "Source": "stillpoint", "DetailType": detail_type,
            "Detail": json.dumps({"version": 1, "runId": mark})}])
    answer = account.sqs.receive_message(QueueUrl=hub, WaitTimeSeconds=10, MaxNumberOfMessages=10)
    told = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
    mine = [event["detail-type"] for event in told if event["detail"]["runId"] == mark]
    assert mine == ["Snapshot Run Finished"]
