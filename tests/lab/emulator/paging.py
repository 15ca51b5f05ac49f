"""Pages of DescribeVolumes and DescribeSnapshots, which moto answers all at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PAGED = {"describe_volumes": "Volumes", "describe_snapshots": "Snapshots"}


def install() -> None:
    """Honour MaxResults and NextToken."""
    from moto.ec2.responses import EC2Response

    for action, key in PAGED.items():
        setattr(EC2Response, action, _paged(getattr(EC2Response, action), key))


def _paged(whole: Callable[[Any], Any], key: str) -> Callable[[Any], Any]:
    def page(response: Any) -> Any:
        answer = whole(response)
        size = int(response._get_param("MaxResults") or 0)
        if size:
            start = int(response._get_param("NextToken") or 0)
            every = answer.result[key]
            answer.result[key] = every[start : start + size]
            if start + size < len(every):
                answer.result["NextToken"] = str(start + size)
        return answer

    return page
