"""Functions run from zips under their roles; queues and schedules are real."""

from __future__ import annotations

import json
import re
import sys
import time
from typing import Any

import pytest

from ..deploy import zip_of
from .harness import LabProcess

ROLE_POLICY: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "ssm:SendCommand",
            "Resource": "arn:aws:ssm:*:*:document/AWS-RunShellScript",
        },
        {
            "Effect": "Allow",
            "Action": "ssm:SendCommand",
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": {"StringNotEquals": {"aws:ResourceTag/closed": "yes"}},
        },
        {
            "Effect": "Allow",
            "Action": "ec2:CreateSnapshots",
            "Resource": ["arn:aws:ec2:*:*:instance/*", "arn:aws:ec2:*:*:volume/*"],
        },
        {
            "Effect": "Allow",
            "Action": "ec2:CreateSnapshots",
            "Resource": "arn:aws:ec2:*::snapshot/*",
            "Condition": {"StringLike": {"aws:RequestTag/run": "?*"}},
        },
        {
            "Effect": "Allow",
            "Action": "ec2:CreateTags",
            "Resource": "arn:aws:ec2:*::snapshot/*",
            "Condition": {"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}},
        },
    ],
}

# A custom runtime in 30 lines: each invocation names a boto3 call, or a way to fail.
FUNCTION = """#!{python}
import json, os, urllib.request
import boto3, botocore.exceptions
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
def handle(event):
    if "Records" in event:
        bad = [r["messageId"] for r in event["Records"] if json.loads(r["body"]).get("poison")]
        return {{"batchItemFailures": [{{"itemIdentifier": i}} for i in bad]}}
    if "scheduled" in event:
        boto3.client("sqs").send_message(QueueUrl=event["queue"], MessageBody=json.dumps(event))
        return {{}}
    client = boto3.client(event["service"])
    try:
        getattr(client, event["call"])(**event["arguments"])
        return {{"answer": "ok", "handler": os.environ["_HANDLER"]}}
    except botocore.exceptions.ClientError as error:
        return {{"answer": error.response["Error"]["Code"]}}
while True:
    with urllib.request.urlopen(api + "next") as request:
        ident, event = request.headers["Lambda-Runtime-Aws-Request-Id"], json.loads(request.read())
    answer = json.dumps(handle(event)).encode()
    reply = urllib.request.Request(api + ident + "/response", data=answer, method="POST")
    urllib.request.urlopen(reply).read()
"""


@pytest.fixture(scope="module")
def function(lab: LabProcess) -> str:
    """A deployed function with ROLE_POLICY; its name."""
    iam, functions = lab.client("iam"), lab.client("lambda")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "lambda.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName="lab-test", AssumeRolePolicyDocument=json.dumps(trust))["Role"][
        "Arn"
    ]
    more = [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]
    policy = ROLE_POLICY | {"Statement": ROLE_POLICY["Statement"] + more}
    iam.put_role_policy(RoleName="lab-test", PolicyName="p", PolicyDocument=json.dumps(policy))
    code = zip_of(FUNCTION.format(python=sys.executable).encode())
    functions.create_function(
        FunctionName="lab-test",
        Runtime="provided.al2023",
        Handler="some-handler",
        Role=role,
        Code={"ZipFile": code},
        Timeout=30,
        Architectures=["x86_64"],
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="lab-test")
    return "lab-test"


def call(lab: LabProcess, service: str, name: str, **arguments: Any) -> str:
    event = {"service": service, "call": name, "arguments": arguments}
    answer = lab.client("lambda").invoke(FunctionName="lab-test", Payload=json.dumps(event))
    payload = json.loads(answer["Payload"].read())
    assert "answer" in payload, payload
    return str(payload["answer"])


def test_a_zip_runs_as_a_function(lab: LabProcess, function: str) -> None:
    event = {"service": "sqs", "call": "list_queues", "arguments": {}}
    answer = lab.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    assert json.loads(answer["Payload"].read()) == {"answer": "ok", "handler": "some-handler"}


