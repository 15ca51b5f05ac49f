"""What this folder uses of ministack and moto: checked at start, with their environment set before.

Both projects move their internals between patch releases; a lab that starts has the ones that
the code was written against.
"""

from __future__ import annotations

import importlib
import os
from importlib.metadata import version
from pathlib import Path

from ..config import ACCOUNT, REGION, Lab

VERSIONS = {"ministack": "1.5.33", "moto": "5.2.5", "botocore": "1.43.106"}

# module -> attributes of it that are called or replaced below.
TOUCH_POINTS = {
    "ministack.app": ["app", "SERVICE_HANDLERS", "pin_request_origin"],
    "ministack.core.iam_actions": ["extract_resource_arn"],
    "ministack.core.iam_evaluator": ["enforce", "_request_origin"],
    "ministack.core.responses": ["set_request_account_id", "set_request_region"],
    "ministack.services.eventbridge": [
        "_put_events",
        "_dispatch_to_lambda",
        "_invoke_target",
        "_parse_rate_seconds",
        "_parse_cron_fields",
        "_cron_next_fire",
    ],
    "ministack.services.lambda_svc": [
        "_get_func_record_for_ref",
        "_execution_record_for_config",
        "invoke_async_with_retry",
    ],
    "ministack.services.scheduler": [
        "_schedules",
        "_tick_schedules",
        "_at_time_epoch",
        "_to_epoch",
        "_SCHEDULE_TICK_INTERVAL",
    ],
    "ministack.services.cloudformation.provisioners": ["_RESOURCE_HANDLERS"],
    "moto.core.request": ["Request"],
    "moto.core.exceptions": ["ServiceException"],
    "moto.core.responses": ["ActionResult"],
    "moto.ec2.exceptions": ["EC2ClientError"],
    "moto.ec2.models": ["ec2_backends"],
    "moto.ec2.models.elastic_block_store": ["EBSBackend"],
    "moto.ec2.models.instances": ["Instance", "InstanceBackend"],
    "moto.ec2.models.tags": ["TagBackend"],
    "moto.ec2.responses": ["EC2Response"],
    "moto.ssm.models": ["ssm_backends"],
    "moto.ssm.responses": ["SimpleSystemManagerResponse"],
}


def prepare_environment(lab: Lab, scratch: Path) -> None:
    """Set what both projects read at import time; must run before anything imports them."""
    os.environ.update(
        AUTH="true",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(lab.port),
        AWS_ENDPOINT_URL=lab.endpoint,
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
        MOTO_ACCOUNT_ID=ACCOUNT,
        AWS_DEFAULT_REGION=REGION,
        AWS_REGION=REGION,
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        MOTO_EC2_LOAD_DEFAULT_AMIS="false",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        LAMBDA_EXECUTOR="local",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "INFO"),
        TMPDIR=str(scratch),
        NO_PROXY="127.0.0.1",
    )
    # A proxy or a session token of the developer's shell must not reach the functions.
    for name in (
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "LOCALSTACK_HOSTNAME",
        "DOCKER_HOST",
    ):
        os.environ.pop(name, None)


def self_check() -> None:
    """Fail readably when an emulator is not the one this folder was written against."""
    wrong = [
        f"{name} {version(name)}, not {want}"
        for name, want in VERSIONS.items()
        if version(name) != want
    ]
    for module, names in TOUCH_POINTS.items():
        loaded = importlib.import_module(module)
        wrong += [f"{module} has no {name}" for name in names if not hasattr(loaded, name)]
    if wrong:
        raise RuntimeError(
            "the emulators are not the pinned ones: "
            + "; ".join(wrong)
            + " (install tests/lab/requirements.txt, or adapt tests/lab/emulator/)"
        )
