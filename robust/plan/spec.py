"""`Plan`: schema of an audit plan, validated field by field before anything runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    field_validator,
)

from robust.errors import InputError
from robust.plan.code import names_code
from robust.plan.endpoints import bare_endpoint
from robust.plan.gates import GatesSpec
from robust.plan.segmentation import SegmentationSpec
from robust.plan.table import PlanTable
from robust.units import parse_eps as parse_eps
from robust.units import parse_share

Eps = Annotated[float, BeforeValidator(parse_eps, json_schema_input_type=float | str)]
"""An attack size in [0, 1] units of the displayed image: a number, or text such as "1/255"."""
Share = Annotated[float, BeforeValidator(parse_share, json_schema_input_type=float | str)]
"""A share: a number, or text such as "224/256"."""
Size = int | tuple[int, int]
"""Pixels of a square's side, or (height, width)."""
Sides = int | tuple[int, int] | tuple[int, int, int]
"""Pixels along every axis, or one number for each: (height, width), (depth, height, width)."""
TaskName = Literal["classification", "segmentation"]
"""What a model does."""


def _at_home(value: object) -> object:
    return os.path.expanduser(value) if isinstance(value, str) else value


def _one_or_several(value: object) -> object:
    return (value,) if isinstance(value, str | int | float) else value


def _texts(value: object) -> object:
    """Numbers as text, as a table holds them."""
    several = _one_or_several(value)
    if not isinstance(several, list | tuple):
        return several
    return tuple(str(one) if isinstance(one, int | float) else one for one in several)


def _a_box(box: tuple[float, float, float, float] | None) -> object:
    if box is not None:
        left, top, right, bottom = box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(
                f"box is [left, top, right, bottom] in shares of the image, 0 <= left < right <= 1 "
                f"and 0 <= top < bottom <= 1, not {list(box)}"
            )
    return box


FilePath = Annotated[str, BeforeValidator(_at_home, json_schema_input_type=str)]
"""A path; `~` in front is the home folder."""
FilePaths = Annotated[
    tuple[FilePath, ...],
    BeforeValidator(_one_or_several, json_schema_input_type=str | tuple[str, ...]),
]
"""One path, or several in a list."""
Texts = Annotated[
    tuple[str, ...],
    BeforeValidator(
        _texts, json_schema_input_type=str | int | float | tuple[str | int | float, ...]
    ),
]
"""One text or number, or several in a list."""
Norm = Literal["Linf", "L2", "L2-slice", "L1", "L0"]
"""Norm of an attack size."""
Policy = Literal["positive", "negative", "exclude"]
"""What a cell without a sure answer counts as."""


class BagSpec(PlanTable):
    """`bag` in `[model]` and `[network]`: the model reads bags, images that are grids of instances.

    A tile that is black throughout is no instance.
    """

    pooling: Literal["mean", "max", "attention"] = "mean"
    """How instances become one answer: the mean of their logits, the logits of the instance that
    speaks most for the second of two classes, or the mean of their embeddings, weighted by
    attention, which is trained by a recipe."""
    tile: Size
    """Pixels of an instance: one number, or (height, width)."""
    width: int = Field(default=64, ge=1, le=1 << 16)
    """Of attention: width of an embedding."""
    hidden: int = Field(default=32, ge=1, le=1 << 16)
    """Of attention: units that its scores are computed from."""

    @field_validator("tile")
    @classmethod
    def _has_pixels(cls, tile: Size) -> Size:
        sides = (tile,) if isinstance(tile, int) else tile
        if min(sides) < 1:
            raise ValueError(f"tile is 1 or more pixels, not {min(sides)}")
        return tile


SOURCES = ("architecture", "file", "factory", "folder", "endpoint")
"""Fields of `[model]` that say where the model is."""


