"""`robust train`: fine-tune a network into a folder that `robust audit` takes."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from robust.cli.output import make_console
from robust.cli.plan_options.fields import (
    CASE_OPTIONS,
    FieldOption,
    as_numbers,
    as_split_or_share,
    with_fields,
)
from robust.cli.plan_options.options import (
    DATA,
    HARDENING,
    MODEL,
    OUTPUT,
    RUNNING,
    TRAINING,
    Device,
    RecipeSettings,
)
from robust.cli.process.manners import emit
from robust.errors import InputError
from robust.training.recipe import RECIPES, Recipe, make_recipe, read_recipe

if TYPE_CHECKING:
    from robust.records import Estimate, Scores
    from robust.training.train import Trained

EXAMPLE = (
    "Example: robust train --recipe chest-xray --data phantom:chest_xray --random "
    "--architecture torchvision:squeezenet1_1 --size 64 --epochs 1 --out models/phantom"
)

_MODEL = (
    FieldOption(
        "--architecture",
        "network.architecture",
        "Name of a timm or torchvision network; for masks monai:UNet, smp:Unet or the like.",
    ),
    FieldOption("--weights", "network.weights", "File of weights to start from."),
    FieldOption(
        "--start-from",
        "network.start_from",
        "Trained folder to start from, of other classes say; the head is new.",
    ),
    FieldOption(
        "--mask-channel",
        "network.mask_channel",
        "Trained folder of a segmenter, whose mask becomes a further input channel.",
    ),
    FieldOption(
        "--pretrained/--random",
        "network.pretrained",
        "Start from the library's pretrained weights, or from random ones.",
        bool,
        default="pretrained",
    ),
    FieldOption(
        "--freeze/--train-all",
        "training.freeze",
        "Train the head alone, on the features of a network that stays as it is.",
        bool,
        default="train-all",
    ),
    FieldOption("--head", "network.head", "Last layers: plain or ma2021."),
    FieldOption("--size", "network.size", "Input size of the network in pixels.", int),
    FieldOption(
        "--mean",
        "network.mean",
        "Mean that the network's input is normalised with: one number, or three as in "
        "0.485,0.456,0.406.",
        read=as_numbers,
    ),
    FieldOption(
        "--std",
        "network.std",
        "Standard deviation, in the same form as the mean.",
        read=as_numbers,
    ),
)
_DATA = (
    FieldOption("--data", "data.path", "Image folder, MedMNIST .npz or phantom:NAME."),
    FieldOption(
        "--val",
        "splits.val",
        "Split that chooses the best epoch, or a share of the train split, for example 0.15.",
        read=as_split_or_share,
    ),
    FieldOption("--test", "splits.test", "Split for the final evaluation, or none."),
    *CASE_OPTIONS,
    FieldOption("--limit", "data.limit", "Maximum number of cases per split.", int),
    FieldOption("--grey/--colour", "data.grey", "Read colour files as grey.", bool),
)
_TRAINING = (
    FieldOption("--title", "title", "Title of the model's card."),
    FieldOption("--epochs", "training.epochs", "Epochs.", int),
    FieldOption("--batch", "training.batch", "Batch size.", int),
    FieldOption("--lr", "training.lr", "Highest learning rate.", float),
    FieldOption(
        "--patience",
        "training.patience",
        "Stop after this many epochs without an improvement on val; 0 never stops early.",
        int,
    ),
    FieldOption(
        "--precision", "training.precision", "Precision: auto, float32, bfloat16 or float16."
    ),
    FieldOption("--seed", "training.seed", "Seed of all random numbers.", int),
    FieldOption(
        "--augment",
        "augmentation.augment",
        "Corrupt training images as scanners do: modality, or none.",
    ),
)
_HARDENING = (
    FieldOption(
        "--adversarial",
        "adversarial.method",
        "Train on attacked images: pgd-at or trades. Needs --eps.",
        default="none",
    ),
    FieldOption("--eps", "adversarial.eps", "Attack size (eps), for example 1/255."),
    FieldOption("--steps", "adversarial.steps", "Steps of the attack.", int),
    FieldOption("--warmup", "adversarial.warmup", "Epochs over which eps grows from 0.", float),
)
PANELS = (
    (MODEL, _MODEL),
    (DATA, _DATA),
    (TRAINING, _TRAINING),
    (HARDENING, _HARDENING),
)
"""Every option of `robust train` that sets a field of the recipe."""


@with_fields(Recipe, PANELS)
def train(
    recipe_file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RECIPE]", help="Recipe in TOML. Options override it.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Recipe that comes with robust: chest-xray, fundus or dermoscopy; for masks "
            "lungs, vessels, lesion or volume. It replaces the defaults shown here.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the model. The same command continues a training that was "
            "interrupted.",
            rich_help_panel=OUTPUT,
            show_default="models/ and the recipe's name",
        ),
    ] = None,
    device: Device = "auto",
    devices: Annotated[
        int | None,
        typer.Option(
            help="Number of GPUs, or of processes on a CPU.",
            min=1,
            rich_help_panel=RUNNING,
            show_default="every GPU; 1 on a CPU",
        ),
    ] = None,
    settings: RecipeSettings = None,
    *,
    changes: Mapping[str, Any],
) -> None:
    """Fine-tune a classifier or segmenter and write a folder that robust audit takes.

    Data with masks make a segmenter. The folder holds the weights, a model card, the training
    curves and a plan. The same command continues a training that was interrupted. Needs pip install
    'robust-audit[train]', and for most segmenters 'robust-audit[segmentation]'.
    """
    from robust.cli.plan_options.overrides import parse_settings

    if recipe_file is not None and recipe is not None:
        raise InputError("give either a recipe file or --recipe, not both")
    source = recipe_file or recipe
    changes = {**changes, **parse_settings(settings or (), Recipe)}
    if not source and "network.architecture" not in changes:
        raise InputError(
            f"a training needs a network: give --recipe chest-xray (or another of "
            f"{', '.join(RECIPES)}), a recipe file, or --architecture"
        )
    raw = lay_over_recipe(read_recipe(source) if source else {"network": {}}, changes)
    resolved = make_recipe(raw, str(source or "the options"))
    from robust.plan.paths import (
        check_data_path,
        require_trained,
        require_weights,
        require_writable,
    )

    if resolved.data is not None:
        check_data_path(resolved.data)
    if resolved.network.weights is not None:
        require_weights(Path(resolved.network.weights))
    for folder_field in ("start_from", "mask_channel"):
        if (named := getattr(resolved.network, folder_field)) is not None:
            require_trained(Path(named))
    if out is not None:
        require_writable(out)
    from robust.training.train import train_model

    folder = out or _default_out(Path(source).stem if source else "model", raw, resolved.digest())
    trained = train_model(resolved, folder, device=device, devices=devices)
    following = _following(trained.folder, resolved)
    emit(lambda: training_values(trained, following))
    _show(trained, following)


def training_values(trained: Trained, following: str) -> dict[str, Any]:
    """What came out of a training as plain values, its scores named as in report.json."""
    return {
        "folder": str(trained.folder),
        "architecture": trained.architecture,
        "classes": list(trained.classes),
        "epochs": len(trained.history),
        "best_epoch": trained.best_epoch,
        "already_finished": trained.already_finished,
        "scores": {role: asdict(scores) for role, scores in trained.metrics.items()},
        "copies": [asdict(copies) for copies in trained.copies],
        "history": trained.history,
        "card": str(trained.folder / "card.md"),
        "next": following,
    }


def lay_over_recipe(raw: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's tables with changes laid over them.

    A choice of other first weights removes the recipe's own.
    """
    from robust.plan.overlay import lay_over

    hardening = any(field.startswith("adversarial.") for field in changes)
    if hardening and "adversarial.method" not in changes and "adversarial" not in raw:
        raise InputError(
            "--eps, --steps and --warmup are for adversarial training: add --adversarial pgd-at or "
            "trades"
        )
    lay_over(raw, changes)
    starts = ("network.pretrained", "network.weights", "network.start_from")
    for field in starts[1:]:
        if field not in changes and any(other in changes for other in starts if other != field):
            raw["network"].pop(field.rpartition(".")[2], None)
    return raw


