"""EBS on one machine: a btrfs pool, one subvolume an instance, one image file a volume.

A snapshot set is one `btrfs subvolume snapshot -r` of the instance's subvolume: all its volumes
at the same instant, as CreateSnapshots promises. It attaches and detaches loop devices and makes
filesystems; mounting them in an instance is init.py's work, ids and states are moto's.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from .config import EBS_POOL_GIB
from .host import run
from .record import Record

# xfs refuses less since xfsprogs 5.19; ext4 has no such limit.
XFS_MIN_MIB = 300
ATTACH_ATTEMPTS = 10
MKFS_OPTIONS = {
    # Nothing is left for a background thread to write, so a quiet filesystem is really quiet.
    "ext4": ["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["-q", "-f"],
}


def check_filesystem(device: str, fs: str, size_mib: int) -> None:
    """Refuse what could not be made, before anything is made."""
    if fs not in MKFS_OPTIONS:
        raise ValueError(f"fs of {device}: found {fs!r}, allowed are {', '.join(MKFS_OPTIONS)}")
    if fs == "xfs" and size_mib < XFS_MIN_MIB:
        raise ValueError(f"size_mib of {device}: found {size_mib}, xfs needs {XFS_MIN_MIB}")


@dataclass(frozen=True)
class Stored:
    """Where the data of one snapshot is: a file in a read-only subvolume."""

    set_name: str
    volume_id: str


class Pool:
    """The btrfs filesystem with everything in it."""

    def __init__(self, image: Path, mountpoint: Path, record: Record) -> None:
        self._image, self._root, self._record = image, mountpoint, record
        self._lock = threading.Lock()
        self._snapshots: dict[str, Stored] = {}
        self._restores = 0

    def create(self) -> None:
        with open(self._image, "wb") as file:
            os.truncate(file.fileno(), EBS_POOL_GIB << 30)
        run("mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", self._image)
        self._root.mkdir(exist_ok=True)
        device = self.attach(self._image)
        run("mount", "-t", "btrfs", "-o", "noatime", device, self._root)
        # In use, so this only marks it: the kernel detaches it when the last mount goes.
        run("losetup", "-d", device)
        for name in ("instances", "snapshots", "restores", "volumes"):
            (self._root / name).mkdir()

    def destroy(self) -> None:
        """Unmount; the loop device goes with the last file in use."""
        run("umount", "-l", self._root)

    def attach(self, backing: Path) -> str:
        """A loop device for `backing`, on record before it exists."""
        with self._lock:
            for attempt in range(ATTACH_ATTEMPTS):
                device = run("losetup", "-f").strip()
                self._record.add_loop(device, backing)
                try:
                    run("losetup", "--direct-io=off", device, backing)
                    return device
                except RuntimeError:
                    # Somebody else on this machine took the device between the two calls.
                    self._record.drop_loop(device)
                    if attempt == ATTACH_ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    def detach(self, device: str) -> None:
        """Detach now, or when its last user lets go of it."""
        run("losetup", "-d", device)

    # --- instances ------------------------------------------------------------------------------

    def add_instance(self, instance_id: str) -> None:
        run("btrfs", "-q", "subvolume", "create", self._root / "instances" / instance_id)

    def remove_instance(self, instance_id: str) -> None:
        run("btrfs", "-q", "subvolume", "delete", self._root / "instances" / instance_id)

    def add_volume(
        self, instance_id: str, volume_id: str, size_mib: int, fs: str | None
    ) -> str | None:
        """The image file of a volume, and its loop device unless it has no filesystem."""
        image = self.image(instance_id, volume_id)
        with open(image, "wb") as file:
            os.truncate(file.fileno(), size_mib << 20)
        if fs is None:
            return None
        run(f"mkfs.{fs}", *MKFS_OPTIONS[fs], image)
        return self.attach(image)

    def image(self, instance_id: str | None, volume_id: str) -> Path:
        """The file of a volume: with its instance, or on the shelf of those that have none."""
        place = self._root / "instances" / instance_id if instance_id else self._root / "volumes"
        return place / f"{volume_id}.img"

    def move(self, volume_id: str, source: str | None, target: str | None) -> None:
        """To another instance's subvolume, which a rename does not cross."""
        image = self.image(source, volume_id)
        run("cp", "--reflink=always", image, self.image(target, volume_id))
        image.unlink()

    # --- snapshots ------------------------------------------------------------------------------

    def snapshot_set(self, instance_id: str, set_name: str) -> None:
        """One atomic read-only copy of all volumes of the instance."""
        source, target = self._root / "instances" / instance_id, self._root / "snapshots" / set_name
        run("btrfs", "-q", "subvolume", "snapshot", "-r", source, target)

    def register(self, snapshot_id: str, stored: Stored) -> None:
        with self._lock:
            self._snapshots[snapshot_id] = stored

    def delete_snapshot(self, snapshot_id: str) -> None:
        """Forget a snapshot; the data goes with the last of its set."""
        with self._lock:
            stored = self._snapshots.pop(snapshot_id, None)
            if stored is None or any(
                s.set_name == stored.set_name for s in self._snapshots.values()
            ):
                return
        run("btrfs", "-q", "subvolume", "delete", self._root / "snapshots" / stored.set_name)

    def volume_of(self, snapshot_id: str, volume_id: str) -> None:
        """A new volume with the data of a snapshot, attached to nothing."""
        run("cp", "--reflink=always", self._stored(snapshot_id), self.image(None, volume_id))

    def damage(self, snapshot_id: str, offset: int, length: int) -> None:
        """Overwrites a part of a snapshot with zeros, as if EBS had lost it."""
        image = self._stored(snapshot_id)
        run("btrfs", "property", "set", "-ts", image.parent, "ro", "false")
        with open(image, "r+b") as file:
            file.seek(offset)
            file.write(bytes(length))
        run("btrfs", "property", "set", "-ts", image.parent, "ro", "true")

    def _stored(self, snapshot_id: str) -> Path:
        with self._lock:
            stored = self._snapshots[snapshot_id]
        return self._root / "snapshots" / stored.set_name / f"{stored.volume_id}.img"

    def restore(self, snapshot_ids: list[str]) -> list[dict[str, str]]:
        """A writable copy of each snapshot on a fresh loop device."""
        with self._lock:
            unknown = [s for s in snapshot_ids if s not in self._snapshots]
            wanted = {s: self._snapshots[s] for s in snapshot_ids if s not in unknown}
            self._restores += 1
            number = self._restores
        if unknown:
            raise KeyError(f"no data is stored for {', '.join(unknown)}")
        copies = {}
        for set_name in {s.set_name for s in wanted.values()}:
            copies[set_name] = self._root / "restores" / f"{number}-{set_name}"
            run(
                "btrfs",
                "-q",
                "subvolume",
                "snapshot",
                self._root / "snapshots" / set_name,
                copies[set_name],
            )
        return [
            {
                "snapshotId": snapshot_id,
                "volumeId": stored.volume_id,
                "device": self.attach(copies[stored.set_name] / f"{stored.volume_id}.img"),
            }
            for snapshot_id, stored in wanted.items()
        ]

    def release(self, devices: list[str] | None) -> list[str]:
        """Detach restored devices, all of them when none are named."""
        restored = {
            device: Path(backing)
            for device, backing in dict(self._record["loops"]).items()
            if Path(backing).is_relative_to(self._root / "restores")
        }
        wanted = list(restored) if devices is None else devices
        if unknown := [device for device in wanted if device not in restored]:
            raise KeyError(f"not a restored device: {', '.join(unknown)}")
        for device in wanted:
            self.detach(device)
            self._record.drop_loop(device)
        return wanted
