"""AWS's sample document for MySQL, as published, on the same machine: how many transactions commit
between its global lock and its freeze. The lock ends with the client that took it."""

from __future__ import annotations

import time

from bench import subjects

from .machine import Machine
from .rounds import NUMBERS_A_ROUND, WARM_SECONDS, now
from .servers import Server

SUBJECT = subjects.AWS_MYSQL
_RETURNED = "/run/lock-returned"
_FIXTURE = "aws-dlm-mysql"


def one(machine: Machine, server: Server, number: int) -> dict[str, float]:
    world = machine.world
    subjects.put(world, "/usr/local/sbin/systemctl", "#!/bin/sh\nexit 0\n")
    subjects.put(world, "/usr/local/sbin/mysql",
                 '#!/bin/sh\nmariadb --no-defaults --socket=/run/mysqld/mysqld.sock "$@"\n'
                 f'code=$?\ncase "$*" in *FLUSH*) cut -d" " -f1 /proc/uptime > {_RETURNED};; esac\n'
                 "exit $code\n")
    for stage in ("pre-script", "post-script"):
        subjects.put(world, f"/run/{stage}", subjects.script(_FIXTURE, stage))
    # Each in a session of its own, as SSM runs it: the sample kills whole process groups.
    process = server.load(world, number * NUMBERS_A_ROUND)
    try:
        time.sleep(WARM_SECONDS)
        world.run("setsid", "--wait", "/run/pre-script")
        frozen = now()
        world.run("setsid", "--wait", "/run/post-script")
    finally:
        out, _ = process.communicate(timeout=90)
    # The uptime that a shell can read has hundredths of a second.
    locked = (float(world.outside(_RETURNED).read_text()) + 0.01) * 1e9
    ends = [int(line.split()[2]) for line in out.decode().splitlines()]
    return {"commits between lock and freeze": float(sum(locked < end < frozen for end in ends))}
