"""The demo's story: from an empty machine to verified copies, in one order.

Deploys, starts three instances under load, lets the schedule fire by itself, waits for the
three finished runs, and restores and checks every set. Everything that it starts is put on
an exit stack before it can fail, so that one way out cleans up all. What is right or wrong
is judge.py's business. Called by __main__.py.
"""

from __future__ import annotations

import datetime
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from demo import hosts, judge, stack, witness
from demo.clock import Clock
from demo.cloud import Cloud
from demo.facts import Run
from demo.inside import Program
from demo.postgres import Server
from demo.progress import Progress
from demo.restore import restore

# Two policies have to be deployed before the minute that they name begins.
_BEFORE_FIRING_S = 12.0
# The lab's scheduler looks at its clock every ten seconds; then three runs with a script
# timeout of a minute a stage, and a retried delivery.
_RUNS_WAIT_S = 240.0
# So that the report shows the writers going on after the last thaw.
_AFTERMATH_S = 2.0


@dataclass
class Variant:
    """What is different from the plain demo."""

    kill: str | None = None
    document: Path | None = None

    def expected_of_first(self) -> str:
        """The label that the first instance must end with.

        A document that does not run the agent can prove nothing, so `application` would be
        a guess; with a killed holder nothing was held.
        """
        if self.kill:
            return "crash"
        if self.document and "stillpoint-agent" not in self.document.read_text():
            return "claimed"
        return "application"

    def title(self) -> str:
        """For the report's head line."""
        if self.kill:
            return "holder killed between freeze and CreateSnapshots"
        if self.document:
            return f"first instance with the document {self.document.name}"
        return "the plain night"


@dataclass
class Result:
    """What the story ends with."""

    runs: list[Run]
    left_frozen: int
    cron: str


