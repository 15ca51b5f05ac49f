"""The file writer's volume, restored: is every write there that must be, and no other.

`cut` says where the line runs: a record acknowledged before `acknowledgedBefore` is there,
a write begun after `begunAfter` is not. Where the filesystem was frozen, `flushedBefore`
is set as well: then even a buffered write that had returned by then is on the volume,
which is what a freeze adds to a crash. Called by verify.py.
"""

from __future__ import annotations

import os
from pathlib import Path

from demo.records import Write
from demo.workload_files import (BLOCK_BYTES, BLOCKS_NAME, RECORDS_NAME, record_of, sequence_in)


def check(places: dict[str, Path], writes: list[Write], cut: dict,
          problems: list[str]) -> tuple[int, list[str]]:
    """Check the records and the blocks; returns how many were read, and remarks."""
    (place,) = places.values()
    records = check_records(place / RECORDS_NAME, writes, cut, problems)
    blocks, damaged = check_blocks(place / BLOCKS_NAME, writes, cut, problems)
    notes = [f"{records:,} records and {blocks:,} blocks read and whole"]
    if damaged:
        notes.append(f"{damaged:,} blocks never synced and not whole, as after a power cut")
    return records + blocks, notes


def check_records(path: Path, writes: list[Write], cut: dict, problems: list[str]) -> int:
    """Records are appended in order, so the copy holds 1..last without a gap."""
    lines = path.read_bytes().splitlines(keepends=True)
    if lines and not lines[-1].endswith(b"\n"):
        # The record that was being written at the cut; it was never acknowledged.
        lines.pop()
    for number, line in enumerate(lines, start=1):
        if line != record_of(number):
            problems.append(f"record {number} is damaged: {line[:40]!r}")
            return number - 1
    last = len(lines)
    for write in writes:
        if write.kind != "record":
            continue
        if write.end < cut["acknowledgedBefore"] and write.identity > last:
            problems.append(f"record {write.identity} was acknowledged before the snapshot "
                            f"and is missing; the last one there is {last}")
            break
        if write.begin > cut["begunAfter"] and write.identity <= last:
            problems.append(f"record {write.identity} was begun after the snapshot and is there")
            break
    return last


def check_blocks(path: Path, writes: list[Write], cut: dict,
                 problems: list[str]) -> tuple[int, int]:
    """Each slot holds one whole block of the right age; returns (whole, damaged)."""
    flushed_before = cut["flushedBefore"]
    oldest_allowed: dict[int, int] = {}
    begun_after: set[int] = set()
    slots: set[int] = set()
    for write in writes:
        if write.kind != "block":
            continue
        if flushed_before is not None and write.end < flushed_before:
            oldest_allowed[write.slot] = write.identity
        if write.begin > cut["begunAfter"]:
            begun_after.add(write.identity)
        else:
            slots.add(write.slot)
    whole = damaged = 0
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for slot in sorted(slots):
            found = sequence_in(os.pread(descriptor, BLOCK_BYTES, slot * BLOCK_BYTES), slot)
            whole += found is not None
            damaged += found is None
            if found in begun_after:
                problems.append(f"block {found} was begun after the snapshot and is there")
            elif slot in oldest_allowed and (found is None or found < oldest_allowed[slot]):
                problems.append(f"block {oldest_allowed[slot]} in slot {slot} was written before "
                                f"the freeze; the copy has {found or 'no whole block'} there")
    finally:
        os.close(descriptor)
    return whole, damaged
