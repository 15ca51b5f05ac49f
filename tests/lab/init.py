"""PID 1 of an instance: builds the machine inside its namespaces, then runs what it is told to.

Started by instances.py under unshare as a script of its own (standard library only). The root is
an overlay over the host's root with everything written kept in memory: an overlay cannot be
frozen, so nothing an instance does can freeze the host, and after pivot_root no mount of the
host, of the lab or of another instance can be reached. When the lab's end of the control socket
closes, it exits, and the kernel takes every process and mount of the instance with it.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_RDONLY = 2, 4, 8, 4096, 1
MNT_DETACH = 2
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# NVMe's model field is 40 characters, padded with blanks, and sysfs shows it so.
EBS_MODEL = "Amazon Elastic Block Store".ljust(40)

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


CHECKOUT = Path(__file__).resolve().parents[2]


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), str(target).encode(), kind.encode(), flags, options.encode()
    )
    _checked(result, f"mount {source} on {target} as {kind or 'bind'}")


def _tmpfs(target: Path, mode: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode}")


def build_root(spec: dict[str, Any]) -> Path:
    """The instance's file tree, not yet entered."""
    scratch = Path(spec["scratch"])
    mount("tmpfs", scratch, "tmpfs", 0, "mode=755")
    for name in ("upper", "work", "root", "dress"):
        (scratch / name).mkdir()
    root = scratch / "root"
    mount(
        "overlay", root, "overlay", 0, f"lowerdir=/,upperdir={scratch}/upper,workdir={scratch}/work"
    )
    mount("proc", root / "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", root / "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    # As systemd mounts it; a kernel that is locked down may refuse, and hosts without it exist.
    with contextlib.suppress(OSError):
        mount("debugfs", root / "sys/kernel/debug", "debugfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("/dev", root / "dev", "", MS_BIND)
    mount(
        "devpts",
        root / "dev/pts",
        "devpts",
        MS_NOSUID | MS_NOEXEC,
        "newinstance,ptmxmode=0666,mode=620,gid=5",
    )
    for name, mode in (
        ("dev/shm", "1777"),
        # Links of udev's; the folder is the only thing that the host gets, as from its own udev.
        ("dev/disk", "755"),
        ("run", "755"),
        ("tmp", "1777"),
        ("var/tmp", "1777"),
        ("etc/stillpoint", "755"),
        ("var/lib/amazon/ssm", "700"),
        ("var/log/amazon/ssm", "755"),
    ):
        # What the tests bring along must be there, also from a clone that lies in /tmp.
        if not CHECKOUT.is_relative_to(f"/{name}"):
            _tmpfs(root / name, mode)
    share = root / spec["share"].lstrip("/")
    share.mkdir(parents=True, exist_ok=True)
    mount(spec["share"], share, "", MS_BIND)
    return root


def dress(spec: dict[str, Any], root: Path) -> None:
    """What makes the machine look like an EC2 instance: agent, boot id, names, EBS NVMe disks."""
    if spec["agent"]:
        target = root / "usr/local/bin/stillpoint-agent"
        target.unlink(missing_ok=True)
        shutil.copyfile(spec["agent"], target)
        target.chmod(0o755)
    boot_id = root / "run/boot_id"
    boot_id.write_text(spec["boot_id"] + "\n")
    mount(str(boot_id), root / "proc/sys/kernel/random/boot_id", "", MS_BIND)
    (root / "etc/hostname").write_text(spec["hostname"] + "\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {spec['hostname']}\n::1 localhost\n")
    for volume in spec["volumes"]:
        if not volume["loop"]:
            continue
        name = volume["loop"].rsplit("/", 1)[-1]
        layer = root.parent / "dress" / name
        (layer / "device").mkdir(parents=True)
        (layer / "device/serial").write_text(volume["serial"] + "\n")
        (layer / "device/model").write_text(EBS_MODEL + "\n")
        # A whiteout: an EBS disk has no loop/ directory that leads to a backing file.
        os.mknod(layer / "loop", 0o600 | 0o020000, os.makedev(0, 0))
        block = root / "sys/devices/virtual/block" / name
        mount("overlay", block, "overlay", MS_RDONLY, f"lowerdir={layer}:{block}")


def mount_volumes(spec: dict[str, Any], root: Path) -> None:
    for volume in sorted(spec["volumes"], key=lambda v: len(v["mount"] or "")):
        if volume["mount"]:
            target = root / volume["mount"].lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            mount(volume["loop"], target, volume["fs"])


def enter(root: Path) -> None:
    """Make `root` the root and let go of everything else."""
    old = root / "old-root"
    old.mkdir(exist_ok=True)
    os.chdir(root)
    _checked(_libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"old-root"), "pivot_root")
    os.chdir("/")
    _checked(_libc.umount2(b"/old-root", MNT_DETACH), "umount of the host's root")
    os.rmdir("/old-root")


def network(hostname: str) -> None:
    socket.sethostname(hostname)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(probe, SIOCGIFFLAGS, request + bytes(14))[:18])[1]
        fcntl.ioctl(probe, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP) + bytes(14))