class ModelSpec(PlanTable):
    """`[model]`: the model; the fields are those of `load_classifier` and `load_segmenter`.

    Exactly one of `architecture`, `file`, `factory`, `folder` and `endpoint` is needed.
    """

    task: TaskName | None = None
    """What the model does: `classification`, or `segmentation`, which outlines structures.
    Default: segmentation where the data have masks."""
    architecture: str | None = None
    """Name of a timm or torchvision network; `timm:` or `torchvision:` before it chooses the
    library. Or `hf:owner/name` of the Hugging Face hub, and names with `open_clip:`,
    `torchxrayvision:` or `monai:` before them. It needs `weights` or `pretrained`. A segmenter is
    `monai:UNet` and the like, or `smp:Unet` of segmentation_models_pytorch."""
    settings: dict[str, JsonValue] | None = None
    """Arguments that a segmenter's `architecture` is built with, as its library names them:
    `{channels = [16, 32, 64], strides = [2, 2]}`. Default: read from the weights where they show
    it, else the library's own."""
    weights: FilePath | None = None
    """File of weights for `architecture` or `factory`: .safetensors, .pth or a checkpoint of a
    trainer."""
    weights_key: str | None = None
    """Which of several sets of weights in the file: its key, such as `state_dict_ema`, or what its
    names begin with. Default: the only one, or the averaged one (EMA) of two."""
    pretrained: bool = False
    """Use the library's own weights; they are downloaded once."""
    file: FilePath | None = None
    """File that holds the whole network: ONNX (.onnx), Keras (.keras, .h5), TFLite (.tflite),
    TorchScript, or an exported program (.pt2). The last two can run code as they are opened: take
    them from people you trust."""
    factory: str | None = None
    """`package.module:function`, called without arguments; it returns the network, or a black box:
    a function of images `(n, c, h, w)` that returns scores `(n, k)` or labels `(n,)`."""
    folder: FilePath | None = None
    """Folder written by `robust train`, which needs no other field; or by transformers, timm or
    open_clip, or a MONAI bundle."""
    outputs: int | tuple[str, ...] | None = None
    """Number of outputs, or their names in order. Default: read from the weights."""
    finding: int | str | tuple[int | str, ...] | None = None
    """Output to audit of a multilabel model, by number or name. With head `auto` it makes the head
    multilabel, or probabilities where all outputs lie in [0, 1]. `all`, or a list: each is audited,
    with a row of its own in the report."""
    head: str = "auto"
    """How the outputs are read: `softmax` (logits), `sigmoid` (one logit), `multilabel` (one logit
    for each finding, or for each structure that may overlap others), `probabilities` (with
    `finding`: one for each finding), or `auto`, which decides from the outputs on real images."""
    output_key: str | int | None = None
    """Name or place of the logits, where the network returns several tensors. Default: `logits`,
    `out`, `output` and the like, or the only tensor with a row for each image."""
    mean: float | tuple[float, ...] | None = None
    """Mean that pixels in [0, 1] are normalised with: one number, or one for each channel.
    Default: the architecture's own, else 0."""
    std: float | tuple[float, ...] | None = None
    """Standard deviation that pixels are normalised with, as `mean`. Default: the architecture's
    own, else 1."""
    size: Sides | None = None
    """Input size of the network in pixels: one number, or one for each axis, (height, width).
    Default: the architecture's own, else the size of each image. The logits of a segmenter are
    resized back to the image."""
    multiple_of: int | None = Field(default=None, ge=1)
    """Pad what a segmenter is shown with zeros to a multiple of this many pixels, and crop its
    logits. Default: no padding."""
    window: Sides | None = None
    """Show images to a segmenter window by window, of so many pixels: one number, or one for each
    axis. Default: whole images."""
    overlap: float | None = Field(default=None, ge=0, lt=1)
    """Share of a window's side that neighbours have in common. Default: 0.25."""
    blend: Literal["gaussian", "constant"] | None = None
    """How windows are blended where they overlap: with less weight at their borders, or with the
    same everywhere. Default: gaussian."""
    spatial_dims: Literal[2, 3] | None = None
    """Axes of what the network takes: 2 for images, 3 for volumes. Default: as its convolutions
    show it."""
    interpolation: str | None = None
    """Resizing to `size`: bilinear, bicubic or nearest. Default: the architecture's own, else
    bilinear."""
    fit: str | None = None
    """Images of another shape than `size`: `squash` ignores the aspect ratio, `crop` takes the
    centre, `pad` adds black borders. Default: the architecture's own, else `squash`."""
    crop_pct: Share | None = None
    """Share of each side that the centre crop keeps after resizing: 0.875, or "224/256", is a short
    side of 256 pixels for a network of 224. Default: the architecture's own, else 1."""
    channels: int | None = None
    """Input channels of the network, 1 or 3; grey becomes RGB or the reverse. Default: the
    architecture's own, else those of each image."""
    bag: BagSpec | None = None
    """The model is one of instances, and each image is a bag of them: `{pooling = "mean", tile =
    32}`. Size, mean and the like are those of an instance."""
    straight_through: tuple[str, ...] = ()
    """What the attacker's gradients pass as if it were not there (straight-through, BPDA): `round`,
    `quantize` or `sign` for these functions of torch, `jpeg` for modules called so, or the path of
    a module. Predictions stay as they are."""
    prompts: tuple[str | tuple[str, ...], ...] = ()
    """Texts of a zero-shot model, one for each class in order, or a list of several texts."""
    allow_code: bool = False
    """Run code that the model's files hold or name. Only for files from people you trust."""
    endpoint: str | None = None
    """Address of a model that is asked over HTTP, a black box:
    `http://HOST:PORT/v2/models/NAME/infer` of the Open Inference Protocol v2. All images are sent
    there."""
    endpoint_token_env: str | None = None
    """Name of the environment variable with the endpoint's token, or with a whole header
    `Name: value`. The token itself is kept nowhere."""
    endpoint_output: str | None = None
    """Output of the endpoint's model, where it has several."""
    endpoint_layout: Literal["NCHW", "NHWC"] | None = None
    """Order of the axes of an image. Default: as the endpoint's shape shows it."""
    endpoint_timeout: float | None = Field(default=None, gt=0, le=86400)
    """Seconds that one request may take. Default: 60."""
    endpoint_patience: float | None = Field(default=None, ge=0, le=86400)
    """Seconds for which a request that fails (no connection, 429, 502, 503, 504) is sent again.
    Default: 60."""
    answers: Literal["scores", "labels"] | None = None
    """What a black box answers: a score for each class, or labels alone, which need `outputs`.
    Default: scores, or what the type of the endpoint's output says."""
    takes: Literal["numpy", "tensor"] | None = None
    """What a black box that `factory` returns is given. Default: numpy arrays."""
    at_once: int | None = Field(default=None, ge=1, le=4096)
    """Most images of one question to a black box. Default: 32 for an endpoint, else 64."""
    queries: int | None = Field(default=None, ge=1)
    """Most images that the whole audit may ask a black box; it stops there, and goes on with the
    same command once this is raised. Default: no limit."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Those of `SOURCES` that are given."""
        return tuple(name for name in SOURCES if getattr(self, name) is not None)


