"""Databases under load, snapshotted and restored, many times in a row.

`python -m applications` (from `make bench`) runs real servers on loop-mounted volumes, takes
snapshots with the agent and without it, starts a server on every copy and asks it for every
transaction. What the agent itself costs is measured by `bench`.
"""
