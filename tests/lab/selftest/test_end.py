"""Nothing is left: of an instance that vanished, of a lab that stopped or was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from .harness import TESTS, LabProcess, create_snapshots, error_code


def loops_of(state: Path) -> list[str]:
    listed = subprocess.run(
        ["losetup", "-n", "-O", "NAME,BACK-FILE"], capture_output=True, text=True
    ).stdout
    return [line for line in listed.splitlines() if str(state) in line]


def test_a_vanished_instance_is_gone_everywhere(lab: LabProcess) -> None:
    instance = lab.launch("short")
    lab.run(instance, "fsfreeze", "-f", "/data")
    lab.admin("DELETE", f"instances/{instance['instanceId']}")
    assert error_code(lambda: lab.send(instance, commands=["true"])) == "InvalidInstanceId"
    state = lab.client("ec2").describe_instances(InstanceIds=[instance["instanceId"]])
    assert state["Reservations"][0]["Instances"][0]["State"]["Name"] == "terminated"
    assert error_code(lambda: create_snapshots(lab, instance)) in (
        "IncorrectInstanceState",
        "InvalidInstanceID.NotFound",
    )


def test_down_clears_everything_after_a_kill_while_frozen(tmp_path: Path) -> None:
    """The lab, SIGKILLed with a frozen volume and a blocked writer in an instance."""
    killed = LabProcess(tmp_path / "state")
    try:
        killed.up()
        instance = killed.launch("frozen")
        killed.run(instance, "fsfreeze", "-f", "/data")
        writer = {"argv": ["sh", "-c", "echo x > /data/blocked"], "detach": True}
        killed.admin("POST", f"instances/{instance['instanceId']}/exec", writer)
        assert len(loops_of(killed.state)) == 3
        assert killed.process
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
    finally:
        killed.down()
    assert loops_of(killed.state) == []
    assert str(killed.state) not in Path("/proc/mounts").read_text()
    assert not Path(f"/proc/{instance['initPid']}").exists()
    assert list(killed.state.iterdir()) == []


def test_a_stopped_lab_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM alone is enough; `down` is for the labs that did not get one."""
    stopped = LabProcess(tmp_path / "state")
    try:
        stopped.up()
        instance = stopped.launch("frozen")
        stopped.run(instance, "fsfreeze", "-f", "/wal")
        assert stopped.process
        stopped.process.terminate()
        assert stopped.process.wait(30) == 0
        assert loops_of(stopped.state) == []
        assert list(stopped.state.iterdir()) == []
    finally:
        stopped.down()


def test_a_taken_port_is_refused_readably(lab: LabProcess, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "lab", "up", "--state", str(tmp_path / "other")]
    argv += ["--port", str(lab.port)]
    done = subprocess.run(argv, cwd=TESTS, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"port {lab.port} of 127.0.0.1 is in use" in done.stderr
    assert not (tmp_path / "other" / "lab.json").exists()
