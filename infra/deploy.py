"""Puts Stillpoint, a policy, its drills or the agent into an account and Region, by the AWS CLI.

Called by `make deploy`, `make policy`, `make drill-schedule` and `make publish-agent`, for people, for CI and
for the lab alike; `--endpoint-url` makes it work against anything that answers as AWS does. It shows each
resource as it is made, and ends with what failed, if something did. Python's standard library and the AWS CLI
are all it needs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

INFRA = Path(__file__).resolve().parent
PACKAGES = INFRA.parent / "target" / "package"
STACK = "stillpoint"
AGENT_PACKAGE = "StillpointAgent"
# CloudFormation takes minutes for the whole template; an hour means that it is stuck.
STACK_SECONDS_MAX = 3600.0
# As DLM has it, and infra/policy.yaml.
SCHEDULES_MAX = 4
POLL_SECONDS = 2.0


class Failed(Exception):
    """What a person has to know; printed without a trace."""


def say(text: str) -> None:
    print(f"deploy: {text}", flush=True)


class Aws:
    """The AWS CLI, always for the same endpoint and Region."""

    def __init__(self, endpoint: str | None, region: str | None) -> None:
        # Beside this Python when it is in a virtual environment, else the account owner's own.
        beside = Path(sys.executable).parent / "aws"
        found = shutil.which("aws") or (str(beside) if beside.exists() else None)
        if found is None:
            raise Failed("the AWS CLI is not installed: no program aws on the PATH")
        self._argv = [found, *(["--endpoint-url", endpoint] if endpoint else []),
                      *(["--region", region] if region else [])]
        # `aws cloudformation deploy` sends the template to S3 without looking at the option.
        self._environment = dict(os.environ, AWS_PAGER="", **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}))
        self.region = region

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One command; an error of it is a `Failed` with the CLI's own words."""
        done = subprocess.run([*self._argv, *words], capture_output=True, text=True, check=False,
                              env=self._environment)
        if check and done.returncode != 0:
            raise Failed(f"aws {' '.join(words[:2])}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def json(self, *words: str) -> Any:
        """The answer of one command."""
        return json.loads(self.run(*words, "--output", "json").stdout or "null")


def code(aws: Aws, package: Path, bucket: str | None) -> tuple[str, str]:
    """The package in S3, under a key that is its checksum: an old build is never overwritten."""
    if not package.is_file():
        raise Failed(f"PACKAGE: there is no {package}; make package makes it")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    key = f"{STACK}/{package.stem}-{digest[:16]}.zip"
    bucket = bucket or own_bucket(aws)
    if aws.run("s3api", "head-object", "--bucket", bucket, "--key", key, check=False).returncode != 0:
        say(f"copying {package.name} to s3://{bucket}/{key}")
        aws.run("s3", "cp", "--only-show-errors", str(package), f"s3://{bucket}/{key}")
    return bucket, key


def own_bucket(aws: Aws) -> str:
    """The bucket of this account and Region; made when there is none. S3 keeps it private and encrypted."""
    account = aws.json("sts", "get-caller-identity")["Account"]
    bucket = f"{STACK}-{account}-{aws.region}"
    if aws.run("s3api", "head-bucket", "--bucket", bucket, check=False).returncode != 0:
        say(f"making the bucket {bucket}")
        aws.run("s3", "mb", f"s3://{bucket}")
    return bucket


def publish_agent(aws: Aws, options: argparse.Namespace) -> None:
    """The Distributor package StillpointAgent, and a command that installs without Distributor."""
    folder = PACKAGES / "distributor"
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise Failed(f"there is no {manifest}; make package makes it")
    version = json.loads(manifest.read_text())["version"]
    bucket = options.bucket or own_bucket(aws)
    # Under the checksum of its manifest: what an instance is installing is never exchanged.
    prefix = f"{STACK}/agent-{version}-{hashlib.sha256(manifest.read_bytes()).hexdigest()[:16]}"
    agents = sorted(PACKAGES.glob("stillpoint-agent-*"))
    for path in [manifest, *folder.glob("*.zip"), *agents]:
        say(f"copying {path.name} to s3://{bucket}/{prefix}/")
        aws.run("s3", "cp", "--only-show-errors", str(path), f"s3://{bucket}/{prefix}/{path.name}")
    words = ["--name", AGENT_PACKAGE, "--content", f"file://{manifest}", "--version-name", version,
             "--attachments", f"Key=SourceUrl,Values=s3://{bucket}/{prefix}"]
    if aws.run("ssm", "describe-document", "--name", AGENT_PACKAGE, check=False).returncode != 0:
        aws.run("ssm", "create-document", "--document-type", "Package", *words)
    else:
        done = aws.run("ssm", "update-document", "--document-version", "$LATEST", *words, check=False)
        if done.returncode != 0 and "Duplicate" not in done.stderr:
            raise Failed(f"aws ssm update-document: {done.stderr.strip()}")
        latest = aws.json("ssm", "describe-document", "--name", AGENT_PACKAGE)["Document"]["LatestVersion"]
        aws.run("ssm", "update-document-default-version", "--name", AGENT_PACKAGE, "--document-version", latest)
    say(f"published {AGENT_PACKAGE} {version}")
    for path in agents:
        url = aws.run("s3", "presign", f"s3://{bucket}/{prefix}/{path.name}").stdout.strip()
        say(f"{path.name}: for an hour, url={url} sha256={hashlib.sha256(path.read_bytes()).hexdigest()}")


def deploy(aws: Aws, stack: str, template: Path, parameters: dict[str, str], bucket: str | None) -> None:
    """`aws cloudformation deploy`, with the change set executed here, so that progress is seen."""
    words = ["cloudformation", "deploy", "--stack-name", stack, "--template-file", str(template),
             "--capabilities", "CAPABILITY_IAM", "--no-execute-changeset",
             "--no-fail-on-empty-changeset"]
    # Larger than 51,200 bytes a template has to come from S3.
    words += ["--s3-bucket", bucket, "--s3-prefix", STACK] if bucket else []
    given = [f"{name}={value}" for name, value in parameters.items()]
    done = aws.run(*words, "--parameter-overrides", *given) if given else aws.run(*words)
    change_set = re.search(r"--change-set-name (\S+)", done.stdout)
    if change_set is None:
        say(f"{stack}: nothing has changed")
        return
    say(f"{stack}: {'making' if is_new(aws, stack) else 'updating'}")
    aws.run("cloudformation", "execute-change-set", "--stack-name", stack,
            "--change-set-name", change_set[1])
    follow(aws, stack)


def is_new(aws: Aws, stack: str) -> bool:
    return status(aws, stack) == "REVIEW_IN_PROGRESS"


def status(aws: Aws, stack: str) -> str:
    return str(aws.json("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"][0]["StackStatus"])


def follow(aws: Aws, stack: str) -> None:
    """Shows what becomes of each resource until the stack is done."""
    seen: set[str] = set()
    failed: list[str] = []
    give_up = time.monotonic() + STACK_SECONDS_MAX
    while True:
        # Asked before the events, so that a finished stack's last events are among them.
        now = status(aws, stack)
        events = aws.json("cloudformation", "describe-stack-events", "--stack-name", stack,
                          "--max-items", "200")["StackEvents"]
        for event in reversed(events):
            if event["EventId"] in seen:
                continue
            seen.add(event["EventId"])
            what = f"{event['ResourceStatus']} {event['LogicalResourceId']}"
            if event["ResourceStatus"].endswith("_FAILED"):
                failed.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}")
            if not event["ResourceStatus"].endswith("_IN_PROGRESS"):
                say(f"  {what}")
        if not now.endswith("_IN_PROGRESS"):
            break
        if time.monotonic() > give_up:
            raise Failed(f"the stack {stack} is {now} for an hour: look at it in the console")
        time.sleep(POLL_SECONDS)
    if now not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise Failed(f"the stack {stack} is {now}: {'; '.join(failed) or 'see its events'}")


