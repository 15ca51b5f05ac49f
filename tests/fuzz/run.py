"""`make fuzz SECONDS=600`: builds the fuzz targets with coverage and runs them side by side.

Each starts from the corpus (tests/fixtures) and from what earlier runs found interesting, which
stays in target/fuzz. A finding is a file there, and this ends with 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target" / "fuzz"
FIXTURES = ROOT / "tests" / "fixtures"
TARGETS = ["policy", "event", "output"]
# What cargo-fuzz passes, without a sanitizer: safe code, and a stable compiler.
COVERAGE = [
    "-Cpasses=sancov-module", "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters", "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares", "--cfg=fuzzing",
]
# An input that takes longer is a finding, like one that needs more memory. By the clock, so that a
# busy machine needs room.
SECONDS_PER_INPUT, MEGABYTES = 25, 1024
STATUS_SECONDS = 30


def build() -> Path:
    flags = " ".join(COVERAGE)
    command = ["cargo", "build", "--release", "--manifest-path", str(HERE / "Cargo.toml"),
               "--target-dir", str(TARGET / "build"), "--target", host()]
    subprocess.run(command, check=True, env=dict(os.environ, RUSTFLAGS=flags))
    return TARGET / "build" / host() / "release" / "fuzz"


def host() -> str:
    """Named, so that build scripts are compiled without the instrumentation."""
    said = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return next(line.split()[1] for line in said.splitlines() if line.startswith("host:"))


def seeds(name: str) -> Path:
    """The corpus of one target, as files."""
    folder = TARGET / "seeds" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sources = sorted((FIXTURES / "policies").glob("*.json")) if name == "policy" else sorted((HERE / "seeds" / name).iterdir())
    for source in sources:
        shutil.copy(source, folder / source.name)
    return folder


def start(binary: Path, name: str, seconds: int) -> subprocess.Popen[bytes]:
    found, findings = TARGET / "found" / name, TARGET / "findings" / name
    for folder in (found, findings):
        folder.mkdir(parents=True, exist_ok=True)
    log = (TARGET / f"{name}.log").open("wb")
    return subprocess.Popen(
        [str(binary), str(found), str(seeds(name)), f"-max_total_time={seconds}", f"-timeout={SECONDS_PER_INPUT}",
         f"-rss_limit_mb={MEGABYTES}", f"-artifact_prefix={findings}/", f"-dict={HERE / 'words.dict'}", "-max_len=16384",
         "-print_final_stats=1"],
        stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ, FUZZ_TARGET=name))


def last(name: str, word: str) -> str:
    lines = (TARGET / f"{name}.log").read_text(errors="replace").splitlines()
    return next((line for line in reversed(lines) if word in line), "")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    seconds = parser.parse_args().seconds
    binary = build()
    running = {name: start(binary, name, seconds) for name in TARGETS}
    began = told = time.monotonic()
    while any(process.poll() is None for process in running.values()):
        time.sleep(0.5)
        if time.monotonic() - told >= STATUS_SECONDS:
            told = time.monotonic()
            print(f"fuzz: {told - began:.0f} of {seconds} s", flush=True)
    failed = False
    for name, process in running.items():
        inputs = last(name, "stat::number_of_executed_units").split(":")[-1].strip() or "?"
        word = "no finding" if process.returncode == 0 else f"a finding: see target/fuzz/{name}.log, target/fuzz/findings/{name}"
        failed |= process.returncode != 0
        print(f"fuzz: {name}: {inputs} inputs, {word}")
    print(f"fuzz: {'failed' if failed else 'passed'} after {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
