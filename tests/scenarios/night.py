"""Many runs of one night, side by side: each with an instance, a policy and a fault of its own.

Runs that search for what may have been made wait for EC2 to show it, a quarter of a minute and
more; one after the other that would be most of the tests' time. Used by the scenarios of VSS and
of Systems Manager's statuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from scenarios.account import Account, Json
from scenarios.instance import Instance


@dataclass(frozen=True)
class Case:
    """One run: how its instance is launched, what its policy says, what goes wrong."""

    policy: Callable[[str], Json]
    how: Json = field(default_factory=dict)
    # What its VSS document does, how SSM says that its commands end, what they seem to print.
    vss: Json | None = None
    ends: Json | None = None
    output: str | None = None


class Night:
    """The runs of all cases, finished."""

    def __init__(self, account: Account, cases: Mapping[str, Case]) -> None:
        self._account, self._cases = account, cases
        self._instances: dict[str, Instance] = {}
        self._events: dict[str, Json] = {}
        self._undo = ExitStack()

    def __enter__(self) -> Night:
        try:
            self._pass()
        except BaseException:
            self._undo.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def _pass(self) -> None:
        for name, case in self._cases.items():
            # The name becomes a hostname.
            instance = self._account.launch(name.replace(" ", "-").lower(), **case.how)
            self._instances[name] = instance
            self._undo.callback(instance.vanish)
        self._account.faults(vss=self._of("vss"), ssmEnds=self._of("ends"),
                             ssmOutput=self._of("output"))
        runs = {}
        for name, case in self._cases.items():
            answer = self._account.plan(policy=case.policy(self._instances[name].target))
            (runs[name],) = answer["runs"]
        self._events = {name: self._account.finished.of(run["runId"])
                        for name, run in runs.items()}

    def _of(self, fault: str) -> Json:
        values = {self._instances[name].id: getattr(case, fault)
                  for name, case in self._cases.items()}
        return {ident: value for ident, value in values.items() if value is not None}

    def __getitem__(self, name: str) -> tuple[Instance, Json]:
        """A case's instance and the event of its run."""
        return self._instances[name], self._events[name]
