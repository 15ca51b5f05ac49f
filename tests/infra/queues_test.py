"""The queues: who may send to them, how long they keep what, and who reads what was given up."""

from __future__ import annotations

from infra.stack import FUNCTIONS, POLICY_STACK, QUEUES, SOURCES, STACK
from infra.template import DRILL, as_list, load, of_type


def test_only_the_rules_may_send_to_their_queues() -> None:
    policies = of_type(STACK, "AWS::SQS::QueuePolicy").values()
    allowed = [s for p in policies for s in p["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    sends = set()
    for statement in allowed:
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        (rules,) = statement["Condition"]["ArnEquals"].values()
        # The hub's rule is there with the hub.
        named = [one["Fn::If"][1] if "Fn::If" in one else one for one in as_list(rules)]
        sends |= {(rule["Fn::GetAtt"], queue["Fn::GetAtt"])
                  for rule in named for queue in as_list(statement["Resource"])}
    wanted = set()
    for name, rule in of_type(STACK, "AWS::Events::Rule").items():
        for target in rule["Targets"]:
            queues = [target["DeadLetterConfig"]["Arn"], target["Arn"]]
            wanted |= {(f"{name}.Arn", one["Fn::GetAtt"]) for one in queues
                       if one.get("Fn::GetAtt", "").endswith("Queue.Arn")}
    assert sends == wanted


def test_every_queue_refuses_what_is_not_encrypted_on_its_way() -> None:
    refusing = set()
    for policy in of_type(STACK, "AWS::SQS::QueuePolicy").values():
        (deny,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
        assert (deny["Principal"], deny["Action"]) == ("*", "sqs:*")
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        named = {queue["Ref"] for queue in policy["Queues"]}
        assert {arn["Fn::GetAtt"] for arn in deny["Resource"]} == {f"{name}.Arn" for name in named}
        refusing |= named
    assert refusing == set(QUEUES)


def test_a_message_stays_hidden_while_its_runner_may_live() -> None:
    runs, source = QUEUES["RunsQueue"], SOURCES["RunnerSource"]
    limit_s = FUNCTIONS["Runner"]["Timeout"]
    assert runs["VisibilityTimeout"] > limit_s + source["MaximumBatchingWindowInSeconds"]
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # The bound that makes a visibility timeout below six function timeouts safe.
    assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
    tries_s = runs["VisibilityTimeout"] * runs["RedrivePolicy"]["maxReceiveCount"]
    assert tries_s < runs["MessageRetentionPeriod"], "a message would expire before it is given up"


def test_every_dead_letter_of_a_run_reaches_the_guard() -> None:
    letters = {name: s for name, s in SOURCES.items() if name != "RunnerSource"}
    read = {s["EventSourceArn"]["Fn::GetAtt"].removesuffix(".Arn") for s in letters.values()}
    # What is in the last one is no run; a person reads it.
    assert read == {name for name in QUEUES if name.endswith("DeadQueue")} - {"EventsDeadQueue"}
    for source in letters.values():
        assert source["FunctionName"] == {"Ref": "Guard"}
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    for queue in read:
        assert QUEUES[queue]["VisibilityTimeout"] > FUNCTIONS["Guard"]["Timeout"]


def test_what_is_given_up_is_kept_longer_than_what_waits() -> None:
    dead = {name for name in QUEUES if name.endswith("DeadQueue")}
    assert dead == {"RunsDeadQueue", "RequestsDeadQueue", "FiringsDeadQueue", "EventsDeadQueue"}
    for name in dead:
        kept_s = QUEUES[name]["MessageRetentionPeriod"]
        assert kept_s > QUEUES["RunsQueue"]["MessageRetentionPeriod"], name
    for name, queue in QUEUES.items():
        assert queue["SqsManagedSseEnabled"] is True, name


def test_every_target_of_a_rule_or_schedule_has_a_dead_letter_queue() -> None:
    targets = {name: target for name, rule in of_type(STACK, "AWS::Events::Rule").items()
               for target in rule["Targets"]}
    targets |= {name: one["Target"]
                for stack in (STACK, POLICY_STACK, load(DRILL))
                for name, one in of_type(stack, "AWS::Scheduler::Schedule").items()}
    queues = {name: target.get("DeadLetterConfig", {}).get("Arn") for name, target in targets.items()}
    dead = [{"Fn::GetAtt": f"{name}.Arn"} for name in QUEUES if name.endswith("DeadQueue")]
    exported = [{"Fn::ImportValue": o["Export"]["Name"]} for o in STACK["Outputs"].values()
                if "Export" in o and o["Value"] in dead]
    assert [name for name, queue in queues.items() if queue not in dead + exported] == []
    # Firings get their outcome from the guard, whoever asked for them.
    assert queues["FiringRequestedRule"] == {"Fn::GetAtt": "FiringsDeadQueue.Arn"}
