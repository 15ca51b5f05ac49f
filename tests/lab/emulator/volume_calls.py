"""Volumes: what moto does not check or repeat, and what the lab makes true beneath it.

CreateVolume honours its token; AttachVolume and DetachVolume refuse what EC2 refuses. A volume is
attached, or is not any more, when the call answers.
"""

from __future__ import annotations

from typing import Any

from ..ports import Hooks


def install(hooks: Hooks) -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models.elastic_block_store import EBSBackend
    from moto.ec2.responses import EC2Response

    create, attach = EC2Response.create_volume, EC2Response.attach_volume
    delete = EBSBackend.delete_volume
    made: dict[str, Any] = {}

    def create_volume(response: Any) -> Any:
        token, snapshot_id = response._get_param("ClientToken"), response._get_param("SnapshotId")
        if token in made:
            return ActionResult(made[token])
        if snapshot_id and response.ec2_backend.get_snapshot(snapshot_id).status != "completed":
            raise _error("IncorrectState", f"{snapshot_id} is pending")
        answer = create(response)
        if snapshot_id:
            hooks.create_volume(answer.result.id, snapshot_id)
        if token:
            made[token] = answer.result
        return answer

    def attach_volume(response: Any) -> Any:
        volume, instance, device = _of_attachment(response)
        if volume.attachment:
            raise _error("VolumeInUse", f"{volume.id} is already attached to an instance")
        if device in instance.block_device_mapping:
            text = f"attachment point {device} is already in use"
            raise _error("InvalidParameterValue", text)
        if volume.zone.name != instance.placement.zone:
            text = f"the volume '{volume.id}' is not in the same availability zone"
            raise _error("InvalidVolume.ZoneMismatch", text)
        if instance._state.name not in ("running", "stopped"):
            raise _error("IncorrectState", f"instance '{instance.id}' is {instance._state.name}")
        answer = attach(response)
        hooks.attach_volume(volume.id, instance.id, device)
        return answer

    def detach_volume(response: Any) -> Any:
        volume = response.ec2_backend.get_volume(response._get_param("VolumeId"))
        if not volume.attachment:
            raise _error("IncorrectState", f"volume '{volume.id}' is in the 'available' state")
        instance, device = volume.attachment.instance, volume.attachment.device
        if device == instance.root_device_name and instance._state.name != "stopped":
            text = f"unable to detach root volume '{volume.id}' from instance '{instance.id}'"
            raise _error("OperationNotPermitted", text)
        hooks.detach_volume(volume.id, instance.id)
        gone = response.ec2_backend.detach_volume(volume.id, instance.id, device)
        return ActionResult({"VolumeId": volume.id, "InstanceId": instance.id, "Device": device,
                             "State": "detaching", "AttachTime": gone.attach_time})

    def delete_volume(backend: Any, volume_id: str) -> Any:
        deleted = delete(backend, volume_id)
        hooks.delete_volume(volume_id)
        return deleted

    def describe_fast_snapshot_restores(_: Any) -> Any:
        return ActionResult({"FastSnapshotRestores": []})

    EC2Response.create_volume = create_volume  # type: ignore
    EC2Response.attach_volume = attach_volume  # type: ignore
    EC2Response.detach_volume = detach_volume  # type: ignore
    EC2Response.describe_fast_snapshot_restores = describe_fast_snapshot_restores  # type: ignore
    EBSBackend.delete_volume = delete_volume  # type: ignore


def _of_attachment(response: Any) -> tuple[Any, Any, str]:
    backend = response.ec2_backend
    volume = backend.get_volume(response._get_param("VolumeId"))
    return volume, backend.get_instance(response._get_param("InstanceId")), response._get_param("Device")


def _error(code: str, text: str) -> Exception:
    from moto.ec2.exceptions import EC2ClientError

    # moto finds the service's error shapes by the exception's module.
    return EC2ClientError(code, text)
