"""The benchmark of the freeze: our agent and three others on the same load, in the same run.

`python -m bench` (from `make bench`) runs as root on real loop devices in a mount namespace of its
own. It measures what writers feel and what a freeze costs; that a hold is kept is proven elsewhere.
"""
