"""What retention does with sets that were really made: `stillpoint retain` shows it, and the reaper
carries it out.
"""

from __future__ import annotations

from typing import Any

import pytest

from scenarios.account import Account
from scenarios.checks import until
from scenarios.conftest import Launch
from scenarios.instance import Instance
from scenarios.operator import Operator
from scenarios.policies import SCHEDULE, document, policy

DELETE_AFTER = "stillpoint:delete-after"
PAST = "2020-01-01T00:00:00.000Z"


@pytest.fixture(scope="module", autouse=True)
def documents(account: Account) -> None:
    account.put_document("Retention-Calm", document("exit 0"))


@pytest.fixture
def instance(launch: Launch) -> Instance:
    return launch("retention")


def made(account: Account, policy_id: str, count: int) -> list[str]:
    """Runs of a policy, one after the other; their run ids from the newest, all completed."""
    ids = [account.run(policyId=policy_id)["runId"] for _ in range(count)]
    until(lambda: all(one["State"] == "completed" for run in ids for one in account.snapshots(run)),
          "the snapshots are completed")
    return ids[::-1]


def one_of_three(account: Account, instance: Instance, policy_id: str) -> tuple[list[str], str]:
    """Three sets of a policy that keeps one, from the newest; and the id of a person's own snapshot
    that has all the tags of the oldest."""
    details = policy(instance.target, "Retention-Calm")
    details["Schedules"][0]["RetainRule"] = {"Count": 1}
    account.put_policy(policy_id, details)
    runs = made(account, policy_id, 3)
    (first,) = account.snapshots(runs[-1])
    own = account.ec2.create_snapshot(VolumeId=first["VolumeId"], Description="by hand")
    account.ec2.create_tags(Resources=[own["SnapshotId"]], Tags=first["Tags"])
    return runs, own["SnapshotId"]


def reap(account: Account) -> Any:
    answer, is_error = account.invoke("stillpoint-reaper", {})
    assert not is_error, answer
    return answer


def end_grace(account: Account, run_id: str) -> None:
    ids = [one["SnapshotId"] for one in account.snapshots(run_id)]
    account.ec2.create_tags(Resources=ids, Tags=[{"Key": DELETE_AFTER, "Value": PAST}])


def test_the_plan_has_the_reason_for_every_set(
    account: Account, operator: Operator, instance: Instance
) -> None:
    (newest, older, oldest), own = one_of_three(account, instance, "retention")

    plan = operator.json("retain", "--dry-run", "--policy", "retention")
    decisions = {(one["setId"], tuple(one["snapshotIds"])): one
                 for one in plan["regions"]["us-east-1"]["decisions"]}
    actions = {run: decisions[run, (account_id,)]["action"]["do"] for run, account_id in
               ((run, next(one["SnapshotId"] for one in account.snapshots(run)
                           if one["SnapshotId"] != own))
                for run in (newest, older, oldest))}
    assert actions == {newest: "keep", older: "mark", oldest: "mark"}
    assert decisions[oldest, (own,)]["reason"]["why"] == "notProvenOurs"
    text = operator.says("retain", "--dry-run", "--policy", "retention")
    assert "good set 1 of the 1 that stay" in text and "1 newer good sets stay" in text


def test_a_set_goes_in_two_phases_and_a_locked_one_stays(
    account: Account, instance: Instance
) -> None:
    (newest, older, oldest), own = one_of_three(account, instance, "retention-phases")

    assert reap(account)["marked"] == 2
    for run, marked in ((newest, 0), (older, 1), (oldest, 1)):
        assert sum(DELETE_AFTER in one["tags"] for one in account.snapshots(run)) == marked, run
    # Nothing goes before its grace is over.
    done = reap(account)
    assert (done["marked"], done["deleted"]) == (0, {}), done

    (locked,) = account.snapshots(older)
    account.ec2.lock_snapshot(SnapshotId=locked["SnapshotId"], LockMode="governance",
                              LockDuration=1)
    for run in (older, oldest):
        end_grace(account, run)
    done = reap(account)
    assert done["deleted"] == {"retention-phases": 1} and not done["failed"], done
    assert [one["SnapshotId"] for one in account.snapshots(oldest)] == [own]
    (kept,) = account.snapshots(older)
    assert DELETE_AFTER not in kept["tags"], "a locked set is not marked any more"

    account.ec2.unlock_snapshot(SnapshotId=locked["SnapshotId"])
    assert reap(account)["marked"] == 1
    end_grace(account, older)
    assert reap(account)["deleted"] == {"retention-phases": 1}
    assert account.snapshots(older) == []
    assert len(account.snapshots(newest)) == 1


