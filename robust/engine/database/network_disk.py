"""Which disks are on a network, where SQLite has no shared memory and locks may not hold."""

from __future__ import annotations

import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "ceph", "lustre", "gpfs"),
        *("beegfs", "fhgfs", "pvfs2", "panfs", "wekafs", "gfs2", "ocfs2", "9p", "virtiofs"),
        *("vboxsf", "fuse"),
    }
)
"""Names of file systems that several machines share; any `fuse.NAME` is taken for one as well."""
_LOCAL_FUSE = frozenset(
    f"fuse.{name}" for name in ("fuse-overlayfs", "ntfs-3g", "exfat", "encfs", "gocryptfs")
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_disk(path: Path) -> str:
    """The file system of the network disk that a path lies on; empty where the disk is local.

    Only Linux tells: elsewhere every disk counts as local.
    """
    try:
        table = _TABLE.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    return network_kind(str(path.resolve()), table)


def network_kind(path: str, table: str) -> str:
    """As `network_disk`, for an absolute path without links and the text of a mount table."""
    kind = _kind_of(path, table)
    shared = kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)
    return kind if shared else ""


def _kind_of(path: str, table: str) -> str:
    """The file system that is mounted nearest above a path, the last one where several are."""
    best, found = -1, ""
    for line in table.splitlines():
        mount, _, system = line.partition(" - ")
        fields, kind = mount.split(" "), system.split(" ")[0]
        if len(fields) < 5:
            continue
        point = _OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4])
        if point == path or path.startswith(point.rstrip("/") + "/"):
            if len(point) >= best:
                best, found = len(point), kind
    return found
