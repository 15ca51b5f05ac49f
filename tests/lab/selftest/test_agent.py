"""The built stillpoint-agent in an instance: the lab is a machine that it takes for EC2.

Skipped when the agent is not built; the lab itself does not need it.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest

from ..__main__ import REPOSITORY
from .harness import LabProcess, create_snapshots

AGENT = REPOSITORY / "target/debug/stillpoint-agent"
pytestmark = pytest.mark.skipif(not AGENT.exists(), reason="stillpoint-agent is not built")

# A document as infra/ has it, without deploying all of infra/.
CALL = (
    "exec /usr/local/bin/stillpoint-agent {} --application filesystem "
    "--execution-id {} --timeout 20s --deadline 20s"
)


def call(lab: LabProcess, instance: dict[str, Any], stage: str, ident: str) -> dict[str, Any]:
    answer = lab.follow(instance, lab.send(instance, commands=[CALL.format(stage, ident)]))[1]
    assert answer["StandardOutputContent"], answer
    return dict(json.loads(answer["StandardOutputContent"]))


def test_the_agent_finds_and_holds_the_instances_volumes(lab: LabProcess) -> None:
    instance = lab.launch("agent")
    ident = str(uuid.uuid4())
    held = call(lab, instance, "pre-script", ident)
    try:
        assert (held["code"], held["state"], held["bootId"]) == (0, "held", instance["bootId"])
        volumes = {v["mount"]: [v["volumeId"]] for v in instance["volumes"] if v["mount"]}
        assert {f["mount"]: f["volumes"] for f in held["frozen"]} == volumes
        frozen = {f["mount"] for f in lab.admin("GET", "frozen")}
        assert frozen == {"/data", "/wal"}
    finally:
        released = call(lab, instance, "post-script", ident)
    assert (released["code"], released["hold"]["unbroken"]) == (0, True)
    assert lab.admin("GET", "frozen") == []
    lab.admin("DELETE", f"instances/{instance['instanceId']}")


def test_the_holder_is_killed_just_before_the_snapshot(lab: LabProcess) -> None:
    instance = lab.launch("killed")
    ident = str(uuid.uuid4())
    lab.admin("POST", "faults", {"killHolderBeforeCreateSnapshots": instance["instanceId"]})
    try:
        assert call(lab, instance, "pre-script", ident)["state"] == "held"
        create_snapshots(lab, instance)
    finally:
        lab.admin("POST", "faults", {"killHolderBeforeCreateSnapshots": None})
    happened = [e["event"] for e in lab.admin("GET", "timeline")]
    assert happened[-1] == "CreateSnapshots end" and happened[-2] == "holder killed"
    time.sleep(0.5)
    assert lab.admin("GET", "frozen") == []
    after = call(lab, instance, "post-script", ident)
    assert after["code"] == 203 and after["hold"]["unbroken"] is False
    lab.admin("DELETE", f"instances/{instance['instanceId']}")
