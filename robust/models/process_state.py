"""Settings of the whole process: switched on by the first thread within, off by the last."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager


class ProcessState:
    """A context manager whose state is entered once, however many threads are within it.

    Were it entered by each, the first to leave would switch it off for the others, and the last
    would restore what it found switched on.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        """`make` gives a context manager that sets the state and restores it."""
        self._make = make
        self._lock = threading.Lock()
        self._within = 0
        self._entered: AbstractContextManager[None] | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Within the block the state is set."""
        with self._lock:
            if not self._within:
                entered = self._make()
                entered.__enter__()
                self._entered = entered
            self._within += 1
        try:
            yield
        finally:
            with self._lock:
                self._within -= 1
                if not self._within and self._entered is not None:
                    self._entered.__exit__(None, None, None)
                    self._entered = None


@contextmanager
def _set_quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


quiet = ProcessState(_set_quiet)
"""Silences Python's warnings, whose filters are those of all threads."""
