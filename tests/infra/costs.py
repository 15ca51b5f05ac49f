"""What Stillpoint costs: AWS's list prices times what the templates deploy and a run does.

Prints the tables of docs/COSTS.md, which a test compares:

    cd tests && ../.venv/bin/python -m infra.costs

Counts that the templates have are read from them. What a run writes is in RUN, which the lab holds
against a real run (tests/scenarios/costs_test.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from infra.template import POLICY, TEMPLATE, load, of_type

HOURS = 720
MINUTES = HOURS * 60
MILLION = 1_000_000


class Price(NamedTuple):
    """US dollars for one unit in us-east-1, beyond what is free, and where that was read."""

    dollars: float
    unit: str
    free: str
    source: str
    as_of: str


# Read on 2026-11-26. AWS's own pages fill in their figures by script, so that what could be read of them has
# the rules and the free tiers; the figures are from pages that repeat them for us-east-1, of the date given.
PRICES = {
    "alarm": Price(0.10, "standard alarm, month", "10 alarms", "https://c3x.dev/resources/aws/aws_cloudwatch_metric_alarm", "undated"),
    "metric": Price(0.30, "custom metric, month, by the hour", "10 metrics", "https://signoz.io/guides/cloudwatch-pricing", "February 2026"),
    "dashboard": Price(3.00, "dashboard, month", "3 dashboards", "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/", "June 2026"),
    "log": Price(0.50, "GB of logs taken in", "5 GB", "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/", "June 2026"),
    "event": Price(1.00 / MILLION, "custom event", "none", "https://cloudburn.io/blog/amazon-eventbridge-pricing", "March 2026"),
    "firing": Price(1.00 / MILLION, "invocation by EventBridge Scheduler", "14 million a month", "https://cloudburn.io/blog/amazon-eventbridge-pricing", "March 2026"),
    "request": Price(0.40 / MILLION, "request to a standard queue", "1 million a month", "https://cloudburn.io/blog/amazon-sqs-pricing", "March 2026"),
    "write": Price(0.625 / MILLION, "write request unit (1 KB)", "none on demand", "https://airbyte.com/data-engineering-resources/dynamodb-pricing", "undated"),
    "read": Price(0.125 / MILLION, "read request unit (4 KB)", "none on demand", "https://airbyte.com/data-engineering-resources/dynamodb-pricing", "undated"),
    "invocation": Price(0.20 / MILLION, "invocation", "1 million a month", "https://git.mcrn.ar/mariano/lambda_local_runner/src/branch/main/docs/lambdas-md/lambda-13-cost.md", "May 2026"),
    "second": Price(0.0000133334, "GB-second on arm64", "400,000 a month", "https://cloudchipr.com/blog/aws-lambda-pricing", "2024"),
}

# An idle queue with an event source is asked by five connections, each of which waits for 20 s
# (https://aws.amazon.com/blogs/compute/understanding-how-aws-lambda-scales-when-subscribed-to-amazon-sqs-queues/
# has the five; SQS's guide the 20 s at most). AWS promises neither number.
POLLERS, LONG_POLL_S = 5, 20


class Run(NamedTuple):
    """What one run with scripts does: one volume, alone in its batch, and nothing going wrong."""

    saves: int  # writes of its item, the planner's included
    item_kb: int  # its size at the end
    events: int  # requested, finished, and a notification for each of two stages
    seconds: float
    log_kb: float


RUN = Run(saves=4, item_kb=3, events=4, seconds=10.0, log_kb=4.0)
# The metrics of a nightly policy with scripts: the runner's, and the planner's ResourcesTargeted.
POLICY_METRICS = 13
# Seconds of a function that looks and finds nothing; generous, and not measured in AWS.
IDLE_S = 1.0
IDLE_LOG_KB = 0.7


def index_writes(run: Run) -> int:
    """Units for the ledger's indexes, whose entries are below 1 KB: a changed key is a deletion and a write."""
    # The first save writes the entry, the last one takes it out, each between them moves it.
    due = 1 + 2 * (run.saves - 2) + 1
    # At most: a save that changes nothing of the row writes nothing here.
    by_day = run.saves
    return due + by_day


def sweeps() -> dict[str, float]:
    """Firings a month of each function that looks by itself."""
    stack = load(TEMPLATE)
    every = {"1 minute": 1, "5 minutes": 5, "10 minutes": 10, "15 minutes": 15}
    rules = of_type(stack, "AWS::Events::Rule") | of_type(stack, "AWS::Scheduler::Schedule")
    rates = {name: one["ScheduleExpression"] for name, one in rules.items() if "ScheduleExpression" in one}
    return {name: MINUTES / every[rate.removeprefix("rate(").removesuffix(")")] for name, rate in rates.items()}


