"""What a function or a command can call: the SDK operations that its sources reach, as IAM actions.

Read from the Rust sources, since shared/aws is the only room that names the SDK and has one shape:
methods of `Cloud` that send requests. A function reaches a method when it, or shared/drive if it
is built with that, calls it on one of the names that drivers give to the outside; methods reach each other by `self`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from infra.template import ROOT

# Field of Cloud -> the prefix of IAM's actions.
CLIENTS = {
    "ec2": "ec2",
    "ec2_once": "ec2",
    "ec2_in": "ec2",
    "ec2_once_in": "ec2",
    "ssm": "ssm",
    "ssm_once": "ssm",
    "ssm_poll": "ssm",
    "events": "events",
    "dynamodb": "dynamodb",
    "lambda": "lambda",
    "scheduler": "scheduler",
    "cloudwatch": "cloudwatch",
    "sqs": "sqs",
}

# The sources that hold a subcommand's calls: its own, and those of the rooms that it hands the cloud to.
CLI = ROOT / "cli" / "src"
_PLANNER = ROOT / "functions" / "planner" / "src" / "handler.rs"
_UPKEEP = ROOT / "shared" / "upkeep" / "src"
_PLAN = [CLI / "plan.rs", _PLANNER]
_RESTORE = [CLI / "restore.rs", CLI / "restore" / "follow.rs", _UPKEEP / "jobs" / "prepare.rs"]
COMMANDS = {
    "plan": _PLAN,
    "run": [*_PLAN, CLI / "run.rs"],
    "runs": [CLI / "runs.rs"],
    "show": [CLI / "show.rs"],
    "doctor": [*_PLAN, CLI / "doctor.rs", *sorted((CLI / "doctor").glob("*.rs"))],
    "retain": [CLI / "retain.rs", _UPKEEP / "retention.rs", _UPKEEP / "rules.rs"],
    "retain adopt": [CLI / "retain" / "adopt.rs", _UPKEEP / "adopt.rs"],
    "restore": _RESTORE,
    "drill": _RESTORE,
}

# The parts of shared/upkeep that a function uses.
UPKEEP = {
    "reaper": ["reaper.rs", "retention.rs", "rules.rs"],
    "lifecycle": ["lifecycle/mod.rs", "rules.rs"],
    "restorer": ["jobs/mod.rs", "jobs/perform.rs", "jobs/prepare.rs"],
}

_METHOD = re.compile(r"^\s*(?:pub(?:\([a-z]+\))? )?async fn (\w+)", re.MULTILINE)
_CALL = re.compile(rf"self\s*\.({'|'.join(CLIENTS)})(?:\(region\))?\s*\.(\w+)\(\)")
_OWN = re.compile(r"self\s*\.(\w+)\(")
_OUTSIDE = re.compile(
    r"\b(?:cloud|outside|account|batch|store)(?:\(\)\s*\.await\?)?\s*\.(\w+)(?:::<[^>]*>)?\("
)


def _text(folder: Path) -> str:
    return _code(sorted(folder.glob("**/*.rs")))


def _code(paths: Iterable[Path]) -> str:
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return "\n".join(line for line in lines if not line.lstrip().startswith("//"))


def _methods() -> dict[str, str]:
    """Name -> body of every async method in shared/aws; bodies of one name are joined."""
    text = _text(ROOT / "shared" / "aws" / "src")
    starts = list(_METHOD.finditer(text))
    ends = [start.start() for start in starts[1:]] + [len(text)]
    found: dict[str, str] = {}
    for start, end in zip(starts, ends, strict=True):
        found[start[1]] = found.get(start[1], "") + text[start.start() : end]
    return found


def _action(client: str, operation: str) -> str:
    return f"{CLIENTS[client]}:{''.join(word.capitalize() for word in operation.split('_'))}"


def operations(handler: str) -> set[str]:
    """The IAM actions of the operations that functions/<handler> reaches."""
    folder = ROOT / "functions" / handler
    text = _text(folder / "src")
    needs = tomllib.loads((folder / "Cargo.toml").read_text())["dependencies"]
    # The planner has drive's shapes and drives nothing.
    if "stillpoint-drive" in needs and re.search(r"\badvance\(|\bBatch\b", text):
        text += _text(ROOT / "shared" / "drive" / "src")
    return _reached(text + _code(_UPKEEP / part for part in UPKEEP.get(handler, [])))


def operations_of_command(name: str) -> set[str]:
    """The IAM actions of the operations that this subcommand reaches."""
    return _reached(_code(COMMANDS[name]))


def calls_the_outside(path: Path) -> bool:
    """Whether a source has any call of AWS's."""
    return bool(set(_OUTSIDE.findall(_code([path]))) & set(_methods()))


def _reached(text: str) -> set[str]:
    methods = _methods()
    todo, seen, found = set(_OUTSIDE.findall(text)) & set(methods), set(), set()
    while todo:
        name = todo.pop()
        seen.add(name)
        found |= {_action(*call) for call in _CALL.findall(methods[name])}
        todo |= (set(_OWN.findall(methods[name])) & set(methods)) - seen
    return found
