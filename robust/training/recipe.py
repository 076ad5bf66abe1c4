"""`Recipe`: how a network is fine-tuned, as a TOML file; every field checked before work begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from robust.errors import InputError, did_you_mean
from robust.plan.load import first_error, read_toml
from robust.plan.spec import DataSpec, Eps, PlanTable, Size

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the recipes that come with the package."""


def _none(value: object) -> object:
    """TOML has no word for nothing."""
    return None if value == "none" else value


def _share(value: str | float) -> str | float:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError("name a split, or a share of the train split between 0 and 1")
    return value


class RecipeData(DataSpec):
    """The cases, as in a plan; a recipe that comes with the package leaves their path open."""

    path: str = ""


class SplitsSpec(PlanTable):
    """Which images the network learns from, which choose the best epoch, which judge at the end."""

    train: str = "train"
    val: Annotated[str | float, AfterValidator(_share)] = "val"
    """A split, or the share of the train split's groups that is taken out of it."""
    test: Annotated[str | None, BeforeValidator(_none)] = "test"
    """A split, or "none"."""


class NetworkSpec(PlanTable):
    """The network, where its weights start, and what it is shown."""

    architecture: str
    pretrained: bool = True
    """The library's own weights; false without `weights` is a random start."""
    weights: str | None = None
    """A file of weights to start from, in place of the library's."""
    head: Literal["ma2021", "plain"] = "plain"
    """`ma2021`: global average pool, a linear layer, dropout, a linear layer. `plain`: the
    network's own with its last layer made anew."""
    hidden: int = Field(default=128, ge=1)
    """Width of the linear layer of a ma2021 head."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Of a ma2021 head; a plain one keeps the network's own."""
    size: Size | None = None
    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    channels: Literal[1, 3] = 3
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    fit: Literal["squash", "crop", "pad"] = "squash"


class TrainingSpec(PlanTable):
    """The optimiser and its schedule."""

    epochs: int = Field(default=10, ge=1)
    batch: int = Field(default=32, ge=2)
    optimiser: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd."""
    weight_decay: float = Field(default=0.01, ge=0)
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0)
    """Epochs over which the learning rate grows from 0."""
    class_weights: bool = True
    """Weigh each case by the inverse of its class's share of the train split."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=0, ge=0)
    """Stop after so many epochs without a better val; 0 goes on to the end."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay a step of the moving average of weights that val and test see; 0 takes the last."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    seed: int = Field(default=0, ge=0)


class AugmentationSpec(PlanTable):
    """How images are changed while the network learns; 0 leaves a change out."""

    flip_horizontal: float = Field(default=0.0, ge=0, le=1)
    """Probability."""
    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    """Probability."""
    rotation: float = Field(default=0.0, ge=0, le=180)
    """Degrees at most to either side."""
    translate: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the image's sides."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Fraction by which it grows or shrinks."""
    shear: float = Field(default=0.0, ge=0, lt=90)
    """Degrees."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)
    saturation: float = Field(default=0.0, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability that a rectangle is blanked."""


class AdversarialSpec(PlanTable):
    """Hardening: the network learns from attacked images (Madry et al. 2018, Zhang et al. 2019)."""

    method: Literal["pgd-at", "trades"]
    eps: Eps
    """L-inf, in [0, 1] units of the displayed image: "1/255"."""
    steps: int = Field(default=7, ge=1)
    step_size: float = Field(default=0.25, gt=0, le=2)
    """Fraction of eps."""
    warmup: float = Field(default=0.0, ge=0)
    """Epochs over which eps grows from 0."""
    beta: float = Field(default=6.0, gt=0)
    """Weight of the robust term of trades."""


class Recipe(PlanTable):
    """A whole training. `data` is None, or without a path, until it is known."""

    title: str = "Fine-tuned classifier"
    data: RecipeData | None = None
    splits: SplitsSpec = SplitsSpec()
    network: NetworkSpec
    training: TrainingSpec = TrainingSpec()
    augmentation: AugmentationSpec = AugmentationSpec()
    adversarial: AdversarialSpec | None = None

    def digest(self) -> str:
        """SHA-256 of what decides the weights but for the cases, which have their fingerprint."""
        content = self.model_dump(mode="json", exclude={"title", "data"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> dict[str, Any]:
        """The tables of a file that says the same, without what is left open."""
        content = self.model_dump(mode="json", exclude_none=True)
        if self.splits.test is None:
            content["splits"]["test"] = "none"
        return content


_TABLES: dict[str, type[PlanTable]] = {
    "data": RecipeData,
    "splits": SplitsSpec,
    "network": NetworkSpec,
    "training": TrainingSpec,
    "augmentation": AugmentationSpec,
    "adversarial": AdversarialSpec,
}


def load_recipe(source: str | Path, over: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """The recipe in a TOML file, or one that comes with the package, by its name.

    `over` lays entries over its tables: `{"data": {"path": "images"}}`. Paths are as in a shell:
    relative to the current folder. InputError with the first thing that is wrong.
    """
    raw = read_recipe(source)
    for table, entries in (over or {}).items():
        raw[table] = {**raw.get(table, {}), **entries}
    return make_recipe(raw, str(source))


def read_recipe(source: str | Path) -> dict[str, Any]:
    """The tables of a recipe as they are written, not yet checked."""
    path = Path(source)
    if str(source) in RECIPES:
        path = FOLDER / f"{source}.toml"
    elif path.suffix != ".toml" and not path.exists():
        raise InputError(
            f"no recipe {str(source)!r}; {did_you_mean(str(source), RECIPES)}; or name a TOML file"
        )
    return read_toml(path, "recipe", did_you_mean(path.stem, RECIPES))


def make_recipe(raw: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A checked recipe from plain values; InputError with the first thing that is wrong."""
    try:
        recipe = Recipe.model_validate(dict(raw))
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {first_error(error, Recipe, _TABLES)}") from None
    wrong = _contradiction(recipe)
    if wrong:
        raise InputError(f"{source}: {wrong}")
    return recipe


def _contradiction(recipe: Recipe) -> str | None:
    """What cannot be had together, or None."""
    splits, training, hard = recipe.splits, recipe.training, recipe.adversarial
    if recipe.data is not None and recipe.data.split is not None:
        return "[data] split does not apply here; [splits] names train, val and test"
    named = [s for s in (splits.train, splits.val, splits.test) if isinstance(s, str)]
    if len(set(named)) < len(named):
        return (
            f"[splits] names {max(named, key=named.count)} twice; the images that a network "
            f"learns from, is chosen on and is judged on must be different ones"
        )
    if training.warmup >= training.epochs:
        return (
            f"[training] a warmup of {training.warmup:g} epochs leaves nothing of "
            f"{training.epochs}; make it shorter"
        )
    if training.schedule == "onecycle" and training.warmup:
        return "[training] onecycle has its own warmup; remove warmup or choose cosine"
    if hard is not None and hard.eps == 0:
        return "[adversarial] eps is 0; give a radius such as '1/255', or remove the table"
    if hard is not None and hard.eps > 1:
        return (
            f"[adversarial] eps {hard.eps:g} is above 1, the whole range of a displayed pixel; "
            f"for {hard.eps:g} grey levels of 255 write '{hard.eps:g}/255'"
        )
    if hard is not None and hard.warmup >= training.epochs:
        return (
            f"[adversarial] a warmup of {hard.warmup:g} epochs never reaches eps in "
            f"{training.epochs}; make it shorter"
        )
    return None
