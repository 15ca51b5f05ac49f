"""One machine of the lab: a process tree in its namespaces, with EBS volumes mounted in it.

Starts and stops init.py under unshare and talks to it. Which instances there are, and which
volumes are where, is instances.py's.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import host
from .emulator import ROOT_DEVICE
from .ports import ServiceError
from .record import Record
from .spec import Spec, Volume

READY_SECONDS = 30.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What udev does with an NVMe disk of EBS: $1 is the device, $2 the serial number.
PLUG = """
link=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$2
mkdir -p /dev/disk/by-id
if [ -n "$1" ]; then ln -sf "$1" "$link"; else rm -f "$link"; fi
"""


@dataclass
class Process:
    """One process started in an instance."""

    pid: int = 0  # in the instance's pid namespace
    exit_code: int | None = None
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


class Instance:
    """A running instance: the lab's end of its init."""

    def __init__(self, instance_id: str, spec: Spec, volumes: list[Volume]) -> None:
        self.id, self.name, self.managed, self.volumes = (
            instance_id,
            spec.name,
            spec.managed,
            volumes,
        )
        self.spec = spec
        self.platform, self.agent_version = spec.platform, spec.agent_version
        # The name of its instance profile's role, and the version of its VSS components.
        self.role, self.vss_components = spec.role, spec.vss_components
        self.boot_id = str(uuid.uuid4())
        self.init_pid = 0
        self.gone = threading.Event()
        self._control, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._processes: dict[int, Process] = {}
        self._lock = threading.Lock()
        self._unshare: subprocess.Popen[bytes] | None = None

    def start(self, spec: dict[str, Any], record: Record) -> None:
        with self._other as other:
            self._unshare = subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "--pid",
                    "--uts",
                    "--ipc",
                    "--net",
                    "--fork",
                    "--kill-child=SIGKILL",
                    "--propagation",
                    "private",
                    sys.executable,
                    "-I",
                    str(Path(__file__).with_name("init.py")),
                    str(other.fileno()),
                ],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        record.add_init(self._unshare.pid)
        self._control.send(json.dumps(spec).encode())
        self._control.settimeout(READY_SECONDS)
        answer = json.loads(
            self._control.recv(1 << 16) or b'{"failed": "init ended before it was ready"}'
        )
        self._control.settimeout(None)
        if "failed" in answer:
            raise RuntimeError(f"{self.id} did not start: {answer['failed']}")
        children = (
            Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        )
        self.init_pid = int(children[0])
        threading.Thread(target=self._listen, name=f"init-{self.id}", daemon=True).start()

    def path(self, inside: str) -> Path:
        """A path of the instance's file tree, as the host reaches it."""
        return Path(f"/proc/{self.init_pid}/root") / inside.lstrip("/")

    def boot_volume(self) -> Volume:
        return next(v for v in self.volumes if v.device == ROOT_DEVICE)

    def mounts(self) -> list[Path]:
        return [self.path(v.mount) for v in self.volumes if v.mount]

    def spawn(
        self,
        argv: list[str],
        env: dict[str, str] | None = None,
        cwd: str = "/",
        output: tuple[int, int] | None = None,
    ) -> Process:
        """Start a process in a group of its own; `output` are descriptors that become 1 and 2."""
        process = Process()
        with self._lock:
            ident = len(self._processes) + 1
            self._processes[ident] = process
        message = {
            "op": "exec",
            "id": ident,
            "argv": argv,
            "cwd": cwd,
            "env": {"PATH": PATH, "HOME": "/root", **(env or {})},
        }
        ancillary = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", output))] if output else []
        )
        try:
            self._control.sendmsg([json.dumps(message).encode()], ancillary)
        except OSError as error:
            raise ServiceError("InvalidInstanceId", f"{self.id} is gone") from error
        if not process.started.wait(READY_SECONDS):
            raise RuntimeError(f"{self.id} did not start {argv[0]}")
        return process

    def kill(self, pid: int, group: bool) -> None:
        """SIGKILL a process (or its group) by its pid inside the instance."""
        try:
            self._control.send(json.dumps({"op": "kill", "pid": pid, "group": group}).encode())
        except OSError:
            pass  # the instance is gone, and everything in it with it

    def _listen(self) -> None:
        while True:
            try:
                data = self._control.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                break
            message = json.loads(data)
            process = self._processes[message["id"]]
            if "pid" in message:
                process.pid = message["pid"]
                process.started.set()
            else:
                process.exit_code = message["exit"]
                process.ended.set()
        self.gone.set()
        for process in self._processes.values():
            process.started.set()
            process.ended.set()

    def plug(self, volume: Volume) -> None:
        """What udev does when a disk comes or, without its device, goes."""
        argv = ["sh", "-c", PLUG, "sh", volume.loop or "", volume.serial]
        self.spawn(argv).ended.wait(READY_SECONDS)

    def stop(self) -> None:
        """End everything in the instance, thawing until the last process is gone."""
        # A killed freezer may finish its freeze, and a writer that waits on it cannot be killed.
        folders = host.open_folders(self.mounts()) if self.init_pid else []
        try:
            self._end(folders)
        finally:
            for folder in folders:
                os.close(folder)

    def _end(self, folders: list[int]) -> None:
        host.thaw(folders)
        # shutdown, not only close: the listening thread must wake up.
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if self._unshare is None:
            return
        if self.init_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init_pid, signal.SIGKILL)
        else:
            self._unshare.kill()
        deadline = time.monotonic() + READY_SECONDS
        while self._unshare.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.id}: its processes did not end")
            time.sleep(0.02)
            host.thaw(folders)


def host_pid(instance: Instance, inside: int) -> int | None:
    """The pid on the host of a process of the instance."""
    namespace = os.readlink(f"/proc/{instance.init_pid}/ns/pid")
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/pid") != namespace:
                continue
            status = (entry / "status").read_text()
        except OSError:
            continue
        inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[-1]
        if int(inner) == inside:
            return int(entry.name)
    return None
