"""The lab's one endpoint: AWS for everything, and the admin API under /_lab.

Builds the rooms, serves HTTP until it is told to stop, thaws and takes everything apart again.
What AWS answers is the emulator's business; a request of the admin API runs in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from .commands import Commands
from .config import Lab
from .ebs import Pool
from .emulator import Emulator
from .exec import execute
from .faults import Faults, Timeline
from .host import Watchdog
from .instance import Instance
from .instances import Fleet
from .ports import NewSnapshot
from .record import Record
from .snapshots import Snapshots
from .spec import Spec
from .volumes import Volumes
from .windows import Windows

EXEC_WAIT_SECONDS = 50.0
READY_FILE = "lab.json"


class _Hooks:
    """Breaks the circle: the emulator is made first, the rooms that need it after."""

    snapshots: Snapshots
    volumes: Volumes
    fleet: Fleet
    commands: Commands

    def create_snapshots(
        self, instance_id: str, make: Callable[[], list[NewSnapshot]]
    ) -> list[NewSnapshot]:
        return self.snapshots.create(instance_id, make)

    def delete_snapshot(self, snapshot_id: str) -> None:
        self.snapshots.delete(snapshot_id)

    def create_volume(self, volume_id: str, snapshot_id: str) -> None:
        self.volumes.create(volume_id, snapshot_id)

    def attach_volume(self, volume_id: str, instance_id: str, device: str) -> None:
        self.volumes.attach(volume_id, instance_id, device)

    def detach_volume(self, volume_id: str, instance_id: str) -> None:
        self.volumes.detach(volume_id, instance_id)

    def delete_volume(self, volume_id: str) -> None:
        self.volumes.delete(volume_id)

    def launch_instance(self, instance_id: str, name: str, volumes: dict[str, str]) -> None:
        self.fleet.make(instance_id, Spec(name), volumes)

    def remove_instance(self, instance_id: str) -> None:
        self.fleet.remove(instance_id)

    def start_instance(self, instance_id: str) -> None:
        self.fleet.start(instance_id)

    def stop_instance(self, instance_id: str) -> None:
        self.fleet.stop(instance_id)

    def command(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        return self.commands.handle(action, body)


class Server:
    def __init__(self, lab: Lab, record: Record, say: Callable[[str], None]) -> None:
        self._lab, self._record, self._say = lab, record, say
        self._faults, self._timeline = Faults(), Timeline()
        self._undo = contextlib.ExitStack()

    def start(self) -> None:
        """Everything that must exist before the first request."""
        self._say("storage: a btrfs pool for the volumes")
        watchdog = Watchdog()
        self._undo.callback(watchdog.close)
        self._record.set("watchdog", watchdog.pid)
        self._pool = Pool(self._lab.pool_image, self._lab.pool, self._record)
        self._pool.create()
        self._undo.callback(self._pool.destroy)
        self._undo.callback(self._pool.release, None)
        self._say("emulators: ministack with moto's EC2 and SSM documents")
        hooks = _Hooks()
        self._emulator = Emulator(hooks)
        self._fleet = Fleet(self._lab, self._pool, self._emulator, self._record, watchdog)
        self._undo.callback(self._fleet.vanish_all)
        hooks.snapshots = Snapshots(
            self._pool, self._fleet, self._emulator, self._faults, self._timeline
        )
        hooks.volumes, hooks.fleet = Volumes(self._pool, self._fleet), self._fleet
        windows = Windows(self._lab.endpoint, self._faults, self._timeline)
        hooks.commands = Commands(
            self._fleet, self._emulator, self._faults, self._timeline, windows
        )

    def serve(self) -> None:
        """Answer until SIGTERM or SIGINT."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        config = Config()
        config.bind = [f"127.0.0.1:{self._lab.port}"]
        # Longer than a client keeps an idle connection, as with the real endpoints: a call that
        # is sent at the moment of closing is one whose reply was lost.
        config.keep_alive_timeout = 300.0
        config.graceful_timeout = 1.0
        config.shutdown_timeout = 2.0
        config.loglevel = "WARNING"
        ready = asyncio.create_task(self._announce())
        await serve(self, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]
        ready.cancel()

    async def _announce(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._lab.port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        target = self._lab.state / READY_FILE
        about = {"endpoint": self._lab.endpoint, "pid": os.getpid(), "share": str(self._lab.share)}
        fresh = target.with_suffix(".new")
        fresh.write_text(json.dumps(about) + "\n")
        fresh.replace(target)
        self._say(f"ready: {self._lab.endpoint}")

    def stop(self) -> None:
        """Thaw and take apart what was started; whatever fails is left to `down`."""
        try:
            self._undo.close()
        except Exception:
            traceback.print_exc()

    # --- HTTP -----------------------------------------------------------------------------------

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/_lab/"):
            await self._emulator(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = await asyncio.to_thread(
            self._admin, scope["method"], scope["path"][len("/_lab/") :], body
        )
        text = json.dumps(answer).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(text)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    def _admin(self, method: str, path: str, raw: bytes) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        try:
            return 200, self._route(method, parts, json.loads(raw or b"{}"))
        except KeyError as error:
            return 404, {"error": f"not found: {error.args[0]}"}
        except ValueError as error:
            return 400, {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            return 500, {"error": f"{type(error).__name__}: {error}"}

    def _route(self, method: str, parts: list[str], body: dict[str, Any]) -> Any:
        match method, parts:
            case "POST", ["instances"]:
                return self._public(self._fleet.launch(_spec(body)))
            case "GET", ["instances"]:
                return [self._public(i) for i in self._fleet.all()]
            case "POST", ["instances", ident, "exec"]:
                return self._exec(ident, body)
            case "DELETE", ["instances", ident]:
                self._fleet.vanish(ident)
                return {}
            case "GET", ["timeline"]:
                return self._timeline.all()
            case "GET", ["frozen"]:
                return self._fleet.frozen()
            case "POST", ["thaw"]:
                self._fleet.thaw_all()
                return {}
            case "POST", ["faults"]:
                return self._faults.change(body)
            case "POST", ["snapshots", "start-times"]:
                self._emulator.set_start_times(body)
                return {}
            case "POST", ["snapshots", ident, "damage"]:
                self._pool.damage(ident, int(body["offset"]), int(body["length"]))
                return {}
            case "POST", ["restore"]:
                return self._pool.restore(list(body["snapshotIds"]))
            case "POST", ["release"]:
                return self._pool.release(body.get("devices"))
        raise KeyError(f"{method} /_lab/{'/'.join(parts)}")

    def _exec(self, ident: str, body: dict[str, Any]) -> Any:
        argv = body["argv"]
        if not argv or not all(isinstance(a, str) for a in argv):
            raise ValueError(f"argv: found {argv!r}, a list of strings with at least one is needed")
        log = Path(body["log"]) if body.get("log") else None
        instance = self._fleet.get(ident)
        if instance is None:
            raise KeyError(ident)
        return execute(
            instance,
            argv,
            bool(body.get("detach")),
            log,
            body.get("env"),
            float(body.get("timeoutSeconds", EXEC_WAIT_SECONDS)),
        )

    @staticmethod
    def _public(instance: Instance) -> dict[str, Any]:
        return {
            "instanceId": instance.id,
            "name": instance.name,
            "managed": instance.managed,
            "platform": instance.platform,
            "bootId": instance.boot_id,
            "initPid": instance.init_pid,
            "root": f"/proc/{instance.init_pid}/root",
            "volumes": [v.public(instance.init_pid) for v in instance.volumes],
        }


def _spec(body: dict[str, Any]) -> Spec:
    """What is to be launched; a field that does not exist is refused."""
    names = {re.sub("_(.)", lambda m: m[1].upper(), one.name): one.name for one in fields(Spec)}
    if unknown := sorted(set(body) - set(names)):
        raise ValueError(f"no such field: {', '.join(unknown)}; there are {', '.join(names)}")
    return Spec(**{names[key]: value for key, value in body.items() if value is not None})


def clear_scratch(state: Path) -> None:
    """Empty directories and scratch files that a stopped lab leaves."""
    for name in ("ebs", "roots", "tmp"):
        shutil.rmtree(state / name, ignore_errors=True)
