"""Whether files and folders that a command names are there: known at once, without torch."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from robust.errors import InputError, did_you_mean, excerpt
from robust.files import cannot, path_exists
from robust.plan.machines import SHARDS
from robust.plan.spec import DataSpec, ModelSpec, Plan

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".xlsx")
"""Of files that are read as tables; another suffix is read where the plan names the file."""
FOLDERS_ALONE = "none"
"""As `[data] table`: no table is read, the folders are classes."""
PHANTOM = "phantom:"
"""Before the modality of synthetic images, in `[data] path`."""
MODALITIES: tuple[str, ...] = ("chest_xray", "fundus", "dermoscopy")
"""Of synthetic images with a class each."""
OUTLINES: tuple[str, ...] = ("lungs", "opacity", "vessels", "lesion", "organ")
"""Of synthetic images with a mask each."""
TRAINED = "model.json"
"""In a folder written by `robust train`."""
RUN, REPORT = "outcomes.sqlite", "report.json"
"""In a folder written by `robust audit`, the latter once it has finished."""
GUARD_RECORD = "detector.json"
"""In a folder written by `robust fit-detector`."""


def check_paths(plan: Plan, *folders: Path | None) -> None:
    """InputError where a file that a plan names is missing, or a folder cannot be written to."""
    for spec in (plan.model, *plan.other_models.values()):
        if spec is not None:
            check_model_paths(spec)
    if plan.data is not None:
        check_data_path(plan.data)
    for folder in folders:
        if folder is not None:
            require_writable(folder)


def check_model_paths(spec: ModelSpec) -> None:
    """InputError where the weights, the program or the trained folder is missing."""
    if len(spec.sources) != 1:
        return  # said where the model is loaded
    if spec.folder is not None:
        require_model_folder(Path(spec.folder))
    if spec.file is not None:
        require_program(Path(spec.file))
    if spec.weights is not None:
        require_weights(Path(spec.weights))


def require_weights(path: Path) -> None:
    """InputError where there is no such file; one that may not be looked at says so on opening."""
    if _missing(path):
        raise InputError(f"no such weights file: {path}; check the path")


def require_program(path: Path) -> None:
    """InputError as `require_weights`, for a file that holds a whole network."""
    if _missing(path):
        raise InputError(f"no such model file: {path}; check the path")


def require_model_folder(folder: Path) -> None:
    """InputError where there is no such folder; what it holds shows where it is read."""
    if _missing(folder):
        raise InputError(f"no such model folder: {folder}; check the path")


def is_trained(folder: Path) -> bool:
    """Whether a folder holds a model of `robust train`; InputError where it cannot be read."""
    try:
        return (folder / TRAINED).exists()
    except OSError as error:
        raise InputError(cannot(folder, "be read", error)) from None


def require_trained(folder: Path) -> None:
    """InputError where a folder holds no model of `robust train`."""
    if not is_trained(folder):
        raise InputError(
            f"{folder} holds no {TRAINED}; name a folder that `robust train` has finished"
        )


def require_detector(place: Path) -> None:
    """InputError where a folder holds no detector of `robust fit-detector`."""
    try:
        if place.is_file():
            raise InputError(f"{place} is a file; name the folder that robust fit-detector wrote")
        missing, folder = not (place / GUARD_RECORD).exists(), place.is_dir()
    except OSError as error:
        raise InputError(cannot(place, "be read", error)) from None
    if missing:
        what = f"{place} holds no {GUARD_RECORD}" if folder else f"no such detector: {place}"
        raise InputError(f"{what}; name the folder that robust fit-detector wrote")


def require_run(run: Path) -> None:
    """InputError where there is neither a run nor a report."""
    inside = run / REPORT if path_exists(run) and run.is_dir() else run
    if not path_exists(inside) and not (inside != run and path_exists(run / RUN)):
        raise no_report(inside)


def no_report(path: Path) -> InputError:
    """What is said where there is no `path`, the report of a run."""
    if path.name == REPORT and path_exists(path.with_name(SHARDS)):
        run = excerpt(path.parent, 300)
        return InputError(f"{run} holds shards of a run; join them: robust merge {run} PLAN")
    return InputError(
        f"no report at {excerpt(path, 300)}; name the folder that `robust audit` wrote"
    )


def require_images(paths: Iterable[Path]) -> None:
    """InputError for the first image or folder that is not there."""
    for path in paths:
        if not os.path.lexists(path) and not path_exists(path):
            raise InputError(f"no such image or folder: {path}")


def check_data_path(spec: DataSpec) -> None:
    """InputError for images that are not there, and for a file that holds none."""
    spec.options()  # a plan that was handed on has gaps
    path = spec.path
    if path.startswith(PHANTOM):
        require_phantom(path.removeprefix(PHANTOM))
        return
    place = Path(os.path.expanduser(path))
    if not os.path.lexists(place) and not path_exists(place):
        raise InputError(f"no such folder or file: {path}; check the path in [data]")
    if place.is_file() and not _holds_images(place):
        raise InputError(
            f"{path} is neither a folder of images, a table nor a MedMNIST .npz file; name one of "
            f"these"
        )
    root = place if place.is_dir() else place.parent
    for name in (*spec.table, *spec.join):
        if name != FOLDERS_ALONE:
            find_table_file(root, name)


def _holds_images(place: Path) -> bool:
    return is_table(place.name) or place.suffix == ".npz" or place.name.upper() == "DICOMDIR"


def is_table(name: str) -> bool:
    """Whether a file is a table by the end of its name; hidden files are not."""
    return name.lower().endswith(TABLES) and not name.startswith(".")


def find_table_file(root: Path, name: str, kind: str = "table") -> Path:
    """A table or list that a plan names: in the folder of the images, else from the current folder.

    InputError where it is in neither; of a table it names those that are there.
    """
    for place in (root / name, Path(name)):
        if os.path.lexists(place) or path_exists(place):
            return place
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = sorted(other for other in os.listdir(root) if is_table(other))
    hint = f"; {did_you_mean(name, there)}" if there and kind == "table" else ""
    raise InputError(f"no such {kind}: {name}, neither in {root} nor in the current folder{hint}")


def require_modality(modality: str) -> None:
    """InputError where there are no synthetic images with classes of this kind."""
    _require_one_of(modality, MODALITIES)


def require_phantom(name: str) -> None:
    """InputError where there are no synthetic images, with classes or masks, of this name."""
    _require_one_of(name, MODALITIES + OUTLINES)


def _require_one_of(name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise InputError(f"no synthetic images of {name!r}; {did_you_mean(name, known)}")


def require_writable(folder: Path) -> None:
    """InputError where a folder is a file, or nobody may create it there."""
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; name a folder for the run")
        above = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    except (OSError, ValueError) as error:
        raise InputError(cannot(folder, "be used", error)) from None
    if not above.is_dir():
        raise InputError(cannot(folder, "be written", NotADirectoryError(errno.ENOTDIR, "")))
    if not os.access(above, os.W_OK | os.X_OK):
        read_only = os.statvfs(above).f_flag & os.ST_RDONLY
        refusal = OSError(errno.EROFS if read_only else errno.EACCES, "")
        raise InputError(cannot(folder, "be written", refusal))


def require_new(folder: Path, what: str = "") -> None:
    """InputError where a folder is not empty, or nobody may create it there."""
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except (OSError, ValueError) as error:
        raise InputError(cannot(folder, "be written", error)) from None
    if taken:
        raise InputError(f"{excerpt(folder, 300)} exists and is not empty; name a new folder{what}")
    require_writable(folder)


def require_plan_folder(folder: Path) -> None:
    """InputError where `folder` cannot hold a plan that names files in it."""
    if path_exists(folder) and not folder.is_dir():
        raise InputError(f"{excerpt(folder, 300)} is a file; name a folder")
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"the name {excerpt(folder)} is no UTF-8, so no plan can hold it; name another folder"
        ) from None


def _missing(path: Path) -> bool:
    try:
        return not path.exists()
    except (OSError, ValueError):
        return False  # opening it says why not
