"""Loop devices on memory, as fast as a gp3 volume, and what must not stay behind of them.

The loop devices have numbers nobody else uses and are removed, not only detached: a limit in the
block cgroup belongs to the device's number, and the next user of the number would inherit it. The
guard is a process of its own that does the same when the benchmark dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

# The baseline of an EBS gp3 volume.
BYTES_PER_SECOND, WRITES_PER_SECOND = 125_000_000, 3000
LOOP_CTL_ADD, LOOP_CTL_REMOVE, LOOP_CLR_FD = 0x4C80, 0x4C81, 0x4C01
LOOP_MAJOR, FIRST_LOOP = 7, 640
BLKIO = Path("/sys/fs/cgroup/blkio")
LIMITS = {"blkio.throttle.write_bps_device": BYTES_PER_SECOND,
          "blkio.throttle.write_iops_device": WRITES_PER_SECOND}
# The kernel starts to write back when a device's dirty pages pass its share of the threshold; a
# device that has written little has next to none, unless it is given one. All devices' shares
# together are no more than 100, so that the first may be refused.
SHARES_PERCENT = (60, 40, 20)
# The watchdog keeps a filesystem for ten seconds more when the benchmark is killed.
REMOVE_TRIES = 100


def check() -> None:
    if not all((BLKIO / name).exists() for name in LIMITS):
        raise RuntimeError(f"{BLKIO} has no blkio.throttle.*: the benchmark limits its devices by "
                           "the block controller of cgroup v1 (systemd.unified_cgroup_hierarchy=0)")


def claim(count: int) -> None:
    """Refuses when one of the numbers is in use; an unused device is cleared away."""
    for number in range(FIRST_LOOP, FIRST_LOOP + count):
        if Path(f"/sys/block/loop{number}/loop/backing_file").exists():
            raise RuntimeError(f"/dev/loop{number} is in use, and the benchmark needs the number")
        if Path(f"/sys/block/loop{number}").exists():
            remove(number)


def limit(number: int, on: bool) -> None:
    for name, value in LIMITS.items():
        with contextlib.suppress(OSError):  # a device that is gone has no limit
            (BLKIO / name).write_text(f"{LOOP_MAJOR}:{number} {value if on else 0}\n")


def share(number: int) -> None:
    for percent in SHARES_PERCENT:
        with contextlib.suppress(OSError):
            path = Path(f"/sys/class/bdi/{LOOP_MAJOR}:{number}/min_ratio")
            path.write_text(f"{percent}\n", encoding="ascii")
            return


def dirty_mb(number: int) -> float:
    """What waits to be written to the device, in MB."""
    stats = Path(f"/sys/kernel/debug/bdi/{LOOP_MAJOR}:{number}/stats").read_text()
    words = {line.split(":")[0]: line.split(":")[1].split()[0] for line in stats.splitlines()
             if ":" in line}
    return (int(words["BdiReclaimable"]) + int(words["BdiWriteback"])) * 1024 / 1e6


def attach(image: Path, number: int, megabytes: int, fs: str) -> str:
    """A new image with a filesystem, on /dev/loop<number>."""
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    device = f"/dev/loop{number}"
    with open("/dev/loop-control", "rb") as control:
        fcntl.ioctl(control, LOOP_CTL_ADD, number)
    _run("losetup", device, image)
    # Everything is initialised now, because a lazy kernel thread would write during the trials.
    options = ["-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"] if fs == "ext4" else ["-K"]
    _run(f"mkfs.{fs}", "-q", *options, device)
    return device


def remove(number: int) -> None:
    """Detach and delete a device of ours; waits for a filesystem that is just being unmounted."""
    limit(number, on=False)
    for _ in range(REMOVE_TRIES):
        try:
            with open(f"/dev/loop{number}", "rb") as device, contextlib.suppress(OSError):
                fcntl.ioctl(device, LOOP_CLR_FD)
            with open("/dev/loop-control", "rb") as control:
                fcntl.ioctl(control, LOOP_CTL_REMOVE, number)
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.2)


def _run(*argv: str | Path) -> None:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()}")


def start_guard(count: int, groups: Path, scratch: Path) -> subprocess.Popen[bytes]:
    """The guard; it acts when its standard input closes."""
    return subprocess.Popen(
        [sys.executable, __file__, str(count), str(groups), str(scratch)], stdin=subprocess.PIPE,
        start_new_session=True)


def _guard() -> None:
    count, groups, scratch = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    sys.stdin.read()
    for number in range(FIRST_LOOP, FIRST_LOOP + count):
        if Path(f"/sys/block/loop{number}").exists():
            remove(number)
    with contextlib.suppress(OSError):
        if os.path.ismount(scratch):
            _run("umount", "-l", scratch)
        scratch.rmdir()
    for _ in range(REMOVE_TRIES):
        with contextlib.suppress(OSError):
            for group in [*groups.glob("*/"), groups]:
                os.rmdir(group)
        if not groups.exists():
            return
        time.sleep(0.2)


if __name__ == "__main__":
    _guard()
