"""The recording PostgreSQL client: runs inside an instance beside pgbench.

Each session commits whole ledger transactions (ledger.py). Every acknowledged commit is
logged on standard output (a file outside the frozen filesystems). pgbench is its child and
ends with it. The server is postgres.py's; this verifies nothing: verify_postgres.py does.

Lines: `T <transaction id> <begin ms> <commit sent ms> <acknowledged ms>`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading

import psycopg

from demo.clock import boot_ms
from demo.inside import enter, until_stdin_ends
from demo.ledger import INSERT_ROWS, INSERT_TRANSACTION, ROWS_PER_TRANSACTION, checksum_of

# Transaction ids are <session> * this + <number>, so that sessions need no shared counter.
IDS_PER_SESSION = 1_000_000_000


def run_session(connection: psycopg.Connection, session: int, per_second: float,
                ended: threading.Event) -> None:
    """Commit transactions at a bounded rate until the demo ends this program."""
    half = ROWS_PER_TRANSACTION // 2
    number = 0
    while not ended.is_set():
        number += 1
        transaction = session * IDS_PER_SESSION + number
        checksum = checksum_of(transaction, ROWS_PER_TRANSACTION)
        begin = boot_ms()
        connection.execute("begin")
        connection.execute(INSERT_ROWS, (transaction, transaction, 1, half))
        connection.execute(INSERT_TRANSACTION, (transaction, ROWS_PER_TRANSACTION, checksum))
        connection.execute(INSERT_ROWS,
                           (transaction, transaction, half + 1, ROWS_PER_TRANSACTION))
        sent = boot_ms()
        connection.execute("commit")
        acknowledged = boot_ms()
        os.write(1, f"T {transaction} {begin:.3f} {sent:.3f} {acknowledged:.3f}\n".encode())
        ended.wait(max(0.0, 1.0 / per_second - (boot_ms() - begin) / 1000.0))


def guarded(connection: psycopg.Connection, session: int, per_second: float,
            ended: threading.Event) -> None:
    """End the whole program when one session fails: a lost session proves nothing."""
    try:
        run_session(connection, session, per_second, ended)
    except Exception as error:
        print(f"session {session}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def start_pgbench(program: str, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    """pgbench at a bounded rate; -n, because vacuuming first would only delay it."""
    argv = [program, "-n", "-h", options.sockets, "-c", str(options.pgbench_clients), "-j", "1",
            "-R", str(options.pgbench_rate), "-T", str(options.seconds_max), options.database]
    return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo.workload_postgres")
    parser.add_argument("--instance-pid", type=int, required=True)
    parser.add_argument("--sockets", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--transactions-per-second", type=float, required=True,
                        help="of each session")
    parser.add_argument("--pgbench", required=True, help="the path of the program")
    parser.add_argument("--pgbench-clients", type=int, required=True)
    parser.add_argument("--pgbench-rate", type=int, required=True)
    parser.add_argument("--seconds-max", type=int, required=True)
    options = parser.parse_args()

    # The server knows its user by the peer's user id, so this process becomes that user.
    enter(options.instance_pid, user="postgres")
    ended = until_stdin_ends()
    connections = [
        psycopg.connect(host=options.sockets, dbname=options.database, user="postgres",
                        autocommit=True, application_name=f"demo-client-{session}")
        for session in range(1, options.sessions + 1)
    ]
    pgbench = start_pgbench(options.pgbench, options)
    threads = [
        threading.Thread(target=guarded, args=(connection, session,
                                               options.transactions_per_second, ended))
        for session, connection in enumerate(connections, start=1)
    ]
    for thread in threads:
        thread.start()
    while not ended.wait(0.5):
        if pgbench.poll() is not None:
            print(f"pgbench ended early with exit code {pgbench.returncode}", file=sys.stderr)
            os._exit(1)
    for thread in threads:
        thread.join()
    pgbench.terminate()
    pgbench.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
