"""Instances that EC2's own calls launch, stop, start and terminate, with the lab's machines beneath.

RunInstances honours its token. An instance runs, or does not run any more, when the call answers.
What a terminated instance had attached and was not its image's is a volume as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..ports import Hooks

_BY_THE_LAB: ContextVar[bool] = ContextVar("by the lab", default=False)


@contextmanager
def by_the_lab() -> Iterator[None]:
    """The lab launches meanwhile, and makes the machine itself."""
    token = _BY_THE_LAB.set(True)
    try:
        yield
    finally:
        _BY_THE_LAB.reset(token)


def install(hooks: Hooks) -> None:
    from moto.core.responses import ActionResult
    from moto.ec2.models.instances import Instance, InstanceBackend
    from moto.ec2.responses import EC2Response

    run, terminate = EC2Response.run_instances, InstanceBackend.terminate_instances
    start, stop = InstanceBackend.start_instances, InstanceBackend.stop_instances
    launched: dict[str, Any] = {}

    def run_instances(response: Any) -> Any:
        token = response._get_param("ClientToken")
        if token in launched:
            return ActionResult(launched[token])
        answer = run(response)
        if token:
            launched[token] = answer.result
        if not _BY_THE_LAB.get():
            for instance in answer.result.instances:
                tags = {tag["key"]: tag["value"] for tag in instance.get_tags()}
                ids = {device: block.volume_id for device, block in instance.get_block_device_mapping}
                hooks.launch_instance(instance.id, tags.get("Name", instance.id), ids)
        return answer

    def setup_defaults(instance: Any) -> None:
        backend = instance.ec2_backend
        root = backend.create_volume(size=8, zone_name=instance.placement.zone)
        backend.attach_volume(root.id, instance.id, instance.root_device_name, True)

    def start_instances(backend: Any, instance_ids: list[str]) -> Any:
        for instance in backend.get_multi_instances_by_id(instance_ids):
            if instance._state.name == "stopped":
                hooks.start_instance(instance.id)
        return start(backend, instance_ids)

    def stop_instances(backend: Any, instance_ids: list[str]) -> Any:
        for instance in backend.get_multi_instances_by_id(instance_ids):
            if instance._state.name == "running":
                hooks.stop_instance(instance.id)
        return stop(backend, instance_ids)

    def terminate_instances(backend: Any, instance_ids: list[str]) -> Any:
        for instance in backend.get_multi_instances_by_id(instance_ids):
            hooks.stop_instance(instance.id)
            for _, block in instance.get_block_device_mapping:
                if not block.delete_on_termination:
                    hooks.detach_volume(block.volume_id, instance.id)
        terminated = terminate(backend, instance_ids)
        for instance_id in instance_ids:
            hooks.remove_instance(instance_id)
        return terminated

    EC2Response.run_instances = run_instances  # type: ignore
    Instance.setup_defaults = setup_defaults  # type: ignore
    InstanceBackend.start_instances = start_instances  # type: ignore
    InstanceBackend.stop_instances = stop_instances  # type: ignore
    InstanceBackend.terminate_instances = terminate_instances  # type: ignore
