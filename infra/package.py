"""Builds what is deployed: the functions' zips, the agent, its Distributor package, checksums, SBOM.

`make package` runs it; target/package/ is the result. What it takes to build for another architecture
it fetches itself, Rust's parts with rustup and, as root on Debian or Ubuntu, the C compiler with
apt-get; where that cannot be had it says what is missing and goes on with the others. Needs cargo,
and nothing but Python's standard library. Zips are the same for the same binary: fixed times, fixed order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from sbom import bill_of_materials

INFRA = Path(__file__).resolve().parent
ROOT = INFRA.parent
OUT = ROOT / "target" / "package"
# Lambda's name of an architecture -> Rust's.
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
# Debian's name of it.
DEBIAN = {"arm64": "arm64", "x86_64": "amd64"}
# Amazon Linux 2023, which provided.al2023 is, has glibc 2.34.
GLIBC_MINOR_MAX = 34
# The platforms that Distributor knows and the agent runs on.
PLATFORMS = ["almalinux", "amazon", "centos", "debian", "oracle", "redhat", "rocky", "suse", "ubuntu"]
PT_INTERP = 3
# All of it is locked in memory while it holds.
AGENT_BYTES_MAX = 5_000_000
# For rustc's last step: the program is optimized as a whole, which makes it a sixth smaller.
WHOLE = ["-C", "lto=fat"]


class Missing(Exception):
    """Why something cannot be built here."""


def say(text: str) -> None:
    print(f"package: {text}", flush=True)


def native() -> str:
    return "arm64" if platform.machine() == "aarch64" else "x86_64"


def version() -> str:
    found = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def need_target(triple: str) -> None:
    """The standard library for a target, from rustup if it is not there."""
    asked = subprocess.run(["rustc", "--print", "target-libdir", "--target", triple],
                           capture_output=True, text=True, check=False)
    if asked.returncode == 0 and any(Path(asked.stdout.strip()).glob("libstd-*")):
        return
    if shutil.which("rustup") is None:
        raise Missing(f"Rust's standard library for {triple}, and there is no rustup to fetch it")
    say(f"fetching Rust's standard library for {triple}")
    added = subprocess.run(["rustup", "target", "add", triple], capture_output=True, text=True, check=False)
    if added.returncode != 0:
        raise Missing(f"Rust's standard library for {triple}: {added.stderr.strip().splitlines()[-1:]}")


def need_cross_compiler(linker: str, architecture: str) -> None:
    """gcc for another architecture, from apt if it is not there and this is root on Debian or alike."""
    packages = [f"gcc-{ARCHITECTURES[architecture].replace('_', '-')}-linux-gnu",
                f"libc6-dev-{DEBIAN[architecture]}-cross"]
    if shutil.which(linker) is not None:
        return
    if shutil.which("apt-get") is not None and os.geteuid() == 0:
        say(f"installing {' '.join(packages)} with apt-get")
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        for argv in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *argv], check=False, **quiet)
    if shutil.which(linker) is None:
        raise Missing(f"the cross compiler {linker} (Debian: apt-get install {' '.join(packages)})")


def cargo(package: str, profile: str, triple: str | None, environment: dict[str, str],
          last_step: list[str] | None = None) -> Path:
    """Builds one package; returns the folder of its binaries. `last_step` is for rustc, and for the
    package itself only."""
    argv = ["cargo", "rustc", "--locked", "--profile", profile, "--package", package]
    argv += ["--target", triple] if triple else []
    argv += ["--bins", "--", *last_step] if last_step else []
    if subprocess.run(argv, cwd=ROOT, env=os.environ | environment, check=False).returncode != 0:
        raise Missing(f"{package} for {triple or 'this machine'}: cargo failed, its words are above")
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / (triple or "") / ("debug" if profile == "dev" else profile)


def small(profile: str) -> list[str]:
    """What makes a release smaller at its last step: optimized as a whole, and functions that came out
    the same folded into one, which the SDK has thousands of. lld folds, Rust's own or the system's."""
    if profile != "release":
        return []
    asked = subprocess.run(["rustc", "--print", "target-libdir"], capture_output=True, text=True, check=True)
    own = Path(asked.stdout.strip()).parent / "bin" / "gcc-ld"
    arguments = [*WHOLE]
    if own.is_dir() or shutil.which("ld.lld"):
        arguments += ["-C", "link-arg=-fuse-ld=lld", "-C", "link-arg=-Wl,--icf=safe"]
        arguments += ["-C", f"link-arg=-B{own}"] if own.is_dir() else []
    else:
        say("no lld here: the functions will be larger")
    return arguments


def functions(architecture: str, profile: str) -> Path:
    """functions-<architecture>.zip: one executable named bootstrap."""
    triple, environment = None, {}
    if architecture != native():
        rust = ARCHITECTURES[architecture]
        triple, linker = f"{rust}-unknown-linux-gnu", f"{rust}-linux-gnu-gcc"
        need_cross_compiler(linker, architecture)
        need_target(triple)
        variable = triple.replace("-", "_")
        environment = {f"CARGO_TARGET_{variable.upper()}_LINKER": linker, f"CC_{variable}": linker}
    say(f"functions for {architecture}: the AWS SDK takes minutes the first time")
    folder = cargo("stillpoint-bootstrap", profile, triple, environment, small(profile))
    binary = stripped(folder / "bootstrap", profile)
    check_glibc(binary)
    path = OUT / f"functions-{architecture}.zip"
    write_zip(path, {"bootstrap": (binary, 0o755)})
    return path


def stripped(path: Path, profile: str) -> bytes:
    """A dev build without its debug information, which is most of it."""
    if profile != "dev":
        return path.read_bytes()
    scratch = OUT / "stripped"
    subprocess.run(["strip", "-o", scratch, path], check=True)
    data = scratch.read_bytes()
    scratch.unlink()
    return data


def check_glibc(binary: bytes) -> None:
    """No symbol newer than the C library that Lambda has."""
    newest = max((int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)\0", binary)), default=0)
    if newest > GLIBC_MINOR_MAX:
        raise Missing(f"a build machine with an older C library: the functions need glibc 2.{newest}, "
                      f"Lambda's provided.al2023 has 2.{GLIBC_MINOR_MAX}")


def agent(architecture: str, profile: str) -> Path:
    """stillpoint-agent-<architecture>: static, for any Linux of that architecture."""
    rust = ARCHITECTURES[architecture]
    triple = f"{rust}-unknown-linux-musl"
    # Rust's musl targets bring their own start files and C library; no C compiler is needed.
    environment = {f"CARGO_TARGET_{triple.replace('-', '_').upper()}_LINKER": "rust-lld"}
    try:
        need_target(triple)
    except Missing:
        if architecture != native():
            raise
        triple, environment = f"{rust}-unknown-linux-gnu", {"RUSTFLAGS": "-C target-feature=+crt-static"}
    say(f"agent for {architecture} ({triple})")
    path = OUT / f"stillpoint-agent-{architecture}"
    # Its holder locks the whole of it in memory, page by page.
    whole = WHOLE if profile == "release" else []
    built = cargo("stillpoint-agent", profile, triple, environment, whole) / "stillpoint-agent"
    data = built.read_bytes() if architecture != native() else stripped(built, profile)
    if is_dynamic(data):
        raise Missing(f"a static agent: {triple} gave one that needs a loader")
    if profile == "release" and len(data) > AGENT_BYTES_MAX:
        raise Missing(f"an agent of at most {AGENT_BYTES_MAX:,} bytes: it has {len(data):,}")
    path.write_bytes(data)
    path.chmod(0o755)
    return path


def is_dynamic(elf: bytes) -> bool:
    """Whether the program asks for a dynamic loader (ELF64, little-endian)."""
    offset, = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    kinds = [struct.unpack_from("<I", elf, offset + n * size)[0] for n in range(count)]
    return PT_INTERP in kinds


def distributor(agents: dict[str, Path]) -> list[Path]:
    """The folder for `aws ssm create-document --document-type Package`: a zip each, and the manifest."""
    folder = OUT / "distributor"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    replace = (INFRA / "agent" / "replace.sh").read_text()
    files, made = {}, []
    for architecture, path in agents.items():
        digest = sha256(path)
        head = "#!/bin/sh\nset -u\n"
        install = f'{head}{replace}\nput_agent "$(dirname "$0")/stillpoint-agent" {digest}\n'
        zipped = folder / f"stillpoint-agent-{architecture}.zip"
        write_zip(zipped, {
            "install.sh": (install.encode(), 0o755),
            "stillpoint-agent": (path.read_bytes(), 0o755),
            "uninstall.sh": (f"{head}{replace}\nremove_agent\n".encode(), 0o755),
        })
        files[architecture] = zipped
        made.append(zipped)
    by_architecture = {architecture: {"file": path.name} for architecture, path in files.items()}
    manifest = {
        "schemaVersion": "2.0",
        "version": version(),
        "publisher": "Stillpoint",
        "packages": {name: {"_any": by_architecture} for name in PLATFORMS},
        "files": {path.name: {"checksums": {"sha256": sha256(path)}} for path in files.values()},
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    return [*made, path]


def write_zip(path: Path, entries: dict[str, tuple[bytes, int]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, (data, mode) in sorted(entries.items()):
            entry = zipfile.ZipInfo(name)  # its time is 1980, always
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def attempt(what: str, build: object, left_out: list[str]) -> Path | None:
    try:
        return build()  # type: ignore[operator]
    except Missing as missing:
        left_out.append(f"{what}: missing: {missing}")
        say(f"left out {left_out[-1]}")
        return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="package.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--arch", choices=sorted(ARCHITECTURES), action="append", help="default: all")
    parser.add_argument("--profile", choices=["release", "dev"], default="release")
    parser.add_argument("--agent-only", action="store_true", help="no functions")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    made: list[Path] = []
    agents: dict[str, Path] = {}
    for architecture in options.arch or sorted(ARCHITECTURES):
        if built := attempt(f"agent for {architecture}", lambda: agent(architecture, options.profile), left_out):
            agents[architecture] = built
        if not options.agent_only:
            zipped = attempt(f"functions for {architecture}",
                             lambda: functions(architecture, options.profile), left_out)
            made += [zipped] if zipped else []
            if zipped:  # where the CDK library looks for it
                shutil.copyfile(zipped, INFRA / "cdk" / zipped.name)
    if not agents:
        say("nothing was built")
        return 1
    made += [*agents.values(), *distributor(agents)]
    bill = OUT / "sbom.cdx.json"
    bill.write_text(bill_of_materials(ROOT, version()))
    made.append(bill)
    sums = "".join(f"{sha256(path)}  {path.relative_to(OUT)}\n" for path in sorted(made))
    (OUT / "SHA256SUMS").write_text(sums)
    for path in sorted(made):
        say(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    for what in left_out:
        say(f"left out {what}")
    # Whoever asked for an architecture by name wants it, or an error.
    return 1 if options.arch and left_out else 0


if __name__ == "__main__":
    sys.exit(main())
