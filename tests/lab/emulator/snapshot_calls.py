"""CreateSnapshots with what moto lacks: exclusions, copied tags, one start time, pending."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from .. import snapshot_call
from ..ports import Hooks, NewSnapshot, ServiceError


def install(hooks: Hooks) -> None:
    """Replace CreateSnapshots, follow DeleteSnapshot."""
    from moto.core.responses import ActionResult
    from moto.ec2.exceptions import EC2ClientError
    from moto.ec2.models.elastic_block_store import EBSBackend
    from moto.ec2.responses import EC2Response

    delete_in_moto = EBSBackend.delete_snapshot

    def create_snapshots(response: Any) -> Any:
        spec = response._get_param("InstanceSpecification", {})
        response.error_on_dryrun()
        try:
            made = _create_set(
                hooks,
                response.ec2_backend,
                spec,
                response._get_param("Description", ""),
                response._parse_tag_specification().get("snapshot", {}),
                response._get_param("CopyTagsFromSource") == "volume",
            )
        except ServiceError as error:
            # moto finds the service's error shapes by the exception's module.
            raise EC2ClientError(error.code, error.message) from error
        return ActionResult({"Snapshots": made})

    def delete_snapshot(backend: Any, snapshot_id: str) -> Any:
        deleted = delete_in_moto(backend, snapshot_id)
        hooks.delete_snapshot(snapshot_id)
        return deleted

    EC2Response.create_snapshots = create_snapshots  # type: ignore
    EBSBackend.delete_snapshot = delete_snapshot  # type: ignore


def _create_set(
    hooks: Hooks,
    backend: Any,
    spec: dict[str, Any],
    description: str,
    tags: dict[str, str],
    copy_tags: bool,
) -> list[dict[str, Any]]:
    """CreateSnapshots with what moto lacks: exclusions, copied tags, one start time, pending."""
    instance = backend.get_instance(spec["InstanceId"])
    attached = {block.volume_id: device for device, block in instance.get_block_device_mapping}
    wanted = snapshot_call.choose(
        instance.id, instance._state.name, attached, instance.root_device_name, spec
    )

    def make() -> list[NewSnapshot]:
        started = datetime.now(UTC).replace(tzinfo=None)
        made = []
        for volume_id in wanted:
            snapshot = backend.create_snapshot(volume_id, description=description)
            snapshot.start_time, snapshot.status = started, "pending"
            own = backend.get_volume(volume_id).get_tags() if copy_tags else []
            snapshot.add_tags(snapshot_call.tags_of_snapshot(own, tags))
            made.append(NewSnapshot(snapshot.id, volume_id))
        return made

    made = hooks.create_snapshots(instance.id, make)
    return [snapshot_call.shown(backend.get_snapshot(s.snapshot_id)) for s in made]
