"""What `make package` makes, but for the builds: zips that are the same twice, a Distributor package
whose checksums are true, a bill of materials of everything that is linked.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.function import Function
from infra.template import ROOT

sys.path.insert(0, str(ROOT / "infra"))
import package  # noqa: E402  (a program's module, beside the templates)
import sbom  # noqa: E402


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(package, "OUT", tmp_path)
    made = {}
    for architecture in package.ARCHITECTURES:
        made[architecture] = tmp_path / f"stillpoint-agent-{architecture}"
        made[architecture].write_bytes(architecture.encode())
    return made


def test_the_distributor_package_has_true_checksums(agents: dict[str, Path]) -> None:
    *zips, manifest = package.distributor(agents)
    told = json.loads(manifest.read_text())
    assert told["schemaVersion"] == "2.0" and told["version"] == package.version()
    assert set(told["files"]) == {path.name for path in zips}
    for path in zips:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert told["files"][path.name] == {"checksums": {"sha256": digest}}
    for name, versions in told["packages"].items():
        assert {a: f["file"] for a, f in versions["_any"].items()} == {
            a: f"stillpoint-agent-{a}.zip" for a in agents
        }, name


def test_its_scripts_verify_the_agent_that_is_with_them(agents: dict[str, Path]) -> None:
    *zips, _ = package.distributor(agents)
    for path in zips:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            assert sorted(entries) == ["install.sh", "stillpoint-agent", "uninstall.sh"]
            assert all(entry.external_attr >> 16 & 0o777 == 0o755 for entry in entries.values())
            digest = hashlib.sha256(archive.read("stillpoint-agent")).hexdigest()
            scripts = {name: archive.read(name).decode() for name in ("install.sh", "uninstall.sh")}
        assert scripts["install.sh"].endswith(f'put_agent "$(dirname "$0")/stillpoint-agent" {digest}\n')
        assert scripts["uninstall.sh"].endswith("remove_agent\n")
        for text in scripts.values():
            assert subprocess.run(["sh", "-n"], input=text, text=True, check=False).returncode == 0


def test_a_zip_is_the_same_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        package.write_zip(tmp_path / name, {"bootstrap": (b"program", 0o755), "a": (b"", 0o644)})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_library_newer_than_lambdas_is_refused() -> None:
    package.check_glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0")
    with pytest.raises(package.Missing, match="2.36"):
        package.check_glibc(b"\0GLIBC_2.34\0GLIBC_2.36\0")


@pytest.mark.parametrize("architecture", sorted(package.ARCHITECTURES))
def test_the_packaged_functions_start_and_poll(architecture: str, tmp_path: Path) -> None:
    """Of the other architecture under an emulator, with the C library of its cross compiler."""
    path = ROOT / "target" / "package" / f"functions-{architecture}.zip"
    if not path.exists():
        pytest.skip(f"no {path.name}: make package ARCH={architecture} builds it, in minutes")
    with zipfile.ZipFile(path) as archive:
        bootstrap = Path(archive.extract("bootstrap", tmp_path))
    bootstrap.chmod(0o755)
    argv = [str(bootstrap)]
    if architecture != package.native():
        rust = package.ARCHITECTURES[architecture]
        qemu, libraries = shutil.which(f"qemu-{rust}-static"), Path(f"/usr/{rust}-linux-gnu")
        if qemu is None or not libraries.is_dir():
            packages = f"qemu-user-static gcc-{rust.replace('_', '-')}-linux-gnu"
            pytest.skip(f"nothing here runs {architecture} (Debian: apt-get install {packages})")
        argv = [qemu, "-L", str(libraries), *argv]
    with Function(argv, "planner", tmp_path / "log") as function:
        assert function.first_poll_ms() > 0


def test_a_program_that_needs_a_loader_is_seen() -> None:
    assert package.is_dynamic(Path(sys.executable).resolve().read_bytes())


def test_the_bill_has_what_is_linked_with_licence_and_checksum() -> None:
    bill: dict[str, Any] = json.loads(sbom.bill_of_materials(ROOT, package.version()))
    found = {part["name"]: part for part in bill["components"]}
    assert {"aws-sdk-ec2", "lambda_runtime", "libc", "stillpoint-run"} <= set(found)
    assert "proptest" not in found, "a test's crate is not shipped"
    for name, part in found.items():
        assert part.get("licenses"), name
        assert name.startswith("stillpoint") or part["hashes"][0]["alg"] == "SHA-256", name
    known = {part["bom-ref"] for part in bill["components"]}
    for edge in bill["dependencies"]:
        assert {edge["ref"], *edge["dependsOn"]} <= known
