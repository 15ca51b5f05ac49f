"""What an instance is launched as, and what a volume of it is. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Windows is a name here: what its documents do is windows.py's.
PLATFORMS = ("Linux", "Windows")


@dataclass
class Volume:
    volume_id: str
    device: str
    fs: str | None
    mount: str | None
    loop: str | None

    @property
    def serial(self) -> str:
        return self.volume_id.replace("-", "")

    def public(self, init_pid: int) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "volumeId": self.volume_id,
            "device": self.device,
            "fs": self.fs,
            "mount": self.mount,
            "loop": self.loop,
        }
        if self.mount and init_pid:
            shown["hostPath"] = f"/proc/{init_pid}/root{self.mount}"
        return shown


@dataclass(frozen=True)
class Spec:
    """What an instance is launched as; names as in the admin API, in snake case."""

    name: str
    tags: dict[str, str] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    managed: bool = True
    platform: str = "Linux"
    instance_type: str = "m7i.large"
    agent_version: str = "3.3.2299.0"
    role: str | None = None
    vss_components: str | None = None

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            allowed = ", ".join(PLATFORMS)
            raise ValueError(f"platform: found {self.platform!r}, allowed are {allowed}")