class TwinSpec(ModelSpec):
    """`[twin]`: the exported, quantised or half-precision version of the audited model.

    The fields are those of `[model]`. Of `file` and `factory`, what is left out of mean, std, size,
    interpolation, fit, channels and finding is that of `[model]`. Without any source it is the
    audited model itself, at another `precision`. `[scenarios]` says how many cases are attacked
    (`cases`) and the query budget of the attacks on it (the largest of `queries`, else 500).
    """

    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of its weights and of what it computes, between the images and its outputs."""


NOT_KEPT = "not kept: fill this in"
"""Stands where a plan that is handed on had a path or a filter."""


class DataSpec(PlanTable):
    """`[data]`: the cases; the fields are those of `open_cases`."""

    path: FilePath
    """Folder with cases.csv, another table or class folders, a table itself, DICOMDIR, MedMNIST
    .npz, or phantom:NAME for synthetic images."""
    table: FilePaths = ()
    """Table of labels, or several with the same columns: CSV, TSV (also .gz) or XLSX, looked for in
    `path` and then in the current folder. Default: cases.csv. `none`: the folders are classes,
    whatever tables lie beside them."""
    join: FilePaths = ()
    """Further tables, whose columns are added to the rows of `table` by the columns that both
    have."""
    file: str | tuple[str, ...] | None = None
    """Column that names the image (default `file`), a template such as "{ImageDir}/{ImageID}", or
    several columns where a row has several images. An image is found by its path, its name or its
    name without suffix, anywhere in `path`."""
    split: str | None = None
    """Split to audit. Default: `test`, or all cases where there are no splits. `val`, `valid`,
    `validation` and `dev` are one."""
    splits: str | dict[str, float | str] | None = None
    """Where splits come from: a column (default `split`); `path`, the folders train, val, test in a
    file's path; `{test = "list.txt"}`, files with one image a line; or shares of the patients,
    `{train = 0.7, val = 0.1, test = 0.2}`."""
    split_seed: int | None = Field(default=None, ge=0)
    """Seed of splits by shares. Default: 0."""
    label: str | tuple[str, ...] | None = None
    """Label column (default `label`), or several: a column for each class, for each finding, or for
    each image of a row. Of a MedMNIST file: number or published name of a column."""
    separator: str | None = None
    """What stands between several values in one label cell, such as "|"; `list` for lists as Python
    writes them."""
    positive: Texts = ()
    """Values of the label, or of several columns the columns, that are the finding. The classes are
    then its absence and its presence."""
    uncertain: Policy | None = None
    """What -1 in a label column counts as: positive, negative, or exclude (the image is left
    out)."""
    blank: Policy | None = None
    """What an empty label cell counts as, in the same words."""
    reader: str | None = None
    """Column of the reader, where several readers label one image."""
    vote: Literal["majority", "any", "all"] | None = None
    """How several rows of one image become one label: by `reader`, or row by row. Default: rows
    that agree are one, others are an error."""
    where: str | None = None
    """Row filter for a table, such as `source == "odir" and age > 40`."""
    classes: tuple[str, ...] | None = None
    """Class names in the order of the labels. Default: as the data name them."""
    findings: tuple[str, ...] | None = None
    """Classes that are findings, or `none`. Default: of two classes the one that their names tell
    (`NORMAL` is none), else the second if they are numbers or named by `classes`. Of more: none."""
    group: str | None = None
    """Column of the patient or lesion (default `group`), or `none`: each image is its own group."""
    group_pattern: str | None = None
    """Regular expression whose first bracket is the patient in a file's path."""
    blank_group: Literal["own"] | None = None
    """`own`: an image whose group cell is empty is its own group. Default: it is an error."""
    subgroups: tuple[str, ...] = ()
    """Columns of metadata for which the report gives separate numbers."""
    keep_names: bool = False
    """Use file names and patients as they are written; otherwise pseudonyms replace them."""
    limit: int | None = Field(default=None, ge=1)
    """Maximum number of cases, drawn at random and stratified by class and group. Default: all."""
    limit_seed: int | None = Field(default=None, ge=0)
    """Seed of the draw of `limit`. Default: 0."""
    depth: int | None = Field(default=None, ge=1, le=16)
    """Bits of the values in image files: 12 where a file of 16 bits holds values of 12. Default: as
    many as the file has room for."""
    size: Size | None = None
    """Resize images when they are read, to one number of pixels or (height, width); the attacker
    then changes the resized image. Default: images keep their size."""
    grey: bool = False
    """Read colour files as grey (ITU-R 601)."""
    mask: str | tuple[str, ...] | None = None
    """Column that names the mask of each image (default `mask`, where no column `label` is), or a
    template, as `file`; or several columns, one file a structure. The data are then outlines, not
    classes, and `classes` names the structures."""
    overlap: bool | None = None
    """Whether a pixel may belong to several structures. Default: yes with several mask columns, no
    with one."""
    region: str | None = None
    """Column or template that names a mask for each image of a class: the pixels that `touch` in
    `[audit]` means."""
    target_mask: str | tuple[str, ...] | None = None
    """Column of the mask that an attacker with the goal `mask` wants to be predicted, or as many
    columns as `mask` has."""
    volumes: Literal["whole", "slices"] | None = None
    """Volumes (NIfTI, DICOM series): a case each, or a case for each slice, with the volume as the
    group unless a group is named. Default: whole."""
    axis: int | None = Field(default=None, ge=0, le=2)
    """Axis of a volume along which its slices are cut. Default: 2, the last one of a NIfTI file."""
    intensities: tuple[float, float] | Literal["percentiles"] | None = None
    """What a volume shows as 0 and as 1: two values in the units of its file, or `percentiles`, the
    0.5th and the 99.5th of each volume. Default: percentiles."""
    spacing: float | tuple[float, ...] | None = None
    """Millimetres from pixel to pixel, one number or one for each axis, of files that do not say
    it."""
    window: int | None = Field(default=None, ge=1)
    """Which window of DICOM files is displayed, counted from 1. Default: each file's first."""
    bag: str | None = None
    """Images that are one case, a bag, stacked with black below where bags are smaller than the
    largest one: `group` (those of a patient), or one of the columns in `subgroups`. A bag has the
    finding where one of its images has it."""
    count: int | None = None
    """Number of synthetic images. Default: 200."""
    pixels: int | None = None
    """Side of synthetic images in pixels. Default: 64."""
    seed: int | None = None
    """Seed of synthetic images. Default: 0."""

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `open_cases`; InputError for the gaps of a plan handed on."""
        remedies = {
            "path": "name the images: --data IMAGES",
            "table": "name the table: --table TABLE",
            "join": "name the tables: --join TABLES",
            "file": "give the template: --file-column TEMPLATE",
            "mask": "give the template: --mask TEMPLATE",
            "region": "give the template: --region TEMPLATE",
            "target_mask": "give the template: --target-mask TEMPLATE",
            "splits": "name the lists: --splits test=LIST",
            "where": "give the filter: --where FILTER, or take where out of [data]",
            "group_pattern": "give the pattern: --group-pattern PATTERN",
        }
        for name, remedy in remedies.items():
            if getattr(self, name) in (NOT_KEPT, (NOT_KEPT,)):
                raise InputError(
                    f"the plan does not say its [data] {name}, which could name a patient and is "
                    f"not handed on; {remedy}"
                )
        return self.model_dump(exclude={"path"})


class AttackSpec(BaseModel):
    """`[[attacks]]`: one attack by name, what differs from `[audit]`, and its own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    """Name of the attack, as `robust list attacks` prints it, or `package.module:Class` for one of
    your own."""
    norm: Norm | None = None
    """Norm of its size. Default: that of `[audit]`."""
    eps: tuple[Eps, ...] | None = None
    """Its sizes, in [0, 1] units of the displayed image, in L0 numbers of pixels. Default: those
    of `[audit]`."""
    cells: Literal["exact", "curve"] | None = None
    """As in `[audit]`, which is the default."""
    label: str | None = None
    """Its name in the report, needed where one attack is listed twice. Default: `name`, or the
    class."""

    def fields(self) -> dict[str, Any]:
        """The attack's own parameters."""
        return dict(self.__pydantic_extra__ or {})


