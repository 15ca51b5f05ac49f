"""moto in this process: a call without its web server, its stores, and the account they run in."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from ..config import ACCOUNT, REGION
from ..ports import Reply


def call(service: str, method: str, headers: dict[str, str], body: bytes, query: str = "") -> Reply:
    """One call to moto in this process, without its web server."""
    from moto.core.request import Request
    from moto.ec2.responses import EC2Response
    from moto.ssm.responses import SimpleSystemManagerResponse

    kind = {"ec2": EC2Response, "ssm": SimpleSystemManagerResponse}[service]
    url = f"http://{service}.{REGION}.amazonaws.com/" + (f"?{query}" if query else "")
    passed = {
        k: v for k, v in headers.items() if k in ("x-amz-target", "authorization", "content-type")
    }
    passed.setdefault("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    request = Request.from_primitives(method, url, passed, body)
    status, reply_headers, text = kind.dispatch(request, url, request.headers)
    reply_headers = {
        str(k): str(v)
        for k, v in dict(reply_headers).items()
        if k.lower() not in ("status", "date")
    }
    return int(status), reply_headers, text.encode() if isinstance(text, str) else text


def ec2_backend() -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][REGION]


def ssm_backend() -> Any:
    from moto.ssm.models import ssm_backends

    return ssm_backends[ACCOUNT][REGION]


class as_account:  # noqa: N801 - used as a function is
    """ministack reads account and Region from context variables that its request path sets."""

    def __enter__(self) -> None:
        from ministack.core import responses

        responses.set_request_account_id(ACCOUNT)
        responses.set_request_region(REGION)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        return None
