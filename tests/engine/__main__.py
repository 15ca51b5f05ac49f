"""`python -m engine [--quick]`: measures what `make package` built and writes the figures.

Starts each function again and again against a Runtime API of its own, then a runner with fifty
runs in the lab. Ends with 1 when something could not be measured.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from . import figures, flight
from .function import Function

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PACKAGE = TARGET / "package"
FUNCTIONS = ("planner", "runner", "guard", "reaper", "lifecycle", "restorer")
STARTS, STARTS_QUICK, ROUNDS, ROUNDS_QUICK = 50, 10, 3, 1
# The smallest thing that another runtime can do: no SDK, no function, one poll.
POLLS_ONLY = ("import http.client, os; c = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API']); "
              "c.request('GET', '/2018-06-01/runtime/invocation/next'); c.getresponse()")


def main() -> int:
    parser = argparse.ArgumentParser(prog="engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions, under a minute")
    options = parser.parse_args()
    out = TARGET / "bench"
    out.mkdir(parents=True, exist_ok=True)
    try:
        with open(out / "engine.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with tempfile.TemporaryDirectory(prefix="engine-", dir=out) as scratch:
                rows = measure(Path(scratch), options.quick)
    except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    figures.write(out / "engine.json", rows)
    print("\n".join([figures.text(rows), "", "targets", *figures.targets(rows)]))
    print(f"engine: wrote {out / 'engine.json'}")
    return 0


def measure(scratch: Path, quick: bool) -> list[figures.Row]:
    zips = sorted(PACKAGE.glob("functions-*.zip"))
    native = PACKAGE / f"functions-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}.zip"
    if native not in zips:
        raise RuntimeError(f"{native} is not there: make package")
    rows = []
    for path in zips:
        with zipfile.ZipFile(path) as archive:
            program = archive.getinfo("bootstrap").file_size
        name = path.stem.removeprefix("functions-")
        rows += [figures.row(figures.PACKAGE, name, figures.ZIP, [path.stat().st_size / 1e6]),
                 figures.row(figures.PACKAGE, name, figures.PROGRAM, [program / 1e6])]
    with zipfile.ZipFile(native) as archive:
        bootstrap = Path(archive.extract("bootstrap", scratch))
    bootstrap.chmod(0o755)
    return rows + starts(bootstrap, scratch, STARTS_QUICK if quick else STARTS) \
        + in_flight(bootstrap, scratch, ROUNDS_QUICK if quick else ROUNDS)


def starts(bootstrap: Path, scratch: Path, count: int) -> list[figures.Row]:
    """Time to the first poll and memory at it, of each function and of the smallest other thing;
    they take turns, so that what else the machine does meets all of them."""
    python = shutil.which("python3") or sys.executable
    subjects = {name: ([str(bootstrap)], name) for name in FUNCTIONS}
    subjects[figures.BESIDE] = ([python, "-I", "-c", POLLS_ONLY], "none")
    metrics = ((figures.START, figures.POLL), (figures.START, figures.COMPUTED),
               (figures.MEMORY, figures.IDLE))
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(count):
        for name, (argv, handler) in subjects.items():
            with Function(argv, handler, scratch / f"{handler}.log") as function:
                values = (function.first_poll_ms(), function.processor_ms(),
                          function.memory_mb("VmRSS"))
            for (_, metric), value in zip(metrics, values, strict=True):
                found.setdefault((name, metric), []).append(value)
    return [figures.row(case, name, metric, found[name, metric])
            for case, metric in metrics for name in subjects]


def in_flight(bootstrap: Path, scratch: Path, rounds: int) -> list[figures.Row]:
    with flight.fleet(scratch, bootstrap) as (account, target):
        found = [flight.measure(account, target, bootstrap, scratch) for _ in range(rounds)]
    return [figures.row(figures.MEMORY, "runner", metric, [one[name] for one in found])
            for name, metric in (("waiting", figures.WAITING), ("peak", figures.PEAK))]


if __name__ == "__main__":
    sys.exit(main())