def _default_out(name: str, raw: dict[str, Any], digest: str) -> Path:
    """The same folder for the same recipe and images, so that the same command resumes."""
    both = json.dumps([digest, raw.get("data")], sort_keys=True, default=str)
    return Path("models") / f"{name}-{hashlib.sha256(both.encode()).hexdigest()[:8]}"


def _following(folder: Path, recipe: Recipe) -> str:
    """The command that audits the trained folder."""
    here = shlex.quote(folder.as_posix())
    if not (folder / "plan.toml").exists():
        return f"robust audit --folder {here} --data IMAGES"
    kept = recipe.data is not None and recipe.data.path.startswith("phantom:")
    images = "" if kept else " --data IMAGES"
    if recipe.data is not None and recipe.data.where:
        images += " --where FILTER"
    return f"robust audit {here}{images}"


def _show(trained: Trained, following: str) -> None:
    from robust.records import left_out_text

    console = make_console()
    if trained.already_finished:
        console.print("This training was finished before; nothing was trained or measured again.")
    for copies in trained.copies:
        console.print(f"{left_out_text(copies)}.", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    table.add_column("95 % intervals by group", no_wrap=True)
    for role in trained.metrics:
        table.add_column(role, justify="right", no_wrap=True)
    for label, values in _rows(list(trained.metrics.values()), trained.classes).items():
        if any(values):
            table.add_row(label, *map(_interval, values))
    console.print(table)
    text = f"\nEpoch {trained.best_epoch} of {len(trained.history)} was best on val."
    if "test" in trained.metrics:
        text += " Test was used once."
    console.print(text)
    console.print(f"Model card: {trained.folder / 'card.md'}", soft_wrap=True)
    console.print(f"Next: {following}", soft_wrap=True)


def _rows(splits: list[Scores], classes: tuple[str, ...]) -> dict[str, list[Estimate | None]]:
    """The scores on each split, by what they are called; all None where they have no meaning."""
    if splits[0].dice is not None:
        return {
            "Dice": [scores.dice for scores in splits],
            **{
                f"Dice of {name}": [scores.outlines[name].dice for scores in splits]
                for name in splits[0].outlines
            },
        }
    names = {"auc": "AUC"} | {name: name for name in ("accuracy", "sensitivity", "specificity")}
    rows = {label: [getattr(scores, name) for scores in splits] for name, label in names.items()}
    if len(classes) > 2:
        rows |= {f"recall of {name}": [s.recall[name] for s in splits] for name in classes}
    return rows


def _interval(value: Estimate | None) -> str:
    from robust.records.estimate import interval_text

    return "-" if value is None else f"{value.value:.3f} {interval_text(value)}"
