"""Writers that commit, and remember what was acknowledged and when.

Runs inside the machine as a script of its own (standard library only): `load.py KIND FIRST`. Every
transaction puts its number into two tables. When standard input closes, each prints one line a
transaction: number, begin and end on the boot clock in ns.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

WRITERS = 4
NUMBERS_A_WRITER = 100_000
PAUSE_SECONDS = 0.002

PSQL = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "postgres"]
MARIADB = ["mariadb", "--no-defaults", "-N", "-B", "-n", "--socket=/run/mysqld/mysqld.sock", "ledger"]


class Sql:
    """A client with open pipes."""

    def __init__(self, argv: list[str]) -> None:
        self._client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def commit(self, number: int) -> None:
        assert self._client.stdin and self._client.stdout
        self._client.stdin.write(
            f"BEGIN; INSERT INTO one_side VALUES ({number}); INSERT INTO other_side VALUES "
            f"({number}); COMMIT; SELECT {number};\n")
        self._client.stdin.flush()
        if self._client.stdout.readline().strip() != str(number):
            raise RuntimeError(f"transaction {number} was not acknowledged")

    def close(self) -> None:
        assert self._client.stdin
        self._client.stdin.close()
        self._client.wait(30)


class Redis:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect("/run/redis.sock")
        self._answers = self._socket.makefile("rb")

    def commit(self, number: int) -> None:
        words = (b"MULTI\r\nSADD one_side %d\r\nSADD other_side %d\r\nEXEC\r\n" % (number, number))
        self._socket.sendall(words)
        lines = [self._answers.readline() for _ in range(6)]
        if lines[-2:] != [b":1\r\n", b":1\r\n"]:
            raise RuntimeError(f"transaction {number} was not acknowledged: {lines}")

    def close(self) -> None:
        self._socket.close()


def connect(kind: str) -> Sql | Redis:
    return Redis() if kind in ("redis", "valkey") else Sql(PSQL if kind == "postgresql" else MARIADB)


def main() -> None:
    kind, first = sys.argv[1], int(sys.argv[2])
    stop = threading.Event()
    done: list[tuple[int, int, int]] = []
    failed: list[str] = []

    def write(writer: int) -> None:
        try:
            client = connect(kind)
            number = first + writer * NUMBERS_A_WRITER
            while not stop.is_set():
                begin = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
                client.commit(number)
                done.append((number, begin, time.clock_gettime_ns(time.CLOCK_BOOTTIME)))
                number += 1
                time.sleep(PAUSE_SECONDS)
            client.close()
        except (OSError, RuntimeError) as error:
            failed.append(str(error))

    writers = [threading.Thread(target=write, args=(at,)) for at in range(WRITERS)]
    for writer in writers:
        writer.start()
    print("started", flush=True)
    sys.stdin.read()
    stop.set()
    for writer in writers:
        writer.join(60)
    sys.stdout.write("".join(f"{number} {begin} {end}\n" for number, begin, end in done))
    sys.exit("; ".join(failed) or 0)


main()
