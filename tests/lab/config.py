"""Constants of the lab that more than one room needs, and the switches of one lab.

Everything that has a number here says where the number comes from. It reads no environment and
imports nothing of the lab; every room may import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "123456789012"
REGION = "us-east-1"
ZONE = "us-east-1a"

DEFAULT_PORT = 4566
# Sparse: what is not written costs nothing on the host.
EBS_POOL_GIB = 32
# Real snapshots of small volumes take tens of seconds; two are enough to see "pending".
SNAPSHOT_LAG_SECONDS = 2.0
# SSM answers InvocationDoesNotExist for a moment after SendCommand.
INVOCATION_VISIBLE_AFTER_SECONDS = 0.15
# Delivery through MDS; the real one takes 0.2 to 2 seconds.
DELIVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Lab:
    """Where one lab lives and which artefacts it deploys."""

    state: Path
    port: int
    agent_binary: Path
    # tmpfs that is visible under this same path on the host and in every instance.
    share: Path

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pool_image(self) -> Path:
        return self.state / "ebs.img"

    @property
    def pool(self) -> Path:
        return self.state / "ebs"
