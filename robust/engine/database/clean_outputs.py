"""Outputs of clean images that several audits of one multilabel network share, one SQLite file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from robust.files import create_private

NAME = "clean_outputs.sqlite"
"""In the folder of an audit of several findings, until it has finished."""
_TABLE = "CREATE TABLE IF NOT EXISTS outputs (image TEXT PRIMARY KEY, sum INTEGER, content BLOB)"
_INSERT = "INSERT OR REPLACE INTO outputs VALUES (?, ?, ?)"


class CleanOutputs:
    """What a network said of clean images, by the hash of their pixels; kept across a kill.

    It belongs to one network and preprocessing, named by `key`. A file that is damaged or cannot be
    used costs time alone: its images go through the network again.
    """

    def __init__(self, folder: Path | None, key: str) -> None:
        """`folder` None keeps everything in memory."""
        self._path = None if folder is None else folder / NAME
        self._key = key
        self._known = self._read()
        self.computed = 0
        """Images that went through the network here."""

    def get(self, images: Sequence[str], compute: Callable[[], Tensor]) -> Tensor:
        """Outputs `(n, outputs)` of images by the hash of their pixels, on the CPU.

        Where one of them is new, `compute` gives those of all.
        """
        names = [f"{self._key} {image}" for image in images]
        if not all(name in self._known for name in names):
            outputs = compute()
            wide = outputs if outputs.dtype is torch.float64 else outputs.float()
            rows = wide.cpu().numpy()
            self.computed += len(images)
            new = {n: row for n, row in zip(names, rows, strict=True) if n not in self._known}
            self._known.update(new)
            self._write(new)
        return torch.from_numpy(np.stack([self._known[name] for name in names]))

    def remove(self) -> None:
        """Remove the file, once nobody will ask again."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()

    def _read(self) -> dict[str, np.ndarray]:
        if self._path is None or not self._path.exists():
            return {}
        known: dict[str, np.ndarray] = {}
        with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(self._path)) as database:
            for image, total, content in database.execute("SELECT * FROM outputs"):
                if zlib.crc32(f"{image}\n".encode() + content) == total:
                    kind, values = content[:1], content[1:]
                    known[image] = np.frombuffer(values, _KINDS[kind]).copy()
        return known

    def _write(self, rows: Mapping[str, np.ndarray]) -> None:
        if self._path is None:
            return
        with suppress(sqlite3.Error, OSError):
            if not self._path.exists():
                self._path.parent.mkdir(parents=True, exist_ok=True)
                create_private(self._path)
            with closing(sqlite3.connect(self._path)) as database, database:
                database.execute(_TABLE)
                database.executemany(_INSERT, [_row(*item) for item in rows.items()])


_KINDS = {b"4": np.float32, b"8": np.float64}
"""Types of outputs by the first byte of what is kept of them."""


def _row(image: str, values: np.ndarray) -> tuple[str, int, bytes]:
    content = b"%d" % values.dtype.itemsize + values.tobytes()
    return image, zlib.crc32(f"{image}\n".encode() + content), content
