"""The directory of a run: opened or created, and removed again where nothing is worth keeping."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from robust.engine.run_store import DATABASE, FILES, LOCK, RunStore
from robust.errors import InputError


@dataclass(frozen=True)
class RunDirectory:
    """An open run directory."""

    path: Path
    store: RunStore
    created: tuple[Path, ...]
    """Files and folders that this run has created; empty where it resumes an earlier run."""

    def close(self, *, keep: bool) -> None:
        """Close the store; without `keep`, remove what this run has created."""
        self.store.close()
        for path in () if keep else self.created:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def open_run(out: str | Path | None) -> RunDirectory:
    """Open the directory `out` of a new run or of one to resume; None: a temporary one.

    InputError where it holds other files, cannot be written or is another process's.
    """
    if out is None:
        path = Path(tempfile.mkdtemp(prefix="robust-"))
        return RunDirectory(path, RunStore(path), (path,))
    path = Path(out)
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; name a folder for the run")
    present = {one.name for one in path.iterdir()} if path.exists() else set()
    resumed = DATABASE in present
    if not resumed and present - {LOCK}:
        raise InputError(f"{path} holds other files; name a new or empty folder for the run")
    missing = [one for one in (path, *path.parents) if not one.exists()]
    try:
        store = RunStore(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    if resumed:
        return RunDirectory(path, store, ())
    # In a folder that was there and empty, only the files of the run are removed again.
    return RunDirectory(path, store, tuple(missing[-1:] or [path / name for name in FILES]))