class AuditSpec(PlanTable):
    """`[audit]`: the size and goal of all attacks, and how they run."""

    norm: Norm = "Linf"
    """Norm of the attack size: the largest change of a pixel (Linf), the Euclidean length of the
    whole change (L2), or of its change in each slice of a volume (L2-slice), the sum of the
    absolute changes of all values (L1), or the number of pixels that change (L0)."""
    eps: tuple[Eps, ...] = tuple(k / 255 for k in (0.5, 1, 2, 4, 8))
    """Attack sizes in [0, 1] units of the displayed image: numbers, or text such as "1/255". In L0
    numbers of pixels. L1 and L0 have no default."""
    cells: Literal["exact", "curve"] = "exact"
    """`exact` runs every attack in full on every case. `curve` stops early: a case that is misread
    at a smaller eps counts as misread."""
    goal: Literal["error", "miss", "false alarm", "grow", "shrink", "mask"] = "error"
    """Goal of the attacks: any misclassification, a missed finding, or a false alarm. Of outlines:
    `error` makes them bad, `miss` makes the structures vanish, `false alarm` invents one where
    there is none, `grow` and `shrink` move the border, `mask` reaches the mask that the data
    name."""
    touch: Literal["image", "inside", "outside"] = "image"
    """Where the attacker may change pixels: in the whole image, or only inside or outside a part of
    it: the `box`, else the structures of the true mask (segmentation), else the mask that `region`
    in `[data]` names."""
    box: Annotated[tuple[float, float, float, float] | None, AfterValidator(_a_box)] = None
    """Part of the image that `touch` means (default: inside), as shares of its width and height:
    `[left, top, right, bottom]`. A pixel belongs to it whose centre does."""
    instances: int | None = Field(default=None, ge=1)
    """How many instances of each bag the attacker may change, of a model with `bag`. Default:
    all."""
    tile: Size | None = None
    """Pixels of an instance, where the model is passed in Python. Default: those of its `bag`."""
    target: str | None = None
    """Class that the attacks aim at; only cases of other classes are attacked. Not with `goal`."""
    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Operating threshold: the probability above which the second of two classes is predicted."""
    sensitivity: float | None = Field(default=None, gt=0, lt=1)
    """Set the threshold so that the val split reaches this sensitivity. Not with `threshold`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network while attacks search. Every adversarial image is confirmed at float32, and
    cases that resist at bfloat16 are attacked again at float32. `auto` chooses by the processor and
    the network."""
    eot: int | None = Field(default=None, ge=1, le=1000)
    """Passes in the mean that an attack climbs where the model's outputs are random (expectation
    over transformation). Default: one, and 10 of AutoAttack. Other models are not asked again."""
    seed: int = Field(default=0, ge=0)
    """Seed of all random numbers."""
    chunk: int = Field(default=64, ge=1, le=4096)
    """Cases that are attacked as one batch and stored as one unit."""


class DetectorSpec(BaseModel):
    """`[[detectors]]`: one detector by name and its own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    """Name of the detector, as `robust list detectors` prints it, or `package.module:Class` for one
    of your own."""
    label: str | None = None
    """Its name in the report, needed where one detector is listed twice. Default: `name`, or the
    class."""

    def fields(self) -> dict[str, Any]:
        """The detector's own parameters."""
        return dict(self.__pydantic_extra__ or {})


