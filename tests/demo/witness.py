"""Gathers what each witness says of a finished run into its `Run`.

The event names the commands; their output holds the receipts. The lab's timeline says when
things really happened, the snapshots' tags what they are labelled. It judges nothing and
changes nothing. Used by the story, between the last event and the restore.
"""

from __future__ import annotations

from typing import Any

from demo.clock import Clock
from demo.cloud import Cloud
from demo.facts import CREATE, POST, PRE, SEND_POST, SEND_PRE, WHOLE, Run, Span, receipt_in
from demo.records import read


def gather(cloud: Cloud, runs: list[Run], clock: Clock) -> None:
    """Fill in receipts, labels, intervals and writes of every run."""
    entries = cloud.admin("GET", "timeline")
    for run in runs:
        run.writes = sorted(read(run.log), key=lambda write: write.end)
        run.pre_receipt = receipt_of(cloud, run, "preScript")
        run.post_receipt = receipt_of(cloud, run, "postScript")
        run.labels = labels_of(cloud, run)
        see(run, [entry for entry in entries if entry["instanceId"] == run.instance_id])
        from_event(run, clock)


def receipt_of(cloud: Cloud, run: Run, stage: str) -> dict[str, Any] | None:
    """The receipt that a stage's command printed; None without a command or a receipt."""
    command = (run.event.get(stage) or {}).get("commandId")
    if not command:
        return None
    answer = cloud.client("ssm").get_command_invocation(CommandId=command,
                                                        InstanceId=run.instance_id)
    return receipt_in(answer.get("StandardOutputContent", ""))


def labels_of(cloud: Cloud, run: Run) -> set[str]:
    """The consistency that the snapshots themselves are tagged with."""
    ids = [snapshot["snapshotId"] for snapshot in run.event.get("snapshots", [])]
    if not ids:
        return set()
    found = cloud.client("ec2").describe_snapshots(SnapshotIds=ids)["Snapshots"]
    return {tag["Value"] for snapshot in found for tag in snapshot.get("Tags", [])
            if tag["Key"] == "stillpoint:consistency"}


def see(run: Run, entries: list[dict[str, Any]]) -> None:
    """The intervals that the lab saw with its own eyes.

    A stage that ran more than once keeps its last interval: that is the one whose hold the
    snapshots are of.
    """
    stages = {(run.event.get("preScript") or {}).get("commandId"): PRE,
              (run.event.get("postScript") or {}).get("commandId"): POST}
    begun: dict[str, float] = {}
    for entry in entries:
        at = float(entry["boottimeMs"])
        match entry["event"]:
            case "CreateSnapshots begin":
                begun[CREATE] = at
            case "CreateSnapshots end":
                run.spans[CREATE] = Span(begun[CREATE], at)
            case "script started" if entry["commandId"] in stages:
                begun[stages[entry["commandId"]]] = at
            case "script ended" if entry["commandId"] in stages:
                stage = stages[entry["commandId"]]
                run.spans[stage] = Span(begun[stage], at)
            case "holder killed":
                run.holder_killed_at = at


def from_event(run: Run, clock: Clock) -> None:
    """The intervals that the runner wrote down: from sending a command to its end."""
    for name, stage in ((SEND_PRE, "preScript"), (SEND_POST, "postScript")):
        part = run.event.get(stage) or {}
        begin, end = clock.boot_of(part.get("startedAt")), clock.boot_of(part.get("endedAt"))
        if begin is not None and end is not None:
            run.spans[name] = Span(begin, end)
    begin, end = (clock.boot_of(run.event.get(name)) for name in ("startedAt", "endedAt"))
    if begin is not None and end is not None:
        run.spans[WHOLE] = Span(begin, end)
