"""Tests of the demo's own judgement: what it would not notice, it could not promise.

Pure, without root and without the lab: a wrong label, a leaking freeze, a lost record and a
damaged block must each be found. `make demo` itself is the test of everything else.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from demo import judge, report, verify_files
from demo.clock import Clock
from demo.facts import CREATE, POST, PRE, Plan, Run, Span, receipt_in
from demo.figure import figure
from demo.ledger import checksum_of
from demo.records import Write, longest, parse
from demo.restore import cut_of
from demo.table import table, timeline
from demo.workload_files import (BLOCK_BYTES, BLOCKS_NAME, RECORDS_NAME, block_of, record_of,
                                 sequence_in)

FROZEN = Span(1_000.0, 1_400.0)
CALL = Span(1_100.0, 1_150.0)
CUT = {"acknowledgedBefore": 1_100.0, "begunAfter": 1_000.0, "flushedBefore": 1_000.0}


def write(kind: str, identity: int, begin: float, end: float, slot: int = 0) -> Write:
    return Write(kind, identity, slot, begin, begin, end)


def run_of(expected: str = "application", labelled: str | None = None) -> Run:
    """A run in which everything is as it must be."""
    labelled = labelled or expected
    run = Run(Plan("files", "files", "p", (("/data", "ext4"),), True, expected), "i-1",
              [{"volumeId": "vol-1", "mount": "/data", "fs": "ext4"}], 1, Path("unused"))
    outcome = "completed" if labelled in ("application", "claimed") else "completed-with-issues"
    run.event = {"outcome": outcome, "consistency": labelled, "frozenMs": 400,
                 "reason": None if labelled == "application" else "why it is not",
                 "snapshots": [{"snapshotId": "snap-1", "volumeId": "vol-1"}]}
    run.labels = {labelled}
    hold = {"unbroken": True, "frozenAtMs": 1000, "releasedAtMs": 1400, "deadlineMs": 60000}
    run.post_receipt = {"stillpoint": 1, "hold": hold} if labelled == "application" else None
    run.spans = {PRE: Span(700.0, 1_010.0), CREATE: CALL, POST: Span(1_390.0, 1_410.0)}
    run.writes = [write("record", 1, 950.0, 960.0), write("record", 2, 1_005.0, 1_405.0),
                  write("record", 3, 1_500.0, 1_501.0)]
    run.restored = {"problems": [], "rowsChecked": 5, "notes": [], "volumes": []}
    return run


def problems(run: Run) -> str:
    judge.judge(run)
    return "; ".join(run.problems)


@pytest.mark.parametrize("label", ["application", "claimed", "crash"])
def test_a_run_that_is_right_has_no_problem(label: str) -> None:
    assert problems(run_of(label)) == ""


def test_a_wrong_label_is_a_problem() -> None:
    assert "labelled crash instead of application" in problems(run_of("application", "crash"))
    assert "labelled application instead of crash" in problems(run_of("crash", "application"))


def test_tags_that_differ_from_the_event_are_a_problem() -> None:
    run = run_of()
    run.labels = {"application", "crash"}
    assert "the snapshots are tagged application, crash" in problems(run)


def test_a_broken_hold_is_no_application_set() -> None:
    run = run_of()
    run.post_receipt = {"hold": {"unbroken": False, "frozenAtMs": 1000, "releasedAtMs": 1400}}
    assert "without the receipt of an unbroken hold" in problems(run)


def test_a_call_that_reaches_past_the_thaw_is_a_problem() -> None:
    run = run_of()
    run.spans[CREATE] = Span(1_100.0, 1_401.0)
    assert "not wholly inside the frozen interval" in problems(run)


def test_a_write_that_passed_the_freeze_is_a_problem() -> None:
    run = run_of()
    run.writes.append(write("record", 4, 1_200.0, 1_201.0))
    assert "1 writes began and ended while everything was frozen" in problems(run)


def test_writers_that_never_went_on_are_a_problem() -> None:
    run = run_of()
    run.writes.pop()
    assert "no write has ended since" in problems(run)


def test_a_crash_label_needs_a_reason_and_the_kill_must_have_struck() -> None:
    run = run_of("crash")
    run.event["reason"] = ""
    judge.check_kill(run)
    assert "without a reason" in problems(run)
    assert "the lab has not done it" in "; ".join(run.problems)
    struck = run_of("crash")
    struck.holder_killed_at = 1_120.0
    judge.check_kill(struck)
    assert struck.problems == []


def test_the_last_line_counts_only_what_was_verified() -> None:
    runs = [run_of(), run_of(), run_of("crash")]
    assert judge.sentence(runs, 0) == ("demo: 2 of 2 application-consistent sets restored and "
                                       "verified, 1 crash-consistent as labelled, 0 left frozen")
    runs[1].problems.append("a commit is missing")
    assert judge.sentence(runs, 1) == ("demo: 1 of 2 application-consistent sets restored and "
                                       "verified, 1 crash-consistent as labelled, 1 left frozen")
    runs = [run_of("claimed"), run_of(), run_of("crash")]
    assert judge.sentence(runs, 0) == ("demo: 1 of 1 application-consistent sets restored and "
                                       "verified, 1 claimed, 1 crash-consistent as labelled, "
                                       "0 left frozen")


def test_only_a_frozen_set_must_have_its_buffered_writes() -> None:
    assert cut_of(run_of()) == {"acknowledgedBefore": 1_100.0, "begunAfter": 1_000.0,
                                "flushedBefore": 1_000.0}
    assert cut_of(run_of("crash")) == {"acknowledgedBefore": 1_100.0, "begunAfter": 1_150.0,
                                       "flushedBefore": None}


def test_records_missing_damaged_and_from_the_future(tmp_path: Path) -> None:
    path = tmp_path / RECORDS_NAME
    path.write_bytes(record_of(1) + record_of(2) + record_of(3)[:5])
    before = [write("record", n, 900.0 + n, 901.0 + n) for n in (1, 2)]
    assert found(verify_files.check_records, path, before) == []
    lost = [*before, write("record", 3, 950.0, 960.0)]
    assert "record 3 was acknowledged" in found(verify_files.check_records, path, lost)[0]
    later = [before[0], write("record", 2, 1_010.0, 1_410.0)]
    assert "record 2 was begun after" in found(verify_files.check_records, path, later)[0]
    path.write_bytes(record_of(1) + record_of(2).replace(b"2", b"7", 1))
    assert "record 2 is damaged" in found(verify_files.check_records, path, before)[0]


def test_blocks_stale_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / BLOCKS_NAME
    path.write_bytes(block_of(5, 0) + block_of(4, 1))
    writes = [write("block", 4, 910.0, 911.0, slot=1), write("block", 5, 920.0, 921.0, slot=0)]
    assert found(verify_files.check_blocks, path, writes) == []
    stale = [*writes, write("block", 6, 990.0, 991.0, slot=1)]
    assert "block 6 in slot 1 was" in found(verify_files.check_blocks, path, stale)[0]
    path.write_bytes(block_of(5, 0)[:-1] + b"x" + block_of(4, 1))
    assert "no whole block" in found(verify_files.check_blocks, path, writes)[0]
    assert found(verify_files.check_blocks, path, writes, CUT | {"flushedBefore": None}) == []


def found(check, path: Path, writes: list[Write], cut: dict = CUT) -> list[str]:
    told: list[str] = []
    check(path, writes, cut, told)
    return told


def test_a_block_knows_its_slot_and_its_damage() -> None:
    block = block_of(9, 3)
    assert len(block) == BLOCK_BYTES
    assert sequence_in(block, 3) == 9
    assert sequence_in(block, 4) is None
    assert sequence_in(block[:-1] + b"x", 3) is None


def test_a_log_with_a_hole_is_refused_and_a_cut_last_line_is_not() -> None:
    good = ["T 7 1.0 2.0 3.0\n", "B 1 0 1.0 2.0\n", "R 1 1.0 2"]
    assert [entry.kind for entry in parse(good)] == ["transaction", "block"]
    with pytest.raises(ValueError, match="line 1"):
        list(parse(["garbage\n"]))


def test_the_longest_wait_is_looked_for_in_the_interval_only() -> None:
    writes = [write("record", 1, 0.0, 500.0), write("record", 2, 900.0, 1_100.0)]
    assert longest(writes, 1_000.0, 2_000.0) == writes[1]
    assert longest(writes, 600.0, 800.0) is None


def test_a_receipt_is_found_among_other_lines() -> None:
    assert receipt_in('INFO: hello\n{"stillpoint":1,"code":0}\n') == {"stillpoint": 1, "code": 0}
    assert receipt_in('INFO: hello\n{"other":1}\n{broken\n') is None


def test_the_ledger_checksum_depends_on_every_row() -> None:
    assert checksum_of(1, 8) != checksum_of(1, 7) != checksum_of(2, 7)


def test_the_page_stands_alone_and_its_figures_are_well_formed(tmp_path: Path) -> None:
    runs = [run_of(), run_of("crash")]
    runs[1].event["reason"] = "<b>quoted</b> & kept as text"
    page = tmp_path / "report.html"
    report.write(page, runs, judge.sentence(runs, 0), "a test", Clock())
    text = page.read_text()
    assert not re.search(r"""(?:src|href)=["'](?!#)|url\(|@import|<script""", text)
    assert "<b>quoted" not in text
    for number, run in enumerate(runs):
        drawing = ET.fromstring(figure(run, f"run-{number}"))
        assert drawing.get("role") == "img"
        assert [child.tag for child in drawing][:2] == ["title", "desc"]


def test_the_terminal_shows_the_same_numbers() -> None:
    run = run_of()
    assert re.search(r"files +completed +application +400 +400 +yes +5", table([run]))
    assert "#" in timeline(run) and "400 ms" in timeline(run)
    assert all(len(line) <= 100 for line in timeline(run).splitlines())