def outputs(aws: Aws, stack: str) -> dict[str, str]:
    found = aws.json("cloudformation", "describe-stacks", "--stack-name", stack)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}


def deploy_stack(aws: Aws, options: argparse.Namespace) -> None:
    """infra/template.yaml with the packaged functions."""
    parameters = assignments(options.parameters)
    architecture = next((a for a in ("arm64", "x86_64") if options.package.stem.endswith(a)), None)
    if architecture is None:
        raise Failed(f"PACKAGE: found {options.package.name}, allowed functions-arm64.zip or functions-x86_64.zip")
    bucket, key = code(aws, options.package, options.bucket)
    parameters = {"CodeBucket": bucket, "CodeKey": key, "Architecture": architecture} | parameters
    deploy(aws, STACK, INFRA / "template.yaml", parameters, bucket)
    for name, value in outputs(aws, STACK).items():
        say(f"{name}: {value}")


def deploy_policy(aws: Aws, options: argparse.Namespace) -> None:
    """infra/policy.yaml with a policy file, whose name without .json is the policy's id."""
    path: Path = options.file
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise Failed(f"FILE: {path}: {error}") from error
    policy_id = path.stem
    parameters = policy_parameters(document, path, options.schedule) | {
        "PolicyId": policy_id,
        # The Policy object without what its stack has in its own name.
        "PolicyDocument": json.dumps(bare(document), separators=(",", ":")),
    } | assignments(options.parameters)
    deploy(aws, stack_of("policy", policy_id), INFRA / "policy.yaml", parameters, None)


def bare(document: dict[str, Any]) -> dict[str, Any]:
    """The PolicyDetails and the Stillpoint object, whichever of the three forms the document has."""
    policy = document.get("Policy", document)
    details = policy.get("PolicyDetails", policy)
    extension = document.get("Stillpoint", policy.get("Stillpoint"))
    return details if extension is None else details | {"Stillpoint": extension}


