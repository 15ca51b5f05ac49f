"""What several scenarios look at: labels, sets, tags, and the function's own processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scenarios.account import Account
from scenarios.instance import Instance

# The calls of one undisturbed run.
WINDOW = ["pre-script", "CreateSnapshots", "post-script"]
# Twice what the slowest answer takes on two busy cores.
_WAIT_S = 30.0
_POLL_S = 0.1


def until(condition: Callable[[], Any], what: str, seconds: float = _WAIT_S) -> Any:
    """Polls until the condition is true and returns what it was; `what` names it if it never is."""
    give_up = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < give_up, f"not within {seconds:.0f} s: {what}"
        time.sleep(_POLL_S)
    return answer


def assert_crash(event: dict[str, Any], *codes: str) -> None:
    """A set was made, for this reason, and nobody is told more of it than that."""
    assert event["code"] in codes, event
    assert (event["outcome"], event["consistency"]) == ("completed-with-issues", "crash")
    assert event["snapshots"] and event["reason"]
    assert {one["consistency"] for one in event["snapshots"]} == {"crash"}


def one_set(account: Account, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The set of a run, which is all that EC2 has of it, and just what the event names."""
    found = account.snapshots(event["runId"])
    named = sorted(one["snapshotId"] for one in event["snapshots"])
    assert named == sorted(one["SnapshotId"] for one in found) and named
    assert len({one["VolumeId"] for one in found}) == len(found), "one snapshot a volume"
    return found


def instance_tags(account: Account, instance: Instance) -> dict[str, str]:
    found = account.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance.id]}])
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def runners(endpoint: str) -> list[int]:
    """The processes of this lab that are the function `runner`."""
    wanted = {b"_HANDLER=runner", f"AWS_ENDPOINT_URL={endpoint}".encode()}
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def metrics(account: Account, function: str, **facts: Any) -> dict[str, Any]:
    """The one metric line of the function's log with these facts."""
    logs = account.cloud.client("logs")

    def lines() -> list[dict[str, Any]]:
        found = []
        pages = logs.get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=f"/aws/lambda/{function}"):
            for event in page["events"]:
                for line in event["message"].splitlines():
                    if '"_aws"' in line and line.startswith("{"):
                        found.append(json.loads(line))
        return [one for one in found if all(one.get(k) == v for k, v in facts.items())]

    (line,) = until(lines, f"a metric line of {function} with {facts}")
    (group,) = line["_aws"]["CloudWatchMetrics"]
    assert group["Namespace"] == "Stillpoint"
    assert group["Dimensions"] == [[], ["DLMPolicyId"]] and line["DLMPolicyId"]
    named = {metric["Name"]: line[metric["Name"]] for metric in group["Metrics"]}
    units = {metric["Name"]: metric["Unit"] for metric in group["Metrics"]}
    assert all(unit == ("Milliseconds" if name == "FrozenMilliseconds" else "Count")
               for name, unit in units.items())
    return named
