"""Imports libraries that are extras, and builds with them in silence."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from types import ModuleType

from robust.errors import InputError, first_line
from robust.models.process_state import ProcessState


def import_library(module: str, extra: str) -> ModuleType:
    """A module of the library that `extra` brings; InputError that names the extra."""
    try:
        with in_silence():
            return importlib.import_module(module)
    except ImportError as error:
        what = f"{module.partition('.')[0]} ({first_line(error)})"
        raise InputError(f"this model needs {what}: pip install 'robust-audit[{extra}]'") from None


@contextmanager
def _set_in_silence() -> Iterator[None]:
    """Keep a library's warnings, log lines and prints away: what matters of them is said here."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


in_silence = ProcessState(_set_in_silence)
"""Warnings, logs and standard output belong to all threads."""
