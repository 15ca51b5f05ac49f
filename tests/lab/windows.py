"""What AWS's VSS documents do on a Windows instance of the lab, in place of their PowerShell.

There is no Windows here: the volumes that have a mount are what "Windows shows as mounted", and
fsfreeze holds them for as long as VSS would. Everything around that is as in AWS's documents: the
checks and their error codes, CreateSnapshots and CreateTags with the credentials of the
instance's own role, AppConsistent afterwards, the result as the last line of stdout, the error
as the exit code. What goes wrong is the lab's fault `vss`. The step's bookkeeping is commands.py's.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from . import vss_documents
from .config import ACCOUNT, REGION
from .documents import Step
from .faults import Faults, Timeline
from .instance import Instance
from .ssm_agent import Outcome

# The newest that AWS's page lists.
COMPONENTS = "2.5.1"
RESERVED_TAGS = {"AppConsistent", "Device", "AwsVssConfig"}
# Failures that come when the snapshots are there already; all others come before.
LATE_ERRORS = {3022, 3041, *range(6001, 6007), *range(7001, 7006)}
# An agent on Windows reports this for a process that it ended.
ENDED = -1
POLL_SECONDS = 0.1


class _Failed(Exception):
    def __init__(self, error: int, words: str) -> None:
        super().__init__(words)
        self.error = error


class _Stopped(Exception):
    """Cancelled, or out of time."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class Windows:
    """Runs the steps of VSS documents."""

    def __init__(self, endpoint: str, faults: Faults, timeline: Timeline) -> None:
        self._endpoint, self._faults, self._timeline = endpoint, faults, timeline
        self._busy: dict[str, threading.Lock] = {}

    def run_step(self, instance: Instance, step: Step, cancelled: threading.Event) -> Outcome:
        script = step.script.strip()
        if script == vss_documents.CHECK_SCRIPT:
            # "Failure" is what ends the installation: there is nothing to install.
            return Outcome("Failed", 1) if instance.vss_components else Outcome("Success", 0)
        if script == vss_documents.INSTALL_SCRIPT:
            instance.vss_components = str(step.values.get("VssVersion")) or COMPONENTS
            return Outcome("Success", 0, f"AwsVssComponents {instance.vss_components} installed\n")
        if script != vss_documents.SNAPSHOT_SCRIPT:
            return Outcome("Failed", 1, stderr="this instance has no PowerShell\n")
        run = _Run(self, instance, step, cancelled)
        lock = self._busy.setdefault(instance.id, threading.Lock())
        if not lock.acquire(blocking=False):
            return run.result(2003, "ec2-vss-agent.exe is running already")
        try:
            return run.outcome()
        finally:
            lock.release()

    def fault(self, instance: Instance) -> dict[str, Any]:
        return self._faults.vss(instance.id)

    def note(self, event: str, instance: Instance, **more: Any) -> None:
        self._timeline.add(event, instance.id, **more)

    def ec2(self, instance: Instance) -> Any:
        """EC2 with the credentials of the instance's own role."""
        import boto3
        from botocore.config import Config

        if instance.role is None:
            raise _Failed(3001, "the instance has no role")
        config = Config(proxies={}, retries={"max_attempts": 1})
        root = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test",
                             region_name=REGION)
        sts = root.client("sts", endpoint_url=self._endpoint, config=config)
        arn = f"arn:aws:iam::{ACCOUNT}:role/{instance.role}"
        given = sts.assume_role(RoleArn=arn, RoleSessionName=instance.id)["Credentials"]
        own = boto3.Session(
            aws_access_key_id=given["AccessKeyId"], aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"], region_name=REGION,
        )
        return own.client("ec2", endpoint_url=self._endpoint, config=config)


