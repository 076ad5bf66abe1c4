"""`Recipe`: schema of a training recipe (TOML), validated field by field before training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue

from robust.errors import InputError, did_you_mean
from robust.files import path_exists
from robust.plan.load import check_values, first_error, read_toml
from robust.plan.spec import BagSpec, DataSpec, Eps, FilePath, Sides
from robust.plan.table import PlanTable

FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the recipes that come with the package."""


def _none(value: object) -> object:
    """`none` as None, which TOML cannot write."""
    return None if value == "none" else value


def _share(value: str | float) -> str | float:
    if isinstance(value, float) and not 0 < value < 1:
        raise ValueError("name a split, or a share of the train split between 0 and 1")
    return value


class RecipeData(DataSpec):
    """`[data]`: the cases, as in a plan; recipes that come with the package leave `path` open."""

    path: FilePath = ""
    """As in a plan; `--data` sets it."""


class SplitsSpec(PlanTable):
    """`[splits]`: images to learn from, to choose the epoch on, and for the final evaluation."""

    train: str = "train"
    """Split that the network learns from; `all` takes every row."""
    val: Annotated[str | float, AfterValidator(_share)] = "val"
    """Split that chooses the best epoch, or the share of the train split's groups to use for it."""
    test: Annotated[str | None, BeforeValidator(_none, json_schema_input_type=str)] = "test"
    """Split for the final evaluation, or `none`."""
    fraction: float = Field(default=1.0, gt=0, le=1)
    """Share of the train split's groups to learn from, of each class; a smaller share is part of a
    larger one."""
    fraction_seed: int = Field(default=0, ge=0)
    """Seed of that draw."""


class NetworkSpec(PlanTable):
    """`[network]`: the network, its first weights, and its input."""

    architecture: str
    """Name of a timm or torchvision network; of one that outlines structures, monai:UNet, smp:Unet
    or the like."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the constructor of a MONAI or smp network, such as its channels."""
    spatial_dims: Literal[2, 3] = 2
    """Of a network that outlines structures: 2 for images, 3 for volumes."""
    pretrained: bool = True
    """Start from the library's weights; false without `weights` starts from random ones."""
    weights: FilePath | None = None
    """File of weights to start from, in place of the library's."""
    head: Literal["ma2021", "plain"] = "plain"
    """Of a classifier. `ma2021`: global average pool, a linear layer, dropout, a linear layer.
    `plain`: the network's own with its last layer replaced."""
    hidden: int = Field(default=128, ge=1)
    """Width of the first linear layer of a ma2021 head."""
    dropout: float = Field(default=0.2, ge=0, lt=1)
    """Dropout probability of a ma2021 head; a plain head keeps the network's own."""
    size: Sides | None = None
    """Input size in pixels: one number, or one for each axis, (height, width). Default: the
    architecture's own; of a network that outlines structures, the size of each image."""
    multiple_of: int | None = Field(default=None, ge=1)
    """Pad what a segmenter is shown with zeros to a multiple of this many pixels."""
    window: Sides | None = None
    """Show images to a segmenter window by window, of so many pixels: one number, or one for each
    axis. It learns from random parts of this size. Default: whole images."""
    overlap: float | None = Field(default=None, ge=0, lt=1)
    """Share of a window's side that neighbours have in common. Default: 0.25."""
    blend: Literal["gaussian", "constant"] | None = None
    """How windows are blended where they overlap. Default: gaussian."""
    mean: float | tuple[float, ...] | None = None
    """Mean that pixels in [0, 1] are normalised with. Default: the architecture's own."""
    std: float | tuple[float, ...] | None = None
    """Standard deviation that pixels are normalised with. Default: the architecture's own."""
    channels: Literal[1, 3] = 3
    """Input channels."""
    interpolation: Literal["bilinear", "bicubic", "nearest"] | None = None
    """Resizing to `size`. Default: the architecture's own."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """Images of another shape than `size`: `squash` ignores the aspect ratio, `crop` takes the
    centre, `pad` adds black borders."""
    bag: BagSpec | None = None
    """Each image is a bag, a grid of instances: `{pooling = "attention", tile = 32}`. `size` and
    the like are those of an instance."""
    start_from: FilePath | None = None
    """Of a classifier: a trained folder, of other classes say, whose network to start from. All its
    tensors but those of the head are taken, and its mean and std where these are not given."""
    mask_channel: FilePath | None = None
    """Of a classifier: a trained folder of a segmenter. Its mask of the image becomes a further
    input channel; the segmenter stays as it is and becomes part of the network."""


class TrainingSpec(PlanTable):
    """`[training]`: the optimiser and its schedule."""

    epochs: int = Field(default=10, ge=1)
    """Epochs."""
    batch: int = Field(default=32, ge=2)
    """Batch size."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with momentum."""
    lr: float = Field(default=1e-3, gt=0)
    """Highest learning rate."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum of sgd."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Weight decay of matrices and kernels; biases and normalisations have none."""
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    """Course of the learning rate over all epochs."""
    warmup: float = Field(default=0.0, ge=0)
    """Epochs over which the learning rate grows from 0, not with onecycle."""
    class_weights: bool = True
    """Of a classifier: weight each case by the inverse of its class's share of the train split."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Of a classifier: label smoothing of the cross-entropy."""
    repeats: int = Field(default=1, ge=1)
    """How often an epoch shows each image, every time changed or cropped anew."""
    patience: int = Field(default=0, ge=0)
    """Stop after this many epochs without an improvement on val; 0 never stops early."""
    average: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of the moving average of weights that is evaluated; 0 evaluates the last
    weights."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the training. `auto` is bfloat16 (mixed) on GPUs that compute in it, else float32."""
    seed: int = Field(default=0, ge=0)
    """Seed of all random numbers."""
    freeze: bool = False
    """Of a classifier: train the head alone, on the features of a network that stays as it is
    (Bar et al. 2015)."""
    attention_weight: float = Field(default=0.0, ge=0)
    """Of a classifier: weight of the share of the input gradient that lies outside the mask which
    `region` in `[data]` names. 0 looks at no mask."""