def spawn(message: dict[str, Any], fds: list[int]) -> int:
    """Fork and exec in a process group of its own, as the SSM agent does (Setpgid)."""
    pid = os.fork()
    if pid:
        for fd in fds:
            os.close(fd)
        return pid
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        null = os.open("/dev/null", os.O_RDWR)
        out, err = fds if fds else (null, null)
        for source, target in ((null, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.closerange(3, 256)
        os.chdir(message.get("cwd") or "/")
        os.execvpe(message["argv"][0], message["argv"], message["env"])
    except BaseException as error:
        os.write(2, f"{message['argv'][0]}: {error}\n".encode())
        os._exit(127)


class Supervisor:
    """Serves the control socket and reaps; one thread, so nothing can be reaped twice."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.running: dict[int, int] = {}  # pid -> exec id
        self.wake, wakeup = socket.socketpair()
        for end in (self.wake, wakeup):
            end.setblocking(False)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def say(self, message: dict[str, Any]) -> None:
        self.control.send(json.dumps(message).encode())

    def serve(self) -> None:
        ready = selectors.DefaultSelector()
        ready.register(self.control, selectors.EVENT_READ)
        ready.register(self.wake, selectors.EVENT_READ)
        while True:
            for key, _ in ready.select():
                if key.fileobj is self.wake:
                    self.wake.recv(4096)
                elif not self.receive():
                    return
            self.reap()

    def receive(self) -> bool:
        # Room for the three descriptors of an exec.
        data, ancillary, _, _ = self.control.recvmsg(1 << 20, socket.CMSG_LEN(12))
        fds = array.array("i")
        for _, _, payload in ancillary:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        if not data:
            return False
        message = json.loads(data)
        if message["op"] == "exec":
            pid = spawn(message, list(fds))
            self.running[pid] = message["id"]
            self.say({"id": message["id"], "pid": pid})
        elif message["op"] == "kill":
            self.kill(message["pid"], message.get("group", False))
        return True

    @staticmethod
    def kill(pid: int, group: bool) -> None:
        try:
            (os.killpg if group else os.kill)(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ident = self.running.pop(pid, None)
            if ident is not None:
                self.say({"id": ident, "exit": os.waitstatus_to_exitcode(status)})


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    os.set_inheritable(control.fileno(), False)
    supervisor = Supervisor(control)
    try:
        spec = json.loads(control.recv(1 << 20))
        root = build_root(spec)
        dress(spec, root)
        mount_volumes(spec, root)
        enter(root)
        network(spec["hostname"])
    except Exception as error:
        supervisor.say({"failed": f"{type(error).__name__}: {error}"})
        return
    supervisor.say({"ready": True})
    supervisor.serve()


main()
