"""Who is measured: how each is asked to freeze and to thaw, exactly as its users ask it.

AWS's sample documents are run as published, sudo and all; the only thing put in their way is a
`systemctl` that says that the database is active, because the machine has no systemd. Where no
database runs, `psql` and `mysql` succeed at once, so that the sample is shown at its best.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
import uuid
from pathlib import Path

from .equipment import Equipment
from .world import CGROUP_INSIDE, World

FIXTURES = Path(__file__).parent.parent / "fixtures"
RCU_SWITCH = "/sys/kernel/rcu_expedited"
# As much as DLM allows a script.
AGENT_TIMEOUT_SECONDS = 120

STILLPOINT, NO_RCU = "stillpoint", "stillpoint, plain RCU"
AWS_POSTGRES, AWS_MYSQL = "AWS sample PostgreSQL", "AWS sample MySQL"
FSFREEZE, QEMU_GA = "fsfreeze", "qemu-ga"
# No rival: what nothing can be quicker than (floor.c).
FLOOR = "floor"
RIVALS = (AWS_POSTGRES, AWS_MYSQL, FSFREEZE, QEMU_GA)

_YES = "#!/bin/sh\nexit 0\n"


class Subject:
    """One of them in one machine."""

    def __init__(self, name: str, world: World, groups: Path) -> None:
        self.name, self.world = name, world
        self.group = groups / re.sub(r"\W+", "-", name)
        self.group.mkdir(exist_ok=True)
        self.daemons: list[int] = []  # pids on the host

    @property
    def cgroup_inside(self) -> str:
        return f"{CGROUP_INSIDE}/{self.group.parent.name}/{self.group.name}"

    def within(self, command: str) -> str:
        """The shell's words for a command that is counted."""
        return f"echo 0 > {self.cgroup_inside}/cgroup.procs; exec {command}"

    def cpu_ns(self) -> int:
        return int((self.group / "cpuacct.usage").read_text())

    def requests(self) -> tuple[str, str]:
        """What asks for the freeze and for the thaw, in the probe's words."""
        raise NotImplementedError

    def before(self) -> None:
        """Just before a trial."""

    def after(self) -> None:
        """Ends what a trial left running, such as the sample's timer: it would thaw the next."""
        for pid in (self.group / "cgroup.procs").read_text().split():
            if int(pid) not in self.daemons:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def close(self) -> None:
        self.after()
        for pid in self.daemons:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Stillpoint(Subject):
    def __init__(self, name: str, world: World, groups: Path, application: str) -> None:
        super().__init__(name, world, groups)
        self.application = application
        self._hidden = False  # whether the agent cannot see the kernel's switch now

    def requests(self) -> tuple[str, str]:
        execution = uuid.uuid4()
        words = [f"exec:/usr/local/bin/stillpoint-agent {stage} --execution-id {execution} "
                 f"--application {self.application}" for stage in ("pre-script", "post-script")]
        return f"{words[0]} --timeout {AGENT_TIMEOUT_SECONDS}s --deadline 60s", words[1]

    def before(self) -> None:
        if self.name == NO_RCU:
            self.world.run("mount", "--bind", "/dev/null", RCU_SWITCH)
            self._hidden = True

    def after(self) -> None:
        super().after()
        if self._hidden:
            self.world.run("umount", RCU_SWITCH)
            self._hidden = False


class AwsSample(Subject):
    def __init__(self, name: str, world: World, groups: Path, fixture: str) -> None:
        super().__init__(name, world, groups)
        for stage in ("pre-script", "post-script"):
            put(world, f"/run/{fixture}-{stage}", script(fixture, stage))
        self.fixture = fixture

    def requests(self) -> tuple[str, str]:
        return (f"exec:/bin/sh -c /run/{self.fixture}-pre-script",
                f"exec:/bin/sh -c /run/{self.fixture}-post-script")


class Fsfreeze(Subject):
    def requests(self) -> tuple[str, str]:
        for flag in ("-f", "-u"):
            lines = "".join(f"fsfreeze {flag} {mount} || exit 1\n" for mount in self.world.mounts)
            put(self.world, f"/run/fsfreeze{flag}", f"#!/bin/sh\n{lines}")
        return "exec:/run/fsfreeze-f", "exec:/run/fsfreeze-u"


class Daemon(Subject):
    """One that is there before it is asked, over a socket, in qemu-ga's words."""

    def __init__(self, name: str, world: World, groups: Path, program: Path) -> None:
        super().__init__(name, world, groups)
        inside = f"/run/{program.name}"
        self._socket = f"{inside}.sock"
        put(world, inside, program.read_bytes())
        self._process = world.spawn(
            ["sh", "-c", self.within(f"{inside} {self.options()}")], stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + 10
        while not world.outside(self._socket).exists() and time.monotonic() < give_up:
            time.sleep(0.02)
        self.daemons = [int(p) for p in (self.group / "cgroup.procs").read_text().split()]

    def options(self) -> str:
        raise NotImplementedError

    def requests(self) -> tuple[str, str]:
        freeze = json.dumps({"execute": "guest-fsfreeze-freeze-list",
                             "arguments": {"mountpoints": self.world.mounts}},
                            separators=(",", ":"))
        thaw = '{"execute":"guest-fsfreeze-thaw"}'
        return f"sock:{self._socket} {freeze}", f"sock:{self._socket} {thaw}"

    def close(self) -> None:
        super().close()
        self._process.wait(10)


class QemuGa(Daemon):
    def options(self) -> str:
        return f"-m unix-listen -p {self._socket} -t /run -f /run/qga.pid"


class Floor(Daemon):
    def options(self) -> str:
        return f"{self._socket} {' '.join(self.world.mounts)}"


def make(name: str, world: World, groups: Path, equipment: Equipment,
         application: str = "filesystem") -> Subject:
    if name in (STILLPOINT, NO_RCU):
        return Stillpoint(name, world, groups, application)
    if name == AWS_POSTGRES:
        return AwsSample(name, world, groups, "aws-dlm-postgresql")
    if name == AWS_MYSQL:
        return AwsSample(name, world, groups, "aws-dlm-mysql")
    if name == QEMU_GA:
        return QemuGa(name, world, groups, equipment.qemu_ga)
    if name == FLOOR:
        return Floor(name, world, groups, equipment.floor)
    return Fsfreeze(name, world, groups)


def script(fixture: str, stage: str) -> str:
    """The document's script as the SSM agent writes it out."""
    lines = (FIXTURES / f"{fixture}.yaml").read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if line.strip() == "- |") + 1
    indent = len(lines[start]) - len(lines[start].lstrip())
    body = "\n".join(line[indent:] for line in lines[start:])
    return re.sub(r"\{\{\s*command\s*\}\}", stage, body) + "\n"


def stubs(world: World, databases: bool) -> None:
    """What the machine lacks for the sample; without databases also their clients."""
    for name in ("systemctl", *(() if databases else ("psql", "mysql"))):
        put(world, f"/usr/local/sbin/{name}", _YES)
    # The sample reaches the stubs through sudo, whose own path must find them first as well.
    found = world.run("sudo", "-n", "sh", "-c", "command -v systemctl").strip()
    if found != "/usr/local/sbin/systemctl":
        raise RuntimeError(f"sudo finds {found}, and not the benchmark's systemctl")


def put(world: World, path: str, text: str | bytes) -> None:
    target = world.outside(path)
    target.unlink(missing_ok=True)
    target.write_bytes(text if isinstance(text, bytes) else text.encode())
    target.chmod(0o755)