class AugmentationSpec(PlanTable):
    """`[augmentation]`: random changes of the training images; 0 switches a change off."""

    flip_horizontal: float = Field(default=0.0, ge=0, le=1)
    """Probability of a left-right flip."""
    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    """Probability of an up-down flip."""
    rotation: float = Field(default=0.0, ge=0, le=180)
    """Largest angle to either side, in degrees."""
    translate: float = Field(default=0.0, ge=0, lt=1)
    """Largest shift, as a fraction of the image's sides."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Largest growth or shrinkage, as a fraction."""
    shear: float = Field(default=0.0, ge=0, lt=90)
    """Largest shear angle, in degrees."""
    brightness: float = Field(default=0.0, ge=0, le=1)
    """Largest relative change of brightness."""
    contrast: float = Field(default=0.0, ge=0, le=1)
    """Largest relative change of contrast."""
    saturation: float = Field(default=0.0, ge=0, le=1)
    """Largest relative change of saturation, of colour images."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Largest shift of hue, as a fraction of the colour circle."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability that a rectangle is blanked."""
    augment: Literal["none", "modality"] = "none"
    """`modality`: images are also corrupted, as scanners, storage and movement do it to images of
    `modality`. Validation and test images never are."""
    modality: str | None = None
    """Modality of the images, as in the `[corruptions]` table of a plan."""
    corruption_kinds: tuple[str, ...] = ()
    """Names of corruptions, `medmnist-c` or `scanner`, as in a plan. Default: all of the modality.
    Images with masks are spared those that move structures."""
    corruption_share: float = Field(default=0.5, gt=0, le=1)
    """Probability that an image is corrupted, by one kind."""
    corruption_severity: int = Field(default=3, ge=1, le=5)
    """Highest severity; it is drawn from 1 to this one."""


