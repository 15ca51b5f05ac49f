"""What watches over the stack: alarms on metrics that somebody writes, and a dashboard that shows
only what is there.
"""

import json
import re

import pytest

from infra.template import POLICY, ROOT, TEMPLATE, load, of_type

STACK = load(TEMPLATE)
RESOURCES = STACK["Resources"]
POLICY_STACK = load(POLICY)
ALARMS = of_type(STACK, "AWS::CloudWatch::Alarm")
POLICY_ALARMS = of_type(POLICY_STACK, "AWS::CloudWatch::Alarm")

# Metrics of AWS that the alarms and the dashboard use; ours are looked for in the sources.
AWS_METRICS = {
    "AWS/SQS": {
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
    },
    "AWS/Lambda": {"Errors", "Throttles", "Duration"},
}


# What else is in quotes with a capital letter.
NO_METRICS = {"Records", "ParameterNotFound"}


def emitted() -> set[str]:
    """Every word in quotes in the functions: a metric that an alarm names must be one of them."""
    text = "".join(path.read_text() for path in ROOT.glob("functions/*/src/**/*.rs"))
    return set(re.findall(r'"([A-Z][A-Za-z]+)"', text))


@pytest.mark.parametrize("name", sorted(ALARMS | POLICY_ALARMS))
def test_an_alarm_says_what_to_do_and_reaches_somebody(name: str) -> None:
    alarm = (ALARMS | POLICY_ALARMS)[name]
    topic = (
        {"Ref": "AlarmTopic"}
        if name in ALARMS
        else {"Fn::ImportValue": "stillpoint-alarm-topic-arn"}
    )
    assert alarm["AlarmActions"] == [topic] == alarm["OKActions"]
    title = re.search(r'docs/RUNBOOK\.md,\s"([^"]+)"', json.dumps(alarm["AlarmDescription"]).replace('\\"', '"'))
    assert title, "the description names no chapter of the runbook"
    assert f"\n## {title[1]}\n" in (ROOT / "docs" / "RUNBOOK.md").read_text()
    text = alarm["AlarmName"]
    text = text if isinstance(text, str) else text["Fn::Sub"]
    assert text.startswith("stillpoint-"), "the topic takes alarms of that name only"


@pytest.mark.parametrize("name", sorted(ALARMS | POLICY_ALARMS))
def test_an_alarm_watches_a_metric_that_exists(name: str) -> None:
    alarm = (ALARMS | POLICY_ALARMS)[name]
    known = emitted() if alarm["Namespace"] == "Stillpoint" else AWS_METRICS[alarm["Namespace"]]
    assert alarm["MetricName"] in known


# A stage that failed is no outcome: the run says what came of it, and these ring.
TOLD_BY = {
    "PreScriptFailed": {"FailedRunsAlarm", "NoGoodSetAlarm"},
    "PostScriptFailed": {"ThawUnconfirmedAlarm", "NoGoodSetAlarm"},
    "VSSBackupFailed": {"FailedRunsAlarm", "NoGoodSetAlarm"},
}
FAILURE = re.compile(r"\w+(Failed|Missing|NotDone|Unconfirmed)")


def test_every_metric_that_tells_a_failure_has_an_alarm_and_every_alarm_its_metric() -> None:
    bad = {name for name in emitted() if FAILURE.fullmatch(name)}
    watched = {a["MetricName"] for a in (ALARMS | POLICY_ALARMS).values() if a["Namespace"] == "Stillpoint"}
    assert bad - watched == set(TOLD_BY), "nobody is told"
    assert set().union(*TOLD_BY.values()) <= set(ALARMS | POLICY_ALARMS)
    assert watched - bad == {"ApplicationConsistent"}, "whose absence is the failure"


def test_the_page_of_metrics_has_all_of_them_and_no_other() -> None:
    page = (ROOT / "docs" / "EVENTS.md").read_text().split("## Metrics")[1]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == emitted() - NO_METRICS