class DetectionSpec(PlanTable):
    """`[detection]`: how detectors are fitted and evaluated."""

    reference: str = "train"
    """Split that detectors learn from; no patient of it may be audited."""
    layers: tuple[str, ...] | None = None
    """Names of layers whose features are used. Default: the end of each stage and the penultimate
    layer."""
    fit_on: tuple[str, ...] | None = None
    """Attacks that detectors are fitted on, by their names in the plan. Default: every attack."""
    fit_eps: tuple[Eps, ...] | None = None
    """Attack sizes that detectors are fitted on. Default: every size."""
    cases: int = Field(default=2000, ge=10)
    """Maximum number of cases for the evaluation, drawn from those that are correct without attack,
    stratified by class and group."""
    reference_cases: int = Field(default=5000, ge=10)
    """Maximum number of reference cases, drawn from the split, stratified by class and group."""
    passes: int = Field(default=50, ge=2)
    """Dropout passes of BayesianUncertainty."""
    adaptive: int = Field(default=100, ge=0)
    """Cases for adaptive attacks, whose attacker knows the detector; 0 runs none, and none runs on
    a model without gradients."""
    adaptive_steps: int = Field(default=100, ge=1)
    """Steps of each adaptive attack."""


class SpatialSpec(PlanTable):
    """`[scenarios] spatial`: rotations and shifts of an image, each move of a grid tried."""

    rotation: float = Field(default=30.0, ge=0, le=180)
    """Largest rotation to either side, in degrees."""
    shift: float = Field(default=0.1, ge=0, lt=1)
    """Largest shift along each axis, as a share of that side."""
    angles: int = Field(default=31, ge=1, le=1000)
    """Rotations of the grid, evenly from side to side; 1: none."""
    shifts: int = Field(default=5, ge=1, le=100)
    """Shifts of the grid along each axis; 1: none."""


