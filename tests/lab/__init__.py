"""The lab: a local AWS for Stillpoint, with instances that can really be frozen.

One process and one endpoint (ministack and moto composed), plus what no emulator has: EC2
instances as sets of namespaces, EBS volumes as image files in one btrfs subvolume an instance,
and an SSM agent that really executes documents. Run `python -m lab up --state DIR` from tests/.
It is test equipment: the product knows nothing of it beyond an endpoint URL.
"""