class AdversarialSpec(PlanTable):
    """`[adversarial]`: training on attacked images (Madry et al. 2018, Zhang et al. 2019)."""

    method: Literal["pgd-at", "trades"]
    """PGD adversarial training, or TRADES."""
    eps: Eps
    """Attack size in L-inf, in [0, 1] units of the displayed image: "1/255"."""
    steps: int = Field(default=7, ge=1)
    """Steps of the attack."""
    step_size: float = Field(default=0.25, gt=0, le=2)
    """Step size, as a fraction of eps."""
    warmup: float = Field(default=0.0, ge=0)
    """Epochs over which eps grows from 0."""
    beta: float = Field(default=6.0, gt=0)
    """Weight of the robust term of TRADES."""


_ADDED = {
    "splits": ("fraction", "fraction_seed"),
    "network": ("bag", "start_from", "mask_channel"),
    "training": ("freeze", "attention_weight"),
}
"""Fields that folders trained by version 0.1 do not know: with their defaults they train alike."""


def _default(table: str, name: str) -> object:
    return Recipe.model_fields[table].annotation.model_fields[name].default  # type: ignore[union-attr]


class Recipe(PlanTable):
    """A whole training. `data` is None, or its path empty, until the images are known."""

    title: str = "Fine-tuned network"
    """Title of the model card."""
    data: RecipeData | None = None
    """`[data]`: the cases."""
    splits: SplitsSpec = SplitsSpec()
    """`[splits]`: which cases are for what."""
    network: NetworkSpec
    """`[network]`: the network and its input."""
    training: TrainingSpec = TrainingSpec()
    """`[training]`: optimiser and schedule."""
    augmentation: AugmentationSpec = AugmentationSpec()
    """`[augmentation]`: random changes of the images."""
    adversarial: AdversarialSpec | None = None
    """`[adversarial]`: training on attacked images. Default: on unmodified ones."""

    def digest(self) -> str:
        """SHA-256 of all that decides the weights but the cases, which have a fingerprint."""
        content = self.model_dump(mode="json", exclude={"title", "data"})
        for table, names in _ADDED.items():
            for name in names:
                if getattr(getattr(self, table), name) == _default(table, name):
                    del content[table][name]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_toml(self) -> dict[str, Any]:
        """The tables of an equivalent TOML file, without empty fields."""
        content = self.model_dump(mode="json", exclude_none=True)
        if self.splits.test is None:
            content["splits"]["test"] = "none"
        return content


