"""What the benchmark makes of the probe's times; without a freeze, which running it shows."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from bench import cases, databases, footprint, page, results, subjects, table, targets, trial
from bench.trial import Load

MS = 1_000_000


def probe(ops: list[tuple[str, int, float, float]], codes: str = "0 0") -> str:
    """Requested at 0, frozen at 50, thaw asked at 250, done at 260 ms; 7 ms of processor time."""
    lines = [f"= 0 {50 * MS} {250 * MS} {260 * MS} {codes} {7 * MS}"]
    lines += [f"{kind} {mount} {int(begin * MS)} {int(end * MS)}"
              for kind, mount, begin, end in ops]
    return "\n".join([*lines, "."])


def test_the_stall_is_the_longest_call_over_the_hold_less_the_hold() -> None:
    found = trial.figures(probe([("f", 0, 40, 262), ("b", 0, 30, 251), ("f", 0, 5, 35),
                                 ("b", 0, 300, 900)]), 1)
    assert found["added stall"] == 22
    assert found["fsync during flush"] == 30
    assert found["request to frozen"] == 50
    assert found["cpu to frozen"] == 7
    assert found["thaw"] == 10


def test_a_filesystem_that_was_not_held_is_no_measurement() -> None:
    held = ("f", 0, 45, 255)
    with pytest.raises(trial.Invalid, match="1 of 2"):
        trial.figures(probe([held, ("f", 1, 100, 101)]), 2)
    # One that was thawed early is not held either.
    with pytest.raises(trial.Invalid, match="1 of 2"):
        trial.figures(probe([held, ("f", 1, 45, 200)]), 2)


@pytest.mark.parametrize("codes", ["201 0", "0 205"])
def test_what_failed_is_no_measurement(codes: str) -> None:
    with pytest.raises(trial.Invalid, match="failed"):
        trial.figures(probe([("f", 0, 45, 255)], codes), 1)


def test_a_refusal_is_an_answer() -> None:
    found = trial.figures(probe([], "206 205"), 1)
    assert found == {"refused": 1, "request to refusal": 50}


def test_a_probe_that_was_cut_short_is_no_measurement() -> None:
    with pytest.raises(trial.Invalid, match="did not finish"):
        trial.figures(probe([("f", 0, 45, 255)]).removesuffix("."), 1)


def test_ratios_pair_the_trials_of_a_round_and_stop_at_the_resolution() -> None:
    found = results.Results()
    for number, (ours, theirs) in enumerate([(0.2, 60.0), (2.0, 50.0), (4.0, 400.0)]):
        found.add("c", number, subjects.STILLPOINT, {"added stall": ours})
        found.add("c", number, subjects.AWS_POSTGRES, {"added stall": theirs})
    ratio = found.ratio("c", subjects.AWS_POSTGRES, "added stall")
    assert ratio is not None
    assert (ratio.min, ratio.median, ratio.max) == (25, 60, 100)


def test_the_file_is_a_list_of_case_subject_metric_unit_and_spread(tmp_path: Path) -> None:
    found = results.Results()
    for case in cases.full():
        for number, stall in enumerate((3.0, 1.0, 2.0)):
            for name in case.subjects:
                found.add(case.name, number, name, {"added stall": stall, "processes": 4})
    found.write(tmp_path / "agent.json")
    rows = json.loads((tmp_path / "agent.json").read_text())
    first = {key: rows[0][key] for key in ("case", "subject", "metric", "unit", "median", "min",
                                           "max")}
    assert first == {"case": "ext4, 1 filesystem, 0 MB dirty", "subject": "stillpoint",
                     "metric": "added stall", "unit": "ms", "median": 2.0, "min": 1.0, "max": 3.0}
    assert {row["unit"] for row in rows} == {"ms", "count", "ratio"}
    page.write(tmp_path / "agent.html", found, {"kernel": "<any>"})
    text = (tmp_path / "agent.html").read_text()
    assert text.count("<svg") == len(cases.full())
    assert "http" not in text and "&lt;any&gt;" in text
    assert "stillpoint" in table.text(found)


def test_a_target_is_decided_by_its_own_case_only() -> None:
    found = results.Results()
    case = cases.Case("ext4", 1, Load()).name
    for number, stall in enumerate((2.0, 9.0, 26.0)):
        found.add(case, number, subjects.STILLPOINT, {"added stall": stall})
    judged = {one.what: one.holds for one in targets.judge(found)}
    assert judged[f"{case}: added stall, median, ms"] is True
    assert judged[f"{case}: added stall, longest, ms"] is False
    assert judged[f"{case}: added stall, sample / ours"] is None
    assert "MISSED" in targets.text(found)


def test_beside_a_stall_that_misses_its_target_stands_what_the_floor_did() -> None:
    found = results.Results()
    case = cases.Case("ext4", 16, Load()).name
    for number, (ours, sample, floor) in enumerate([(7.0, 800.0, 5.0), (3.0, 900.0, 2.0),
                                                    (27.0, 810.0, 31.0)]):
        for name, stall in ((subjects.STILLPOINT, ours), (subjects.AWS_POSTGRES, sample),
                            (subjects.FLOOR, floor)):
            found.add(case, number, name, {"added stall": stall})
    told = {one.what: one.value for one in targets.judge(found)}
    assert told[f"{case}: added stall, median, ms"] == "7"
    assert told[f"{case}: added stall, longest, ms"] == "27 [the floor: 31, which misses it too]"
    assert told[f"{case}: added stall, sample / ours"] == \
        "114 [the floor: 160, which misses it too]"
    found.rounds[case][0][subjects.FLOOR]["added stall"] = 4.0
    told = {one.what: one.value for one in targets.judge(found)}
    assert told[f"{case}: added stall, sample / ours"] == "114 [the floor: 200]"


def test_the_largest_process_of_any_round_decides_the_agents_size() -> None:
    assert footprint.peak_kb("VmPeak:\t  9000 kB\nVmHWM:\t  2816 kB\nVmRSS:\t 2500 kB\n") == 2816
    with pytest.raises(trial.Invalid, match="no resident size"):
        footprint.peak_kb("Name:\tkthreadd\n")
    found = results.Results()
    case = cases.Case("ext4", 16, Load()).name
    for number, kilobytes in enumerate((3000.0, 3000.0, 10241.0)):
        found.add(case, number, subjects.STILLPOINT,
                  {footprint.RESIDENT: kilobytes, footprint.PROGRAM: 1600.0})
    judged = {one.what: one.holds for one in targets.judge(found)}
    assert judged[f"{case}: {footprint.RESIDENT}, kB"] is False
    assert judged[f"{case}: {footprint.PROGRAM}, kB"] is True


def test_the_rounds_of_a_run_are_those_that_its_cases_had() -> None:
    found = results.Results()
    assert found.rounds_text() == "none"
    for case in cases.full():
        for number in range(case.reps):
            found.add(case.name, number, subjects.STILLPOINT, {"added stall": 1.0})
    assert found.rounds_text() == "3 to 9"
    assert {case.reps for case in cases.full() if case.load == Load()} == {9}


def test_no_two_cases_have_one_name() -> None:
    for chosen in (cases.quick(), cases.full()):
        assert len({case.name for case in chosen}) == len(chosen)


@pytest.mark.parametrize("fixture", ["aws-dlm-postgresql", "aws-dlm-mysql"])
def test_the_sample_runs_as_published_with_only_its_parameter_filled_in(fixture: str) -> None:
    text = subjects.script(fixture, "pre-script")
    published = (subjects.FIXTURES / f"{fixture}.yaml").read_text()
    assert text.startswith("#!/bin/bash\n")
    assert "OPERATION=pre-script\n" in text and "{{" not in text
    lines = {line.strip() for line in published.splitlines()} | {"OPERATION=pre-script"}
    assert {line.strip() for line in text.splitlines()} <= lines


def test_pgbench_counts_from_the_begin_and_not_from_when_it_was_due() -> None:
    (begin, end), = databases.parse_pgbench("3 17 9000 0 1700000000 500 2000\n")
    assert end - begin == 7000 * 1000


def test_a_run_of_some_cases_adds_to_those_of_the_same_agent(tmp_path: Path) -> None:
    kept = tmp_path / "rounds.json"
    first = results.Results()
    for case in ("a", "b"):
        first.add(case, 0, subjects.STILLPOINT, {"added stall": 1.0})
    first.failures = ["a: fsfreeze: it failed", "b: fsfreeze: it failed"]
    first.remember(kept, "agent 1")
    again = results.Results()
    again.add("b", 0, subjects.STILLPOINT, {"added stall": 2.0})
    again.recall(kept, "agent 1", ["b"])
    assert {case: one[0][subjects.STILLPOINT]["added stall"]
            for case, one in again.rounds.items()} == {"a": 1.0, "b": 2.0}
    assert again.failures == ["a: fsfreeze: it failed"]
    other = results.Results()
    other.recall(kept, "agent 2", [])
    assert not other.rounds, "figures of two agents must not stand in one table"


def test_the_moment_of_the_first_freeze_is_read_from_the_agents_page(tmp_path: Path) -> None:
    words = [0] * 512
    words[2] = 2  # filesystems
    words[16:24] = [4, 700, 800, 900, 4, 600, 850, 900]
    state = tmp_path / "run/stillpoint"
    state.mkdir(parents=True)
    (state / "run-x.over").write_bytes(struct.pack("<512Q", *words))

    class Machine:
        def outside(self, inside: str) -> Path:
            return tmp_path / inside.lstrip("/")

    assert databases.first_freeze(Machine()) == 600  # type: ignore[arg-type]
