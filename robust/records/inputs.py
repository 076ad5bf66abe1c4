"""What was audited and at what cost: data, model and timings of a run, as a report holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robust.records.copies import CopiedImages
from robust.records.workers import Workers

CLASSIFICATION = "classification"
SEGMENTATION = "segmentation"


@dataclass(frozen=True)
class AuditedTask:
    """The task of an audit, as a report names it; all fields but three are segmentation's.

    Those are `name`, `touch`, `box`, `tile` and `instances`.
    """

    name: str = CLASSIFICATION
    """`classification` or `segmentation`."""
    structures: tuple[str, ...] = ()
    """Names of the structures that count, in order; the background is none."""
    overlapping: bool = False
    """Whether a pixel may belong to several structures."""
    dice: float = 0.7
    """A case is outlined well where its Dice, the mean over its structures, is at least this."""
    drop: float = 1.0
    """And where an attack has lowered that by no more than this."""
    tolerance: float = 1.0
    """Of surface Dice: how far apart two borders may lie and still agree, in `unit`."""
    change: float = 0.25
    """Of the goals grow and shrink: by what share of the true volume."""
    touch: str = "image"
    """Where the attacker may change pixels: `image`, `inside` or `outside` the `box`, else the
    structures, else the region that the data name."""
    box: tuple[float, ...] | None = None
    """Left, top, right and bottom, as shares of the image; None without a box."""
    tile: tuple[int, int] | None = None
    """Height and width in pixels of an instance, where each image is a bag; else None."""
    instances: int | None = None
    """How many instances of a bag the attacker may change; None: all."""
    unit: str = "pixels"
    """Of distances: `mm` where the spacing of all images is known, else `pixels`."""
    volumes: bool = False
    """Whether cases are volumes."""

    @property
    def is_segmentation(self) -> bool:
        """Whether the model outlines structures."""
        return self.name == SEGMENTATION


@dataclass(frozen=True)
class AuditedData:
    """The cases that were audited."""

    source: str
    """Where they come from, in words: kind of source and its name."""
    split: str
    """Split that was audited, such as `test`."""
    cases: int
    """Number of cases that every figure is computed from."""
    groups: int
    """Number of groups (patients, lesions) among them: the unit of every interval."""
    classes: Mapping[str, int]
    """Number of cases by class name, in the order of the model's outputs."""
    findings: tuple[str, ...] = ()
    """Classes that count as a finding (disease), for sensitivity and specificity; empty where the
    plan names none."""
    images: str = "images"
    """What to call the images in sentences, such as `chest X-rays`."""
    synthetic: bool = False
    """Whether a program drew the images, so that no figure has a clinical meaning."""
    grouped: bool = True
    """Whether the data name the group of each case; if not, each case is its own group."""
    skipped_broken: int = 0
    """Number of cases left out because their file could not be read."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """By suffix: number of files with images that are no cases, as their format is not read."""
    unfinished: int = 0
    """Number of cases that the run has not finished; 0 for a complete run."""
    values_per_image: int = 1
    """Number of values (channels x height x width) of an image, of the first where they differ;
    the room for rounding of L2 distances depends on it."""
    index_sha256: str = ""
    """SHA-256 of the list of cases: identifiers, labels and groups."""
    pixels_sha256: str = ""
    """SHA-256 of the pixels of all audited images, in order."""
    copies: CopiedImages = field(default_factory=CopiedImages)
    """Images that show the picture of another one; all of them count as one group."""


@dataclass(frozen=True)
class FormatProof:
    """How a model of a foreign format was compared with its own runtime before any attack."""

    cases: int
    """Number of images that were compared."""
    outputs: float | None
    """Largest deviation from the outputs of the format's own runtime, as a share of their spread;
    None where the network itself is what that runtime runs."""
    gradients: float
    """Median relative error of the network's gradient against central differences."""
    directions: int
    """Number of random directions that the median is over."""
    precision: str
    """Floating-point type in which gradients were compared."""


