"""Restore drills by the real functions, on real copies: what is sound passes, what is not fails, and
what failed is no good set for retention any more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demo.restore import wait_completed
from scenarios.account import Account
from scenarios.checks import metrics
from scenarios.database import ROWS, Database
from scenarios.finished import Finished
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.policies import policy

POLICY = "drilled"
OWN_VOLUME = [{"device": "/dev/sdf", "fs": "ext4", "mount": "/own", "size_mib": 64}]
SUPERBLOCKS = 128 << 10
VERIFY = ["mounts=/dev/sdf:/data,/dev/sdg:/wal", "application=postgresql", "dataDirectory=/data/pgdata",
          f"query=select count(*) = {ROWS} from kept"]


class Sets(NamedTuple):
    """Runs of one instance, from the oldest, and what each set is."""

    sound: str
    # Its ext4 has lost its superblocks since.
    damaged: str
    # Its server cannot start: the control file was gone when it was made.
    without_server: str


@pytest.fixture(scope="module")
def finished(account: Account) -> Finished:
    """The events of drills."""
    cloud = account.cloud
    return Finished(cloud.client("events"), cloud.client("sqs"), "scenarios-drills",
                    "Restore Drill Finished")


@pytest.fixture(scope="module")
def host(account: Account) -> Iterator[Instance]:
    """What the drills run on: a machine with a volume and a server's software, and nothing of a set."""
    host = account.launch("drill-host", volumes=OWN_VOLUME)
    yield host
    host.vanish()


@pytest.fixture(scope="module")
def sets(account: Account, agent: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    database = Database(account, POLICY, tmp_path_factory.mktemp(POLICY) / "postgresql.log")
    try:
        database.start()
        database.fill()
        details = policy(database.instance.target, "Stillpoint-PostgreSQL")
        details["Schedules"][0]["RetainRule"] = {"Count": 1}
        account.put_policy(POLICY, details)
        sound, damaged = made(account), made(account)
        (first,) = [one for one in account.snapshots(damaged)
                    if one["tags"]["stillpoint:device"] == "/dev/sdf"]
        account.cloud.admin("POST", f"snapshots/{first['SnapshotId']}/damage",
                            {"offset": 0, "length": SUPERBLOCKS})
        database.stop()
        # Without a server the set is crash-consistent: what is not written out is not in it.
        database.instance.exec("sh", "-c", "rm /data/pgdata/global/pg_control && sync")
        yield Sets(sound, damaged, made(account))
    finally:
        database.stop()
        database.instance.vanish()


def made(account: Account) -> str:
    event = account.run(policyId=POLICY)
    assert len(event["snapshots"]) == 2, event
    wait_completed(account.cloud, [one["snapshotId"] for one in event["snapshots"]])
    return str(event["runId"])


def drill(operator: Operator, host: Instance, run: str) -> tuple[int, str]:
    """Exit code, and all that the operator is told."""
    parameters = [word for one in VERIFY for word in ("--parameter", one)]
    done = operator.does("drill", "--run", run, "--host", host.id, "--yes", *parameters)
    return done.returncode, done.stdout + done.stderr


def verdict(account: Account, run: str) -> str:
    """What the tag says, which all snapshots of the set have."""
    (words,) = {one["tags"]["stillpoint:drill"] for one in account.snapshots(run)}
    return str(words)


def left(account: Account, job_id: str) -> list[dict[str, Any]]:
    filters = [{"Name": "tag:stillpoint:job-id", "Values": [job_id]}]
    return list(account.ec2.describe_volumes(Filters=filters)["Volumes"])


def stays(operator: Operator) -> dict[str, str]:
    """Set and the reason of its fate, by the dry run of retention."""
    plan = operator.json("retain", "--dry-run", "--policy", POLICY)
    decisions = plan["regions"]["us-east-1"]["decisions"]
    return {one["setId"]: f"{one['action']['do']} {one['reason']['why']}" for one in decisions}


def test_drills_tell_good_sets_from_bad_ones(
    account: Account, operator: Operator, host: Instance, sets: Sets, finished: Finished
) -> None:
    # As long as nobody has tried, the newest is the good one.
    assert stays(operator) == {sets.sound: "mark beyondCount", sets.damaged: "mark beyondCount",
                               sets.without_server: "keep withinCount"}

    code, said = drill(operator, host, sets.sound)
    assert code == 0, said
    (event,) = finished.wait(runId=sets.sound)
    assert (event["verdict"], event["policyId"], event["reason"]) == ("good", POLICY, ""), event
    assert verdict(account, sets.sound).startswith("passed 2")
    assert metrics(account, "stillpoint-restorer", jobId=event["jobId"]) == {
        "DrillsPassed": 1, "DrillsFailed": 0, "DrillsNotDone": 0}

    for run, exit_code, words in ((sets.damaged, 21, "/data was on it"),
                                  (sets.without_server, 22, "does not start")):
        code, said = drill(operator, host, run)
        assert code != 0 and "the set is no good" in said and words in said, said
        (event,) = finished.wait(runId=run)
        assert event["verdict"] == "bad" and f"exit code {exit_code}" in event["reason"], event
        assert verdict(account, run).startswith("failed 2") and words in verdict(account, run)
        assert metrics(account, "stillpoint-restorer", jobId=event["jobId"]) == {
            "DrillsPassed": 0, "DrillsFailed": 1, "DrillsNotDone": 0}

    assert stays(operator) == {sets.sound: "keep withinCount",
                               sets.damaged: "keep betweenGoodSets",
                               sets.without_server: "keep betweenGoodSets"}
    said = operator.says("retain", "--dry-run", "--policy", POLICY)
    assert said.count("its restore drill failed") == 2, said
    assert_nothing_is_left(account, host, [one["jobId"] for one in finished.matching(policyId=POLICY)])


def assert_nothing_is_left(account: Account, host: Instance, jobs: list[str]) -> None:
    """The host is as it was, and the copies go with the reaper's next round after their time."""
    (shown,) = account.ec2.describe_instances(InstanceIds=[host.id])["Reservations"][0]["Instances"]
    assert [one["DeviceName"] for one in shown["BlockDeviceMappings"]] == ["/dev/xvda", "/dev/sdf"]
    assert "drill" not in host.exec("sh", "-c", "cat /proc/mounts; ls /srv /run")
    copies = [one["VolumeId"] for job in jobs for one in left(account, job)]
    assert len(jobs) == 3 and len(copies) == 6
    account.ec2.create_tags(Resources=copies, Tags=[
        {"Key": "stillpoint:delete-after", "Value": "2020-01-01T00:00:00.000Z"}])
    answer, is_error = account.invoke("stillpoint-reaper", {})
    assert not is_error and set(copies) <= set(answer["discarded"]), answer
    assert [left(account, job) for job in jobs] == [[], [], []]
