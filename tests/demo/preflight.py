"""What the machine must have, before anything is built or started.

`python3 tests/demo/preflight.py --install` (from `make demo`) installs missing packages
with apt; the demo itself only checks. Runs on a bare Python without the virtual
environment, so it imports nothing of the demo. It builds nothing: the Makefile does.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# A program, or a path pattern, that each package brings; the first that is missing names it.
PACKAGES = {
    "btrfs-progs": "mkfs.btrfs",
    "xfsprogs": "mkfs.xfs",
    "e2fsprogs": "dumpe2fs",
    "mount": "losetup",
    "util-linux": "nsenter",
    "procps": "pgrep",
    "postgresql": "/usr/lib/postgresql/*/bin/postgres",
    "postgresql-client": "/usr/lib/postgresql/*/bin/psql",
    # The programs alone: these packages start no service.
    "mariadb-server-core": "mariadbd",
    "mariadb-client-core": "mariadb",
    "redis-tools": "redis-check-rdb",
    # AWS's sample is run as published, and uses it.
    "sudo": "sudo",
    # For crates that build C.
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdio.h",
    "make": "make",
    # For the proof that a holder opens and logs nothing while something is frozen.
    "strace": "strace",
    "squashfs-tools": "mksquashfs",
    "dosfstools": "mkfs.vfat",
}
# What `make bench` needs besides: the sample uses sudo, and qemu-ga runs unpacked.
BENCH_PACKAGES = {
    "sudo": "sudo",
    "libglib2.0-0": "/usr/lib/*/libglib-2.0.so.0",
    "libnuma1": "/usr/lib/*/libnuma.so.1",
    "liburing2": "/usr/lib/*/liburing.so.2",
}
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/stillpoint-demo.conf")
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"
# The AWS SDK's own minimum. Debian carries a compiler this new as the -web packages.
_RUST_MIN = (1, 94)
_RUST_PACKAGES = ["cargo-web", "rustc-web"]
_FILESYSTEMS = ("btrfs", "ext4", "xfs", "overlay")


def missing_packages(wanted: dict[str, str] = PACKAGES) -> list[str]:
    """The packages whose program is not there."""
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"

    def there(sign: str) -> bool:
        if sign.startswith("/"):
            return any(Path("/").glob(sign.lstrip("/")))
        return shutil.which(sign, path=path) is not None

    missing = [package for package, sign in wanted.items() if not there(sign)]
    # Asked of this Python, because one that is not Debian's brings its own.
    if importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    return missing


def rust_found() -> str:
    """What `cargo --version` says; empty without a cargo."""
    if shutil.which("cargo") is None:
        return ""
    asked = subprocess.run(["cargo", "--version"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def rust_is_new_enough(found: str) -> bool:
    """`cargo 1.95.0 (f2d3ce0bd 2026-03-21)` is."""
    numbers = re.match(r"cargo (\d+)\.(\d+)", found)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) >= _RUST_MIN


def complaints() -> list[str]:
    """What no package can mend, each with what to do about it."""
    found = []
    if os.geteuid() != 0:
        found.append("the demo freezes real filesystems on loop devices and must run as root: "
                     "sudo make demo, on a machine that is yours to use")
        return found
    if sys.version_info < (3, 11):
        found.append(f"Python {sys.version.split()[0]} found, 3.11 or newer needed")
    if not Path("/dev/loop-control").exists():
        found.append("no /dev/loop-control: the kernel has no loop devices "
                     "(in a container, run it privileged)")
    known = Path("/proc/filesystems").read_text().split()
    for name in _FILESYSTEMS:
        if name not in known and subprocess.run(["modprobe", "-q", name],
                                                check=False).returncode != 0:
            found.append(f"the kernel has no {name}: load or install its module")
    return found


def install(packages: list[str]) -> int:
    """Install with apt, and without the database cluster that Debian would make and start."""
    if shutil.which("apt-get") is None:
        print(f"preflight: install these packages: {' '.join(packages)} (no apt-get here)",
              file=sys.stderr)
        return 1
    print(f"preflight: installing {' '.join(packages)}", flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    _NO_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        for argv in (["apt-get", "-qq", "update"],
                     ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]):
            # apt talks a lot on a minimal machine; it is worth reading only when it fails.
            done = subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=False)
            if done.returncode != 0:
                print(f"preflight: {' '.join(argv[:3])} failed with {done.returncode}: "
                      f"{done.stderr.strip()[-800:]}", file=sys.stderr)
                return 1
    finally:
        _NO_CLUSTER.unlink(missing_ok=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="checks what the demo needs")
    parser.add_argument("--install", action="store_true", help="install missing packages with apt")
    parser.add_argument("--bench", action="store_true", help="for the benchmark as well")
    options = parser.parse_args()
    wanted = PACKAGES | (BENCH_PACKAGES if options.bench else {})
    found = complaints()
    for complaint in found:
        print(f"preflight: {complaint}", file=sys.stderr)
    if found:
        return 1
    missing = missing_packages(wanted)
    if missing and options.install and install(missing) != 0:
        return 1
    if not rust_is_new_enough(rust_found()) and options.install:
        install(_RUST_PACKAGES)
    still = missing_packages(wanted)
    if still:
        print(f"preflight: missing packages: {' '.join(still)} "
              "(python3 tests/demo/preflight.py --install)", file=sys.stderr)
    if not rust_is_new_enough(found_rust := rust_found()):
        print(f"preflight: cargo {_RUST_MIN[0]}.{_RUST_MIN[1]} or newer is needed, found "
              f"{found_rust or 'none'}: install it with rustup", file=sys.stderr)
        return 1
    return 1 if still else 0


if __name__ == "__main__":
    sys.exit(main())