class _Run:
    """One execution of the snapshot step."""

    def __init__(
        self, windows: Windows, instance: Instance, step: Step, cancelled: threading.Event
    ) -> None:
        self._windows, self._instance, self._cancelled = windows, instance, cancelled
        self._values = {name: str(value) for name, value in step.values.items()}
        self._deadline = time.monotonic() + step.timeout_seconds
        self._fault = windows.fault(instance)
        self._set_id = "{" + str(uuid.uuid4()) + "}"
        self._frozen_ms = 0
        self._made: list[dict[str, Any]] = []

    def outcome(self) -> Outcome:
        try:
            return self.result(self._run(), "")
        except _Failed as failed:
            return self.result(failed.error, str(failed))
        except _Stopped as stopped:
            return Outcome(stopped.status, ENDED, skip_rest=True)

    def result(self, error: int, words: str) -> Outcome:
        """The last line of the document, and its exit code."""
        devices = {v.volume_id: v.device for v in self._instance.volumes}
        shown = {
            "Error": error,
            "VolumeCount": len(self._made),
            "VssSnapshotSetId": self._set_id,
            "FreezeTimeInMS": self._frozen_ms,
            "Snapshots": [
                {"SnapshotId": one["SnapshotId"], "Device": devices[one["VolumeId"]],
                 "EbsVolumeId": one["VolumeId"]}
                for one in self._made
            ],
            "ImageId": "",
            "Failures": [words] if words else [],
        }
        if self._fault.get("noResult"):
            return Outcome("Success" if error == 0 else "Failed", error, "Done.\n")
        text = f"VSS snapshot of {self._instance.id}\n{json.dumps(shown, separators=(',', ':'))}\n"
        stderr = f"{words}\n" if words else ""
        return Outcome("Success" if error == 0 else "Failed", error, text, stderr)

    def _run(self) -> int:
        volumes = self._check()
        self._wait_if("before")
        error = int(self._fault.get("error", 0))
        if error and not self._is_late(error):
            raise _Failed(error, f"fault of the lab: {error}")
        ec2 = self._windows.ec2(self._instance)
        self._describe(ec2)
        self._snapshot(ec2, volumes)
        self._wait_if("after")
        if error > 99:
            raise _Failed(error, f"fault of the lab: {error}")
        consistent = error < 10
        return error + self._mark(ec2, consistent, untagged=error % 10 != 0)

    def _is_late(self, error: int) -> bool:
        late = error < 100 or error in LATE_ERRORS
        return bool(self._fault.get("when", "after" if late else "before") == "after")

    def _wait_if(self, when: str) -> None:
        """Hangs here if it is to, until somebody ends it."""
        seconds = float(self._fault.get("seconds", 0)) if when == "before" else 0.0
        until = time.monotonic() + seconds
        while self._fault.get("hang") == when or time.monotonic() < until:
            if self._cancelled.wait(POLL_SECONDS):
                raise _Stopped("Cancelled")
            if time.monotonic() > self._deadline:
                raise _Stopped("TimedOut")

    def _check(self) -> list[Any]:
        """The volumes that Windows has mounted, after the document's own checks."""
        yes = {name for name, value in self._values.items() if value == "True"}
        version = self._instance.vss_components
        if {"CreateAmi", "ExcludeBootVolume"} <= yes:
            raise _Failed(1001, "CreateAmi with ExcludeBootVolume")
        if not version:
            raise _Failed(1003, "ec2-vss-agent.exe is not installed")
        if "SaveVssMetadata" in yes and tuple(map(int, version.split(".")[:2])) < (2, 4):
            raise _Failed(1010, f"SaveVssMetadata with AwsVssComponents {version}")
        if {"SaveVssMetadata", "NoWriters"} <= yes:
            raise _Failed(1011, "SaveVssMetadata with NoWriters")
        self._tags()
        boot = [] if "ExcludeBootVolume" in yes else [self._instance.boot_volume()]
        mounted = boot + [v for v in self._instance.volumes if v.mount]
        if not mounted:
            raise _Failed(1006, "no EBS volume is mounted")
        return mounted

    def _tags(self) -> dict[str, str]:
        tags = {}
        for pair in filter(None, self._values["tags"].split(";")):
            key, separator, value = pair.partition(",Value=")
            if not separator or not key.startswith("Key=") or key[4:] in RESERVED_TAGS:
                raise _Failed(1007, f"tags: {pair}")
            tags[key[4:]] = value
        return tags

    def _describe(self, ec2: Any) -> None:
        from botocore.exceptions import ClientError

        try:
            ec2.describe_instances(InstanceIds=[self._instance.id])
        except ClientError as error:
            raise _Failed(3001, str(error)) from error

    def _snapshot(self, ec2: Any, volumes: list[Any]) -> None:
        from botocore.exceptions import ClientError

        tags = self._tags()
        tags |= {"AwsVssConfig": f"{self._instance.vss_components} {self._set_id}"}
        # An old component tags what it made afterwards, and may not come to it.
        tags = {} if self._fault.get("untagged") else tags
        taken = {v.volume_id for v in volumes}
        offline = [v.volume_id for v in self._instance.volumes
                   if v.volume_id not in taken and v is not self._instance.boot_volume()]
        wanted: dict[str, Any] = {
            "InstanceId": self._instance.id,
            "ExcludeBootVolume": self._values["ExcludeBootVolume"] == "True",
        }
        if offline:
            wanted["ExcludeDataVolumeIds"] = offline
        if tags:
            given = [{"Key": key, "Value": value} for key, value in tags.items()]
            more = {"TagSpecifications": [{"ResourceType": "snapshot", "Tags": given}]}
        else:
            more = {}
        mounts = [v.mount for v in volumes if v.mount]
        self._windows.note("VSS freeze", self._instance)
        began = time.monotonic()
        try:
            self._freeze("-f", mounts)
            self._made = ec2.create_snapshots(
                InstanceSpecification=wanted,
                Description=self._values["description"],
                **more,
            )["Snapshots"]
        except ClientError as error:
            raise _Failed(5001, str(error)) from error
        finally:
            self._freeze("-u", mounts)
            self._frozen_ms = round((time.monotonic() - began) * 1_000)
            self._windows.note("VSS thaw", self._instance)

    def _freeze(self, how: str, mounts: list[str]) -> None:
        for mount in mounts if how == "-f" else reversed(mounts):
            process = self._instance.spawn(["fsfreeze", how, mount])
            process.ended.wait(10)

    def _mark(self, ec2: Any, consistent: bool, untagged: bool) -> int:
        """AppConsistent and Device on each; the ones digit of the error if that fails."""
        from botocore.exceptions import ClientError

        if untagged:
            return 0
        word = self._fault.get("appConsistent", "True" if consistent else "False")
        devices = {v.volume_id: v.device for v in self._instance.volumes}
        partly = self._made[:-1] if self._fault.get("markAllButOne") else self._made
        try:
            for one in partly:
                ec2.create_tags(Resources=[one["SnapshotId"]], Tags=[
                    {"Key": "AppConsistent", "Value": word},
                    {"Key": "Device", "Value": devices[one["VolumeId"]]}])
        except ClientError:
            return 1
        return 0


