"""The directory of a run: opened or created, and removed again where nothing is worth keeping."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from robust.engine.database.connection import DAMAGED, DATABASE, LOCK
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.files import cannot
from robust.plan.machines import OF_SHARDS, SHARDS


@dataclass(frozen=True)
class RunDirectory:
    """An open run directory."""

    path: Path
    store: RunStore
    new: bool
    """Whether the run began here; False where it resumes an earlier one."""
    created: tuple[Path, ...] = ()
    """Folders that this run has created, the deepest first."""
    temporary: bool = False
    """Whether the folder has a name that nobody else knows."""

    def holds_chunks(self) -> bool:
        """Whether anything is finished; True where the store cannot say so now."""
        try:
            return bool(self.store.done())
        except InputError:
            return True

    def close(self, *, keep: bool) -> None:
        """Close the store; without `keep`, remove what this run has created, and nothing else."""
        if keep or not self.new:
            self.store.close()
        elif self.temporary:
            self.store.close()
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self.store.remove()
            _remove_empty(self.created)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk, while a run writes to `path`, into its plain line: InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(cannot(error.filename or path, "be written", error)) from None


def open_run(
    out: str | Path | None, *, begin_with: Path | None = None, shards: bool = False
) -> RunDirectory:
    """Open the directory `out` of a new run or of one to resume; None: a temporary one.

    A new run begins with what `begin_with`, the snapshot of a store, holds. With `shards` those of
    the run may lie there. InputError where it holds other files, cannot be written or is another
    process's.
    """
    if out is None:
        try:
            path = Path(tempfile.mkdtemp(prefix="robust-"))
        except OSError as error:
            raise InputError(cannot(tempfile.gettempdir(), "be written", error)) from None
        return RunDirectory(path, RunStore(path), new=True, temporary=True)
    path = Path(out)
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file; name a folder for the run")
        present = _names(path)
        missing = [one for one in (path, *path.parents) if not one.exists()]
    except (OSError, ValueError) as error:
        raise InputError(cannot(path, "be used", error)) from None
    resumed = DATABASE in present
    if not resumed and SHARDS in present and not shards:
        raise InputError(
            f"{path} holds shards of a run; join them: robust merge {path} PLAN, or name another "
            f"folder for the run"
        )
    if not resumed and present - {LOCK, DAMAGED, *(OF_SHARDS if shards else ())}:
        raise _holds_other_files(path)
    try:
        store = RunStore(path, begin_with=begin_with)
    except BaseException:
        if not resumed:
            _remove_empty(missing)
        raise
    return RunDirectory(path, store, new=not resumed, created=tuple(missing))


def require_place_for_shards(run: Path) -> None:
    """InputError where a folder cannot take the shards of a run: it holds other files."""
    try:
        present = _names(run)
    except (OSError, ValueError) as error:
        raise InputError(cannot(run, "be used", error)) from None
    if DATABASE not in present and present - {LOCK, DAMAGED, *OF_SHARDS}:
        raise _holds_other_files(run)


def _names(folder: Path) -> set[str]:
    """What lies in a folder, beside files that a killed process left behind half written."""
    names = (one.name for one in folder.iterdir()) if folder.exists() else ()
    return {one for one in names if not (one.startswith(".") and one.endswith(".partial"))}


def _holds_other_files(path: Path) -> InputError:
    return InputError(f"{path} holds other files; name a new or empty folder for the run")


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove folders that nobody has put anything into; the first is the deepest."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()