def policy_parameters(document: dict[str, Any], path: Path, only: str | None) -> dict[str, str]:
    """Names, expressions and time zone of the schedules, as the policy's stack takes them."""
    details = bare(document)
    schedules = details.get("Schedules", [])
    if details.get("PolicyLanguage") == "SIMPLIFIED":
        schedules = [{"Name": "Default", "CreateRule": {"Interval": 24, "IntervalUnit": "HOURS"}}]
    named = [(one.get("Name", f"Schedule {n}"), one.get("CreateRule", {})) for n, one in enumerate(schedules, 1)]
    chosen = [(name, expression(rule)) for name, rule in named if only in (None, name)]
    if not 1 <= len(chosen) <= SCHEDULES_MAX:
        raise Failed(f"FILE: {path}: a policy has 1 to {SCHEDULES_MAX} schedules, found {len(chosen)}"
                     + (f" of the name {only} among {[name for name, _ in named]}" if only else ""))
    parameters = {"TimeZone": details.get("Stillpoint", {}).get("TimeZone", "UTC")}
    for n, (name, cron) in enumerate(chosen, 1):
        if cron is None:
            raise Failed(f"FILE: {path}: schedule {name}: found neither CronExpression nor Interval")
        suffix = "" if n == 1 else str(n)
        parameters |= {f"ScheduleName{suffix}": name, f"ScheduleExpression{suffix}": cron}
    return parameters


def expression(rule: dict[str, Any]) -> str | None:
    """What EventBridge Scheduler takes: the CronExpression, or the Interval written out."""
    if "CronExpression" in rule:
        return str(rule["CronExpression"])
    every = rule.get("Interval")
    if not isinstance(every, int) or not 1 <= every <= 24 or 24 % every:
        return None
    hour, minute = (int(part) for part in (rule.get("Times") or ["00:00"])[0].split(":"))
    hours = sorted((hour + n * every) % 24 for n in range(24 // every))
    return f"cron({minute} {'*' if every == 1 else ','.join(map(str, hours))} * * ? *)"


def deploy_drill(aws: Aws, options: argparse.Namespace) -> None:
    """infra/drill.yaml for a policy; what is left out has the template's default."""
    parameters = {"PolicyId": options.policy, "HostInstanceId": options.host}
    if options.cron:
        parameters["ScheduleExpression"] = options.cron
    if options.verify:
        parameters["DocumentParameters"] = document_parameters(options.verify)
    parameters |= assignments(options.parameters)
    deploy(aws, stack_of("drill", options.policy), INFRA / "drill.yaml", parameters, None)


def document_parameters(text: str) -> str:
    """The object as the stack takes it: without the blanks that a person writes."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Failed(f'VERIFY: found {text}, allowed an object of texts such as {{"application":"postgresql"}}')
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def stack_of(kind: str, policy_id: str) -> str:
    return re.sub(r"[^0-9A-Za-z-]", "-", f"{STACK}-{kind}-{policy_id}")


def default_package() -> Path:
    """arm64, which is cheaper, unless only the other was built."""
    arm, intel = PACKAGES / "functions-arm64.zip", PACKAGES / "functions-x86_64.zip"
    return intel if intel.exists() and not arm.exists() else arm


def assignments(words: list[str]) -> dict[str, str]:
    for word in words:
        if "=" not in word:
            raise Failed(f"PARAMETERS: found {word}, allowed Name=Value")
    return dict(word.split("=", 1) for word in words)


def main(arguments: list[str] | None = None) -> int:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--endpoint-url")
    shared.add_argument("--region", default=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    shared.add_argument("parameters", nargs="*", metavar="Name=Value", help="parameters of the template")
    parser = argparse.ArgumentParser(prog="deploy.py", description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    stack = verbs.add_parser("stack", parents=[shared])
    stack.add_argument("--bucket", help="for the code; made when not given")
    stack.add_argument("--package", type=Path, default=default_package())
    stack.set_defaults(verb=deploy_stack)
    agent = verbs.add_parser("agent", parents=[shared])
    agent.add_argument("--bucket", help="for its files; made when not given")
    agent.set_defaults(verb=publish_agent)
    policy = verbs.add_parser("policy", parents=[shared])
    policy.add_argument("--file", type=Path, required=True)
    policy.add_argument("--schedule", help="its name, when the document has several")
    policy.set_defaults(verb=deploy_policy)
    drill = verbs.add_parser("drill", parents=[shared])
    drill.add_argument("--policy", required=True, help="the id of the policy whose sets are drilled")
    drill.add_argument("--host", required=True, help="the instance that copies are verified on")
    drill.add_argument("--cron", help="when")
    drill.add_argument("--verify", help="the parameters of the document that verifies, a JSON object")
    drill.set_defaults(verb=deploy_drill)
    options = parser.parse_args(arguments)
    try:
        aws = Aws(options.endpoint_url, options.region)
        if aws.region is None:
            aws.region = aws.run("configure", "get", "region", check=False).stdout.strip() or None
        if aws.region is None:
            raise Failed("no Region: set AWS_REGION, or aws configure set region")
        verb: Callable[[Aws, argparse.Namespace], None] = options.verb
        verb(aws, options)
    except Failed as failed:
        print(f"deploy: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