def sides(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    """A number of pixels for each axis; InputError for another number of axes."""
    given = (value,) * axes if isinstance(value, int) else value
    if len(given) != axes:
        raise InputError(
            f"[network] window names {len(given)} axes, and the images have {axes}; give one "
            f"number, or one for each axis"
        )
    return given


def load_recipe(source: str | Path, over: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """The recipe in a TOML file, or one that comes with the package, by its name.

    `over` replaces entries of its tables: `{"data": {"path": "images"}}`. Relative paths start at
    the current folder. InputError with the first mistake.
    """
    raw = read_recipe(source)
    for table, entries in (over or {}).items():
        raw[table] = {**raw.get(table, {}), **entries}
    return make_recipe(raw, str(source))


def read_recipe(source: str | Path) -> dict[str, Any]:
    """The tables of a recipe as they are written, not yet checked; InputError."""
    path = Path(source)
    if str(source) in RECIPES:
        path = FOLDER / f"{source}.toml"
    elif path.suffix != ".toml" and not path_exists(path):
        raise InputError(
            f"no recipe {str(source)!r}; {did_you_mean(str(source), RECIPES)}; or name a TOML file"
        )
    return read_toml(path, "recipe", did_you_mean(path.stem, RECIPES))


def make_recipe(raw: Mapping[str, Any], source: str = "recipe") -> Recipe:
    """A checked recipe from plain values; InputError with the first mistake, after `source`."""
    check_values(raw, source)
    try:
        recipe = Recipe.model_validate(dict(raw))
    except pydantic.ValidationError as error:
        raise InputError(f"{source}: {first_error(error, Recipe)}") from None
    wrong = _contradiction(recipe)
    if wrong:
        raise InputError(f"{source}: {wrong}")
    return recipe


def _contradiction(recipe: Recipe) -> str | None:
    """The first contradiction between fields, or None."""
    splits, training, hard = recipe.splits, recipe.training, recipe.adversarial
    if recipe.augmentation.augment == "modality":
        wrong = _wrong_modality(recipe.augmentation)
        if wrong is not None:
            return f"[augmentation] {wrong}"
    if recipe.data is not None and recipe.data.split is not None:
        return "[data] split does not apply here; [splits] names train, val and test"
    named = [s for s in (splits.train, splits.val, splits.test) if isinstance(s, str)]
    if len(set(named)) < len(named):
        return (
            f"[splits] names {max(named, key=named.count)} twice; train, val and test must be "
            f"different images"
        )
    if training.warmup >= training.epochs:
        return (
            f"[training] a warmup of {training.warmup:g} epochs takes all of the "
            f"{training.epochs} epochs; shorten it"
        )
    if training.freeze and recipe.network.bag is not None:
        return "[training] freeze is for networks of images, and [network] has a bag; remove one"
    network = recipe.network
    if network.bag is not None and (network.start_from or network.mask_channel):
        return (
            "[network] start_from and mask_channel are for networks of images; remove bag, or both"
        )
    if training.freeze and training.attention_weight:
        return "[training] freeze leaves the network as it is; remove it, or attention_weight"
    if training.schedule == "onecycle" and training.warmup:
        return "[training] onecycle has its own warmup; remove warmup or choose cosine"
    wrong = _wrong_knowledge(recipe)
    if wrong is not None:
        return wrong
    if hard is not None and hard.eps == 0:
        return "[adversarial] eps is 0; give a size such as '1/255', or remove the table"
    if hard is not None and hard.eps > 1:
        return (
            f"[adversarial] eps {hard.eps:g} is above 1, the whole range of a displayed pixel; "
            f"for {hard.eps:g} grey levels of 255 write '{hard.eps:g}/255'"
        )
    if hard is not None and hard.warmup >= training.epochs:
        return (
            f"[adversarial] a warmup of {hard.warmup:g} epochs never reaches eps in "
            f"{training.epochs} epochs; shorten it"
        )
    return None


def _wrong_knowledge(recipe: Recipe) -> str | None:
    """The first contradiction between fields that give a network domain knowledge, or None."""
    network, training = recipe.network, recipe.training
    if network.start_from is not None and network.weights is not None:
        return "[network] weights and start_from both name a start; remove one of them"
    if not training.attention_weight:
        return None
    if recipe.data is not None and recipe.data.path and recipe.data.region is None:
        return (
            "[training] attention_weight needs a mask of each training image: name the column of "
            "masks, region = ... in [data]"
        )
    if recipe.adversarial is not None:
        return (
            "[training] attention_weight is for training on unmodified images; remove it, or "
            "[adversarial]"
        )
    if training.precision == "float16":
        return (
            "[training] attention_weight takes gradients that float16 rounds to 0; choose another "
            "precision"
        )
    return None


def _wrong_modality(spec: AugmentationSpec) -> str | None:
    """Why images cannot be corrupted as the recipe says, or None."""
    from robust.corruptions.registry import MODALITIES, corruptions_of  # torch, a second

    if spec.modality is None:
        return f'augment = "modality" needs modality; name one of {", ".join(MODALITIES)}'
    try:
        corruptions_of(spec.modality, spec.corruption_kinds)
    except InputError as error:
        return str(error)
    return None
