"""Transfers between accounts in a MariaDB, from six connections, each commit timed.

A program of its own that runs inside the machine: SOCKET SECONDS. It speaks just enough of the
protocol to send a statement and to see whether it succeeded, and prints begin and end of each
transaction in ns of the monotonic clock when the time is over.
"""

from __future__ import annotations

import os
import random
import socket
import struct
import sys
import time

CONNECTIONS = 6
ACCOUNTS = 10_000
PAUSE_SECONDS = 0.005
# CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_TRANSACTIONS
CAPABILITIES = 0x0200 | 0x8000 | 0x2000
MAX_PACKET_BYTES, UTF8 = 1 << 24, 33
COM_QUERY, ERROR = b"\x03", 0xFF


class Connection:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._stream = self._socket.makefile("rb")
        self._receive()  # the greeting; root has no password here
        self._send(1, struct.pack("<IIB23x", CAPABILITIES, MAX_PACKET_BYTES, UTF8) + b"root\0\0")
        self._receive()

    def execute(self, statement: str) -> None:
        self._send(0, COM_QUERY + statement.encode())
        self._receive()

    def _send(self, sequence: int, payload: bytes) -> None:
        self._socket.sendall(len(payload).to_bytes(3, "little") + bytes([sequence]) + payload)

    def _receive(self) -> None:
        header = self._stream.read(4)
        payload = self._stream.read(int.from_bytes(header[:3], "little"))
        if not payload or payload[0] == ERROR:
            raise RuntimeError(payload[9:].decode(errors="replace"))


def work(path: str, seconds: float, seed: int) -> list[tuple[int, int]]:
    connection, choose = Connection(path), random.Random(seed)
    done = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        # In one order, so that two transfers never wait for each other.
        low, high = sorted(choose.sample(range(1, ACCOUNTS + 1), 2))
        begin = time.monotonic_ns()
        connection.execute("BEGIN")
        connection.execute(f"UPDATE bench.accounts SET balance = balance - 1 WHERE id = {low}")
        connection.execute(f"UPDATE bench.accounts SET balance = balance + 1 WHERE id = {high}")
        connection.execute("COMMIT")
        done.append((begin, time.monotonic_ns()))
        time.sleep(PAUSE_SECONDS)
    return done


def main() -> None:
    path, seconds = sys.argv[1], float(sys.argv[2])
    for seed in range(CONNECTIONS):
        if os.fork() == 0:
            lines = "".join(f"{begin} {end}\n" for begin, end in work(path, seconds, seed))
            # The whole of it in one go each: the children share the pipe.
            with open(f"/run/mysql-load-{seed}", "w", encoding="ascii") as file:
                file.write(lines)
            os._exit(0)
    failed = 0
    for _ in range(CONNECTIONS):
        failed |= os.waitstatus_to_exitcode(os.wait()[1])
    for seed in range(CONNECTIONS):
        with open(f"/run/mysql-load-{seed}", encoding="ascii") as file:
            sys.stdout.write(file.read())
    sys.exit(failed)


main()
