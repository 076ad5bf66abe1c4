"""What a worker does: it opens a plan by itself and attacks one chunk after another."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from robust.auditing.attack_stage import computing
from robust.auditing.request import RunSettings, open_request
from robust.auditing.shards import from_settled
from robust.engine.run_directory import open_run
from robust.engine.run_memory import CASES_AT_ONCE, CasesAtOnce
from robust.engine.run_store import ChunkRows, OtherRun
from robust.errors import InputError
from robust.files import private_files
from robust.models import choose_device
from robust.models.environment import processor_name
from robust.plan.code import own_packages_first
from robust.plan.spec import Plan


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker needs to open the same run."""

    plan: Plan
    device: str
    skip_broken: bool
    settled: bytes | Path
    """A store with all that was settled before it began, or the file that it is in; the folder of
    that file is for the workers alone."""
    folder: str
    """The current folder, where relative paths start."""
    modules: tuple[str, ...]
    """Where Python looks for modules."""


@dataclass(frozen=True)
class Place:
    """Where a worker works."""

    processor: str
    machine: str
    """Name of the machine, for the driver alone: no report has it."""


@dataclass(frozen=True)
class ChunkResult:
    """All that a worker found for one chunk."""

    number: int
    rows: tuple[ChunkRows, ...]
    """One for every cell, the clean predictions first where they were made here."""
    sizes: CasesAtOnce | None
    """How many cases went through the network at once."""
    warnings: tuple[str, ...]
    """Lines for the terminal."""


@dataclass(frozen=True)
class Refused:
    """The line of an InputError, which ends the run."""

    line: str


class ChunkWorker:
    """An opened run of a process that does nothing else, with a store of its own on its disk."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Open all that the plan names; InputError."""
        self._held = ExitStack()
        self._held.enter_context(private_files())
        self._held.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        sys.path[:0] = [path for path in settings.modules if path not in sys.path]
        try:
            os.chdir(settings.folder)
        except OSError:
            raise InputError(
                f"a worker does not find the folder {settings.folder}; every machine needs the "
                f"data, the model and this folder at the same place"
            ) from None
        self._held.enter_context(own_packages_first())
        self._warnings = self._held.enter_context(_Caught())
        settled = settings.settled
        shared = settled.parent if isinstance(settled, Path) else None
        folder = Path(tempfile.mkdtemp(prefix="robust-worker-", dir=shared))
        self._held.callback(shutil.rmtree, folder, ignore_errors=True)
        if isinstance(settled, bytes):
            content, settled = settled, folder / "settled.sqlite"
            settled.write_bytes(content)
        self._held.enter_context(computing(settings.device))
        options = RunSettings(device=settings.device, skip_broken=settings.skip_broken)
        request = open_request(settings.plan, options)
        store = open_run(folder / "run", begin_with=settled).store
        self._held.callback(store.close)
        try:
            self._stage = from_settled(request, store, ())
        except OtherRun as error:
            raise InputError(
                f"a worker opens another {error.part} than the command: all machines need the same "
                f"files, and a factory must build the same network each time (give it weights)"
            ) from None
        self._store = store
        self._warnings.lines.clear()  # the driver has opened the same plan, and said them
        self.place = Place(processor_name(choose_device(settings.device)), socket.gethostname())

    def compute(self, number: int) -> ChunkResult:
        """Predict and attack one chunk; InputError."""
        store = self._store
        store.taken = []
        try:
            self._stage.run([number])
            taken = tuple(store.taken)
        finally:
            store.forget(store.taken)
            store.taken = None
        lines = tuple(self._warnings.lines)
        self._warnings.lines.clear()
        return ChunkResult(number, taken, store.get(CASES_AT_ONCE), lines)

    def close(self) -> None:
        """Remove its store."""
        self._held.close()


class _Caught(logging.Handler):
    """Keeps what would be logged, for the terminal of the driver."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def __enter__(self) -> _Caught:
        logger = logging.getLogger("robust")
        self._before = logger.handlers, logger.propagate
        logger.handlers, logger.propagate = [self], False
        return self

    def __exit__(self, *ended: object) -> None:
        logger = logging.getLogger("robust")
        logger.handlers, logger.propagate = self._before

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(record.getMessage())


class Serving:
    """A worker in its process: what the driver's calls reach; an InputError is an answer."""

    def __init__(self) -> None:
        self._worker: ChunkWorker | None = None
        self._settled: bytes | Path = b""

    def begin(self, settings: WorkerSettings) -> Place | Refused:
        """Open the run."""
        self._settled = settings.settled
        try:
            self._worker = ChunkWorker(settings)
        except InputError as error:
            return Refused(str(error))
        return self._worker.place

    def compute(self, number: int) -> ChunkResult | Refused:
        """Attack one chunk."""
        assert self._worker is not None, "the worker has not begun"
        try:
            return self._worker.compute(number)
        except InputError as error:
            return Refused(str(error))

    def close(self) -> None:
        """Remove its store."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()

    def abandon(self) -> None:
        """Remove the folder of all workers, since the driver can no longer do so."""
        if isinstance(self._settled, Path):
            shutil.rmtree(self._settled.parent, ignore_errors=True)
