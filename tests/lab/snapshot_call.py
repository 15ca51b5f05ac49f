"""CreateSnapshots' parameters and answer: which volumes, which tags, what the caller sees.

Pure; emulator.py calls it with what moto knows of the instance.
"""

from __future__ import annotations

from typing import Any

from .config import ACCOUNT, ZONE
from .ports import ServiceError


def choose(
    instance_id: str, state: str, attached: dict[str, str], root_device: str, spec: dict[str, Any]
) -> list[str]:
    """The volumes of the set; `attached` is volume id -> device."""
    if state not in ("running", "stopped", "stopping"):
        raise ServiceError("IncorrectInstanceState", f"the instance '{instance_id}' is {state}")
    excluded = set(spec.get("ExcludeDataVolumeIds") or [])
    root = next((v for v, device in attached.items() if device == root_device), None)
    if root in excluded:
        text = f"{root} is the root volume; exclude it with ExcludeBootVolume"
        raise ServiceError("InvalidParameterValue", text)
    if unknown := sorted(excluded - set(attached)):
        text = f"not attached to {instance_id}: {', '.join(unknown)}"
        raise ServiceError("InvalidParameterValue", text)
    if root and str(spec.get("ExcludeBootVolume", "false")).lower() == "true":
        excluded.add(root)
    wanted = [volume for volume in attached if volume not in excluded]
    if not wanted:
        text = f"no volume of {instance_id} is left to snapshot"
        raise ServiceError("InvalidParameterValue", text)
    return wanted


def tags_of_snapshot(volume_tags: list[dict[str, str]], wanted: dict[str, str]) -> dict[str, str]:
    """The request's tags over those of the volume; tags of AWS itself are not copied."""
    copied = {t["key"]: t["value"] for t in volume_tags if not t["key"].startswith("aws:")}
    return copied | wanted


def shown(snapshot: Any) -> dict[str, Any]:
    """SnapshotInfo of a snapshot that was made just now."""
    return {
        "SnapshotId": snapshot.id,
        "VolumeId": snapshot.volume_id,
        "State": "pending",
        "Progress": "",
        "StartTime": snapshot.start_time,
        "VolumeSize": snapshot.volume_size,
        "Encrypted": snapshot.encrypted,
        "OwnerId": ACCOUNT,
        "Description": snapshot.description,
        "Tags": [{"Key": t["key"], "Value": t["value"]} for t in snapshot.get_tags()],
        "AvailabilityZone": ZONE,
    }
