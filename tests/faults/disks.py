"""Small disks in memory, for tests as root."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def _mounts() -> bool:
    """Whether this user may mount a disk."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True).returncode == 0
    except OSError:
        return False


needs_disk = pytest.mark.skipif(not _mounts(), reason="needs root, to mount a small disk")


class Disk:
    """A disk in memory, mounted on a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, options: str) -> None:
        """Mount it anew with other options: `size=64m`, `ro`."""
        self._do("mount", "-o", f"remount,{options}", str(self.path))

    def fill(self, leave: int) -> None:
        """Take all room but this many kilobytes."""
        free = os.statvfs(self.path)
        (self.path / "filler").write_bytes(bytes(free.f_bavail * free.f_frsize - leave * 1024))

    def empty(self) -> None:
        """Give the room back."""
        (self.path / "filler").unlink()

    @staticmethod
    def _do(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@contextlib.contextmanager
def disk(path: Path, options: str) -> Iterator[Disk]:
    """A disk that is there until the block ends."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
