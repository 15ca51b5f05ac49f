"""What the measurement is made of, with a program that polls in the place of the functions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine import figures, flight
from engine.function import Function

ANSWERS = """
import http.client, json, os, time
time.sleep(0.2)
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
c.request("GET", "/2018-06-01/runtime/invocation/next")
got = c.getresponse()
body = {"handler": os.environ["_HANDLER"], "event": json.loads(got.read())}
ident = got.headers["Lambda-Runtime-Aws-Request-Id"]
c.request("POST", f"/2018-06-01/runtime/invocation/{ident}/response", json.dumps(body))
c.getresponse().read()
time.sleep(30)
"""


def test_a_program_is_started_timed_and_given_its_event(tmp_path: Path) -> None:
    argv = [sys.executable, "-I", "-c", ANSWERS]
    with Function(argv, "runner", tmp_path / "log") as function:
        assert function.first_poll_ms() > 200, "it sleeps that long before it polls"
        assert function.memory_mb("VmHWM") >= function.memory_mb("VmRSS") > 1
        function.api.invoke({"Records": []})
        answer = function.api.answers.get(timeout=10)
    assert answer == ("response", {"handler": "runner", "event": {"Records": []}})


def test_the_rows_of_another_writer_stay(tmp_path: Path) -> None:
    path = tmp_path / "bench" / "engine.json"
    figures.write(path, [figures.row(figures.PACKAGE, "x86_64", figures.ZIP, [5.0])])
    theirs = {"case": "fleet of 1000", "subject": "stillpoint", "metric": "makespan"}
    path.write_text(json.dumps([*json.loads(path.read_text()), theirs]))
    ours = figures.row(figures.START, "runner", figures.POLL, [9.0, 7.0, 30.0])
    figures.write(path, [ours])
    assert json.loads(path.read_text()) == [ours, theirs]
    assert (ours["median"], ours["min"], ours["max"]) == (9.0, 7.0, 30.0)


def test_a_missed_target_is_told() -> None:
    def words(rows: list[figures.Row]) -> list[str]:
        return [line.split()[0] for line in figures.targets(rows)]

    kept = [figures.row(figures.PACKAGE, "arm64", figures.ZIP, [3.9]),
            figures.row(figures.MEMORY, "runner", figures.PEAK, [39.0]),
            figures.row(figures.START, figures.BESIDE, figures.POLL, [50.0])]
    assert words(kept) == ["holds", "holds"], "what is there to compare with has no target"
    worse = [figures.row(figures.PACKAGE, "arm64", figures.ZIP, [4.1]),
             figures.row(figures.MEMORY, "runner", figures.PEAK, [30.0, 30.0, 41.0]),
             figures.row(figures.START, "guard", figures.POLL, [16.0])]
    assert words(worse) == ["MISSED"] * 3


def test_in_flight_is_what_has_started_and_not_ended() -> None:
    def entry(event: str, instance: str) -> dict[str, str]:
        return {"event": event, "instanceId": instance}

    timeline = [entry("SendCommand", "i-1"), entry("script started", "i-1"),
                entry("script started", "i-2"), entry("script ended", "i-1")]
    assert flight.running(timeline) == {"i-2"}
