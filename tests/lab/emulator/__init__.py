"""ministack and moto composed into one service; every private touch point with them is here.

ministack answers everything but EC2 and SSM's command and document calls; moto answers EC2 and
documents; the lab's own rooms answer commands and snapshots through `Hooks`. Nothing outside
this folder names either project, and check.py lists what the folder uses of their internals. It
knows no namespace, no filesystem and no fault.
"""

from .check import prepare_environment
from .state import ROOT_DEVICE, Emulator

__all__ = ["ROOT_DEVICE", "Emulator", "prepare_environment"]
