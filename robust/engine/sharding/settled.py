"""Settled values: what every shard of a run begins with, made once by the process that comes first.

They are a store with all that is measured once (threads, head, how the network runs fastest, cases
at once) or depends on the whole: with detectors, the clean predictions and reference features too.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from robust.engine.database.connection import InUse
from robust.engine.run_directory import open_run
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.files import path_exists
from robust.plan.machines import SETTLED, SETTLING
from robust.progress import Progress

_EVERY = 0.5
"""Seconds between two looks at whether another process has made them."""


def settled_values(run: Path, make: Callable[[RunStore], object], progress: Progress) -> Path:
    """The file of a run's settled values; where there is none, `make` fills a store with them.

    Of all processes that ask at the same moment, on one disk, one makes them; the others wait. If
    it is killed, another one goes on from where it was.
    """
    path = run / SETTLED
    while not path_exists(path):
        try:
            directory = open_run(run / SETTLING)
        except InUse:
            progress(0, 0, "waiting for the settled values, which another process makes")
            time.sleep(_EVERY)
            continue
        store = directory.store
        try:
            if not path_exists(path):
                for partial in run.glob(f".{SETTLED}.*.partial"):
                    partial.unlink(missing_ok=True)  # of a process that was killed
                make(store)
                store.snapshot(path)
        except InputError:
            directory.close(keep=False)
            raise
        except BaseException:
            directory.close(keep=True)
            raise
        store.remove()
        with contextlib.suppress(OSError):  # the lock of a process that waits lies there
            (run / SETTLING).rmdir()
    return path
