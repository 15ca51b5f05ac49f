"""Every `Snapshot Run Finished` event (or another detail type) of the session, collected by a rule of the tests' own.

A rule on the product's bus copies them to a queue, as an operator would do who wants to be told.
It keeps all that ever came, so that a test can also say how many there were.
"""

from __future__ import annotations

import json
import time
from typing import Any

QUEUE = "scenarios-finished"
DETAIL_TYPE = "Snapshot Run Finished"
# A run of the slowest scenario takes half of it, on two busy cores.
RUN_WAIT_S = 90.0


class Finished:
    """The details of finished runs, as they come."""

    def __init__(self, events: Any, sqs: Any, name: str = QUEUE,
                 detail_type: str = DETAIL_TYPE) -> None:
        self._sqs = sqs
        self.details: list[dict[str, Any]] = []
        self._url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        arn = arn["Attributes"]["QueueArn"]
        pattern = {"source": ["stillpoint"], "detail-type": [detail_type]}
        rule = events.put_rule(Name=name, EventBusName="stillpoint",
                               EventPattern=json.dumps(pattern))
        statement = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
                     "Action": "sqs:SendMessage", "Resource": arn,
                     "Condition": {"ArnEquals": {"aws:SourceArn": rule["RuleArn"]}}}
        sqs.set_queue_attributes(QueueUrl=self._url, Attributes={
            "Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
        events.put_targets(Rule=name, EventBusName="stillpoint",
                           Targets=[{"Id": "scenarios", "Arn": arn}])

    def fetch(self, wait_seconds: int = 0) -> None:
        """Takes what is in the queue now; waits up to `wait_seconds` for the first."""
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10,
                                               WaitTimeSeconds=wait_seconds)
            messages = answer.get("Messages", [])
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._url,
                                         ReceiptHandle=message["ReceiptHandle"])
                self.details.append(json.loads(message["Body"])["detail"])
            if not messages:
                return
            wait_seconds = 0

    def matching(self, **fields: Any) -> list[dict[str, Any]]:
        """Those that have come so far with these fields."""
        self.fetch()
        return [one for one in self.details
                if all(one.get(name) == value for name, value in fields.items())]

    def wait(self, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """Waits until so many with these fields have come."""
        give_up = time.monotonic() + RUN_WAIT_S
        while len(found := self.matching(**fields)) < count:
            assert time.monotonic() < give_up, f"no event with {fields} within {RUN_WAIT_S:.0f} s"
            self.fetch(1)
        return found

    def of(self, run_id: str) -> dict[str, Any]:
        """The event of one run; there is never a second one."""
        found = self.wait(runId=run_id)
        assert len(found) == 1, f"{len(found)} events of one run: {found}"
        return found[0]
