"""Two hundred runs at once through the functions, the real agent in each instance, and something
wrong with three in ten of them: nothing stays frozen, no set is made twice, no label is wrong.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from scenarios.account import Account
from scenarios.checks import one_set, runners, until
from scenarios.instance import Instance
from scenarios.policies import policy

pytestmark = pytest.mark.usefixtures("agent")

RUNS = 200
# The smallest that mkfs.ext4 takes with a journal.
VOLUME = [{"device": "/dev/sdf", "fs": "ext4", "mount": "/data", "size_mib": 16}]
TAG = {"storm": "yes"}
# On two busy cores; an undisturbed storm takes a third of it.
STORM_S = 420.0
LOOKS = 5  # of the guard
# Refused, the reply lost, the instance gone: the causes of a run that has no set.
WITHOUT_A_SET = ("SP3010", "SP3011", "SP3016")
# The function's time is 15 minutes and its messages' a minute more; nobody waits so long here.
REDELIVERY_S = 60


class Storm(NamedTuple):
    """The instances, and what is wrong with which."""

    instances: dict[str, Instance]
    garbage: set[str]
    failing: set[str]
    late: set[str]
    vanishing: set[str]


@pytest.fixture
def storm(account: Account) -> Iterator[Storm]:
    chance = random.Random(20261126)
    with ThreadPoolExecutor(4) as pool:
        launched = list(pool.map(
            lambda number: account.launch(f"storm-{number}", volumes=VOLUME, tags=TAG),
            range(RUNS)))
    order = sorted(one.id for one in launched)
    chance.shuffle(order)
    parts = [set(order[at:at + 10]) for at in range(0, 40, 10)]
    try:
        yield Storm({one.id: one for one in launched}, *parts)
    finally:
        for one in launched:
            if account.is_running(one):
                one.vanish()


def test_two_hundred_runs_at_once_with_faults_keep_every_promise(
    account: Account, storm: Storm,
) -> None:
    # 40 instances misbehave, and 20 calls or more of the others go wrong: three in ten.
    account.faults(
        ssmOutput=dict.fromkeys(storm.garbage, '{"stillpoint":1,"cut'),
        ssmEnds={one: {"status": "Failed", "details": "Failed", "runs": True, "command": "pre-script"}
                 for one in storm.failing},
        deliveryDelaySeconds=dict.fromkeys(storm.late, 8),
        throttleCreateSnapshots=10, loseCreateSnapshotsReply=6, loseCreateSnapshots=4,
        loseSendCommandReply=1, loseSendCommand=1)
    details = policy("nobody", "Stillpoint-Filesystem", MaximumRetryCount=1, ExecutionTimeout=60)
    details["TargetTags"] = [{"Key": "storm", "Value": "yes"}]
    with account.redelivery_after(REDELIVERY_S):
        orders = account.plan(policy=details)["runs"]
        assert len(orders) == RUNS
        ids = {order["runId"]: order["instanceId"] for order in orders}
        disturb(account, storm, ids)
        events = outcomes(account, ids)
    assert account.frozen() == []
    assert {event["instanceId"] for event in events.values()} == set(storm.instances)
    labels: dict[str, int] = {}
    for run_id, event in events.items():
        label = str(event["consistency"])
        labels[label] = labels.get(label, 0) + 1
        check(account, storm, run_id, event)
    print(f"labels of {RUNS} runs: {labels}", file=sys.stderr)
    assert labels["application"] > RUNS // 2, labels


def disturb(account: Account, storm: Storm, ids: dict[str, str]) -> None:
    """Half-way: a runner with its whole batch is killed, and some instances are no more."""
    until(lambda: len(ended(account, ids)) > RUNS // 5, "a fifth of the runs have ended", STORM_S)
    victims = until(lambda: runners(account.cloud.endpoint), "a runner is at work")
    os.kill(victims[0], signal.SIGKILL)
    for one in storm.vanishing:
        storm.instances[one].vanish()


def ended(account: Account, ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    account.finished.fetch()
    return {one["runId"]: one for one in account.finished.details if one["runId"] in ids}


def outcomes(account: Account, ids: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The outcome of each run. Whom the killed runner has left is found as the guard finds it,
    but without the quarter of an hour in which that runner may have been alive."""
    until(lambda: len(ended(account, ids)) > RUNS * 2 // 3, "most runs have ended", STORM_S)
    for _ in range(LOOKS):
        for run_id in ids.keys() - ended(account, ids).keys():
            account.expire_lease(run_id)
            account.make_due(run_id)
        account.invoke("stillpoint-guard", {})
        with contextlib.suppress(AssertionError):
            until(lambda: len(ended(account, ids)) == RUNS, "all runs have ended", STORM_S / LOOKS)
            break
    left = {run_id: account.record(run_id) for run_id in ids.keys() - ended(account, ids).keys()}
    assert not left, json.dumps(left)[:2000]
    return ended(account, ids)


def check(account: Account, storm: Storm, run_id: str, event: dict[str, Any]) -> None:
    instance_id = event["instanceId"]
    made = account.snapshots(run_id)
    assert len({one["VolumeId"] for one in made}) == len(made), f"two sets: {event}"
    if event["consistency"] is None:
        assert not made and event["code"] in WITHOUT_A_SET, event
        return
    one_set(account, event)
    if event["consistency"] != "application":
        assert event["code"] and event["reason"], event
        return
    assert instance_id not in storm.garbage | storm.failing, event
    released = json.loads(account.output(event, "postScript", instance_id)
                          ["StandardOutputContent"].strip().splitlines()[-1])
    hold = released["hold"]
    assert released["state"] == "released" and hold["unbroken"], released
    snapshot_ids = sorted(one["snapshotId"] for one in event["snapshots"])
    timeline = storm.instances[instance_id].timeline()
    (ended,) = [at for at, entry in enumerate(timeline)
                if sorted(entry.get("snapshotIds", [])) == snapshot_ids]
    begun = max(at for at in range(ended) if timeline[at]["event"] == "CreateSnapshots begin")
    assert hold["frozenAtMs"] <= timeline[begun]["boottimeMs"], (hold, timeline[begun])
    assert timeline[ended]["boottimeMs"] <= hold["releasedAtMs"], (hold, timeline[ended])
