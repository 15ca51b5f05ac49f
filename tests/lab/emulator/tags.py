"""Tags of one resource without a look at all others: with moto, a month of sets takes seconds to list."""

from __future__ import annotations

from typing import Any


def install() -> None:
    from moto.ec2.models.tags import TagBackend

    describe = TagBackend.describe_tags

    def describe_tags(backend: Any, filters: dict[str, list[str]] | None = None) -> Any:
        ids = (filters or {}).get("resource-id") or ["*"]
        if any(sign in ident for ident in ids for sign in "*?"):
            return describe(backend, filters)
        few = TagBackend()
        few.tags.update({ident: backend.tags[ident] for ident in ids if ident in backend.tags})
        return describe(few, filters)

    TagBackend.describe_tags = describe_tags  # type: ignore
