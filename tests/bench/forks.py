"""Counts the processes and the programs that something starts, without slowing it down.

The kernel's process connector reports each fork and exec; strace would stop each of them, and a
count of all forks of the machine would count those of others.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

NETLINK_CONNECTOR, CN_IDX_PROC, CN_VAL_PROC = 11, 1, 1
PROC_CN_MCAST_LISTEN = 1
EVENT_FORK, EVENT_EXEC = 0x1, 0x2
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 16 << 20
# The last event of a command that has ended arrives within this.
SETTLE_SECONDS = 0.05
_HEADERS = struct.calcsize("=IHHII") + struct.calcsize("=IIIIHH")


class Forks:
    """Listens from the start of the run; `begin` and `end` enclose what is to be counted."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.bind((0, CN_IDX_PROC))
        payload = struct.pack("=IIIIHHI", CN_IDX_PROC, CN_VAL_PROC, 0, 0, 4, 0,
                              PROC_CN_MCAST_LISTEN)
        self._socket.send(struct.pack("=IHHII", 16 + len(payload), 3, 0, 0, os.getpid()) + payload)
        self._lock = threading.Lock()
        self._family: set[int] = set()
        self._processes = self._programs = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self, pids: list[int]) -> None:
        with self._lock:
            self._family, self._processes, self._programs = set(pids), 0, 0

    def end(self) -> tuple[int, int]:
        """Processes started by the family, and programs executed by it."""
        time.sleep(SETTLE_SECONDS)
        with self._lock:
            self._family = set()
            return self._processes, self._programs

    def _listen(self) -> None:
        while True:
            try:
                data = self._socket.recv(4096)
            except OSError:
                continue  # events were lost: what was counted is too small, never too large
            if len(data) < _HEADERS + 24:
                continue
            what, = struct.unpack_from("=I", data, _HEADERS)
            fields = struct.unpack_from("=IIII", data, _HEADERS + 16) \
                if what == EVENT_FORK else struct.unpack_from("=II", data, _HEADERS + 16)
            with self._lock:
                if what == EVENT_FORK:
                    _, parent, child, group = fields
                    # A thread's pid is not its group's.
                    if child == group and parent in self._family:
                        self._family.add(child)
                        self._processes += 1
                elif what == EVENT_EXEC and fields[1] in self._family:
                    self._programs += 1
