"""Restored volumes: does each one mount, and is its filesystem whole.

An ext4 that was frozen must need no journal recovery; that is looked at before the first
mount, because mounting recovers it. A frozen xfs keeps a dirty log and so says nothing
there. Called by verify.py, in its private mount namespace.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Volume:
    """One restored volume: its fresh device, and what it was on the instance."""

    device: str
    fs: str
    mount: str
    frozen: bool

    def place(self, base: Path) -> Path:
        """Where the copy is mounted for `mount`."""
        return base / self.mount.strip("/").replace("/", "-")


def run(argv: list[str]) -> str:
    """Run a tool; an exit code other than 0 is an error with the tool's own words."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{argv[0]} exited with {done.returncode}: {' | '.join(words[-3:])}")
    return done.stdout


def needs_recovery(device: str) -> bool:
    """Whether an ext4 has a journal to replay before it can be used."""
    listing = run(["dumpe2fs", "-h", device])
    features = next(line for line in listing.splitlines()
                    if line.startswith("Filesystem features:"))
    return "needs_recovery" in features.split()


def check_and_mount(volume: Volume, base: Path, problems: list[str]) -> dict:
    """Check one volume and leave it mounted; what is wrong goes into `problems`."""
    answer: dict = {"mount": volume.mount, "fs": volume.fs, "needsRecovery": None,
                    "mounted": False, "clean": False}
    place = volume.place(base)
    place.mkdir(parents=True)
    options = ["-o", "nouuid"] if volume.fs == "xfs" else []
    mount = ["mount", "-t", volume.fs, *options, volume.device, str(place)]
    try:
        if volume.fs == "ext4":
            answer["needsRecovery"] = needs_recovery(volume.device)
            if volume.frozen and answer["needsRecovery"]:
                problems.append(f"{volume.mount}: the frozen ext4 needs journal recovery")
        # The first mount replays what there is to replay, as on any restored host; only
        # then can a read-only check say whether the filesystem is whole.
        run(mount)
        answer["mounted"] = True
        run(["umount", str(place)])
        if volume.fs == "ext4":
            run(["e2fsck", "-fn", volume.device])
        else:
            run(["xfs_repair", "-n", volume.device])
        answer["clean"] = True
        run(mount)
    except RuntimeError as error:
        problems.append(f"{volume.mount}: {error}")
    return answer