def test_the_reaper_carries_out_what_is_asked_for_and_says_what_it_did(
    account: Account, operator: Operator, instance: Instance
) -> None:
    details = policy(instance.target, "Retention-Calm")
    details["Schedules"][0]["RetainRule"] = {"Count": 1}
    account.put_policy("retention-asked", details)
    newest, older = made(account, "retention-asked", 2)

    def marks(run: str) -> set[bool]:
        return {DELETE_AFTER in one["tags"] for one in account.snapshots(run)}

    assert (marks(newest), marks(older)) == ({False}, {False})
    done = operator.json("retain", "--yes")
    assert done["marked"] >= 1 and (done["deleted"], done["failed"]) == ({}, {}), done
    assert (marks(newest), marks(older)) == ({False}, {True})
    # Once more there is nothing to do, and a person is told so.
    assert "0 snapshots deleted, 0 not deleted; 0 sets marked, 0 unmarked" in operator.says(
        "retain", "--yes")
    # Its grace is over.
    account.ec2.create_tags(
        Resources=[one["SnapshotId"] for one in account.snapshots(older)],
        Tags=[{"Key": "stillpoint:delete-after", "Value": "2026-01-02T03:04:05.000Z"}])
    assert operator.json("retain", "--yes")["deleted"] == {"retention-asked": 1}
    assert account.snapshots(older) == [] and len(account.snapshots(newest)) == 1


def test_a_reaper_that_cannot_read_everything_changes_nothing_and_says_so(
    account: Account, operator: Operator
) -> None:
    with account.role_without("stillpoint-reaper", "reaper", "SeeWhatThereIs"):
        done = operator.does("retain", "--yes")
    assert done.returncode == 1 and "nothing was changed: UnauthorizedOperation" in done.stderr, done


def test_sets_of_dlm_are_taken_over_with_the_operators_rights(
    account: Account, operator: Operator, instance: Instance
) -> None:
    account.put_policy("retention-adopt", policy(instance.target, "Retention-Calm"))
    dlm = {"aws:dlm:lifecycle-policy-id": "policy-0123456789abcdef0",
           "aws:dlm:lifecycle-schedule-name": SCHEDULE,
           "aws:dlm:pre-script": "SUCCESS", "aws:dlm:post-script": "SUCCESS"}
    made = account.ec2.create_snapshots(
        InstanceSpecification={"InstanceId": instance.id, "ExcludeBootVolume": True},
        TagSpecifications=[{"ResourceType": "snapshot",
                            "Tags": [{"Key": key, "Value": value} for key, value in dlm.items()]}])
    ids = {one["SnapshotId"] for one in made["Snapshots"]}
    asked = ("retain", "adopt", "--from", "policy-0123456789abcdef0", "--policy", "retention-adopt")

    refused = account.operator_without("AdoptSetsOfDlm").does(*asked, "--yes")
    assert refused.returncode == 1 and "UnauthorizedOperation" in refused.stderr, refused

    assert "1 of 1 sets taken over" in operator.says(*asked, "--yes")
    (adopted,) = operator.json("retain", "--dry-run", "--policy", "retention-adopt")[
        "regions"]["us-east-1"]["decisions"]
    assert (set(adopted["snapshotIds"]), adopted["action"]["do"]) == (ids, "keep"), adopted
    (one, *_) = account.snapshots(adopted["setId"])
    assert (one["tags"]["stillpoint:consistency"], one["tags"]["stillpoint:set-size"]) == ("claimed", str(len(ids)))
    # Once more there is nothing to take over.
    assert "0 sets can be taken over" in operator.says(*asked, "--yes")
