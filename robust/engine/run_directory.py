"""The directory of a run: open or create it, and remove what a run that never began has left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from robust.engine.run_store import FILES, RunStore
from robust.errors import InputError


def open_store(out: str | Path | None) -> tuple[RunStore, Path, list[Path]]:
    """The store of a run directory, the directory, and what to remove again on bad input."""
    if out is None:
        directory = Path(tempfile.mkdtemp(prefix="robust-"))
        return RunStore(directory), directory, [directory]
    directory = Path(out)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a folder for the run")
    present = {path.name for path in directory.iterdir()} if directory.exists() else set()
    known = "outcomes.sqlite" in present
    if not known and present - {"run.lock"}:
        raise InputError(f"{directory} holds other files; name a new or empty folder for the run")
    created = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        store = RunStore(directory)
    except OSError as error:
        raise InputError(f"{directory} cannot be written: {error.strerror}") from None
    # In a folder that was there and empty, only what was put into it goes again.
    own = created[-1:] or [directory / name for name in FILES]
    return store, directory, [] if known else own


def remove(paths: Sequence[Path]) -> None:
    """Take away what a run that never began has left."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