class ScenariosSpec(PlanTable):
    """`[scenarios]`: attackers with less knowledge or other means. None runs by default."""

    universal: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Universal perturbations, one change for all images: the numbers of images to fit it on."""
    patch: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Adversarial patches: shares of the image's area that a square covers."""
    spatial: SpatialSpec | None = None
    """Rotation and shift of each image, the worst of a grid: `{rotation = 30, shift = 0.1}`, or
    `{}` for these ranges, of the paper."""
    surrogate: ModelSpec | None = None
    """Transfer: another model for the same task, on which the adversarial images are made."""
    queries: tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...] = ()
    """Decision-based attack, which sees only the predicted label: query budgets for each case
    (needs foolbox)."""
    eps: Eps | None = None
    """Attack size, in [0, 1] units of the displayed image. Default: the plan's largest."""
    cases: int = Field(default=200, ge=2)
    """Maximum number of attacked cases, drawn from those that are correct without attack,
    stratified by class and group."""


class CertificateSpec(BaseModel):
    """`[[certificates]]`: one certificate by name and its own parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    """Name of the certificate, as `robust list certificates` prints it."""
    eps: tuple[Eps, ...] | None = None
    """Radii at which certified accuracy is reported, in the certificate's norm and in [0, 1] units
    of the displayed image. Default: the sizes of the attacks in that norm, else, of smoothing,
    quarters of sigma up to the largest radius that it can prove."""
    cases: int = Field(default=200, ge=1)
    """Maximum number of cases, drawn from those that the goal applies to, right or wrong,
    stratified by class and group."""
    label: str | None = None
    """Its name in the report, needed where one certificate is listed twice. Default: `name`."""

    def fields(self) -> dict[str, Any]:
        """The certificate's own parameters."""
        return dict(self.__pydantic_extra__ or {})


