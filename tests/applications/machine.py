"""One machine whose two volumes can be snapshotted at one instant, and the copies of them.

The machine is the benchmark's (bench/world.py), its images lie in one btrfs subvolume: a snapshot
of that is what CreateSnapshots makes, as in the lab. Copies are mounted outside of the machine, in
this process's own mount namespace, where the agent cannot see them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import disks
from bench.world import World

STORE_GIB = 16
DATA_MB, LOG_MB = 640, 512
KINDS = ["ext4", "xfs"]
COPIES = Path("/mnt")
MOUNT_OPTIONS = {"ext4": "noatime", "xfs": "noatime,nouuid"}


def run(*argv: str | Path) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


class Machine:
    def __init__(self, store: Path, agent: Path) -> None:
        self._store, self._live = store, store / "live"
        run("btrfs", "subvolume", "create", self._live)
        scratch = COPIES / "machine"
        scratch.mkdir(exist_ok=True)
        self.world = World(scratch, agent, KINDS, DATA_MB, LOG_MB, self._live)

    def close(self) -> None:
        self.world.close()
        for left in self._store.iterdir():
            run("btrfs", "subvolume", "delete", left)

    def agent(self, stage: str, execution: str, application: str) -> dict[str, Any]:
        """The receipt of one call; what it refused or failed is an error here."""
        process = self.world.spawn(
            ["/usr/local/bin/stillpoint-agent", stage, "--execution-id", execution,
             "--application", application],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, err = process.communicate(timeout=60)
        if process.returncode:
            raise RuntimeError(f"{stage}: {process.returncode}: {out.decode()}{err.decode()}")
        receipt: dict[str, Any] = json.loads(out)
        return receipt

    def snapshot(self) -> str:
        """Both volumes at one instant."""
        name = f"set-{uuid.uuid4().hex[:8]}"
        run("btrfs", "subvolume", "snapshot", self._live, self._store / name)
        return name

    def forget(self, name: str) -> None:
        run("btrfs", "subvolume", "delete", self._store / name)

    @contextlib.contextmanager
    def restored(self, sets: list[str]) -> Iterator[list[Path]]:
        """The volumes mounted from copies, the first of the first set and so on."""
        with contextlib.ExitStack() as stack:
            mounts = []
            for volume, name in zip(self.world.volumes, sets, strict=True):
                image = self._store / name / f"{volume.number}.img"
                device = run("losetup", "--find", "--show", image).strip()
                stack.callback(run, "losetup", "--detach", device)
                mount = COPIES / f"volume-{volume.number}"
                mount.mkdir(exist_ok=True)
                run("mount", "-o", MOUNT_OPTIONS[volume.fs], device, mount)
                stack.callback(run, "umount", mount)
                mounts.append(mount)
            yield mounts


@contextlib.contextmanager
def store(folder: Path) -> Iterator[Path]:
    """A btrfs filesystem for everything; gone at the end, whatever happens: the guard does it when
    this process dies."""
    disks.claim(len(KINDS))
    image, place = folder / "store.img", folder / "store"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(STORE_GIB << 30)
    run("mkfs.btrfs", "-q", "-f", "-m", "single", "-d", "single", image)
    guard = disks.start_guard(len(KINDS), folder / "no-groups", place)
    try:
        run("mount", "-o", "loop,noatime", image, place)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "copies", COPIES)
        yield place
    finally:
        for mount in (COPIES, place):
            run("umount", "--lazy", mount)
        guard.communicate(timeout=60)
        image.unlink(missing_ok=True)
