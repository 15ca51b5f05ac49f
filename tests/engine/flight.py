"""A runner with fifty runs in flight: the real one, against the local cloud, through TLS.

The lab has fifty instances whose pre-script takes a while; the packaged runner gets their fifty
orders as one invocation, as its event source mapping would give them.
"""

from __future__ import annotations

import contextlib
import json
import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from demo.cloud import Cloud
from lab.deploy import deploy_product
from scenarios.account import Account
from scenarios.checks import until
from scenarios.instance import Instance
from scenarios.places import INFRA
from scenarios.policies import document, policy

from .encrypted import entrance
from .function import Function

RUNS = 50  # BatchSize of RunnerSource in infra/template.yaml
DOCUMENT, PRE_SCRIPT_SECONDS = "Engine-Waits", 15
ANSWER_SECONDS, SAMPLE_SECONDS = 180.0, 0.05
# Long enough that nothing is sent, settled or answered any more when the last one waits.
CALM_SECONDS = 2.0


@contextlib.contextmanager
def fleet(scratch: Path, bootstrap: Path) -> Iterator[tuple[Account, str]]:
    """The lab with the product and the instances; the value of the instances' tag."""
    cloud = Cloud(scratch / "lab", scratch)
    try:
        cloud.up()
        account = Account(cloud, deploy_product(cloud.client, bootstrap, INFRA))
        account.put_document(DOCUMENT, document(
            f"[ '{{{{ command }}}}' != pre-script ] || sleep {PRE_SCRIPT_SECONDS}"))
        for number in range(RUNS):
            Instance.launch(cloud, f"engine-{number}", volumes=[], tags={"backup": "engine"})
            print(".", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        yield account, "engine"
    finally:
        cloud.down()


def measure(account: Account, target: str, bootstrap: Path, scratch: Path) -> dict[str, float]:
    """One invocation with all runs: memory while all of them wait, and at most."""
    details = policy(target, DOCUMENT)
    details["Parameters"] = {"ExcludeBootVolume": False}
    orders = account.plan(policy=details, dryRun=True)["runs"]
    assert len(orders) == RUNS, f"{len(orders)} runs planned"
    port = urlsplit(account.cloud.endpoint).port
    assert port is not None
    before = len(events(account))
    with entrance(scratch, port) as (url, roots), Function(
            [str(bootstrap)], "runner", scratch / "runner.log",
            {"AWS_ENDPOINT_URL": url, "SSL_CERT_FILE": str(roots)}) as runner:
        runner.first_poll_ms()
        runner.api.invoke({"Records": [_message(number, order)
                                       for number, order in enumerate(orders)]})
        until(lambda: len(running(events(account)[before:])) == RUNS, "all pre-scripts run")
        waiting = []
        calm_at = time.monotonic() + CALM_SECONDS
        while time.monotonic() < calm_at:
            waiting.append(runner.memory_mb("VmRSS"))
            time.sleep(SAMPLE_SECONDS)
        assert len(running(events(account)[before:])) == RUNS, "some were over before all were measured"
        try:
            answer = runner.api.answers.get(timeout=ANSWER_SECONDS)
        except queue.Empty:
            raise RuntimeError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        assert answer == ("response", {"batchItemFailures": []}), answer
        return {"waiting": max(waiting), "peak": runner.memory_mb("VmHWM")}


def events(account: Account) -> list[dict[str, Any]]:
    return account.cloud.admin("GET", "timeline")


def running(timeline: list[dict[str, Any]]) -> set[str]:
    """The instances whose script has started and not ended."""
    found: set[str] = set()
    for entry in timeline:
        if entry["event"] == "script started":
            found.add(entry["instanceId"])
        elif entry["event"] == "script ended":
            found.discard(entry["instanceId"])
    return found


def _message(number: int, order: dict[str, Any]) -> dict[str, str]:
    body = {"detail-type": "Snapshot Run Requested", "source": "stillpoint",
            "detail": {"version": 1, "order": order}}
    return {"messageId": f"message-{number}", "body": json.dumps(body)}
