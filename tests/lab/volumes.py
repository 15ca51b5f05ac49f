"""EBS volumes that come and go: made of a snapshot, attached, detached, deleted.

The emulator has checked each call; here it becomes true. A stopped instance finds at its next boot
what was attached meanwhile; in a running one a disk appears, which nobody has mounted.
"""

from __future__ import annotations

from .ebs import Pool
from .instances import Fleet
from .spec import Volume


class Volumes:
    """The data side of EC2's volumes."""

    def __init__(self, pool: Pool, fleet: Fleet) -> None:
        self._pool, self._fleet = pool, fleet

    def create(self, volume_id: str, snapshot_id: str) -> None:
        self._pool.volume_of(snapshot_id, volume_id)

    def attach(self, volume_id: str, instance_id: str, device: str) -> None:
        instance = self._fleet.known(instance_id)
        if instance is None:
            return
        self._pool.move(volume_id, None, instance_id)
        volume = Volume(volume_id, device, None, None, None)
        if instance.init_pid:
            volume.loop = self._pool.attach(self._pool.image(instance_id, volume_id))
            instance.plug(volume)
        instance.volumes.append(volume)

    def detach(self, volume_id: str, instance_id: str) -> None:
        instance = self._fleet.known(instance_id)
        if instance is None:
            return
        volume = next(one for one in instance.volumes if one.volume_id == volume_id)
        instance.volumes.remove(volume)
        if volume.loop:
            self._pool.detach(volume.loop)
            volume.loop = None
            instance.plug(volume)
        self._pool.move(volume_id, instance_id, None)

    def delete(self, volume_id: str) -> None:
        self._pool.image(None, volume_id).unlink(missing_ok=True)
