"""`train_model`: trains a network by a recipe, into a folder that `robust audit` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import BaseModel

from robust.errors import InputError
from robust.files import path_exists
from robust.models import choose_device
from robust.models.adapter import Adapter
from robust.models.environment import find_environment
from robust.models.model_json import MODEL, read_checked
from robust.models.segmentation.trained import SegmenterFile, load_trained_segmenter
from robust.models.trained import ModelFile, load_trained
from robust.progress import no_progress, progress_bar
from robust.records import Scores, SplitCopies
from robust.training.folder import (
    FinishedTraining,
    check_folder,
    make_folder,
    save_trained,
    stored_training,
)
from robust.training.measure import measure
from robust.training.network import make_untrained, rebuild, start_record
from robust.training.recipe import Recipe
from robust.training.splits import Splits, open_training_splits, separate_splits

if TYPE_CHECKING:
    from robust.training.fit import FitResult

PACKAGES = ("torch", "torchvision", "timm", "lightning", "torchmetrics", "numpy", "scipy", "pillow")


@dataclass(frozen=True)
class Trained:
    """The result of a training."""

    folder: Path
    architecture: str
    metrics: Mapping[str, Scores]
    """Scores on `val` and, where there is one, `test`, with 95 % intervals by group."""
    classes: tuple[str, ...]
    best_epoch: int
    history: list[dict[str, float]]
    """One row per epoch."""
    copies: tuple[SplitCopies, ...] = ()
    """Images that were left out because they show a picture of a later split."""
    already_finished: bool = False
    """True where it was finished before: nothing was trained or measured now."""


def train_model(
    recipe: Recipe,
    out: str | Path,
    *,
    device: str = "auto",
    devices: int | None = None,
    progress: bool = True,
) -> Trained:
    """Train by a recipe into a folder; the same call continues a training that was interrupted.

    Data with masks train a segmenter, others a classifier.

    `devices` is the number of GPUs, or of processes on a CPU: every GPU by default, and one
    process. The epoch is chosen on val; test is measured once, at the end. Images that show a
    picture of a split that they are evaluated on are left out. A finished folder is returned as it
    is; a folder of another recipe or of other images is refused. Raises InputError.
    """
    folder = Path(out)
    opened = open_training_splits(recipe)
    if path_exists(folder / MODEL):
        return _finished(folder, recipe, opened)
    fit, target = _import_fit(), choose_device(device)
    adapter = make_untrained(recipe, opened.train)
    started_from = start_record(recipe)
    _check_forward(adapter, opened)
    check_folder(folder)
    splits = _separated(opened, progress)
    make_folder(folder)
    fitted = fit(
        adapter,
        splits.train,
        splits.val,
        recipe,
        folder,
        device=device,
        devices=devices,
        progress=progress,
    )
    names = splits.train.classes
    adapter.cpu().network.load_state_dict(fitted.state)
    model_file, trained = rebuild(recipe, adapter, splits.train)
    held_out = {role: cases for role, cases in splits.named.items() if role != "train"}
    measured = {role: measure(trained, cases, target) for role, cases in held_out.items()}
    finished = FinishedTraining(
        recipe=recipe,
        opened=opened,
        splits=splits,
        measured=measured,
        history=fitted.history,
        best_epoch=fitted.best_epoch,
        computed_on=fitted.computed_on,
        environment=find_environment(target, PACKAGES),
        started_from=started_from,
    )
    save_trained(folder, model_file, trained, finished)
    scores = {role: split_scores.scores for role, split_scores in measured.items()}
    return Trained(
        *(folder, recipe.network.architecture, scores, names),
        *(fitted.best_epoch, fitted.history, splits.copies),
    )


def _separated(splits: Splits, progress: bool) -> Splits:
    with progress_bar() if progress else nullcontext(no_progress) as shown:
        return separate_splits(splits, shown)


def _finished(folder: Path, recipe: Recipe, splits: Splits) -> Trained:
    """The result in a finished folder; InputError where it is of another training."""
    outlines = splits.train.outlines is not None
    kind: type[BaseModel] = SegmenterFile if outlines else ModelFile
    _, content = read_checked(folder, kind)
    stored = stored_training(content)
    if stored.recipe_sha256 != recipe.digest():
        raise InputError(f"{folder} holds a model trained with another recipe; name a new folder")
    if stored.fingerprints != {role: cases.fingerprint() for role, cases in splits.named.items()}:
        raise InputError(f"{folder} holds a model trained on other images; name a new folder")
    if outlines:
        load_trained_segmenter(folder)
    else:
        load_trained(folder)
    return Trained(
        folder,
        recipe.network.architecture,
        stored.scores,
        splits.train.classes,
        stored.best_epoch,
        stored.history,
        stored.copies,
        already_finished=True,
    )


@torch.no_grad()
def _check_forward(adapter: Adapter, splits: Splits) -> None:
    """Send one image through the network, so that a size that does not fit is an error at once."""
    image = splits.train[0].image[None]
    adapter.eval()
    adapter(image)


def _import_fit() -> Callable[..., FitResult]:
    """The function `fit`; InputError where its libraries are not installed."""
    try:
        import tensorboard  # type: ignore[import-untyped]  # noqa: F401  (Lightning writes with it)

        from robust.training.fit import fit
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("lightning", "torchmetrics", "tensorboard"):
            raise InputError(
                f"training needs {error.name}: pip install 'robust-audit[train]'"
            ) from None
        raise
    return fit