@dataclass(frozen=True)
class AuditedModel:
    """The model that was audited, with its preprocessing."""

    source: Mapping[str, Any]
    """Where the model comes from: the entries of `[model]` in the plan."""
    weights_sha256: str
    """SHA-256 of the model's weights."""
    head: str
    """What the outputs are: `softmax` (one logit per class), `sigmoid` (one logit), `multilabel` or
    `probabilities`."""
    threshold: float
    """Probability above which the second of two classes is predicted, in [0, 1]."""
    finding_output: int | None = None
    """The audited output of a multilabel model, as an index; None for other models."""
    channels: int | None = 3
    """Number of channels that the network expects; None: those of each image."""
    size: tuple[int, ...] | None = None
    """Height and width (of a volume: depth, height, width) that images are resized to, in pixels;
    None where they keep theirs."""
    interpolation: str = "bilinear"
    """How images are resized."""
    fit: str = "squash"
    """How images of another shape are fitted to `size`: `squash`, `crop` or `pad`."""
    crop_pct: float = 1.0
    """Share of each side of a resized image that the centre crop keeps; 1 for whole images."""
    half_pixel: str = "even"
    """Where half a pixel of a crop's border goes: to the `even` number, or `down`."""
    class_order: tuple[int, ...] | None = None
    """Which output stands for each class, matched by name; None where they stand in order."""
    output_key: str | int | None = None
    """Which of several tensors the network returns as its logits; None where that is plain."""
    overlapping: bool = False
    """Of a segmenter: whether a pixel may belong to several structures."""
    spatial_dims: int | None = None
    """2 for images, 3 for volumes; None where the network takes both, or does not tell."""
    multiple_of: int | None = None
    """Of a segmenter: images are padded with zeros to a multiple of so many pixels."""
    window: tuple[int, ...] | None = None
    """Of a segmenter: sides of the sliding window, in pixels; None where whole images are shown."""
    overlap: float = 0.0
    """Share of a window that the next one covers too."""
    blend: str = ""
    """How windows are weighed where they overlap: `gaussian` or `constant`; empty without one."""
    mean: tuple[float, ...] = ()
    """Per channel: subtracted from pixels in [0, 1] before the network."""
    std: tuple[float, ...] = ()
    """Per channel: pixels are divided by it after the mean is subtracted."""
    claimed: Mapping[str, float] = field(default_factory=dict)
    """Clean `accuracy` and `auc` that the model's folder states for its test split; empty where it
    states none."""
    answers: str = "scores"
    """What the model tells of an image: `scores`, or `labels` alone, which are read as 0 and 1."""
    grey_levels: int | None = None
    """Grey levels that the model's input holds, to which images are rounded; None: any value."""
    format: str = ""
    """Format of the model's file and how it became a network, in words; empty where Python gave the
    network."""
    differentiable: bool = True
    """Whether gradients lead through the model; where not, only attacks that need none ran."""
    straight_through: tuple[str, ...] = ()
    """Functions and modules that the attacker's gradients passed as if they were not there."""
    bag: Mapping[str, Any] = field(default_factory=dict)
    """Of a model that reads bags: `pooling`, `tile` (height and width of an instance, in pixels)
    and, where a classifier reads the instances, how it does as `instance`; empty for others."""
    notes: tuple[str, ...] = ()
    """What was chosen or left out as the model was read, as sentences."""
    proof: FormatProof | None = None
    """Comparison with the format's own runtime; None for torch's own formats, for black boxes, and
    for a file without gradients, of which the audit asks that runtime itself."""


@dataclass(frozen=True)
class PassCounts:
    """Forward and backward passes of single images, over all attacks."""

    made: float
    """Passes made."""
    in_full: float
    """Passes that every attack would have made in full on every case."""


@dataclass(frozen=True)
class AppliedAcceleration:
    """How attacks ran the network; every result is confirmed on the plain network at float32."""

    folded: int
    """Number of batch normalisations folded into the layer before."""
    channels_last: bool
    """Whether tensors were laid out channels last."""
    bfloat16: bool
    """Whether attacks searched in bfloat16 first."""
    gain: float
    """Measured time of a forward and backward pass of the plain network, divided by that of the
    accelerated one. It differs from run to run and decides nothing."""
    reason: str = ""
    """Why the network was run in this way."""
    compiled: bool = False
    """Whether full batches ran compiled, on a GPU."""


@dataclass(frozen=True)
class SmallerBatch:
    """Images of one shape, of which memory allowed fewer at once than was settled."""

    shape: str
    """Channels, height and width: `3 x 224 x 224`."""
    settled: int
    """Number of images that go through the network at once where memory allows it."""
    used: int
    """Number that did."""


@dataclass(frozen=True)
class ProbeCost:
    """Cost of the probe, which tests the model for gradient masking."""

    cases: int
    """Number of cases probed."""
    passes: int
    """Forward and backward passes of single images."""
    seconds: float
    """Wall-clock time, in seconds."""


@dataclass(frozen=True)
class QueryCounts:
    """Images that a black box has answered; requests that failed and were sent again count once."""

    answered: Mapping[str, int]
    """By purpose: an attack at an eps with the confirmation of what it found, or a stage of the
    run. A run that was killed and continued counts what it asked twice; it may lack the last second
    before the kill."""
    budget: int | None = None
    """Most images that the plan allowed; None: any number."""


@dataclass(frozen=True)
class Timings:
    """Dates and cost of the run: the only part that differs between two runs of the same plan."""

    seconds: float = 0.0
    """Wall-clock time of the last call, in seconds; a resumed run counts its last call alone."""
    by_cell: Mapping[str, float] = field(default_factory=dict)
    """Seconds by attack, norm and eps (`PGD|Linf|0.01`), and for reading features."""
    passes: PassCounts | None = None
    """Passes of the network; None where they were not counted."""
    acceleration: AppliedAcceleration | None = None
    """How attacks ran the network; None where none was run."""
    smaller_batches: tuple[SmallerBatch, ...] = ()
    """Where memory was short; results may then differ in their last digits from those of another
    run."""
    probe: ProbeCost | None = None
    """Cost of the probe; None where the plan switches it off."""
    workers: Workers | None = None
    """Who attacked the cases, and whether another worker found the same again; None where the
    process of the audit attacked them itself."""
    queries: QueryCounts | None = None
    """Queries of a black box; None for a model that the audit had itself."""
    repaired: int = 0
    """How many parts of the run were computed again because its file was damaged; 0 for none."""
    audited: str = ""
    """When the run began: UTC in ISO 8601, such as `2026-11-26T12:46:02Z`. A resumed run keeps the
    date of its first call. Empty where it is not known."""
    reported: str = ""
    """When these results were put together, as `audited`; a page rendered again keeps it."""