def test_every_dead_letter_queue_is_watched() -> None:
    dead = {name for name in of_type(STACK, "AWS::SQS::Queue") if name.endswith("DeadQueue")}
    watched = [
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"]
        for alarm in ALARMS.values()
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    ]
    assert sorted(watched) == sorted(f"{name}.QueueName" for name in dead)


# Where nothing said is itself the news.
SILENCE_IS_BAD = {"NoGoodSetAlarm", "GuardSilentAlarm"}


def test_no_metric_rings_when_there_is_nothing_to_say_but_the_missing_good_set() -> None:
    for name, alarm in (ALARMS | POLICY_ALARMS).items():
        missing = "breaching" if name in SILENCE_IS_BAD else "notBreaching"
        assert alarm["TreatMissingData"] == missing, name
    hours = POLICY_STACK["Parameters"]["GoodSetHours"]
    # CloudWatch: periods of an hour and more may look back seven days.
    assert hours["MaxValue"] * POLICY_ALARMS["NoGoodSetAlarm"]["Period"] <= 7 * 86400


def test_the_topic_takes_our_alarms_and_nothing_else() -> None:
    (policy,) = of_type(STACK, "AWS::SNS::TopicPolicy").values()
    allow, deny = policy["PolicyDocument"]["Statement"]
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert allow["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(":alarm:stillpoint-*")
    assert (deny["Effect"], deny["Condition"]) == (
        "Deny",
        {"Bool": {"aws:SecureTransport": "false"}},
    )


# --- the dashboard ----------------------------------------------------------------------------------


def dashboard() -> dict:
    (board,) = of_type(STACK, "AWS::CloudWatch::Dashboard").values()
    text = board["DashboardBody"]["Fn::Sub"]
    for name in set(re.findall(r"\$\{([^}]+)\}", text)):
        base = name.split(".")[0]
        assert base in RESOURCES or base.startswith("AWS::"), f"{name} is not in the template"
        text = text.replace("${" + name + "}", base)
    return json.loads(text)


def test_the_dashboard_is_json_without_overlaps() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in dashboard()["widgets"]:
        x, y = widget["x"], widget["y"]
        assert x + widget["width"] <= 24
        cells = {
            (column, row)
            for column in range(x, x + widget["width"])
            for row in range(y, y + widget["height"])
        }
        assert not cells & taken, widget["properties"]["title"]
        taken |= cells


def test_the_dashboard_shows_every_alarm_and_only_metrics_that_exist() -> None:
    (alarms, *rest) = dashboard()["widgets"]
    assert set(alarms["properties"]["alarms"]) == set(ALARMS)
    for widget in rest:
        last: list[str] = []
        for row in widget["properties"].get("metrics", []):
            words = [word for word in row if isinstance(word, str)]
            if not words:
                (expression,) = [part["expression"] for part in row]
                assert re.search(r'MetricName="(\w+)"', expression)[1] in emitted()
                continue
            # CloudWatch's shorthand: "." repeats one field of the row above, "..." all but the last.
            if words[0] == "...":
                words = last[: len(last) - len(words) + 1] + words[1:]
            words = [last[i] if word == "." else word for i, word in enumerate(words)]
            last = words
            namespace, metric = words[:2]
            known = emitted() if namespace == "Stillpoint" else AWS_METRICS[namespace]
            assert metric in known, (widget["properties"]["title"], metric)


def test_the_table_of_bad_runs_asks_for_what_the_runner_logs() -> None:
    (table,) = [w for w in dashboard()["widgets"] if w["type"] == "log"]
    fields = re.search(r"\| fields ([^|]+)\|", table["properties"]["query"])[1].split(",")
    source = "".join(p.read_text() for p in ROOT.glob("functions/runner/src/*.rs"))
    source += (ROOT / "shared" / "telemetry" / "src" / "emf.rs").read_text()
    for field in fields:
        if (name := field.strip()) != "@timestamp":
            assert f'"{name}"' in source, name
