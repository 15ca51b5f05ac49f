"""Scenarios: one thing that goes right or wrong, from the schedule to the recorded outcome.

The product is the deployed one: infra/template.yaml, the bootstrap binary as both functions, their
roles enforced. What the tests say of a run they read where a person would: in the event, on the
snapshots and the instance, in Systems Manager; what really happened, in the lab's timeline.
"""
