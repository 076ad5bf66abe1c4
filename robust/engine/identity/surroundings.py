"""Threads and versions of a run: recorded at its start, repeated or reported when it goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from robust.engine.run_memory import START
from robust.engine.run_store import RunStore
from robust.errors import InputError

_MOST_THREADS = 4096
_COMPUTING = ("robust", "torch")
"""Packages whose other version may give other numbers."""

_log = logging.getLogger(__name__)


def require_same_versions(environment: Mapping[str, Any], store: RunStore) -> None:
    """InputError where what computes has another version here than where the run began."""
    began = store.get(START) or {}
    for name in _COMPUTING:
        if began.get(name) not in (None, environment.get(name)):
            raise InputError(
                f"this run was settled with {name} {began[name]}, and here is {name} "
                f"{environment.get(name)}; install the same version"
            )


@contextmanager
def threads_restored() -> Iterator[None]:
    """Give the process its own number of threads back on leaving."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def resume_surroundings(environment: Mapping[str, Any], store: RunStore) -> dict[str, Any]:
    """Run with as many threads as the run began with, and say which versions it began with.

    Sums of floating-point numbers depend on the number of threads, and outcomes on sums. Returns
    the environment for the report.
    """
    began = store.memo(START, lambda: dict(environment))
    now = dict(environment)
    threads = began.get("threads")
    if isinstance(threads, int) and threads != now["threads"] and 0 < threads <= _MOST_THREADS:
        _log.warning(
            "robust: this run began with %d threads and goes on with as many, not with %d: "
            "another number may round differently",
            threads,
            now["threads"],
        )
        torch.set_num_threads(threads)
        now["threads"] = threads
    other = [name for name in _COMPUTING if began.get(name) not in (None, now.get(name))]
    if other:
        now["begun with"] = ", ".join(f"{name} {began[name]}" for name in other)
    return now
