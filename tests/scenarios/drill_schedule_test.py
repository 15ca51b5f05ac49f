"""Restore drills on a schedule, deployed as a person does it, by `make drill-schedule`'s program."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from demo.restore import wait_completed
from lab.deploy import run_deploy
from scenarios.account import Account
from scenarios.checks import until
from scenarios.conftest import Launch
from scenarios.finished import Finished
from scenarios.places import INFRA
from scenarios.policies import policy

# Deploying both takes less; a firing that is nearer would be missed.
_STACKS_S = 30
_FIRING_S = 60.0 + _STACKS_S + 30


def test_a_firing_reaches_the_restorer_under_the_schedules_role(
    account: Account, launch: Launch, agent: None
) -> None:
    finished = Finished(account.cloud.client("events"), account.cloud.client("sqs"),
                        "scenarios-scheduled-drills", "Restore Drill Finished")
    source = launch("drilled-by-schedule")
    host = launch("drill-host", volumes=[{"device": "/dev/sdf", "fs": "ext4", "mount": "/own", "size_mib": 64}])
    account.put_policy("with-a-set", policy(source.target, "Stillpoint-Filesystem"))
    made = account.run(policyId="with-a-set")
    wait_completed(account.cloud, [one["snapshotId"] for one in made["snapshots"]])

    at = datetime.now(UTC) + timedelta(seconds=60 + _STACKS_S)
    for policy_id in ("with-a-set", "without-sets"):
        said = run_deploy(account.cloud.client, INFRA, "drill", "--policy", policy_id, "--host", host.id, "--cron",
                          f"cron({at.minute} {at.hour} * * ? *)", "--verify", '{"mounts": "/dev/sdf:/data"}')
        assert "CREATE_COMPLETE Schedule" in said

    # Where there is no set to drill the restorer says so, and as nobody waits for its answer, in a letter.
    (letter,) = until(lambda: account.dead_letters("EventsDeadQueueUrl"), "the firing is a letter", _FIRING_S)
    told = json.loads(letter)
    assert told["requestPayload"] == {
        "into": "drill", "policyId": "without-sets", "hostInstanceId": host.id,
        "document": "Stillpoint-Drill", "parameters": {"mounts": "/dev/sdf:/data"}, "timeoutSeconds": 1800}
    assert "found a policy without sets" in told["responsePayload"]["errorMessage"]

    # And where there is one it is drilled, on the host that was named.
    (event,) = finished.wait(policyId="with-a-set")
    assert (event["verdict"], event["runId"], event["instanceId"]) == ("good", made["runId"], host.id), event
    for policy_id in ("with-a-set", "without-sets"):
        account.cloud.client("cloudformation").delete_stack(StackName=f"stillpoint-drill-{policy_id}")
