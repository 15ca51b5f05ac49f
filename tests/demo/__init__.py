"""The demo: one night of Stillpoint on one machine, from the schedule to a verified restore.

`python -m demo`, run from tests/ as root, drives the lab (tests/lab) through the same
endpoints that AWS has, and believes nothing that it has not seen on a restored volume.
It contains no part of the product: planner, runner and agent run as they are built.
"""
