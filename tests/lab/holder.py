"""Finds the process that keeps a hold in an instance, to kill it: the agent's record says which.

It reads files of the instance from the host and starts nothing there.
"""

from __future__ import annotations

import json

from .instance import Instance


def find_holder(instance: Instance) -> int | None:
    """The holder's pid inside the instance; None when nobody holds anything."""
    for path in instance.path("/run/stillpoint").glob("run-*.json"):
        try:
            processes = json.loads(path.read_text()).get("processes") or []
        except (OSError, ValueError):
            continue
        for process in processes:
            if process.get("role") == "holder" and _lives(instance, process):
                return int(process["pid"])
    return None


def _lives(instance: Instance, process: dict[str, int]) -> bool:
    """Whether the pid still is that process: holders of earlier runs are on record too."""
    try:
        stat = instance.path(f"/proc/{process['pid']}/stat").read_text()
    except OSError:
        return False
    # Field 22 is the start time; the name before it, in parentheses, may contain anything.
    fields = stat.rsplit(") ", 1)[1].split()
    return fields[0] != "Z" and int(fields[19]) == process["startTime"]
