"""Deploys the product into a running lab as an account would: zip to S3, infra/ to CloudFormation.

Used by `python -m lab deploy` and the lab's own tests; it only speaks AWS's API through boto3.
"""

from __future__ import annotations

import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .config import REGION
from .server import READY_FILE

STACK = "stillpoint"
STACK_SECONDS = 120.0


def session(state: Path) -> Callable[[str], Any]:
    """service name -> boto3 client of the lab in `state`, with the account's root key."""
    import boto3
    from botocore.config import Config

    endpoint = json.loads((state / READY_FILE).read_text())["endpoint"]
    made = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    config = Config(
        proxies={}, s3={"addressing_style": "path"}, read_timeout=120, retries={"mode": "standard"}
    )
    return lambda service: made.client(service, endpoint_url=endpoint, config=config)


def code_zip(bootstrap: Path) -> bytes:
    """A Lambda zip of the executable without its debug information, most of a dev build."""
    with tempfile.TemporaryDirectory() as scratch:
        stripped = Path(scratch) / "bootstrap"
        subprocess.run(["strip", "-o", stripped, bootstrap], check=True)
        data = stripped.read_bytes()
    return zip_of(data)


def zip_of(bootstrap: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, bootstrap)
    return buffer.getvalue()


def create_stack(
    client: Callable[[str], Any], name: str, template: Path, parameters: dict[str, str]
) -> dict[str, str]:
    """Create a stack, wait for it, and return its outputs."""
    formation = client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateBody=template.read_text(),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
    )
    deadline = time.monotonic() + STACK_SECONDS
    while True:
        stack = formation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or time.monotonic() > deadline:
            reasons = [
                f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}"
                for e in formation.describe_stack_events(StackName=name)["StackEvents"]
                if "FAILED" in e["ResourceStatus"]
            ]
            raise RuntimeError(f"the stack {name} is {stack['StackStatus']}: {'; '.join(reasons)}")
        time.sleep(0.2)


def deploy_product(
    client: Callable[[str], Any],
    bootstrap: Path,
    infra: Path,
    parameters: dict[str, str] | None = None,
) -> dict[str, str]:
    """infra/template.yaml with the built bootstrap, by the same program as `make deploy`."""
    architecture = "arm64" if platform.machine() == "aarch64" else "x86_64"
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch) / f"functions-{architecture}.zip"
        package.write_bytes(code_zip(bootstrap))
        given = [f"{name}={value}" for name, value in (parameters or {}).items()]
        run_deploy(client, infra, "stack", "--package", str(package), *given)
    stack = client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def run_deploy(client: Callable[[str], Any], infra: Path, *arguments: str) -> str:
    """infra/deploy.py against this lab, and what it said."""
    # Nothing of the developer's own account may reach it.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
        # The CLI of this virtual environment, whatever else the machine has.
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    }
    verb, *rest = arguments
    endpoint = client("cloudformation").meta.endpoint_url
    argv = [sys.executable, str(infra / "deploy.py"), verb, "--endpoint-url", endpoint, "--region", REGION, *rest]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"infra/deploy.py {verb}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def deploy_policy(
    client: Callable[[str], Any], infra: Path, policy_id: str, document: dict[str, Any]
) -> dict[str, str]:
    """infra/policy.yaml for the schedules of a policy document, which have CronExpressions."""
    parameters = {"PolicyId": policy_id, "PolicyDocument": json.dumps(document)}
    for n, schedule in enumerate(document["Schedules"], 1):
        suffix = "" if n == 1 else str(n)
        parameters[f"ScheduleName{suffix}"] = schedule["Name"]
        parameters[f"ScheduleExpression{suffix}"] = schedule["CreateRule"]["CronExpression"]
    return create_stack(client, f"{STACK}-{policy_id}", infra / "policy.yaml", parameters)


def deploy(
    state: Path, bootstrap: Path, infra: Path, policy: Path | None, say: Callable[[str], None]
) -> int:
    """The verb: the product, and a policy file when one is given (its stem is the policy's id)."""
    client = session(state)
    say("deploying the functions, queues, roles and documents")
    for name, value in deploy_product(client, bootstrap, infra).items():
        say(f"  {name}: {value}")
    if policy is not None:
        say(f"deploying the policy {policy.stem}")
        deploy_policy(client, infra, policy.stem, json.loads(policy.read_text()))
    return 0
