"""Writes the folder of a training: weights, model.json, model card, recipe, plan and curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from robust.cases import Cases
from robust.errors import InputError, first_line
from robust.files import cannot, make_private_folder, path_exists, replacing, write_atomically
from robust.models.adapter import Adapter
from robust.models.model_json import MODEL, WEIGHTS
from robust.plan.load import THIS_FOLDER
from robust.plan.public import public_plan
from robust.plan.spec import NOT_KEPT, Plan
from robust.records import Scores, SplitCopies, record_from
from robust.training.card import card
from robust.training.measure import SplitScores
from robust.training.recipe import Recipe
from robust.training.splits import Splits, count_classes

CARD, RECIPE, PLAN, CURVES = "card.md", "recipe.toml", "plan.toml", "curves.png"
OUR_FILES = {MODEL, WEIGHTS, CARD, RECIPE, PLAN, CURVES, "checkpoints", "logs"}


def check_folder(folder: Path) -> None:
    """InputError where a folder holds anything but an interrupted training."""
    if path_exists(folder) and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder for the model")
    try:
        present = {path.name for path in folder.iterdir()} if path_exists(folder) else set()
    except OSError as error:
        raise InputError(cannot(folder, "be read", error)) from None
    foreign = sorted(
        name for name in present - OUR_FILES if not name.endswith((".new", ".partial"))
    )
    if foreign:
        raise InputError(
            f"{folder} holds other files ({foreign[0]}); name a new or empty folder for the model"
        )


def make_folder(folder: Path) -> None:
    """Make the folder; InputError where that cannot be done."""
    try:
        make_private_folder(folder)
    except OSError as error:
        raise InputError(cannot(folder, "be written", error)) from None


@dataclass(frozen=True)
class FinishedTraining:
    """Everything in model.json beside the part that rebuilds the adapter."""

    recipe: Recipe
    opened: Splits
    """As the recipe names them."""
    splits: Splits
    """The same without copies."""
    measured: Mapping[str, SplitScores]
    """By role."""
    history: list[dict[str, float]]
    """One row per epoch."""
    best_epoch: int
    """Counted from 1."""
    computed_on: list[dict[str, Any]]
    """Device, number of devices and precision."""
    environment: Mapping[str, Any]
    started_from: Mapping[str, Any] | None = None
    """What `start_record` says; None where no trained folder was the start."""

    def content(self, model_file: Mapping[str, Any]) -> dict[str, Any]:
        """The content of model.json; `model_file` is the part that rebuilds the adapter."""
        splits, history = self.splits, self.history
        return {
            **model_file,
            "title": self.recipe.title,
            "data": {
                "source": splits.train.source,
                "splits": {
                    role: _describe(cases, self.opened.named[role])
                    for role, cases in splits.named.items()
                },
                "copies": {
                    "between": [asdict(one) for one in splits.copies],
                    "within": {role: asdict(one) for role, one in splits.within.items()},
                },
            },
            "metrics": {role: asdict(split_scores) for role, split_scores in self.measured.items()},
            "training": {
                "best_epoch": self.best_epoch,
                "epochs": len(history),
                "history": history,
                "computed_on": self.computed_on,
                "started_from": self.started_from,
            },
            "recipe": public_recipe(self.recipe).to_toml(),
            "recipe_sha256": self.recipe.digest(),
            "command": command_text(self.recipe),
            "environment": dict(self.environment),
        }


def public_recipe(recipe: Recipe) -> Recipe:
    """The recipe without the text of filters and the paths of data and weights."""
    network = recipe.network
    places = ("weights", "start_from", "mask_channel")
    hidden = {name: NOT_KEPT for name in places if getattr(network, name) is not None}
    network = network.model_copy(update=hidden)
    data = public_plan(Plan(data=recipe.data)).data
    return recipe.model_copy(update={"network": network, "data": data})


def command_text(recipe: Recipe) -> str:
    """The command that repeats the training; IMAGES and FILTER stand for what is not kept."""
    parts = ["robust train recipe.toml"]
    if recipe.data is not None and not recipe.data.path.startswith("phantom:"):
        parts += ["--data IMAGES", *(["--where FILTER"] if recipe.data.where else [])]
    return " ".join([*parts, "--out AGAIN"])


def _describe(cases: Cases, opened: Cases) -> dict[str, Any]:
    """A split as it was used; its fingerprint is that of the index before copies left it."""
    return {
        "split": cases.split,
        "cases": len(cases),
        "groups": len({entry.group for entry in cases.entries}),
        "grouped": cases.grouped,
        "classes": count_classes(cases),
        "fingerprint": opened.fingerprint(),
    }


def save_trained(
    folder: Path,
    model_file: Mapping[str, Any],
    adapter: Adapter,
    training: FinishedTraining,
) -> None:
    """Write everything; model.json last, since a folder that has one is finished."""
    from safetensors.torch import save_file

    from robust.report.figures.training import training_figure

    recipe, content = training.recipe, training.content(model_file)
    tensors = {k: v.detach().contiguous() for k, v in adapter.network.state_dict().items()}
    with replacing(folder / WEIGHTS) as partial:
        save_file(tensors, partial)
    write_atomically(folder / RECIPE, tomli_w.dumps(public_recipe(recipe).to_toml()))
    plan = make_plan_for(recipe)
    if plan is not None:
        write_atomically(folder / PLAN, tomli_w.dumps(plan))
    figure = training_figure(training.history, training.best_epoch)
    write_atomically(folder / CURVES, figure.png(120))
    write_atomically(folder / CARD, card(content, has_plan=plan is not None))
    write_atomically(folder / MODEL, json.dumps(content, indent=1) + "\n")


def make_plan_for(recipe: Recipe) -> dict[str, Any] | None:
    """The plan that audits a trained folder on its test split, or on val without one.

    None where val is a share of the train split, which no plan can name. Paths of data and filters
    are left out, since the folder is made to be handed on.
    """
    assert recipe.data is not None  # open_training_splits checks
    split = recipe.splits.test or recipe.splits.val
    if not isinstance(split, str):
        return None
    data = public_recipe(recipe).data
    assert data is not None
    return {
        "title": f"{recipe.title}: robustness audit",
        "model": {"folder": THIS_FOLDER},
        "data": {
            # Masks that told the training where to look are not needed any more.
            **data.model_dump(mode="json", exclude_defaults=True, exclude={"region"}),
            "path": data.path,
            "split": split,
        },
        "detection": {"reference": recipe.splits.train},
    }


@dataclass(frozen=True)
class StoredTraining:
    """What model.json says of a finished training."""

    recipe_sha256: str
    fingerprints: Mapping[str, str]
    """Of the images, by role."""
    scores: Mapping[str, Scores]
    """By role, of the splits that were measured."""
    best_epoch: int
    history: list[dict[str, float]]
    copies: tuple[SplitCopies, ...]
    """Images that were left out."""


def stored_training(content: Mapping[str, Any]) -> StoredTraining:
    """The training in the content of model.json; InputError where it is not what was written."""
    try:
        training, splits = content["training"], content["data"]["splits"]
        rows = [dict(row) for row in training["history"]]
        numbers = [value for row in rows for value in row.values()]
        if not all(isinstance(number, int | float) for number in numbers):
            raise TypeError("the history holds no numbers")
        return StoredTraining(
            recipe_sha256=str(content["recipe_sha256"]),
            fingerprints={role: str(split["fingerprint"]) for role, split in splits.items()},
            scores={
                role: record_from(Scores, split["scores"])
                for role, split in content["metrics"].items()
                if split is not None
            },
            best_epoch=record_from(int, training["best_epoch"]),
            history=rows,
            copies=record_from(tuple[SplitCopies, ...], content["data"]["copies"]["between"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{MODEL} was changed after the training ({type(error).__name__}: "
            f"{first_line(error)}); copy the folder again, or train into a new one"
        ) from None
