"""Stillpoint-Drill on real copies: filesystems that are damaged and servers that do not start are
found, and what is the drill host's own is left alone.

The copies are images on loop devices. They are made once and broken anew for each test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from infra.template import ROOT

DOCUMENT = yaml.safe_load((ROOT / "ssm-documents/Stillpoint-Drill.yaml").read_text())
MEBIBYTES = {"ext4": 64, "xfs": 320, "btrfs": 128}
POSTGRESQL = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
SUPERBLOCKS = 128 << 10

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount filesystems")


@dataclass(frozen=True)
class Copy:
    """A volume of a set, as it is attached to the drill host."""

    image: Path
    device: str

    def break_at(self, offset: int, length: int) -> None:
        with open(self.image, "r+b") as image:
            image.seek(offset)
            image.write(bytes(length))


class Host:
    def __init__(self, folder: Path, undo: ExitStack) -> None:
        self._folder, self._undo = folder, undo

    def copy(self, original: Path) -> Copy:
        """A copy of an image, attached."""
        image = self._folder / f"copy-{original.name}"
        shutil.copyfile(original, image)
        device = run("losetup", "--find", "--show", str(image))
        self._undo.callback(run, "losetup", "--detach", device)
        return Copy(image, device)

    def drill(self, copy: Copy, **more: str) -> tuple[int, str]:
        """Exit code, and what it says."""
        values = {name: about.get("default", "") for name, about in DOCUMENT["parameters"].items()}
        values |= {"volumes": f"vol-1=/dev/sdf={copy.device}", "drillId": "drill-1"} | more
        for name, about in DOCUMENT["parameters"].items():
            assert re.fullmatch(about.get("allowedPattern", ".*"), values[name]), f"{name}: {values[name]}"
        (step,) = DOCUMENT["mainSteps"]
        text = "\n".join(step["inputs"]["runCommand"])
        for name, value in values.items():
            text = text.replace(f"{{{{ {name} }}}}", value)
        path = self._folder / "_script.sh"
        path.write_text(text)
        done = subprocess.run(["sh", path], capture_output=True, text=True, timeout=120, check=False)
        assert list(Path("/srv").glob("drill-*")) == list(Path("/run").glob("stillpoint-drill.*")) == []
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ExitStack() as undo:
        yield Host(tmp_path, undo)


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout.strip()


def filesystem(folder: Path, kind: str, fill: str) -> Path:
    """An image with a filesystem, filled by a shell command that runs in it."""
    image = folder / kind
    with open(image, "wb") as file:
        file.truncate(MEBIBYTES[kind] << 20)
    run(f"mkfs.{kind}", "-q", str(image))
    # A namespace of its own takes the mount away, whatever happens.
    run("unshare", "--mount", "sh", "-ec", f'mount -o loop "$0" /mnt; cd /mnt; {fill}; cd /; umount /mnt',
        str(image))
    return image


@pytest.fixture(scope="module", params=MEBIBYTES)
def data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filesystem(tmp_path_factory.mktemp("data"), request.param, "echo kept >proof; sync")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PostgreSQL's data directory `pg`, with a table of three rows, stopped in the middle of its work."""
    if POSTGRESQL is None:
        pytest.skip("PostgreSQL is not installed")
    as_owner = "runuser -u postgres --"
    log = tmp_path_factory.mktemp("cluster")
    return filesystem(log, "ext4", "; ".join([
        "mkdir pg; chown postgres pg",
        f"{as_owner} {POSTGRESQL}/initdb -D pg -A trust -N >/dev/null",
        f"{as_owner} {POSTGRESQL}/pg_ctl -D pg -w -o \"-c listen_addresses='' "
        "-c unix_socket_directories=/mnt/pg\" start >/dev/null 2>&1",
        f"{as_owner} {POSTGRESQL}/psql -qh /mnt/pg postgres -c 'create table t as select generate_series(1, 3) n'",
        f"{as_owner} {POSTGRESQL}/pg_ctl -D pg -m immediate -w stop >/dev/null 2>&1",
    ]))


def test_a_sound_copy_is_verified_and_not_written_to(host: Host, data: Path) -> None:
    copy = host.copy(data)
    code, said = host.drill(copy, mounts="/dev/sdf:/srv/drill-data", application="command",
                            query="grep -q kept /srv/drill-data/proof && touch /srv/drill-data/new")
    assert (code, "verified" in said) == (0, True), said
    assert "sound" in said
    # Byte for byte but for what mounting itself writes, which XFS does also read-only.
    if data.name == "xfs":
        listed = run("unshare", "--mount", "sh", "-ec", 'mount -o ro,nouuid "$0" /mnt; ls /mnt', copy.device)
        assert listed == "proof"
    else:
        assert copy.image.read_bytes() == data.read_bytes()


def test_a_destroyed_superblock_is_the_sets_fault_where_something_was_mounted(host: Host, data: Path) -> None:
    copy = host.copy(data)
    copy.break_at(0, SUPERBLOCKS)
    code, said = host.drill(copy, mounts="/dev/sdf:/srv/drill-data")
    assert code == 21 and "has no filesystem, and /srv/drill-data was on it" in said, said
    # A volume that nobody has mounted may have none.
    code, said = host.drill(copy)
    assert code == 0 and "no filesystem to check" in said, said


def test_a_damaged_filesystem_is_found(host: Host, tmp_path: Path) -> None:
    copy = host.copy(filesystem(tmp_path, "ext4", "echo kept >proof; sync"))
    run("debugfs", "-w", "-R", "clri /proof", str(copy.image))
    code, said = host.drill(copy, mounts="/dev/sdf:/srv/drill-data")
    assert code == 20 and "e2fsck" in said, said


AT = {"mounts": "/dev/sdf:/srv/drill-pg", "application": "postgresql", "dataDirectory": "/srv/drill-pg/pg"}


def test_a_server_starts_on_its_copy_and_is_asked(host: Host, cluster: Path) -> None:
    copy = host.copy(cluster)
    code, said = host.drill(copy, **AT, query="select count(*) = 3 from t")
    assert (code, "verified" in said) == (0, True), said
    code, said = host.drill(copy, **AT, query="select count(*) = 4 from t")
    assert code == 23 and "answered f" in said, said
    code, said = host.drill(copy, **AT, query="select nothing")
    assert code == 23 and "the query failed" in said, said


def test_a_server_that_does_not_start_is_found(host: Host, cluster: Path) -> None:
    copy = host.copy(cluster)
    run("debugfs", "-w", "-R", "rm /pg/global/pg_control", str(copy.image))
    run("sh", "-c", 'e2fsck -fy "$0" >/dev/null; test $? -le 1', str(copy.image))
    code, said = host.drill(copy, **AT)
    assert code == 22 and "does not start" in said, said


@pytest.mark.parametrize("directory", ["", "/var/lib/stillpoint-own", "/srv/drill-pg/../../var/lib/stillpoint-own"])
def test_a_server_of_the_drill_hosts_own_is_left_alone(
    host: Host, cluster: Path, tmp_path: Path, directory: str
) -> None:
    own = Path("/var/lib/stillpoint-own")
    own.mkdir()
    try:
        (own / "PG_VERSION").write_text("15\n")
        (own / "postmaster.pid").write_text("1\n")
        code, said = host.drill(host.copy(cluster), **AT | {"dataDirectory": directory})
        assert code == 206 and "on none of the mounts" in said, said
        assert (own / "postmaster.pid").exists()
    finally:
        shutil.rmtree(own)
