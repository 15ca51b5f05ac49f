"""The programs that a benchmark needs and a machine may lack: the probe, qemu-ga, MariaDB.

Ours are compiled; Debian's packages are downloaded and unpacked into the build folder, never
installed, so that no guest agent and no database starts on the machine that runs the benchmark.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("qemu-guest-agent", "mariadb-server-core", "mariadb-client-core")
NEEDED = ("gcc", "unshare", "losetup", "mkfs.ext4", "mkfs.xfs", "lsblk", "fsfreeze", "pgrep",
          "sudo", "apt-get", "dpkg-deb")
# The machine sees the host's files, but not what is below these (lab/init.py).
HIDDEN = ("/tmp", "/run", "/var/tmp", "/dev", "/proc", "/sys")


@dataclass(frozen=True)
class Equipment:
    agent: Path
    probe: Path
    floor: Path
    qemu_ga: Path
    mariadb: Path | None  # the unpacked packages, a file tree of their own
    postgres: Path | None  # the folder of the server's programs

    def agent_sha256(self) -> str:
        return hashlib.sha256(self.agent.read_bytes()).hexdigest()[:12]


def gather(target: Path, folder: Path) -> Equipment:
    """Everything, in `folder`. The agent is copied, so that a build during the run changes
    nothing."""
    for hidden in HIDDEN:
        if target.resolve().is_relative_to(hidden):
            raise RuntimeError(f"the target folder is below {hidden}, which cannot be seen from "
                               "the benchmark's machine: set CARGO_TARGET_DIR to another")
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        raise RuntimeError(f"these programs are missing: {', '.join(missing)}")
    agent = target / f"package/stillpoint-agent-{_architecture()}"
    if not agent.exists():
        raise RuntimeError(f"no {agent}: run 'make agent'")
    folder.mkdir(parents=True, exist_ok=True)
    probe, floor = folder / "probe", folder / "floor"
    for program in (probe, floor):
        source = Path(__file__).with_name(f"{program.name}.c")
        _run("gcc", "-O2", "-pthread", "-o", program, source)
    shutil.copy2(agent, folder / "stillpoint-agent")
    unpacked = _unpack(folder / "packages")
    servers = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return Equipment(
        folder / "stillpoint-agent", probe, floor, unpacked / "usr/sbin/qemu-ga",
        unpacked if _runs(unpacked / "usr/sbin/mariadbd", "--version") else None,
        servers[-1].parent if servers and shutil.which("pgbench") else None)


def _architecture() -> str:
    """As the package names it."""
    return "arm64" if platform.machine() == "aarch64" else platform.machine()


def _unpack(folder: Path) -> Path:
    tree = folder / "tree"
    if not _runs(tree / "usr/sbin/qemu-ga", "--version"):
        folder.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "-qq", "download", *PACKAGES, cwd=folder)
        for package in folder.glob("*.deb"):
            _run("dpkg-deb", "-x", package, tree)
        if not _runs(tree / "usr/sbin/qemu-ga", "--version"):
            raise RuntimeError("qemu-ga does not run here: it needs the libraries of Debian's "
                               "qemu-guest-agent (libglib2.0-0, libnuma1, liburing2)")
    return tree


def _runs(program: Path, *arguments: str) -> bool:
    try:
        return subprocess.run([program, *arguments], capture_output=True, check=False,
                              stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def _run(*argv: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run([str(a) for a in argv], cwd=cwd, capture_output=True, text=True,
                          check=False)
    if done.returncode:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr.strip()[-500:]}")