class CorruptionsSpec(PlanTable):
    """`[corruptions]`: errors on images that scanners, storage or movement spoil; may be empty."""

    modality: str | None = None
    """Modality whose corruptions are applied, as `robust list corruptions` prints them, such as
    `chest X-ray`. Default: what the data are called, where that is a modality."""
    kinds: tuple[str, ...] = ()
    """Names of corruptions, `medmnist-c` for all that MedMNIST-C defines of the modality, `scanner`
    for all that its scanners do. Default: both."""
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)
    """Severities, from 1, mild, to 5."""
    cases: int = Field(default=1000, ge=2)
    """Maximum number of cases, drawn from all, right or wrong, stratified by class and group."""
    reference: ModelSpec | None = None
    """Another model for the same task, whose errors BE and rBE are relative to. Default: none."""


class DoubtsSpec(PlanTable):
    """`[doubts]`: what the audit checks beyond its results; nothing here changes a number."""

    probe: bool = True
    """Run short experiments on a few cases that look for unstable outputs and masked gradients."""
    claimed_accuracy: float | None = Field(default=None, gt=0, le=1)
    """Accuracy on unmodified images that the model's maker states; a much lower one raises a
    warning."""
    claimed_auc: float | None = Field(default=None, gt=0, le=1)
    """AUC on unmodified images that the model's maker states, as above."""


Line = Annotated[str, Field(min_length=1, max_length=120)]
Paragraph = Annotated[str, Field(min_length=1, max_length=1000)]


class ReportSpec(PlanTable):
    """`[report]`: what the report says of the audit; nothing here changes a number.

    The report quotes these texts as they are written, and says "not stated" where one is left out.
    """

    model_name: Line | None = None
    """Name of the model. Default: what `[model]` says of it."""
    model_version: Line | None = None
    """Version of the model."""
    operator: Line | None = None
    """Who ran the audit."""
    intended_use: Paragraph | None = None
    """What the model is for, on whose images, and who acts on its output."""
    acceptance_criteria: Paragraph | None = None
    """What the results must show for the model to be used; `[gates]` can check numbers."""
    images: str | None = Field(default=None, min_length=1, max_length=60)
    """What the report calls the images, in the plural: "chest X-rays". Default: from the data."""
    gallery: int | None = Field(default=None, ge=0, le=24)
    """Number of example images. Default: 6, and 0 where pixels may show a patient's name
    (DICOM)."""


class TrackSpec(PlanTable):
    """`[track]`: log the finished audit to MLflow; nothing here changes a number.

    Parameters, every number with both ends of its interval, and the report are logged.
    """

    uri: str | None = Field(default=None, min_length=1, max_length=1000)
    """Address of the tracking server, or a database: "sqlite:///mlflow.db". Default: the
    environment variable MLFLOW_TRACKING_URI."""
    experiment: str = Field(default="robust", min_length=1, max_length=200)
    """Name of MLflow's experiment; it is made where there is none."""
    run: Line | None = None
    """Name of MLflow's run. Default: the title of the report."""
    cases: bool = False
    """Log what shows single cases as well: outcomes.csv and the other tables by case, and example
    images. They are of patients."""


_KNOWN_BY_CONTENT = (
    *("path", "table", "join", "file", "mask", "target_mask"),
    *("splits", "where", "group_pattern"),
    "region",
)
"""Fields of `[data]` that a run knows by what they lead to."""
DEFAULT_ATTACKS = ("Noise", "FGSM", "BIM", "PGD", "MarginPGD")
"""Attacks of a plan that names none, for a model with gradients."""