@dataclass
class Story:
    """One telling; `stack` owns everything that has to be undone."""

    variant: Variant
    state: Path
    logs: Path
    progress: Progress
    clock: Clock
    undo: ExitStack
    alive: list[Callable[[], str | None]] = field(default_factory=list)
    loads: list[Program] = field(default_factory=list)

    def tell(self) -> Result:
        """The whole night."""
        cloud = self.start_cloud()
        runs, server = self.start_instances(cloud)
        finished = stack.Finished(cloud)
        cron, firing = self.put_policies(cloud)
        if self.variant.kill:
            cloud.admin("POST", "faults",
                        {"killHolderBeforeCreateSnapshots": runs[0].instance_id})
            self.progress.step("the lab will kill the holder on postgresql between freeze and "
                               "CreateSnapshots")
        self.count_down(firing)
        self.wait_finished(cloud, finished, runs)
        time.sleep(_AFTERMATH_S)
        left_frozen = cloud.admin("GET", "frozen")
        self.stop_loads(server)
        witness.gather(cloud, runs, self.clock)
        self.restore_all(cloud, runs)
        for run in runs:
            judge.judge(run)
        if self.variant.kill:
            judge.check_kill(runs[0])
        left_frozen = left_frozen or cloud.admin("GET", "frozen")
        return Result(runs, len(left_frozen), cron)

    def start_cloud(self) -> Cloud:
        """The lab, with the product deployed in it."""
        cloud = Cloud(self.state, self.logs)
        self.undo.callback(cloud.down)
        cloud.up()
        self.alive.append(cloud.failed)
        self.progress.step("the local cloud is up; deploying infra/template.yaml")
        stack.deploy(cloud)
        self.progress.step("deployed: planner, runner, queues, roles, documents")
        return cloud

    def start_instances(self, cloud: Cloud) -> tuple[list[Run], Server]:
        """Three instances, each under its load."""
        runs = [hosts.launch(cloud, plan, self.logs)
                for plan in hosts.plans(self.variant.expected_of_first())]
        self.progress.step("instances: " + ", ".join(
            f"{run.plan.name} {run.instance_id}" for run in runs))
        server = hosts.start_server(runs[0], self.logs)
        self.undo.callback(server.stop)
        self.alive.append(server.failed)
        for run in runs:
            load = hosts.start_load(run, server if run is runs[0] else None)
            self.undo.callback(load.ask_to_stop)
            self.alive.append(load.failed)
            self.loads.append(load)
        if self.variant.document:
            hosts.add_stand_ins(runs[0])
        self.progress.step("PostgreSQL (data on ext4, WAL on xfs) under pgbench, the recording "
                           "client and the file writers are running")
        return runs, server

    def put_policies(self, cloud: Cloud) -> tuple[str, datetime.datetime]:
        """Both policies, for the next minute that can still be met."""
        earliest = datetime.datetime.now(datetime.timezone.utc) \
            + datetime.timedelta(seconds=_BEFORE_FIRING_S)
        firing = earliest.replace(second=0, microsecond=0) + datetime.timedelta(minutes=1)
        cron = f"cron({firing.minute} {firing.hour} * * ? *)"
        document = "Stillpoint-PostgreSQL"
        if self.variant.document:
            document = stack.put_document(cloud, self.variant.document)
        for policy in (stack.Policy("demo-database", hosts.DATABASE_TARGET, document),
                       stack.Policy("demo-files", hosts.FILES_TARGET, "Stillpoint-Filesystem")):
            stack.put_policy(cloud, policy, cron)
        self.progress.step(f"two policies in place ({document}, Stillpoint-Filesystem); "
                           f"EventBridge Scheduler fires them at {firing:%H:%M} UTC, {cron}")
        return cron, firing

    def count_down(self, firing: datetime.datetime) -> None:
        """Until the minute of the schedule begins."""
        while True:
            left = (firing - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
            if left <= 0:
                self.progress.step("the schedule's minute has begun")
                return
            self.check_alive()
            self.progress.waiting(f"the schedule fires in {left:.0f} s")
            time.sleep(min(0.5, left))

    def wait_finished(self, cloud: Cloud, finished: stack.Finished, runs: list[Run]) -> None:
        """One `Snapshot Run Finished` an instance."""
        give_up = time.monotonic() + _RUNS_WAIT_S
        waiting = {run.instance_id: run for run in runs}
        while waiting:
            for detail in finished.more():
                run = waiting.pop(detail["instanceId"], None)
                if run is None:
                    raise RuntimeError(f"a second or a foreign run finished: {detail}")
                run.event = detail
                self.progress.step(f"run finished: {run.plan.name}, {detail['outcome']}, "
                                   f"{detail.get('consistency') or 'no snapshots'}")
            names = ", ".join(run.plan.name for run in waiting.values())
            if waiting and time.monotonic() > give_up:
                letters = stack.dead_letters(cloud)
                raise RuntimeError(f"no finished run of {names} after {_RUNS_WAIT_S:.0f} s; dead "
                                   f"letters: {' / '.join(letters) or 'none'}")
            self.check_alive()
            self.progress.waiting(f"waiting for the runs of {names}")

    def stop_loads(self, server: Server) -> None:
        """End the writers; a writer that failed on the way has proven nothing."""
        for load in self.loads:
            load.ask_to_stop()
        failures = [failure for load in self.loads if (failure := load.stop())]
        if failures:
            raise RuntimeError("; ".join(failures))
        self.alive.clear()
        server.stop()
        self.progress.step("writers stopped")

    def restore_all(self, cloud: Cloud, runs: list[Run]) -> None:
        """Every set to fresh devices, one after the other."""
        for run in runs:
            if not run.event.get("snapshots"):
                run.problems.append("there is no snapshot set to restore")
                continue
            self.progress.waiting(f"restoring and checking {run.plan.name}")
            run.restored = restore(cloud, run)
            problems = run.restored["problems"]
            words = f"{len(problems)} problems" if problems else "whole"
            self.progress.step(f"restored {run.plan.name}: {words}, "
                               f"{run.restored['rowsChecked']:,} rows checked")

    def check_alive(self) -> None:
        """Stop waiting for something that can no longer come."""
        for failed in self.alive:
            if failure := failed():
                raise RuntimeError(failure)
