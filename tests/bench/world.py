"""A machine with a number of equal filesystems, in namespaces where nothing else can be frozen.

The namespaces are built by the lab's init (lab/init.py): the root is an overlay, every mount of the
host is gone. `verify` proves that before anything of anybody runs in it: qemu-ga and AWS's sample
freeze whatever they see.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from lab import host

from . import disks

INIT = Path(__file__).parent.parent / "lab/init.py"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
READY_SECONDS = 30.0
CGROUP_INSIDE = "/run/cpuacct"
CPUACCT = Path("/sys/fs/cgroup/cpuacct")


@dataclass(frozen=True)
class Volume:
    number: int
    fs: str
    mount: str


class World:
    """One machine; `run` is a command in it."""

    def __init__(self, scratch: Path, agent: Path, kinds: list[str], first_mb: int,
                 rest_mb: int, images: Path | None = None) -> None:
        """`scratch` is in memory; the disks' images are there as well, or where `images` says."""
        self.name = f"{'+'.join(dict.fromkeys(kinds))}-{len(kinds)}"
        self.folder = scratch / f"world-{uuid.uuid4().hex[:6]}"
        self.folder.mkdir()
        self.volumes = [Volume(disks.FIRST_LOOP + at, fs, f"/m/{at:02}")
                        for at, fs in enumerate(kinds)]
        self._control: socket.socket | None = None
        self._unshare: subprocess.Popen[bytes] | None = None
        self.init_pid = 0
        try:
            devices = [disks.attach((images or self.folder) / f"{v.number}.img", v.number,
                                    rest_mb if at else first_mb, v.fs)
                       for at, v in enumerate(self.volumes)]
            self._start(agent, devices)
            self.verify()
        except BaseException:
            self.close()
            raise

    @property
    def mounts(self) -> list[str]:
        return [volume.mount for volume in self.volumes]

    def outside(self, inside: str) -> Path:
        """A path of the machine as it is reached from here."""
        return Path(f"/proc/{self.init_pid}/root") / inside.lstrip("/")

    def _start(self, agent: Path, devices: list[str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._unshare = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--uts", "--ipc", "--net", "--fork",
                 "--kill-child=SIGKILL", "--propagation", "private", sys.executable, "-I",
                 str(INIT), str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                # What fails is said over the socket; unshare only complains of its end.
                stderr=subprocess.DEVNULL, start_new_session=True)
        self._control = ours
        root, share = self.folder / "root", self.folder / "share"
        root.mkdir()
        share.mkdir()
        spec = {
            "scratch": str(root), "share": str(share), "boot_id": str(uuid.uuid4()),
            "hostname": "bench", "agent": str(agent),
            "volumes": [{"loop": device, "fs": v.fs, "mount": v.mount,
                         "serial": f"vol{v.number:017x}"}
                        for v, device in zip(self.volumes, devices, strict=True)]}
        ours.send(json.dumps(spec).encode())
        ours.settimeout(READY_SECONDS)
        answer = json.loads(ours.recv(1 << 16) or b'{"failed": "init ended"}')
        if "failed" in answer:
            raise RuntimeError(f"{self.name}: {answer['failed']}")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self.init_pid = int(children.read_text().split()[0])

    def verify(self) -> None:
        """Only our filesystems can be frozen from inside, and lsblk shows no others."""
        ours = {(f"{disks.LOOP_MAJOR}:{v.number}", v.mount) for v in self.volumes}
        table = Path(f"/proc/{self.init_pid}/mountinfo").read_text().splitlines()
        seen = {(line.split()[2], line.split()[4]) for line in table
                if not line.split()[2].startswith("0:")
                or line.split(" - ")[1].split()[0] in ("btrfs", "bcachefs", "zfs", "nfs", "nfs4")}
        if seen != ours:
            raise RuntimeError(f"unsafe: the namespace has {sorted(seen ^ ours)} beside or instead "
                               "of the benchmark's mounts")
        listed = set(self.run("lsblk", "-nlo", "MOUNTPOINTS").split())
        if listed != set(self.mounts):
            raise RuntimeError(f"unsafe: lsblk shows {sorted(listed)}, not {self.mounts}")

    def spawn(self, argv: list[str], stdin: int | None = None, stdout: int | None = None,
              stderr: int | None = None) -> subprocess.Popen[bytes]:
        """A command in the machine; its standard streams are ours."""
        return subprocess.Popen(
            ["nsenter", "--target", str(self.init_pid), "--mount", "--pid", "--uts", "--ipc",
             "--net", "--root", "--wd", "--", "env", "-i", f"PATH={PATH}", "HOME=/root", *argv],
            stdin=subprocess.DEVNULL if stdin is None else stdin, stdout=stdout, stderr=stderr)

    def run(self, *argv: str, text: str | None = None, seconds: float = 60.0) -> str:
        process = self.spawn(list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        out, err = process.communicate((text or "").encode(), seconds)
        if process.returncode:
            raise RuntimeError(f"{argv[0]}: exit {process.returncode}: "
                               f"{err.decode(errors='replace').strip()[-500:]}")
        return out.decode(errors="replace")

    def groups(self, groups: Path) -> None:
        """Let commands inside enter the cgroups that count their CPU time."""
        self.run("sh", "-c", f"mkdir -p {CGROUP_INSIDE} && "
                             f"mount -t cgroup -o cpuacct cpuacct {CGROUP_INSIDE}")
        if not self.outside(f"{CGROUP_INSIDE}/{groups.name}").exists():
            raise RuntimeError("the CPU accounting cgroup cannot be reached inside")

    def close(self) -> None:
        """End it, thawing as long as something is left: a writer that waits cannot be killed."""
        fds = []
        if self.init_pid:
            with contextlib.suppress(OSError):
                fds = host.open_folders([self.outside(mount) for mount in self.mounts])
                host.thaw(fds)
        if self._control:
            self._control.close()
        if self._unshare:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init_pid or self._unshare.pid, signal.SIGKILL)
            give_up = time.monotonic() + READY_SECONDS
            while self._unshare.poll() is None and time.monotonic() < give_up:
                host.thaw(fds)
                time.sleep(0.05)
        for fd in fds:
            os.close(fd)
        for volume in self.volumes:
            disks.remove(volume.number)
        shutil.rmtree(self.folder, ignore_errors=True)
