"""Mount tables, and which paths they put on a network disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from robust.engine.database.network_disk import network_disk, network_kind

ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"


def line(point: str, kind: str, optional: str = "shared:1 ") -> str:
    return f"40 27 0:50 / {point} rw,relatime {optional}- {kind} server:/export rw,vers=4.2"


@pytest.mark.parametrize(
    "kind",
    [
        *("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs"),
        *("fuse", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.ceph-fuse"),
    ],
)
def test_network_disks(kind: str) -> None:
    table = "\n".join([ROOT, line("/data", kind)])
    assert network_kind("/data/runs/one", table) == kind
    assert network_kind("/data", table) == kind
    assert network_kind("/database", table) == "", "a name that begins alike"
    assert network_kind("/home/me", table) == ""


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk"])
def test_local_disks(kind: str) -> None:
    assert network_kind("/data/runs", "\n".join([line("/", "nfs4"), line("/data", kind)])) == ""


def test_the_nearest_mount_counts_and_of_two_the_last() -> None:
    inner = "\n".join([line("/home", "nfs4"), line("/home/me/fast", "xfs"), ROOT])
    assert network_kind("/home/me/fast/run", inner) == ""
    assert network_kind("/home/me/slow", inner) == "nfs4"
    over = [line("/data", "autofs"), line("/data", "nfs4", "")]
    assert network_kind("/data/run", "\n".join(over)) == "nfs4"
    assert network_kind("/data/run", "\n".join(over[::-1])) == ""


def test_names_with_spaces_and_lines_of_nonsense() -> None:
    table = "\n".join(["", "nonsense", " - ", ROOT, line(r"/my\040\134data", "cifs"), "1 2 3"])
    assert network_kind(r"/my \data/run", table) == "cifs"
    assert network_kind("/else", table) == ""
    assert network_kind("/any", "") == ""


def test_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "table"
    monkeypatch.setattr("robust.engine.database.network_disk._TABLE", table)
    assert network_disk(tmp_path) == "", "a system that does not tell"
    table.write_text(f"{ROOT}\n{line(str(tmp_path.resolve() / 'far'), 'nfs4')}\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    assert network_disk(tmp_path) == ""
    assert network_disk(tmp_path / "link" / "run" / "not yet there") == "nfs4"
