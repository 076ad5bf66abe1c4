"""The command that fine-tunes a classifier. As cli.py: parse, call, print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from robust.errors import InputError

EXAMPLE = (
    "Example: robust train --recipe chest-xray --data phantom:chest_xray --random "
    "--architecture torchvision:squeezenet1_1 --size 64 --epochs 1 --out models/phantom"
)
LISTS = ("classes", "findings")
NUMBERS = ("mean", "std")
TABLES = {
    "data": (
        *("label", "group", "group_pattern", "where", "classes", "findings", "limit", "grey"),
    ),
    "splits": ("val", "test"),
    "network": ("architecture", "weights", "head", "size", "mean", "std"),
    "training": ("epochs", "batch", "lr", "patience", "precision", "seed"),
    "adversarial": ("eps", "steps", "warmup"),
}
"""Which table of a recipe a flag belongs to."""


def train(
    recipe_file: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE]", help="A TOML recipe; flags override it.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="One that comes with robust: chest-xray, fundus or dermoscopy."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Folder, MedMNIST .npz, phantom:NAME.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the model; resumes from it.")
    ] = None,
    architecture: Annotated[str | None, typer.Option(help="timm or torchvision name.")] = None,
    weights: Annotated[str | None, typer.Option(help="File of weights to start from.")] = None,
    pretrained: Annotated[
        bool | None,
        typer.Option("--pretrained/--random", help="Start from the library's weights, or none."),
    ] = None,
    head: Annotated[str | None, typer.Option(help="plain or ma2021.")] = None,
    size: Annotated[int | None, typer.Option(help="Input size of the network.")] = None,
    mean: Annotated[
        str | None, typer.Option(help="One number or three: 0.485,0.456,0.406.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="One number or three.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Times through the train split.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at its highest.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better val.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16 or float16.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    adversarial: Annotated[
        str | None, typer.Option(help="Harden: pgd-at or trades, with --eps.")
    ] = None,
    eps: Annotated[str | None, typer.Option(help="Radius to harden within: 1/255.")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the attack it learns from.")] = None,
    warmup: Annotated[
        float | None, typer.Option(help="Epochs over which eps grows from 0.")
    ] = None,
    val: Annotated[
        str | None, typer.Option(help="Split that chooses the epoch, or a share of train: 0.15.")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Split that judges at the end, or none.")] = None,
    label: Annotated[str | None, typer.Option(help="Label column.")] = None,
    where: Annotated[str | None, typer.Option(help="Row filter: 'source == \"odir\"'.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class names in order: a,b,c.")] = None,
    findings: Annotated[str | None, typer.Option(help="Classes that are findings: b,c.")] = None,
    group: Annotated[str | None, typer.Option(help="Patient column, or none.")] = None,
    group_pattern: Annotated[str | None, typer.Option(help="Patient in a file name.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many cases a split.")] = None,
    grey: Annotated[
        bool | None, typer.Option("--grey/--colour", help="Read colour files as grey.")
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the model.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    devices: Annotated[int, typer.Option(help="GPUs, or processes on a CPU.", min=1)] = 1,
) -> None:
    """Fine-tune a classifier and leave a folder that robust audit takes as it is.

    The folder holds the weights, a model card, the curves, and a plan. The same command again goes
    on where it was cut short. Needs pip install 'robust-audit[train]'.
    """
    own = ("recipe_file", "recipe", "out", "device", "devices", "own")
    flags = {k: v for k, v in locals().items() if k not in own and v is not None}
    if recipe_file is not None and recipe is not None:
        raise InputError("give either a file or --recipe, not both")
    from robust.training.recipe import make_recipe, read_recipe
    from robust.training.train import train

    source = recipe_file or recipe
    raw = _lay(read_recipe(source) if source else {"network": {}}, flags)
    if not source and "architecture" not in flags:
        raise InputError(
            "a training needs a network: give --recipe chest-xray (or fundus, dermoscopy), a "
            "recipe file, or --architecture"
        )
    made = make_recipe(raw, str(source or "the flags"))
    folder = out or _default_out(Path(source).stem if source else "model", raw, made.digest())
    command = shlex.join(["robust", *sys.argv[1:]])
    done = train(made, folder, device=device, devices=devices, command=command)
    _show(done, made)


def _lay(raw: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """A recipe's tables with flags laid over them."""

    def put(table: str, name: str, value: Any) -> None:
        inside = raw.setdefault(table, {})
        if not isinstance(inside, dict):
            raise InputError(f"[{table}] must be a table")
        inside[name] = value

    given = dict(flags)
    if "title" in given:
        raw["title"] = given.pop("title")
    if "data" in given:
        put("data", "path", given.pop("data"))
    if "pretrained" in given:
        put("network", "pretrained", given.pop("pretrained"))
        if "weights" not in given:
            raw["network"].pop("weights", None)
    if "adversarial" in given:
        put("adversarial", "method", given.pop("adversarial"))
    elif "adversarial" not in raw and any(name in given for name in TABLES["adversarial"]):
        raise InputError("--eps, --steps and --warmup harden: add --adversarial pgd-at or trades")
    for name, value in given.items():
        if name in LISTS:
            value = [part.strip() for part in value.split(",")]
        elif name in NUMBERS:
            value = _numbers(name, value)
        elif name == "val":
            value = _share(value)
        put(next(table for table, names in TABLES.items() if name in names), name, value)
    return raw


def _numbers(name: str, text: str) -> float | list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--{name} {text!r}: write one number or three with commas") from None
    return values[0] if len(values) == 1 else values


def _share(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _default_out(name: str, raw: dict[str, Any], digest: str) -> Path:
    """The same for the same recipe and images, so that the same command resumes."""
    import hashlib
    import json

    both = json.dumps([digest, raw.get("data")], sort_keys=True, default=str)
    return Path("models") / f"{name}-{hashlib.sha256(both.encode()).hexdigest()[:8]}"


def _show(done: Any, recipe: Any) -> None:
    console = Console()
    if done.again:
        console.print("This training is finished; nothing was trained or measured again.")
    table = Table(box=None, pad_edge=False)
    table.add_column("95 % intervals by group", no_wrap=True)
    for role in done.metrics:
        table.add_column(role, justify="right", no_wrap=True)
    for name in ("auc", "accuracy", "sensitivity", "specificity"):
        values = [getattr(scores, name) for scores in done.metrics.values()]
        if any(values):
            table.add_row("AUC" if name == "auc" else name, *map(_interval, values))
    if len(done.classes) > 2:
        for name in done.classes:
            values = [scores.recall[name] for scores in done.metrics.values()]
            table.add_row(f"recall of {name}", *map(_interval, values))
    console.print(table)
    kept = f"\nEpoch {done.best_epoch} of {len(done.history)} was best on val."
    if "test" in done.metrics:
        kept += " Test was looked at once."
    console.print(kept, markup=False)
    console.print(f"Model card: {done.folder / 'card.md'}", soft_wrap=True, markup=False)
    here = shlex.quote(done.folder.as_posix())
    following = f"robust audit {here}"
    if not (done.folder / "plan.toml").exists():
        following = f"robust audit --folder {here} --data IMAGES"
    console.print(f"Next: {following}", soft_wrap=True, markup=False)


def _interval(value: Any) -> str:
    return "-" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
