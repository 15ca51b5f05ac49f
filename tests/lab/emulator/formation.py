"""AWS::SSM::Document for ministack's CloudFormation, which does not know it."""

from __future__ import annotations

import json

from .moto_calls import ssm_backend


def install() -> None:
    from ministack.services.cloudformation import provisioners

    def create(logical_id: str, props: dict, stack: str) -> tuple[str, dict]:
        name = props.get("Name") or f"{stack}-{logical_id}"
        content = props["Content"]
        ssm_backend().create_document(
            content=content if isinstance(content, str) else json.dumps(content),
            requires=[],
            attachments=[],
            name=name,
            version_name=props.get("VersionName"),
            document_type=props.get("DocumentType", "Command"),
            document_format=props.get("DocumentFormat", "JSON"),
            target_type=props.get("TargetType"),
            tags=props.get("Tags") or [],
        )
        return name, {}

    def delete(physical_id: str, props: dict) -> None:
        ssm_backend()._documents.pop(physical_id, None)

    def update(physical_id: str, old: dict, new: dict, stack: str) -> tuple[str, dict]:
        delete(physical_id, old)
        return create(physical_id, new | {"Name": physical_id}, stack)

    provisioners._RESOURCE_HANDLERS["AWS::SSM::Document"] = {
        "create": create,
        "delete": delete,
        "update": update,
    }