class Plan(PlanTable):
    """A whole audit. `model` and `data` are None where Python passes the objects themselves."""

    title: str = "Robustness audit"
    """Title of the report."""
    model: ModelSpec | None = None
    """`[model]`: the classifier."""
    data: DataSpec | None = None
    """`[data]`: the cases."""
    twin: TwinSpec | None = None
    """`[twin]`: the version of the model that is deployed, compared with it. Default: none."""
    attacks: tuple[AttackSpec, ...] = tuple(AttackSpec(name=name) for name in DEFAULT_ATTACKS)
    """`[[attacks]]`: a table for each attack."""
    audit: AuditSpec = AuditSpec()
    """`[audit]`: the size and goal of all attacks."""
    segmentation: SegmentationSpec = SegmentationSpec()
    """`[segmentation]`: when an outline counts as good; for models that outline structures."""
    detectors: tuple[DetectorSpec, ...] = ()
    """`[[detectors]]`: a table for each detector. Default: none is evaluated."""
    detection: DetectionSpec = DetectionSpec()
    """`[detection]`: how detectors are evaluated."""
    scenarios: ScenariosSpec = ScenariosSpec()
    """`[scenarios]`: attackers with less knowledge."""
    certificates: tuple[CertificateSpec, ...] = ()
    """`[[certificates]]`: a table for each certificate. Default: none."""
    corruptions: CorruptionsSpec | None = None
    """`[corruptions]`: errors on corrupted images. Default: none are made."""
    doubts: DoubtsSpec = DoubtsSpec()
    """`[doubts]`: extra checks."""
    report: ReportSpec = ReportSpec()
    """`[report]`: how results are shown."""
    gates: GatesSpec = GatesSpec()
    """`[gates]`: what the results must reach."""
    track: TrackSpec | None = None
    """`[track]`: where the finished audit is logged. Default: nowhere."""

    @property
    def other_models(self) -> dict[str, ModelSpec]:
        """The models beside the audited one, by the dotted name of their table."""
        reference = None if self.corruptions is None else self.corruptions.reference
        known = {
            "scenarios.surrogate": self.scenarios.surrogate,
            "twin": self.twin,
            "corruptions.reference": reference,
        }
        return {name: spec for name, spec in known.items() if spec is not None}

    def digest(self) -> str:
        """SHA-256 of the plan with its defaults, without what a run knows by its content.

        Fields that change no number are left out. So are networks, paths and filters: a run knows
        its weights, cases and files by what they hold. The text may name a patient, and a hash of
        it would fall to a list of names.
        """
        content = self.model_dump(
            mode="json", exclude={"title", "doubts", "report", "gates", "track", "model"}
        )
        for name in _KNOWN_BY_CONTENT:
            (content["data"] or {}).pop(name, None)
        content["scenarios"]["surrogate"] = self.scenarios.surrogate is not None
        content["twin"] = self.twin is not None
        if self.corruptions is not None:
            content["corruptions"]["reference"] = self.corruptions.reference is not None
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def short_name(self) -> str:
        """Eight hex digits that stand for the whole plan, for the name of its run directory.

        A slow hash: a folder's name is handed on, and a list of patients that a filter may name
        would be tried against a fast one.
        """
        left_out = {"title", "doubts", "report", "gates", "track"}
        content = self.model_dump(mode="json", exclude=left_out)
        reference = (content["corruptions"] or {}).get("reference")
        surrogate = content["scenarios"]["surrogate"]
        for spec in (content["model"], content["twin"], surrogate, reference):
            if spec is not None and spec["endpoint"] is not None:
                spec["endpoint"] = bare_endpoint(spec["endpoint"])
        text = json.dumps(content, sort_keys=True).encode()
        return hashlib.scrypt(text, salt=b"robust run", n=2**14, r=8, p=1, dklen=4).hex()


def label_of(spec: AttackSpec | DetectorSpec | CertificateSpec) -> str:
    """The report's name for one of these: of `package.module:Class` the class.

    The name of a class that Python code made may hold a colon elsewhere: it stays whole.
    """
    module, _, attribute = spec.name.rpartition(":")
    parts = [*module.split("."), attribute]
    is_code = names_code(spec.name) and all(part.isidentifier() for part in parts)
    return spec.label or (attribute if is_code else spec.name)


def unique_labels(specs: Sequence[AttackSpec]) -> list[str]:
    """The report's name for each attack of a plan; InputError where two would be the same."""
    labels = [label_of(spec) for spec in specs]
    for label in labels:
        if label in ("clean", "worst case"):
            raise InputError(
                f"the report has a row {label!r} of its own; give the attack another label"
            )
        if labels.count(label) > 1:
            raise InputError(f"two attacks are called {label!r}; give each its own label")
    return labels
