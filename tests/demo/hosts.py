"""The three instances: who they are, and what runs on each.

A PostgreSQL host with two volumes under pgbench and the recording client; a host with a
heavy buffered writer; and one without an SSM agent, which nobody can quiesce. Used by the
story, which says when; what is recorded, records.py reads.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from demo.cloud import Cloud
from demo.facts import Plan, Run
from demo.inside import Program, command_in
from demo.postgres import DATABASE, SOCKETS, Server
from demo.workload_files import BLOCK_BYTES

_VOLUME_MIB = 512
_DEVICES = ("/dev/sdf", "/dev/sdg")

# Both rates leave two busy cores some air, so that a stall is the freeze's and not the load's.
_SESSIONS, _TRANSACTIONS_PER_SECOND = 4, 25.0
_PGBENCH_CLIENTS, _PGBENCH_RATE = 4, 150
# 24 MiB a second into a file of 128 MiB: what a gp3 volume's baseline bears, and every
# block is rewritten within six seconds.
_HEAVY_BLOCKS_PER_SECOND = 24 * 1024 * 1024 / BLOCK_BYTES
_LIGHT_BLOCKS_PER_SECOND = 2 * 1024 * 1024 / BLOCK_BYTES
_SLOTS = 128 * 1024 * 1024 // BLOCK_BYTES
_RECORDS_PER_SECOND = 40.0
# A backstop for pgbench alone; everything else ends when its standard input does.
_LOAD_S_MAX = 600

DATABASE_TARGET, FILES_TARGET = "database", "files"


def plans(expected_of_first: str) -> list[Plan]:
    """The demo's three instances and the label that each must end with."""
    return [
        Plan("postgresql", "postgres", DATABASE_TARGET, (("/data", "ext4"), ("/wal", "xfs")), True,
             expected_of_first),
        Plan("files", "files", FILES_TARGET, (("/data", "ext4"),), True, "application"),
        Plan("unmanaged", "files", FILES_TARGET, (("/data", "ext4"),), False, "crash"),
    ]


def launch(cloud: Cloud, plan: Plan, logs: Path) -> Run:
    """Start one instance in the lab."""
    volumes = [{"device": device, "fs": fs, "mount": mount, "size_mib": _VOLUME_MIB, "tags": {}}
               for device, (mount, fs) in zip(_DEVICES, plan.volumes)]
    made = cloud.admin("POST", "instances", {
        "name": plan.name, "tags": {"backup": plan.policy}, "volumes": volumes,
        "managed": plan.managed})
    data = [volume for volume in made["volumes"] if volume.get("mount")]
    for volume in data:
        volume["fs"] = dict(plan.volumes)[volume["mount"]]
    return Run(plan=plan, instance_id=made["instanceId"], volumes=data, init_pid=made["initPid"],
               log=logs / f"{plan.name}.writes")


def start_server(run: Run, logs: Path) -> Server:
    """PostgreSQL on the first instance, filled and ready."""
    data, wal = run.plan.mounts
    server = Server(run.init_pid, data, wal, logs / "postgresql.log")
    server.create()
    server.start()
    server.fill()
    return server


def start_load(run: Run, server: Server | None) -> Program:
    """The writers of one instance."""
    if server is not None:
        arguments = {"sockets": SOCKETS, "database": DATABASE, "sessions": _SESSIONS,
                     "transactions-per-second": _TRANSACTIONS_PER_SECOND,
                     "pgbench": server.bin / "pgbench", "pgbench-clients": _PGBENCH_CLIENTS,
                     "pgbench-rate": _PGBENCH_RATE, "seconds-max": _LOAD_S_MAX}
        return Program("workload_postgres", run.init_pid, options(arguments), run.log)
    heavy = run.plan.managed
    rate = _HEAVY_BLOCKS_PER_SECOND if heavy else _LIGHT_BLOCKS_PER_SECOND
    arguments = {"folder": run.plan.mounts[0], "slots": _SLOTS, "blocks-per-second": rate,
                 "records-per-second": _RECORDS_PER_SECOND}
    return Program("workload_files", run.init_pid, options(arguments), run.log)


def options(values: dict[str, object]) -> list[str]:
    """A mapping as long options."""
    return [f"--{name}={value}" for name, value in values.items()]


# What somebody else's document may expect of an ordinary Debian host, and an instance of the
# lab has not: it has no systemd, and sudo's own checks of a login are of no use in it.
_STAND_INS = {
    "sudo": """#!/bin/sh
# Stand-in for sudo: the caller is root already; -u changes the user.
if [ "$1" = -u ]; then
    user=$2; shift 2
    exec setpriv --reuid="$user" --regid="$user" --init-groups -- "$@"
fi
exec "$@"
""",
    "systemctl": """#!/bin/sh
# Stand-in for systemctl: answers is-active for postgresql from the running processes.
[ "$1" = is-active ] || { echo "systemctl stand-in: only is-active is known" >&2; exit 1; }
for unit in "$@"; do :; done
case "$unit" in
postgresql|postgresql.service) pgrep -u postgres -x postgres >/dev/null && exit 0 ;;
esac
exit 3
""",
}


def add_stand_ins(run: Run) -> None:
    """Put the stand-ins into the instance's own /usr/local/bin; the host never sees them."""
    for name, text in _STAND_INS.items():
        path = f"/usr/local/bin/{name}"
        argv = command_in(run.init_pid, ["install", "-m", "0755", "/dev/stdin", path])
        done = subprocess.run(argv, input=text, text=True, capture_output=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{run.plan.name}: {path}: {done.stderr.strip()}")
