"""Which of the two emulators, or which room of the lab, answers a call."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode

from ..ports import Hooks, Reply, ServiceError
from . import moto_calls

SERVER_ERRORS = {b"InternalError": 500, b"RequestLimitExceeded": 503}
COMMAND_SERVER_ERRORS = {"InternalServerError": 500}

COMMAND_ACTIONS = frozenset(
    [
        "SendCommand",
        "GetCommandInvocation",
        "ListCommands",
        "ListCommandInvocations",
        "CancelCommand",
        "DescribeInstanceInformation",
        "GetInventory",
    ]
)


def install(hooks: Hooks) -> None:
    """Route EC2 and half of SSM away from ministack."""
    from ministack import app

    parameters = app.SERVICE_HANDLERS["ssm"]

    async def ec2(method: str, path: str, headers: dict, body: bytes, query: dict) -> Reply:
        status, answered, text = await asyncio.to_thread(
            moto_calls.call, "ec2", method, headers, body, urlencode(query, doseq=True)
        )
        # moto answers every error with 400; SDKs tell a refusal from a failure by the status.
        for code, real in SERVER_ERRORS.items():
            if status == 400 and b"<Code>" + code + b"</Code>" in text:
                status = real
        return status, answered, text

    async def ssm(method: str, path: str, headers: dict, body: bytes, query: dict) -> Reply:
        action = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        if action in COMMAND_ACTIONS:
            return await asyncio.to_thread(_command, hooks, action, body)
        if (
            "Document" in action
            or b'"ResourceType": "Document"' in body
            or b'"ResourceType":"Document"' in body
        ):
            return await asyncio.to_thread(moto_calls.call, "ssm", method, headers, body)
        return await parameters(method, path, headers, body, query)

    app.SERVICE_HANDLERS["ec2"] = ec2
    app.SERVICE_HANDLERS["ssm"] = ssm


def _command(hooks: Hooks, action: str, body: bytes) -> Reply:
    headers = {"Content-Type": "application/x-amz-json-1.1"}
    try:
        answer = hooks.command(action, json.loads(body or b"{}"))
    except ServiceError as error:
        reply = {"__type": error.code, "message": error.message}
        status = COMMAND_SERVER_ERRORS.get(error.code, 400)
        return status, headers | {"x-amzn-errortype": error.code}, json.dumps(reply).encode()
    return 200, headers, json.dumps(answer).encode()
