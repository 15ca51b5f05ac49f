"""The lab's instances: a moto instance each, with namespaces and mounted EBS volumes behind it.

Arms the watchdog for each volume before anybody can freeze it; finds out which volumes are frozen.
A machine is instance.py's; what runs inside, and why, is decided by ssm_agent.py and the admin API.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from . import host
from .config import Lab
from .ebs import Pool, check_filesystem
from .emulator import ROOT_DEVICE, Emulator
from .instance import Instance
from .record import Record
from .spec import Spec, Volume

DEFAULT_SIZE_MIB, ROOT_SIZE_MIB = 512, 64


class Fleet:
    """All instances of the lab."""

    def __init__(
        self, lab: Lab, pool: Pool, emulator: Emulator, record: Record, watchdog: host.Watchdog
    ) -> None:
        self._lab, self._pool, self._emulator = lab, pool, emulator
        self._record, self._watchdog = record, watchdog
        self._instances: dict[str, Instance] = {}
        self._stopped: dict[str, Instance] = {}

    def get(self, instance_id: str) -> Instance | None:
        """A running instance."""
        return self._instances.get(instance_id)

    def known(self, instance_id: str) -> Instance | None:
        """An instance that runs or is stopped."""
        return self._instances.get(instance_id) or self._stopped.get(instance_id)

    def all(self) -> list[Instance]:
        return list(self._instances.values())

    def launch(self, spec: Spec) -> Instance:
        volumes = spec.volumes
        for one in volumes:
            check_filesystem(
                one["device"], one.get("fs", "ext4"), one.get("size_mib", DEFAULT_SIZE_MIB)
            )
        devices = {
            v["device"]: (max(1, v.get("size_mib", DEFAULT_SIZE_MIB) >> 10), v.get("tags") or {})
            for v in volumes
        }
        instance_id, ids = self._emulator.run_instance(
            {"Name": spec.name} | spec.tags, devices, spec.instance_type, spec.platform
        )
        return self.make(instance_id, spec, ids)

    def make(self, instance_id: str, spec: Spec, ids: dict[str, str]) -> Instance:
        """The machine of an instance that EC2 has; `ids` is device -> volume id."""
        self._pool.add_instance(instance_id)
        wanted = {v["device"]: v for v in spec.volumes}
        made = []
        for device, volume_id in ids.items():
            # The root volume is in nobody's list: an image without a filesystem.
            one = wanted.get(device) or {"size_mib": ROOT_SIZE_MIB, "fs": None}
            fs = one.get("fs", "ext4")
            size = one.get("size_mib", DEFAULT_SIZE_MIB)
            loop = self._pool.add_volume(instance_id, volume_id, size, fs)
            made.append(Volume(volume_id, device, fs, one.get("mount"), loop))
        instance = Instance(instance_id, spec, made)
        self._boot(instance)
        return instance

    def _boot(self, instance: Instance) -> None:
        scratch = self._lab.state / "roots" / instance.id
        scratch.mkdir(parents=True)
        try:
            instance.start(self._spec(instance, scratch), self._record)
        except BaseException:
            instance.stop()
            raise
        finally:
            for volume in instance.volumes:
                if volume.loop and volume.mount:
                    # Mounted, so this only marks it: it goes when the instance's mount goes.
                    self._pool.detach(volume.loop)
        for path in instance.mounts():
            self._watchdog.hold(f"{instance.id}:{path}", path)
        for volume in instance.volumes:
            if volume.loop:
                instance.plug(volume)
        self._instances[instance.id] = instance

    def _spec(self, instance: Instance, scratch: Path) -> dict[str, Any]:
        agent = self._lab.agent_binary
        return {
            "scratch": str(scratch),
            "share": str(self._lab.share),
            "boot_id": instance.boot_id,
            "hostname": instance.name,
            "agent": str(agent) if agent.exists() else None,
            "volumes": [
                {
                    "loop": v.loop,
                    "fs": v.fs,
                    "mount": v.mount,
                    "serial": v.serial,
                }
                for v in instance.volumes
            ],
        }

    def start(self, instance_id: str) -> None:
        """A new boot of a stopped instance: each device is mounted where it was at its launch."""
        old = self._stopped.pop(instance_id, None)
        if old is None:
            return
        mounted = {one["device"]: one for one in old.spec.volumes}
        volumes = []
        for one in old.volumes:
            at = mounted.get(one.device, {})
            is_root = one.device == ROOT_DEVICE
            loop = None if is_root else self._pool.attach(self._pool.image(instance_id, one.volume_id))
            fs = None if is_root else at.get("fs", "ext4")
            volumes.append(Volume(one.volume_id, one.device, fs, at.get("mount"), loop))
        self._boot(Instance(instance_id, old.spec, volumes))

    def stop(self, instance_id: str) -> None:
        """Power off; what is not on a volume is gone."""
        instance = self._instances.pop(instance_id, None)
        if instance is not None:
            self._power_off(instance)
            self._stopped[instance_id] = instance

    def _power_off(self, instance: Instance) -> None:
        keys = [f"{instance.id}:{path}" for path in instance.mounts()]
        instance.stop()
        # After the end: until then the watchdog must be able to thaw.
        for key in keys:
            self._watchdog.drop(key)
        for volume in instance.volumes:
            if volume.loop and not volume.mount:
                self._pool.detach(volume.loop)
            volume.loop = None
        self._record.drop_init(instance._unshare.pid if instance._unshare else 0)
        instance.init_pid = 0
        shutil.rmtree(self._lab.state / "roots" / instance.id, ignore_errors=True)

    def vanish(self, instance_id: str) -> None:
        """Terminate: kill everything inside, thaw and unmount, and tell EC2."""
        if self.known(instance_id) is None:
            raise KeyError(instance_id)
        self._emulator.terminate_instance(instance_id)

    def remove(self, instance_id: str) -> None:
        """Forget a stopped instance and the volumes that are still its own."""
        if self._stopped.pop(instance_id, None) is not None:
            self._pool.remove_instance(instance_id)

    def vanish_all(self) -> None:
        """Terminate every instance, also when one of them resists."""
        with contextlib.ExitStack() as each:
            for instance_id in [*self._instances, *self._stopped]:
                each.callback(self.vanish, instance_id)

    def frozen(self) -> list[dict[str, Any]]:
        """The volumes of the lab that are frozen now."""
        candidates = [(i, v) for i in self.all() for v in i.volumes if v.mount]
        answers = host.frozen([i.path(v.mount or "") for i, v in candidates])
        return [
            {"instanceId": i.id, "volumeId": v.volume_id, "mount": v.mount}
            for (i, v), is_frozen in zip(candidates, answers, strict=True)
            if is_frozen
        ]

    def thaw_all(self) -> None:
        for instance in self.all():
            folders = host.open_folders(instance.mounts())
            host.thaw(folders)
            for folder in folders:
                os.close(folder)
