"""The account that the scenarios work in: the product's own entrances, and what it left behind.

Everything here is boto3 against the endpoint, as a person or a rule of theirs would do it, but for
instances and the timeline, which only the lab has. It judges nothing. Used by the scenarios.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from demo.cloud import Cloud
from scenarios.finished import Finished
from scenarios.instance import Instance
from scenarios.operator import Operator

POLICY_PREFIX = "/stillpoint/policies/"
# As infra/template.yaml has it.
_REDELIVERY_S = 960

Json = dict[str, Any]


class Refused(Exception):
    """The planner's refusal: the error that a person sees in the console."""

    def __init__(self, error: Json) -> None:
        super().__init__(error.get("errorMessage", ""))
        self.code = str(error.get("errorType", ""))
        self.text = str(error.get("errorMessage", ""))


class Account:
    """One account with the product in it."""

    def __init__(self, cloud: Cloud, outputs: dict[str, str]) -> None:
        self.cloud, self.outputs = cloud, outputs
        self.finished = Finished(cloud.client("events"), cloud.client("sqs"))
        self.sqs, self.ssm, self.ec2 = (cloud.client(name) for name in ("sqs", "ssm", "ec2"))
        self.table = cloud.client("dynamodb")
        self._lambda, self._events = cloud.client("lambda"), cloud.client("events")
        self._iam = cloud.client("iam")
        self._operators_without: dict[str, Operator] = {}

    # --- what a person does ---------------------------------------------------------------------

    def put_policy(self, policy_id: str, details: Json) -> None:
        self.ssm.put_parameter(Name=POLICY_PREFIX + policy_id, Value=json.dumps(details),
                               Type="String", Overwrite=True)

    def expect_schedule(self, policy_id: str, schedule: str, cron: str) -> None:
        """What infra/policy.yaml writes down beside a schedule, without the schedule."""
        value = {"policyId": policy_id, "schedule": schedule, "expression": cron, "timeZone": "UTC"}
        self.ssm.put_parameter(Name=f"/stillpoint/schedules/{policy_id}/1", Value=json.dumps(value), Type="String")

    def put_document(self, name: str, content: str, marked_for_dlm: bool = True) -> None:
        tags = [{"Key": "DLMScriptsAccess", "Value": "true"}] if marked_for_dlm else []
        self.ssm.create_document(Name=name, Content=content, DocumentType="Command",
                                 DocumentFormat="YAML", Tags=tags)

    def invoke(self, function: str, event: Json) -> tuple[Json, bool]:
        """The function's answer, and whether it is an error."""
        answer = self._lambda.invoke(FunctionName=function, Payload=json.dumps(event))
        return json.loads(answer["Payload"].read()), "FunctionError" in answer

    def fire(self, function: str, event: Json) -> None:
        """Invokes it as a schedule does: nobody waits for the answer."""
        self._lambda.invoke(FunctionName=function, InvocationType="Event",
                            Payload=json.dumps(event))

    def plan(self, **request: Any) -> Json:
        """The planner's answer to a request of these fields."""
        answer, is_error = self.invoke("stillpoint-planner", request)
        if is_error:
            raise Refused(answer)
        return answer

    def run(self, **request: Any) -> Json:
        """Plans one run, waits until it is finished, and returns the event of that."""
        (order,) = self.plan(**request)["runs"]
        return self.finished.of(order["runId"])

    # --- people and their rights ----------------------------------------------------------------

    def operator(self, name: str) -> Operator:
        """Somebody with an access key and the operator's policy, and nothing else."""
        self._iam.create_user(UserName=name)
        self._iam.attach_user_policy(UserName=name, PolicyArn=self.outputs["OperatorPolicyArn"])
        return self._with_key(name)

    def operator_without(self, sid: str) -> Operator:
        """The same, but for one statement of the policy."""
        if sid in self._operators_without:
            return self._operators_without[sid]
        name, whole = f"operator-without-{sid}", self._operators_policy()
        part = whole | {"Statement": [one for one in whole["Statement"] if one["Sid"] != sid]}
        assert part != whole, f"the operator's policy has no statement {sid}"
        self._iam.create_user(UserName=name)
        self._iam.put_user_policy(UserName=name, PolicyName="part", PolicyDocument=json.dumps(part))
        self._operators_without[sid] = self._with_key(name)
        return self._operators_without[sid]

    def operators_sids(self) -> set[str]:
        """The names of the policy's statements."""
        return {one["Sid"] for one in self._operators_policy()["Statement"]}

    def _operators_policy(self) -> Json:
        arn = self.outputs["OperatorPolicyArn"]
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return found["PolicyVersion"]["Document"]

    def _with_key(self, name: str) -> Operator:
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        return Operator(self.cloud.endpoint, key["AccessKeyId"], key["SecretAccessKey"])

    # --- what reaches the runner ----------------------------------------------------------------

    def publish(self, *orders: Json) -> None:
        """Requests these runs on the bus, in one call."""
        entries = [{"EventBusName": "stillpoint", "Source": "stillpoint",
                    "DetailType": "Snapshot Run Requested",
                    "Detail": json.dumps({"version": 1, "order": order})} for order in orders]
        answer = self._events.put_events(Entries=entries)
        assert answer["FailedEntryCount"] == 0, answer

    def queue(self, *bodies: str) -> list[str]:
        """Puts messages straight into the runner's queue; returns their ids."""
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        answer = self.sqs.send_message_batch(QueueUrl=self.outputs["RunsQueueUrl"],
                                             Entries=entries)
        assert not answer.get("Failed"), answer
        return [done["MessageId"] for done in sorted(answer["Successful"], key=lambda d: d["Id"])]

    @contextmanager
    def redelivery_after(self, seconds: int, queue: str = "RunsQueueUrl") -> Iterator[None]:
        """Messages that are taken meanwhile come again after this time if they are not done."""
        self._visibility(queue, seconds)
        try:
            yield
        finally:
            self._visibility(queue, _REDELIVERY_S)

    def _visibility(self, queue: str, seconds: int) -> None:
        self.sqs.set_queue_attributes(QueueUrl=self.outputs[queue],
                                      Attributes={"VisibilityTimeout": str(seconds)})

    @contextmanager
    def requests_lost(self) -> Iterator[None]:
        """Runs that are requested meanwhile never reach the queue."""
        rule = {"Name": "stillpoint-run-requested", "EventBusName": "stillpoint"}
        self._events.disable_rule(**rule)
        try:
            yield
        finally:
            self._events.enable_rule(**rule)

    def spoil_record(self, run_id: str) -> None:
        """Puts something into the ledger that is no run: nobody can drive that run any more."""
        self.table.put_item(TableName=self.outputs["LedgerTable"], Item={
            "runId": {"S": run_id}, "version": {"N": "1"}, "leaseUntilMs": {"N": "0"},
            "body": {"S": "not a run"}})

    def record(self, run_id: str) -> Json:
        """What the ledger has of a run."""
        return self.table.get_item(TableName=self.outputs["LedgerTable"], ConsistentRead=True,
                                   Key={"runId": {"S": run_id}})["Item"]

    def expire_lease(self, run_id: str) -> None:
        """As if the time was over in which the last driver of the run may have been alive."""
        self.table.update_item(
            TableName=self.outputs["LedgerTable"], Key={"runId": {"S": run_id}},
            UpdateExpression="SET leaseUntilMs = :past",
            ExpressionAttributeValues={":past": {"N": "1"}})

    def make_due(self, run_id: str) -> None:
        """As if the time had come at which the guard looks after the run."""
        self.table.update_item(
            TableName=self.outputs["LedgerTable"], Key={"runId": {"S": run_id}},
            UpdateExpression="SET dueMs = :past",
            ExpressionAttributeValues={":past": {"N": "1"}})

    def forget_record(self, run_id: str) -> None:
        """As if nobody had ever heard of the run."""
        self.table.delete_item(TableName=self.outputs["LedgerTable"],
                               Key={"runId": {"S": run_id}})

    def messages_left(self, queue: str = "RunsQueueUrl") -> int:
        """Messages of a queue, those under way included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.outputs[queue], AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def purge(self) -> None:
        """Empties the runner's queue, what is in flight included."""
        self.sqs.purge_queue(QueueUrl=self.outputs["RunsQueueUrl"])

    def dead_letters(self, queue: str = "RunsDeadQueueUrl") -> list[str]:
        """Takes what is in a dead-letter queue."""
        found = self.sqs.receive_message(QueueUrl=self.outputs[queue], MaxNumberOfMessages=10)
        for message in found.get("Messages", []):
            self.sqs.delete_message(QueueUrl=self.outputs[queue],
                                    ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in found.get("Messages", [])]

    def planner_without(self, sid: str) -> AbstractContextManager[None]:
        """Takes one statement out of the planner's role meanwhile."""
        return self.role_without("stillpoint-planner", "planner", sid)

    @contextmanager
    def role_without(self, function: str, policy: str, sid: str) -> Iterator[None]:
        """Takes one statement out of a function's role meanwhile."""
        arn = self._lambda.get_function_configuration(FunctionName=function)["Role"]
        role = {"RoleName": arn.rsplit("/", 1)[-1], "PolicyName": policy}
        whole = self._iam.get_role_policy(**role)["PolicyDocument"]
        part = whole | {"Statement": [one for one in whole["Statement"] if one["Sid"] != sid]}
        assert part != whole, f"the role of {function} has no statement {sid}"
        self._iam.put_role_policy(**role, PolicyDocument=json.dumps(part))
        try:
            yield
        finally:
            self._iam.put_role_policy(**role, PolicyDocument=json.dumps(whole))

    # --- what is left behind --------------------------------------------------------------------

    def snapshots(self, run_id: str) -> list[Json]:
        """The snapshots that carry a run's id, as EC2 shows them, each with `tags` as a dict."""
        found = self.ec2.describe_snapshots(
            OwnerIds=["self"], Filters=[{"Name": "tag:stillpoint:run-id", "Values": [run_id]}])
        return [one | {"tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}}
                for one in found["Snapshots"]]

    def output(self, event: Json, stage: str, instance_id: str) -> Json:
        """`aws ssm get-command-invocation` for one stage of a finished run."""
        return self.ssm.get_command_invocation(CommandId=event[stage]["commandId"],
                                               InstanceId=instance_id)

    # --- what only the lab has ------------------------------------------------------------------

    def launch(self, name: str, **more: Any) -> Instance:
        return Instance.launch(self.cloud, name, **more)

    def is_running(self, instance: Instance) -> bool:
        return instance.id in [one["instanceId"] for one in self.cloud.admin("GET", "instances")]

    def faults(self, **wanted: Any) -> None:
        self.cloud.admin("POST", "faults", wanted)

    def frozen(self) -> list[Json]:
        return self.cloud.admin("GET", "frozen")

    def kinds_of_calls(self, but_of: str = "") -> list[str]:
        """The whole timeline, as the names of what happened on any instance but this one."""
        entries = self.cloud.admin("GET", "timeline")
        return [entry["event"] for entry in entries if not but_of or but_of not in entry.values()]
