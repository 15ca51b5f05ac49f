"""Checks one restored snapshot set, in namespaces of its own.

restore.py starts it under unshare, with the request as JSON on standard input; the answer
is JSON on standard output. Everything it mounts and starts vanishes with its namespaces,
whatever happens to it. It knows nothing of policies or labels: it is told what must be
there and what must not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from demo import verify_files, verify_postgres
from demo.records import read
from demo.verify_volumes import Volume, check_and_mount, run

# A folder that every Linux has; a tmpfs hides it in these namespaces only.
_BASE = Path("/mnt")
# One lost flush damages hundreds of blocks; a reader needs the first few.
_PROBLEMS_MAX = 5


def verify(request: dict) -> dict:
    """Mount, check, count. Problems are sentences; no problem means restored and verified."""
    run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(_BASE)])
    problems: list[str] = []
    volumes = [Volume(**volume) for volume in request["volumes"]]
    answers = [check_and_mount(volume, _BASE, problems) for volume in volumes]
    rows = 0
    notes: list[str] = []
    if not problems:
        check = {"files": verify_files.check, "postgres": verify_postgres.check}[request["kind"]]
        places = {volume.mount: volume.place(_BASE) for volume in volumes}
        writes = read(Path(request["log"]))
        rows, notes = check(places, writes, request["cut"], problems)
    if len(problems) > _PROBLEMS_MAX:
        problems[_PROBLEMS_MAX:] = [f"and {len(problems) - _PROBLEMS_MAX} more problems"]
    return {"volumes": answers, "rowsChecked": rows, "problems": problems, "notes": notes}


def main() -> int:
    request = json.load(sys.stdin)
    try:
        answer = verify(request)
    except Exception as error:
        answer = {"volumes": [], "rowsChecked": 0, "notes": [],
                  "problems": [f"{type(error).__name__}: {error}"]}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
