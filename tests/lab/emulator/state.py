"""The composed emulators of one lab, and the state of theirs that the lab's rooms need.

Built once a process by server.py. The rooms ask it for instances, tags, documents and events
and never see an object of moto or ministack.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from ..config import ZONE
from ..ports import Hooks, ServiceError
from . import (
    authorisation,
    formation,
    history,
    instance_calls,
    moto_calls,
    paging,
    schedules,
    services,
    snapshot_calls,
    snapshot_locks,
    tags,
    volume_calls,
)
from .check import self_check

ROOT_DEVICE = "/dev/xvda"


class Emulator:
    """The composed emulators of one lab; create it once a process."""

    def __init__(self, hooks: Hooks) -> None:
        self_check()
        self.hooks = hooks
        services.install(hooks)
        authorisation.install(self.tags_of, self.attached)
        formation.install()
        schedules.install()
        snapshot_calls.install(hooks)
        snapshot_locks.install()
        tags.install()
        paging.install()
        self._ec2 = moto_calls.ec2_backend()
        self._ami = self._ec2.register_image(name="lab", description="the lab's image")
        self._ami.root_device_name = ROOT_DEVICE
        # Not before there is an image: moto makes and deletes a volume for it.
        volume_calls.install(hooks)
        instance_calls.install(hooks)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from ministack.app import app

        await app(scope, receive, send)

    # --- EC2 state that the lab's instances need ------------------------------------------------

    def run_instance(
        self,
        tags: dict[str, str],
        devices: dict[str, tuple[int, dict[str, str]]],
        instance_type: str,
        platform: str,
    ) -> tuple[str, dict[str, str]]:
        """A running instance with a root volume and `devices` (name -> GiB, tags).

        Returns its id and device -> volume id.
        """
        params = {
            "Action": "RunInstances",
            "ImageId": self._ami.id,
            "MinCount": "1",
            "MaxCount": "1",
            "InstanceType": instance_type,
            "Placement.AvailabilityZone": ZONE,
        }
        sizes = {ROOT_DEVICE: 1} | {device: gib for device, (gib, _) in devices.items()}
        for n, (device, gib) in enumerate(sizes.items(), 1):
            prefix = f"BlockDeviceMapping.{n}."
            params |= {
                prefix + "DeviceName": device,
                prefix + "Ebs.VolumeSize": str(gib),
                prefix + "Ebs.VolumeType": "gp3",
                prefix + "Ebs.DeleteOnTermination": "true",
            }
        with instance_calls.by_the_lab():
            status, _, body = moto_calls.call("ec2", "POST", {}, urlencode(params).encode())
        found = re.search(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", body)
        if status != 200 or not found:
            raise RuntimeError(f"moto refused RunInstances: {body!r}")
        instance = self._ec2.get_instance(found[1].decode())
        instance.add_tags(tags)
        # EC2 names the platform of Windows alone.
        instance.platform = "windows" if platform == "Windows" else None
        volumes = {device: block.volume_id for device, block in instance.get_block_device_mapping}
        for device, (_, volume_tags) in devices.items():
            self._ec2.get_volume(volumes[device]).add_tags(volume_tags)
        return instance.id, volumes

    def terminate_instance(self, instance_id: str) -> None:
        self._ec2.terminate_instances([instance_id])

    def attached(self, instance_id: str) -> list[str]:
        try:
            mapping = self._ec2.get_instance(instance_id).get_block_device_mapping
        except Exception:  # moto's InvalidInstanceIdError; the call itself will answer with it
            return []
        return [block.volume_id for _, block in mapping]

    def tags_of(self, kind: str, ident: str) -> dict[str, str]:
        if kind == "document":
            tags = moto_calls.ssm_backend()._resource_tags.get("Document", {}).get(ident, {})
            return dict(tags)
        return {
            tag["key"]: tag["value"]
            for tag in self._ec2.describe_tags(filters={"resource-id": [ident]})
        }

    def instance_ids_with(self, key: str, values: list[str]) -> list[str]:
        found = self._ec2.all_reservations(
            filters={key: values, "instance-state-name": ["running"]}
        )
        return [instance.id for reservation in found for instance in reservation.instances]

    def document(self, name: str, version: str | None) -> dict[str, Any]:
        """The content of an SSM document, parsed; InvalidDocument when there is none."""
        from moto.core.exceptions import ServiceException

        wanted = None if version in (None, "$DEFAULT") else version
        try:
            found = moto_calls.ssm_backend().get_document(
                name=name.rsplit("/", 1)[-1],
                document_version=wanted,
                version_name=None,
                document_format="JSON",
            )
        except ServiceException as error:
            code = "InvalidDocumentVersion" if "ersion" in error.code else "InvalidDocument"
            raise ServiceError(
                code, f"the document {name} does not exist: {error.message}"
            ) from error
        return json.loads(found["Content"])

    # --- events ---------------------------------------------------------------------------------

    def put_event(
        self, source: str, detail_type: str, resources: list[str], detail: dict[str, Any]
    ) -> None:
        """An event of an AWS service on the default bus."""
        from ministack.services import eventbridge

        entry = {
            "Source": source,
            "DetailType": detail_type,
            "Resources": resources,
            "Detail": json.dumps(detail),
        }
        with moto_calls.as_account():
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    def complete_snapshot(self, snapshot_id: str) -> None:
        snapshot = self._ec2.snapshots.get(snapshot_id)
        if snapshot is not None:
            snapshot.status = "completed"

    def set_start_times(self, times: dict[str, float]) -> None:
        history.set_start_times(times)
