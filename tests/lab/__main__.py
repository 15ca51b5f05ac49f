"""`python -m lab up|down|deploy --state DIR`, run from tests/ as root.

`up` runs in the foreground until SIGTERM or Ctrl-C and cleans up; it lives in a mount namespace
of its own, so that the host never sees the lab's mounts and they go with it. `down` ends a lab
and clears what it left, however it ended.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path

from .config import DEFAULT_PORT, Lab
from .record import Record

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = {
    "btrfs": "btrfs-progs",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.ext4": "e2fsprogs",
    "losetup": "mount",
    "mount": "mount",
    "unshare": "util-linux",
    "unlink": "coreutils",
}
IN_NAMESPACE = "LAB_IN_NAMESPACE"


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


def refuse(text: str) -> int:
    say(text)
    return 1


def check_machine() -> str | None:
    """Why the lab cannot run here; None when it can."""
    if os.geteuid() != 0:
        return "the lab needs root: it makes filesystems, mounts, loop devices and namespaces"
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if missing := sorted(
        {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    ):
        return f"install first: apt-get install -y {' '.join(missing)}"
    known = Path("/proc/filesystems").read_text().split()
    if absent := [fs for fs in ("overlay", "ext4") if fs not in known]:
        return f"this kernel does not know {', '.join(absent)}"
    return None


def up(state: Path, port: int, agent: Path) -> int:
    if IN_NAMESPACE not in os.environ:
        os.environ[IN_NAMESPACE] = "1"
        # exec, so that the process the caller started is the lab itself.
        os.execvp(
            "unshare",
            [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                sys.executable,
                "-m",
                "lab",
                *sys.argv[1:],
            ],
        )
    from .down import take_down

    state.mkdir(parents=True, exist_ok=True)
    if left := take_down(state, say):
        return refuse("an earlier lab could not be cleared: " + "; ".join(left))
    if not port_is_free(port):
        return refuse(f"port {port} of 127.0.0.1 is in use; choose another one with --port")
    for name in ("tmp", "roots"):
        (state / name).mkdir(exist_ok=True)
    share = (
        Path("/dev/shm") / f"stillpoint-lab-{hashlib.sha256(str(state).encode()).hexdigest()[:10]}"
    )
    lab = Lab(state, port, agent, share)
    record = Record(state)
    record.set("lab", os.getpid())
    record.set("share", str(share))
    share.mkdir(mode=0o777, exist_ok=True)
    share.chmod(0o1777)

    from . import emulator

    emulator.prepare_environment(lab, state / "tmp")
    tempfile.tempdir = str(state / "tmp")
    return _run(lab, record)


def _run(lab: Lab, record: Record) -> int:
    from .down import take_down
    from .server import Server

    if not lab.agent_binary.exists():
        say(f"no stillpoint-agent at {lab.agent_binary}; instances get none until it is built")
    server = Server(lab, record, say)
    started = time.monotonic()
    # Until the server has handlers of its own, a signal must still reach the clean-up below.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        server.start()
        say(f"started in {time.monotonic() - started:.1f} s")
        server.serve()
    except (Exception, KeyboardInterrupt) as error:
        say(f"{type(error).__name__}: {error}")
        return 1
    finally:
        say("stopping: thawing and taking everything apart")
        server.stop()
        # From here on there is nothing that only this process could end.
        record.set("lab", None)
        for problem in take_down(lab.state, say):
            say(problem)
    return 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt(f"signal {number} while starting")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m lab", description=__doc__.splitlines()[0] if __doc__ else None
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("up", "down", "deploy"):
        verb = verbs.add_parser(name)
        verb.add_argument("--state", type=Path, required=True, help="the lab's own directory")
        if name == "up":
            verb.add_argument("--port", type=int, default=DEFAULT_PORT)
            verb.add_argument(
                "--agent",
                type=Path,
                default=REPOSITORY / "target/debug/stillpoint-agent",
                help="the stillpoint-agent that instances get",
            )
        if name == "deploy":
            verb.add_argument(
                "--bootstrap", type=Path, default=REPOSITORY / "target/debug/bootstrap"
            )
            verb.add_argument("--infra", type=Path, default=REPOSITORY / "infra")
            verb.add_argument(
                "--policy", type=Path, help="a policy as JSON; its file name is the policy's id"
            )
    arguments = parser.parse_args()
    state = arguments.state.resolve()
    if reason := check_machine():
        return refuse(reason)
    if arguments.verb == "up":
        return up(state, arguments.port, arguments.agent.resolve())
    if arguments.verb == "down":
        from .down import take_down

        problems = take_down(state, say)
        return refuse("; ".join(problems)) if problems else 0
    from .deploy import deploy

    return deploy(state, arguments.bootstrap, arguments.infra, arguments.policy, say)


if __name__ == "__main__":
    sys.exit(main())
