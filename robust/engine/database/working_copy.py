"""The working copy of a run on a network disk: a local database that is copied back as a whole."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from robust.engine.database.connection import (
    DAMAGED,
    DATABASE,
    INDEX,
    JOURNAL,
    LOG,
    keep_aside,
    merge_log,
)
from robust.engine.database.errors import DatabaseUnavailable, plain_errors, suppress_damage
from robust.errors import InputError
from robust.files import cannot, create_private, replacing

_log = logging.getLogger(__name__)
_EVERY = 10.0
"""Seconds of work after which what is finished is copied."""
_SHARE = 0.05
"""Share of the time that copying may take: a large run is copied less often."""


class WorkingCopy:
    """A database on a local disk that stands in for one in a run directory on a network disk.

    The one in the run directory is only ever replaced by a whole one. Where the machine dies, the
    work since then is lost: a few seconds, or twenty times what a copy takes.
    """

    def __init__(self, target: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a local folder, and in it a copy of `target`, if that is there.

        InputError where either disk refuses.
        """
        self._target, self._clock = target, clock
        self._due = clock()
        self._changed = self._stranded = False
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="robust-"))
        except OSError as error:
            raise DatabaseUnavailable(cannot(tempfile.gettempdir(), "be written", error)) from None
        self.path = self.folder / DATABASE
        """Of the local database."""
        try:
            self._fetch()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _fetch(self) -> None:
        with plain_errors(self._target):
            if not self._target.exists():
                return
            if any(self._beside(end).exists() for end in (LOG, JOURNAL)):
                with suppress_damage():
                    merge_log(self._target)  # of a run that began on a local disk
            for end in ("", LOG, JOURNAL):
                if self._beside(end).exists():
                    shutil.copyfile(self._beside(end), self.path.with_name(DATABASE + end))

    def written(self) -> None:
        """Note that something was finished; where it is time for it, copy everything."""
        self._changed = True
        if self._clock() >= self._due:
            self.put_back()

    def put_back(self, *, last: bool = False) -> None:
        """Replace the database in the run directory; InputError, which names the local one.

        The local one stays where that fails, or where the `last` time is interrupted.
        """
        if self._stranded or not self._changed:
            return
        began = self._clock()
        where = f"all that is finished is in {self.path}: copy that file to {self._target}"
        try:
            with plain_errors(self._target):
                self._replace()
        except InputError as error:
            self._stranded = True
            raise DatabaseUnavailable(f"{error}; {where} to go on from there") from None
        except BaseException:
            if last:
                self._stranded = True
                _log.warning("robust: %s to go on from there", where)
            raise
        self._changed = False
        ended = self._clock()
        self._due = ended + max(_EVERY, (ended - began) / _SHARE)

    def _replace(self) -> None:
        with replacing(self._target) as partial:
            create_private(partial)
            # A file that nobody else knows needs no lock, which this disk may not have.
            uri = f"{partial.absolute().as_uri()}?nolock=1"
            with closing(sqlite3.connect(self.path.as_uri(), uri=True)) as database:
                database.execute("VACUUM INTO ?", (uri,))
            _sync(partial)
            keep_aside(self._target, self._target.with_name(DAMAGED))
            self._beside(INDEX).unlink(missing_ok=True)
        with suppress(OSError):  # Windows opens no folder
            _sync(self._target.parent)

    def _beside(self, end: str) -> Path:
        return self._target.with_name(DATABASE + end)

    def discard(self) -> None:
        """Remove the local folder, unless it alone holds what is finished."""
        if not self._stranded:
            shutil.rmtree(self.folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Have the disk keep what was written to a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
