"""The software bill of materials: every crate that is linked into a binary, as CycloneDX 1.6.

From `cargo metadata` with the checksums of Cargo.lock, which is what cargo verified each crate
with. Build scripts' and tests' own crates are not in it: nothing of them is shipped.
"""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

ROOTS = ("stillpoint-bootstrap", "stillpoint-agent", "stillpoint-cli")


def bill_of_materials(root: Path, version: str) -> str:
    """The document, without a time or a serial number: the same for the same Cargo.lock."""
    argv = ["cargo", "metadata", "--format-version", "1", "--locked",
            "--filter-platform", "x86_64-unknown-linux-gnu"]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=True)
    metadata = json.loads(done.stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    linked = reach({i for i, p in packages.items() if p["name"] in ROOTS}, nodes)
    sums = {(p["name"], p["version"]): p.get("checksum")
            for p in tomllib.loads((root / "Cargo.lock").read_text())["package"]}
    chosen = sorted((packages[i] for i in linked), key=lambda p: (p["name"], p["version"]))
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "stillpoint",
                                   "name": "stillpoint", "version": version}},
        "components": [component(package, sums) for package in chosen],
        "dependencies": [{"ref": purl(package), "dependsOn": sorted(
            purl(packages[one]) for one in linked_by(nodes[package["id"]]))} for package in chosen],
    }
    return json.dumps(bill, indent=1) + "\n"


def reach(ids: set[str], nodes: dict[str, Any]) -> set[str]:
    """These and everything that is linked in with them."""
    todo, seen = set(ids), set()
    while todo:
        one = todo.pop()
        seen.add(one)
        todo |= set(linked_by(nodes[one])) - seen
    return seen


def linked_by(node: dict[str, Any]) -> list[str]:
    """Normal dependencies: neither those of build scripts nor those of tests."""
    return [one["pkg"] for one in node["deps"] if any(kind["kind"] is None for kind in one["dep_kinds"])]


def purl(package: dict[str, Any]) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package: dict[str, Any], sums: dict[tuple[str, str], str | None]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "library", "bom-ref": purl(package), "name": package["name"],
                             "version": package["version"], "purl": purl(package)}
    if package.get("license"):
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := sums.get((package["name"], package["version"])):
        found["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return found