def test_a_functions_role_is_enforced(
    lab: LabProcess, function: str, db: dict, files: dict
) -> None:
    open_id, closed_id = db["instanceId"], files["instanceId"]
    send = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
    assert call(lab, "ssm", "send_command", InstanceIds=[open_id], **send) == "ok"
    assert (
        call(lab, "ssm", "send_command", InstanceIds=[open_id, closed_id], **send)
        == "AccessDeniedException"
    )
    assert (
        call(lab, "ssm", "send_command", InstanceIds=[open_id], DocumentName="Other")
        == "AccessDeniedException"
    )
    assert call(lab, "ssm", "describe_instance_information") == "AccessDeniedException"
    assert call(lab, "ssm", "get_parameter", Name="/x") == "AccessDeniedException"
    spec = {"InstanceId": open_id, "ExcludeBootVolume": True}
    tagged = [{"ResourceType": "snapshot", "Tags": [{"Key": "run", "Value": "1"}]}]
    assert (
        call(lab, "ec2", "create_snapshots", InstanceSpecification=spec, TagSpecifications=tagged)
        == "ok"
    )
    assert (
        call(lab, "ec2", "create_snapshots", InstanceSpecification=spec) == "UnauthorizedOperation"
    )
    assert call(lab, "ec2", "describe_instances") == "UnauthorizedOperation"
    assert (
        call(lab, "ec2", "create_tags", Resources=[open_id], Tags=[{"Key": "a", "Value": "b"}])
        == "UnauthorizedOperation"
    )


def test_a_failed_message_comes_again_and_ends_in_the_dead_letter_queue(
    lab: LabProcess, function: str
) -> None:
    sqs = lab.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]

    def arn(url: str) -> str:
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])

    redrive = json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": 2})
    live = sqs.create_queue(
        QueueName="live", Attributes={"VisibilityTimeout": "1", "RedrivePolicy": redrive}
    )["QueueUrl"]
    lab.client("lambda").create_event_source_mapping(
        EventSourceArn=arn(live),
        FunctionName=function,
        BatchSize=5,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )
    for body in ({"n": 1}, {"poison": True}):
        sqs.send_message(QueueUrl=live, MessageBody=json.dumps(body))
    bodies: list[str] = []
    deadline = time.monotonic() + 30
    while not bodies and time.monotonic() < deadline:
        bodies = [
            m["Body"]
            for m in sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=1).get("Messages", [])
        ]
    assert [json.loads(b) for b in bodies] == [{"poison": True}]
    left = sqs.get_queue_attributes(QueueUrl=live, AttributeNames=["ApproximateNumberOfMessages"])[
        "Attributes"
    ]
    assert left["ApproximateNumberOfMessages"] == "0"


def test_a_schedule_fires_on_time_with_its_nominal_time(lab: LabProcess, function: str) -> None:
    sqs, scheduler = lab.client("sqs"), lab.client("scheduler")
    url = sqs.create_queue(QueueName="fired")["QueueUrl"]
    arn = lab.client("lambda").get_function(FunctionName=function)["Configuration"]["FunctionArn"]
    role = lab.client("iam").get_role(RoleName="lab-test")["Role"]["Arn"]
    text = json.dumps({"scheduled": "<aws.scheduler.scheduled-time>", "queue": url})
    target = {"Arn": arn, "RoleArn": role, "Input": text}
    due = time.gmtime(time.time() + 3)
    scheduler.create_schedule(
        Name="soon",
        ScheduleExpression=time.strftime("at(%Y-%m-%dT%H:%M:%S)", due),
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
    )
    scheduler.create_schedule(
        Name="minutely",
        ScheduleExpression="cron(* * * * ? *)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=target,
    )
    came: dict[str, float] = {}
    deadline = time.monotonic() + 75
    while len(came) < 2 and time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            came[json.loads(message["Body"])["scheduled"]] = time.time()
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    scheduler.delete_schedule(Name="minutely")
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", due) in came
    assert any(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", when) for when in came)
