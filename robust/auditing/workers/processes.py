"""Workers as processes of this machine, each with its own share of the threads or a GPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from typing import Any, TypeVar

from robust.auditing.workers.chunk_worker import (
    ChunkResult,
    Place,
    Refused,
    Serving,
    WorkerSettings,
)

T = TypeVar("T")

METHOD = "spawn"
"""How processes start: a forked one would inherit threads and locks that nobody serves."""

_SERVING = Serving()
"""The worker of this process, where it is one."""


class ProcessWorker:
    """A pool of one process, so that its death is nobody else's."""

    def __init__(self, settings: WorkerSettings) -> None:
        context = multiprocessing.get_context(METHOD)
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_alone)
        others = set(multiprocessing.active_children())
        self.begun: Future[Place | Refused] = self._submit(_begin, settings)
        self._started = set(multiprocessing.active_children()) - others

    def compute(self, number: int) -> Future[ChunkResult | Refused]:
        """Attack one chunk."""
        return self._submit(_compute, number)

    def close(self, *, now: bool) -> None:
        """End the process once it has nothing to do, or `now`."""
        if now:
            for process in self._started:
                process.kill()
        else:
            self._submit(_close)
        self._pool.shutdown(wait=not now, cancel_futures=True)

    def _submit(self, call: Callable[..., T], *arguments: Any) -> Future[T]:
        try:
            return self._pool.submit(call, *arguments)
        except BrokenProcessPool as error:
            broken: Future[T] = Future()
            broken.set_exception(error)
            return broken


class Processes:
    """Starts workers as processes; `devices` are given out in turn."""

    name = "processes"
    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)
    """Errors that say that a worker has ended."""

    def __init__(self, settings: WorkerSettings, devices: tuple[str, ...]) -> None:
        self._settings, self._devices = settings, devices
        self._started = 0

    def start(self) -> ProcessWorker:
        """A new worker."""
        device = self._devices[self._started % len(self._devices)]
        self._started += 1
        return ProcessWorker(replace(self._settings, device=device))


def _alone() -> None:
    """End with the driver, however that ends, and leave interrupts to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            _SERVING.abandon()
            os._exit(1)

    threading.Thread(target=watch, name="driver", daemon=True).start()


def _begin(settings: WorkerSettings) -> Place | Refused:
    return _SERVING.begin(settings)


def _close() -> None:
    _SERVING.close()


def _compute(number: int) -> ChunkResult | Refused:
    return _SERVING.compute(number)
