"""What the emulator and the lab's own rooms say to each other: types only, no behaviour.

Here so that emulator.py, the only file that knows ministack and moto, and the rooms that it
calls back need not import each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Reply = tuple[int, dict[str, str], bytes]


class ServiceError(Exception):
    """An AWS error: code and message as the service would answer them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass(frozen=True)
class NewSnapshot:
    snapshot_id: str
    volume_id: str


class Hooks(Protocol):
    """What the lab adds to EC2 and SSM; each raises ServiceError for an AWS error."""

    def create_snapshots(
        self, instance_id: str, make: Callable[[], list[NewSnapshot]]
    ) -> list[NewSnapshot]: ...
    def delete_snapshot(self, snapshot_id: str) -> None: ...
    def create_volume(self, volume_id: str, snapshot_id: str) -> None: ...
    def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None: ...
    def detach_volume(self, volume_id: str, instance_id: str) -> None: ...
    def delete_volume(self, volume_id: str) -> None: ...
    def launch_instance(self, instance_id: str, name: str, volumes: dict[str, str]) -> None: ...
    def remove_instance(self, instance_id: str) -> None: ...
    def start_instance(self, instance_id: str) -> None: ...
    def stop_instance(self, instance_id: str) -> None: ...
    def command(self, action: str, body: dict[str, Any]) -> dict[str, Any]: ...
