"""One instance of the lab, as a scenario uses it: its volumes, commands in it, its timeline."""

from __future__ import annotations

import uuid
from typing import Any

from demo.cloud import Cloud

# One small data volume: enough for a set of two with the boot volume.
ONE_VOLUME = [{"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 64}]


class Instance:
    """A running instance."""

    def __init__(self, cloud: Cloud, made: dict[str, Any], target: str) -> None:
        self._cloud = cloud
        self.id: str = made["instanceId"]
        self.init_pid: int = made["initPid"]
        self.volumes: list[dict[str, Any]] = made["volumes"]
        # The value of its tag `backup`, which no other instance has.
        self.target = target

    @classmethod
    def launch(cls, cloud: Cloud, name: str, volumes: list[dict[str, Any]] | None = None,
               tags: dict[str, str] | None = None, **more: Any) -> Instance:
        """Starts one; `more` is the lab's: managed, platform, instanceType, role, ..."""
        target = f"{name}-{uuid.uuid4().hex[:6]}"
        made = cloud.admin("POST", "instances", {
            "name": name, "tags": {"backup": target} | (tags or {}),
            "volumes": ONE_VOLUME if volumes is None else volumes, **more})
        return cls(cloud, made, target)

    def exec(self, *argv: str) -> str:
        """Runs a command in it and returns its output; it must succeed."""
        done = self._cloud.admin("POST", f"instances/{self.id}/exec", {"argv": list(argv)})
        assert done["exitCode"] == 0, f"{argv}: {done}"
        return str(done["stdout"])

    def vanish(self) -> None:
        self._cloud.admin("DELETE", f"instances/{self.id}")

    def timeline(self) -> list[dict[str, Any]]:
        return [entry for entry in self._cloud.admin("GET", "timeline")
                if entry["instanceId"] == self.id]

    def story(self) -> list[str]:
        """The calls that reached it, in order: `pre-script`, `CreateSnapshots`, `post-script`."""
        told = []
        for entry in self.timeline():
            if entry["event"] == "SendCommand":
                # A VSS document has no stages.
                told += entry["parameters"].get("command", ["vss"])
            elif entry["event"] == "CreateSnapshots begin":
                told.append("CreateSnapshots")
        return told

    def execution_ids(self) -> list[str]:
        """The execution id of each command that was sent, in order."""
        return [entry["parameters"]["executionId"][0] for entry in self.timeline()
                if entry["event"] == "SendCommand"]
