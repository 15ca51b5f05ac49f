"""The lab's instances: a moto instance each, with namespaces and mounted EBS volumes behind it.

Starts and stops init.py under unshare and talks to it; arms the watchdog for each volume before
anybody can freeze it; finds out which volumes are frozen. What runs inside, and why, is decided
by ssm_agent.py and the admin API.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
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
from .config import Lab
from .ebs import Pool, check_filesystem
from .emulator import ROOT_DEVICE, Emulator
from .ports import ServiceError
from .record import Record

READY_SECONDS = 30.0
DEFAULT_SIZE_MIB, ROOT_SIZE_MIB = 512, 64
# Windows is a name here: what its documents do is windows.py's.
PLATFORMS = ("Linux", "Windows")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Volume:
    volume_id: str
    device: str
    fs: str | None
    mount: str | None
    loop: str | None

    def public(self, init_pid: int) -> dict[str, Any]:
        shown = {
            "volumeId": self.volume_id,
            "device": self.device,
            "fs": self.fs,
            "mount": self.mount,
            "loop": self.loop,
        }
        return shown | ({"hostPath": f"/proc/{init_pid}/root{self.mount}"} if self.mount else {})


@dataclass
class Process:
    """One process started in an instance."""

    pid: int = 0  # in the instance's pid namespace
    exit_code: int | None = None
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)


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


class Instance:
    """A running instance: the lab's end of its init."""

    def __init__(self, instance_id: str, spec: Spec, volumes: list[Volume]) -> None:
        self.id, self.name, self.managed, self.volumes = (
            instance_id,
            spec.name,
            spec.managed,
            volumes,
        )
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


class Fleet:
    """All instances of the lab."""

    def __init__(
        self, lab: Lab, pool: Pool, emulator: Emulator, record: Record, watchdog: host.Watchdog
    ) -> None:
        self._lab, self._pool, self._emulator = lab, pool, emulator
        self._record, self._watchdog = record, watchdog
        self._instances: dict[str, Instance] = {}

    def get(self, instance_id: str) -> Instance | None:
        return self._instances.get(instance_id)

    def all(self) -> list[Instance]:
        return list(self._instances.values())

    def launch(self, spec: Spec) -> Instance:
        volumes = spec.volumes
        for one in volumes:
            check_filesystem(
                one["device"], one.get("fs", "ext4"), one.get("size_mib", DEFAULT_SIZE_MIB)
            )
        devices = {
            v["device"]: (max(1, v.get("size_mib", DEFAULT_SIZE_MIB) >> 10), v.get("tags") or {})
            for v in volumes
        }
        instance_id, ids = self._emulator.run_instance(
            {"Name": spec.name} | spec.tags, devices, spec.instance_type, spec.platform
        )
        self._pool.add_instance(instance_id)
        wanted = {v["device"]: v for v in volumes}
        made = []
        for device, volume_id in ids.items():
            # The root volume is in nobody's list: an image without a filesystem.
            one = wanted.get(device) or {"size_mib": ROOT_SIZE_MIB, "fs": None}
            fs = one.get("fs", "ext4")
            size = one.get("size_mib", DEFAULT_SIZE_MIB)
            loop = self._pool.add_volume(instance_id, volume_id, size, fs)
            made.append(Volume(volume_id, device, fs, one.get("mount"), loop))
        instance = Instance(instance_id, spec, made)
        scratch = self._lab.state / "roots" / instance_id
        scratch.mkdir(parents=True)
        try:
            instance.start(self._spec(instance, scratch), self._record)
        except BaseException:
            instance.stop()
            raise
        finally:
            for volume in made:
                if volume.loop:
                    # Mounted, so this only marks it: it goes when the instance's mount goes.
                    self._pool.detach(volume.loop)
        for path in instance.mounts():
            self._watchdog.hold(f"{instance_id}:{path}", path)
        self._instances[instance_id] = instance
        return instance

    def _spec(self, instance: Instance, scratch: Path) -> dict[str, Any]:
        agent = self._lab.agent_binary
        return {
            "scratch": str(scratch),
            "share": str(self._lab.share),
            "boot_id": instance.boot_id,
            "hostname": instance.name,
            "agent": str(agent) if agent.exists() else None,
            "volumes": [
                {
                    "loop": v.loop,
                    "fs": v.fs,
                    "mount": v.mount,
                    "serial": v.volume_id.replace("-", ""),
                }
                for v in instance.volumes
            ],
        }

    def vanish(self, instance_id: str) -> None:
        """Terminate: kill everything inside, thaw and unmount, and tell EC2."""
        instance = self._instances.pop(instance_id)
        keys = [f"{instance_id}:{path}" for path in instance.mounts()]
        instance.stop()
        # After the end: until then the watchdog must be able to thaw.
        for key in keys:
            self._watchdog.drop(key)
        self._record.drop_init(instance._unshare.pid if instance._unshare else 0)
        self._emulator.terminate_instance(instance_id)
        self._pool.remove_instance(instance_id)
        shutil.rmtree(self._lab.state / "roots" / instance_id, ignore_errors=True)

    def vanish_all(self) -> None:
        """Terminate every instance, also when one of them resists."""
        with contextlib.ExitStack() as each:
            for instance in self.all():
                each.callback(self.vanish, instance.id)

    def frozen(self) -> list[dict[str, Any]]:
        """The volumes of the lab that are frozen now."""
        candidates = [(i, v) for i in self.all() for v in i.volumes if v.mount]
        answers = host.frozen([i.path(v.mount or "") for i, v in candidates])
        return [
            {"instanceId": i.id, "volumeId": v.volume_id, "mount": v.mount}
            for (i, v), is_frozen in zip(candidates, answers, strict=True)
            if is_frozen
        ]

    def thaw_all(self) -> None:
        for instance in self.all():
            folders = host.open_folders(instance.mounts())
            host.thaw(folders)
            for folder in folders:
                os.close(folder)

    def exec(
        self,
        instance_id: str,
        argv: list[str],
        detach: bool,
        log: Path | None,
        env: dict[str, str] | None,
        wait_seconds: float,
    ) -> dict[str, Any]:
        """Run a command in an instance; its output comes back, or goes to `log` when detached."""
        instance = self._instances[instance_id]
        if detach:
            target = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                process = instance.spawn(argv, env, output=(target, target))
            finally:
                os.close(target)
            return {
                "pid": process.pid,
                "hostPid": host_pid(instance, process.pid),
                "log": str(log) if log else None,
            }
        pipes = [os.pipe(), os.pipe()]
        process = instance.spawn(argv, env, output=(pipes[0][1], pipes[1][1]))
        texts: list[bytes] = [b"", b""]
        readers = [
            threading.Thread(target=_drain, args=(read, write, texts, n))
            for n, (read, write) in enumerate(pipes)
        ]
        for reader in readers:
            reader.daemon = True
            reader.start()
        finished = process.ended.wait(wait_seconds)
        if not finished:
            instance.kill(process.pid, group=True)
        for reader in readers:
            reader.join(1.0)
        return {
            "exitCode": process.exit_code if finished else None,
            "stdout": texts[0].decode(errors="replace"),
            "stderr": texts[1].decode(errors="replace"),
        }


def _drain(read: int, write: int, texts: list[bytes], index: int) -> None:
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        for piece in iter(lambda: pipe.read1(1 << 16), b""):
            texts[index] += piece


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
