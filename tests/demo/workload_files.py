"""The file writer: runs inside an instance and writes to one mounted volume.

Two threads: *blocks* rewrites large files through the page cache as fast as its rate
allows and syncs nothing; *records* appends small lines and acknowledges each one only
after fdatasync. Every write is logged on standard output (a file outside the frozen
filesystems) with its begin and its end. It verifies nothing: verify_files.py does.

Lines: `B <sequence> <slot> <begin ms> <end ms>` and `R <sequence> <begin ms> <end ms>`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
import sys
import threading
import time
import zlib
from pathlib import Path

from demo.clock import boot_ms
from demo.inside import enter, until_stdin_ends

BLOCK_BYTES = 256 * 1024
BLOCK_MAGIC = b"stillpt1"
# magic, sequence, slot, CRC-32 of the rest of the block
BLOCK_HEADER = struct.Struct("<8sQQI")
BLOCKS_NAME = "blocks.dat"
RECORDS_NAME = "records.log"


def block_of(sequence: int, slot: int) -> bytes:
    """One block: recognisable, different for every sequence, and self-checking."""
    seed = hashlib.sha256(struct.pack("<QQ", sequence, slot)).digest()
    body_bytes = BLOCK_BYTES - BLOCK_HEADER.size
    body = (seed * (body_bytes // len(seed) + 1))[:body_bytes]
    return BLOCK_HEADER.pack(BLOCK_MAGIC, sequence, slot, zlib.crc32(body)) + body


def sequence_in(block: bytes, slot: int) -> int | None:
    """The sequence of a whole, undamaged block in its own slot; None for anything else."""
    if len(block) != BLOCK_BYTES:
        return None
    magic, sequence, found_slot, checksum = BLOCK_HEADER.unpack_from(block)
    whole = magic == BLOCK_MAGIC and found_slot == slot
    return sequence if whole and zlib.crc32(block[BLOCK_HEADER.size:]) == checksum else None


def record_of(sequence: int) -> bytes:
    """One record line with its checksum."""
    text = f"{sequence} {hashlib.sha256(str(sequence).encode()).hexdigest()[:32]}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def log(line: str) -> None:
    """One write call, so that the lines of two threads never mix."""
    os.write(1, (line + "\n").encode())


def write_blocks(folder: Path, slots: int, per_second: float, ended: threading.Event) -> None:
    """Rewrite the slots of one file, round and round, through the page cache."""
    descriptor = os.open(folder / BLOCKS_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    sequence = 0
    due = time.monotonic()
    while not ended.is_set():
        sequence += 1
        slot = sequence % slots
        block = block_of(sequence, slot)
        begin = boot_ms()
        os.pwrite(descriptor, block, slot * BLOCK_BYTES)
        log(f"B {sequence} {slot} {begin:.3f} {boot_ms():.3f}")
        due = pace(due, 1.0 / per_second, ended)


def write_records(folder: Path, per_second: float, ended: threading.Event) -> None:
    """Append records, each acknowledged after it is on the volume."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptor = os.open(folder / RECORDS_NAME, flags, 0o644)
    sequence = 0
    due = time.monotonic()
    while not ended.is_set():
        sequence += 1
        begin = boot_ms()
        os.write(descriptor, record_of(sequence))
        os.fdatasync(descriptor)
        log(f"R {sequence} {begin:.3f} {boot_ms():.3f}")
        due = pace(due, 1.0 / per_second, ended)


def pace(due: float, interval_s: float, ended: threading.Event) -> float:
    """Wait for the next turn; a late writer does not catch up, as a freeze would then be
    followed by a burst that no application makes."""
    due = max(due + interval_s, time.monotonic())
    ended.wait(max(0.0, due - time.monotonic()))
    return due


def guarded(task, *arguments) -> None:
    """End the whole program when one thread fails: half a workload proves nothing."""
    try:
        task(*arguments)
    except Exception as error:
        print(f"{task.__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo.workload_files")
    parser.add_argument("--instance-pid", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--blocks-per-second", type=float, required=True)
    parser.add_argument("--records-per-second", type=float, required=True)
    options = parser.parse_args()
    enter(options.instance_pid)
    ended = until_stdin_ends()
    threads = [
        threading.Thread(target=guarded, args=(write_blocks, options.folder, options.slots,
                                               options.blocks_per_second, ended)),
        threading.Thread(target=guarded, args=(write_records, options.folder,
                                               options.records_per_second, ended)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