def fixed() -> list[tuple[str, str, float]]:
    """What is paid a month when nothing happens; free tiers not taken off."""
    stack = load(TEMPLATE)
    alarms = len(of_type(stack, "AWS::CloudWatch::Alarm"))
    sources = len(of_type(stack, "AWS::Lambda::EventSourceMapping"))
    memory_gb = max(one["MemorySize"] for one in of_type(stack, "AWS::Lambda::Function").values()) / 1024
    memory = f"{memory_gb:g} GB"
    polls = sources * POLLERS * MINUTES * 60 / LONG_POLL_S
    looks = sum(sweeps().values())
    return [
        ("alarms", f"{alarms}", alarms * price("alarm")),
        ("dashboard", "1", price("dashboard")),
        ("metric RunsMissing", "1, in every hour", price("metric")),
        ("empty receives of queues", f"{sources} event sources x {POLLERS} connections, one in {LONG_POLL_S} s: {polls:,.0f}",
         polls * price("request")),
        ("functions that look and find nothing", f"{looks:,.0f} invocations of {IDLE_S:g} s, {memory}",
         looks * (price("invocation") + IDLE_S * memory_gb * price("second"))),
        ("their logs", f"{looks * IDLE_LOG_KB / 1e6:.2f} GB", looks * IDLE_LOG_KB / 1e6 * price("log")),
        ("guard: what is overdue", f"{MINUTES:,} queries of an empty index", MINUTES * price("read")),
        ("guard's schedule", f"{MINUTES:,} firings", MINUTES * price("firing")),
    ]


def policy() -> list[tuple[str, str, float]]:
    """What one policy adds a month that fires once a night."""
    alarms = len(of_type(load(POLICY), "AWS::CloudWatch::Alarm"))
    hours = 30
    return [
        ("alarm", f"{alarms}", alarms * price("alarm")),
        ("metrics", f"{POLICY_METRICS}, in {hours} of {HOURS} hours", POLICY_METRICS * hours / HOURS * price("metric")),
    ]


def million_runs(run: Run = RUN) -> list[tuple[str, str, float]]:
    """What a million runs cost, each alone in its batch."""
    table, indexes = run.saves * run.item_kb, index_writes(run)
    memory_gb = of_type(load(TEMPLATE), "AWS::Lambda::Function")["Runner"]["MemorySize"] / 1024
    return [
        ("EventBridge", f"{run.events} events", MILLION * run.events * price("event")),
        ("SQS", "send, receive, delete", MILLION * 3 * price("request")),
        ("DynamoDB, the run's item", f"{run.saves} writes of up to {run.item_kb} KB: {table} units", MILLION * table * price("write")),
        ("DynamoDB, the ledger's two indexes", f"{indexes} units", MILLION * indexes * price("write")),
        ("DynamoDB, the budget", "1 write and 1 read", MILLION * (price("write") + price("read"))),
        ("DynamoDB, reads of the item", "1 of up to 4 KB", MILLION * price("read")),
        ("Lambda", f"{run.seconds:g} s, {memory_gb:g} GB", MILLION * (price("invocation") + run.seconds * memory_gb * price("second"))),
        ("logs", f"{run.log_kb:g} KB", MILLION * run.log_kb / 1e6 * price("log")),
    ]


def price(name: str) -> float:
    return PRICES[name].dollars


def table(head: tuple[str, str, str], rows: list[tuple[str, str, float]]) -> str:
    rows = [*rows, ("**together**", "", math.fsum(row[2] for row in rows))]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {count} | ${dollars:.2f} |" for what, count, dollars in rows)])


def sources() -> str:
    """The prices, in the units of a price list."""
    lines = ["| price | | free | read in | of |", "|---|---|---|---|---|"]
    for one in PRICES.values():
        million = one.dollars < 0.00001
        dollars = f"{one.dollars * MILLION:g} a million" if million else f"{one.dollars:.7f}".rstrip("0").rstrip(".")
        lines.append(f"| ${dollars} | {one.unit} | {one.free} | <{one.source}> | {one.as_of} |")
    return "\n".join(lines)


def tables() -> dict[str, str]:
    """Everything that docs/COSTS.md shows, by the name of its place in the page."""
    return {
        "fixed": table(("what", "how much", "a month"), fixed()),
        "policy": table(("what", "how much", "a month"), policy()),
        "run": table(("what", "how much", "a million runs"), million_runs()),
        "prices": sources(),
    }


if __name__ == "__main__":
    print("\n\n".join(f"<!-- {name} -->\n{text}" for name, text in tables().items()))
