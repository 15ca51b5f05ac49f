"""Every resource of an EC2, SSM or PutEvents call is checked against the caller's policies, as on AWS.

ministack asks its evaluator once a call, for one resource that it guesses; authz.py knows the
real ones. Both functions replaced here are imported by ministack inside its request path.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qsl

from .. import authz, authz_ec2
from .services import COMMAND_ACTIONS


def install(tags_of: authz.TagLookup, attached: Callable[[str], list[str]]) -> None:
    """Every resource of those calls is checked, as authz.py names them."""
    from ministack import app
    from ministack.core import iam_actions, iam_evaluator

    # The loopback interface stands for TLS: policies that refuse anything else are satisfied.
    pin = app.pin_request_origin
    app.pin_request_origin = lambda source_ip, _secure: pin(source_ip, True)
    iam_evaluator._request_origin = ContextVar("origin", default=("127.0.0.1", True))

    arn_of, enforce = iam_actions.extract_resource_arn, iam_evaluator.enforce
    checks: ContextVar[list[authz.Check] | None] = ContextVar("checks", default=None)

    def extract(
        service: str,
        method: str,
        path: str,
        headers: dict,
        body: bytes,
        query: dict,
        region: str,
        account: str,
    ) -> str:
        checks.set(None)
        action = headers.get("x-amz-target", "").rsplit(".", 1)[-1]
        if service == "ec2":
            params = dict(parse_qsl(body.decode(), keep_blank_values=True)) or {
                k: v[0] for k, v in query.items()
            }
            checks.set(authz_ec2.ec2_checks(params.get("Action", ""), params, tags_of, attached))
        elif service == "ssm" and (
            action in COMMAND_ACTIONS
            or "Document" in action
            or action == "GetParametersByPath"
            or (action == "ListTagsForResource" and b"Document" in body)
        ):
            checks.set(authz.ssm_checks(action, json.loads(body or b"{}"), tags_of))
        elif service == "events" and action == "PutEvents":
            checks.set(authz.events_checks(json.loads(body or b"{}")))
        wanted = checks.get()
        return (
            wanted[0].arn
            if wanted
            else arn_of(service, method, path, headers, body, query, region, account)
        )

    def enforce_all(
        key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict | None = None,
    ) -> Any:
        wanted = checks.get() if service in ("ec2", "ssm", "events") else None
        if not wanted:
            return enforce(
                key,
                action,
                service,
                region,
                resource_arn=resource_arn,
                service_context=service_context,
            )
        for check in wanted:
            if denied := enforce(
                key,
                check.action,
                service,
                region,
                resource_arn=check.arn,
                service_context=check.context,
            ):
                return denied
        return None

    iam_actions.extract_resource_arn = extract
    iam_evaluator.enforce = enforce_all
