"""What a lab has created outside its own process, on disk before it is created.

`down` works from this file alone, so it also cleans up after a lab that was killed. Nothing is
ever taken off the list while the thing may exist.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

FILE = "created.json"


class Record:
    """created.json of one lab."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._lock = threading.Lock()
        self._data: dict[str, Any] = {
            "lab": None,
            "watchdog": None,
            "share": None,
            "loops": {},
            "inits": [],
        }
        if self._path.exists():
            self._data |= json.loads(self._path.read_text())

    def __getitem__(self, key: str) -> Any:
        return self._data[key]

    def set(self, key: str, value: Any) -> None:
        with self._lock:
            self._data[key] = value
            self._write()

    def add_loop(self, device: str, backing: Path) -> None:
        with self._lock:
            self._data["loops"][device] = str(backing)
            self._write()

    def drop_loop(self, device: str) -> None:
        with self._lock:
            self._data["loops"].pop(device, None)
            self._write()

    def add_init(self, pid: int) -> None:
        with self._lock:
            self._data["inits"].append(pid)
            self._write()

    def drop_init(self, pid: int) -> None:
        with self._lock:
            self._data["inits"] = [p for p in self._data["inits"] if p != pid]
            self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        with open(fresh, "w") as file:
            json.dump(self._data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
