"""A fitted detector as a folder: detector.json and detector.safetensors, and no code in either."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from detectors import DETECTORS, Detector, FittedDetector
from robust.detection.factory import make_detectors
from robust.errors import InputError, first_line
from robust.files import MOST_TEXT, cannot, open_regular, read_bytes, replacing
from robust.models.adapter import HEADS
from robust.plan.load import refuse_code
from robust.plan.paths import GUARD_RECORD, require_detector, require_new
from robust.plan.spec import DetectorSpec, ModelSpec
from robust.plan.table import PlanTable
from robust.units import at_eps

FORMAT, VERSION = "robust detector", 4
"""Format and its version: folders of another version are refused."""
RECORD, TENSORS = GUARD_RECORD, "detector.safetensors"
_LEARNED, _HEAD = "learned/", "head/"
_AGAIN = "fit the detector again with robust fit-detector"

Finite = pydantic.FiniteFloat
Side = Annotated[int, Field(ge=1, le=1 << 14)]
"""Of an image, in pixels, or its channels."""


def _described(description: dict[str, Any]) -> dict[str, Any]:
    """ValueError where what a guard needs of a description is missing."""
    head, threshold = description.get("head"), description.get("threshold")
    if head not in HEADS or not isinstance(threshold, float) or not 0 < threshold < 1:
        raise ValueError("names no head and threshold of a classifier")
    return description


class ClassifierFingerprint(PlanTable):
    """Identifies the classifier that a detector was fitted to."""

    weights_sha256: str
    description: Annotated[dict[str, Any], pydantic.AfterValidator(_described)]
    """`Classifier.describe()`: the preprocessing and the head."""
    classes: tuple[str, ...]
    image_shape: tuple[Side, Side, Side]
    """(c, h, w) of an image that the detector was fitted on."""
    probe_logits: tuple[Finite, ...] = Field(max_length=10**6)
    """Logits on `probe_image` of that shape; they differ where the network's code has changed."""
    model: ModelSpec
    """Where the classifier was loaded from, its head recognised."""


class FalseAlarmCount(PlanTable):
    """The k-th highest of n scores set the threshold, counted in independent images.

    The true false-alarm rate is distributed as Beta(k, n + 1 - k).
    """

    fewest: float = Field(ge=0, lt=10**9)
    """The smallest k; it differs from the largest where scores are equal."""
    most: float = Field(gt=0, lt=10**9)
    """The largest k."""
    images: float = Field(gt=0, lt=10**9)
    """n + 1."""

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> FalseAlarmCount:
        if not self.fewest <= self.most < self.images:
            raise ValueError("counts more false alarms than images")
        return self


class FalseAlarmRate(PlanTable):
    """The share of clean images that the threshold flags."""

    requested: float = Field(gt=0, lt=1)
    """Of all clean images."""
    measured: float = Field(ge=0, lt=1)
    """On the images that set the threshold."""
    low: float = Field(ge=0, lt=1)
    """Lower end of the 95 % interval of the true rate: the images that set the threshold are a
    sample."""
    high: float = Field(gt=0, le=1)
    """Upper end."""
    counted: FalseAlarmCount
    split: str
    images: int
    groups: int


class AUC(PlanTable):
    """An area under the ROC curve with its 95 % interval by group; None where it has none."""

    value: float = Field(ge=0, le=1)
    low: float | None = Field(ge=0, le=1)
    high: float | None = Field(ge=0, le=1)


class TrainingAttack(PlanTable):
    """The attack that the detector was fitted on, and its detection rate on held-out images."""

    attack: str
    fields: dict[str, Any]
    norm: str
    eps: Finite | None
    """None where the attack searches the nearest adversarial image."""
    fitted_on: int
    """Successful attacks that the head was fitted on; 0 where the detector has no head."""
    held_out: int
    """Successful attacks on held-out images, which neither head nor statistics were fitted on."""
    held_out_flagged: int
    """How many of those held out the detector flags."""
    originals_flagged: int
    """How many of the clean images of those cases the detector flags: without any attack."""
    paired_auc: AUC | None
    """Held-out attacked images against the clean images of the same cases: the figure to quote.
    None where no attack on a held-out image succeeded."""
    auc: AUC | None
    """The same against all clean images that were held out and attacked: also counts which cases
    fall."""
    selection_auc: AUC | None
    """Selection control: clean images of the cases that fell against those of the others. None
    where all or none fell."""
    explained_by_selection: bool
    """Whether which cases fall explains `auc`, as in `robust.records.DetectorScore`."""
    held_out_low: float | None = Field(ge=0, le=1)
    """Lower end of the 95 % interval, by group, of the share that this detector flags; None where
    there is no interval."""
    held_out_high: float | None = Field(ge=0, le=1)
    """Upper end."""

    def __str__(self) -> str:
        return at_eps(self.attack, self.norm, self.eps)


class Record(PlanTable):
    """The content of detector.json."""

    name: str
    """As a plan names it: the class, or `package.module:Class` of one that is no part of robust."""
    label: str
    fields: dict[str, Any]
    """The detector's parameters."""
    layers: tuple[str, ...]
    dropout_passes: int = Field(ge=0, le=10**5)
    seed: int = Field(ge=0, lt=2**63)
    threshold: Finite
    """An image with a higher score is flagged."""
    false_alarms: FalseAlarmRate
    training_attack: TrainingAttack | None
    reference: str
    """The split whose images are the reference."""
    reference_images: int
    left_out: int
    """Copies of other images, which were not used."""
    size: tuple[Side, Side] | None
    """(h, w) to which `[data]` resized images when they were read."""
    grey: bool
    depth: int | None
    """Bits of the values in image files, as `[data]` says them."""
    window: int | None
    """Which window of DICOM files `[data]` shows, counted from 1; None: each file's first."""
    classifier: ClassifierFingerprint
    robust_version: str
    """The version that fitted the detector."""


@dataclass(frozen=True)
class GuardArtifact:
    """A fitted detector and its record: all that screening images needs."""

    record: Record
    fitted: FittedDetector
    """Its tensors are on the CPU."""

    def save(self, folder: str | Path) -> None:
        """Write the folder as a whole or not at all; InputError where it holds something."""
        from safetensors.torch import save

        place = check_free(folder)
        learned, head = self.fitted.learned, self.fitted.head or {}
        tensors = {_LEARNED + name: value for name, value in learned.items()}
        tensors |= {_HEAD + name: value for name, value in head.items()}
        content = save(tensors)
        record = _record_text(self.record, list(tensors), content)
        if self.record.name.startswith("__main__:"):
            raise InputError(
                f"{self.record.label} is defined in a script, where nobody else finds it; put its "
                f"class into a module and import it"
            )
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                partial.mkdir()
                (partial / TENSORS).write_bytes(content)
                (partial / RECORD).write_text(record, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}") from None

    @staticmethod
    def load(folder: str | Path, *, allow_code: bool = False) -> GuardArtifact:
        """The artifact that `save` wrote; InputError in one line for anything else.

        A detector that is no part of robust is imported by its name, which runs code, with
        `allow_code` alone: the folder may have come from elsewhere.
        """
        place = Path(folder)
        record, header = _read_record(place)
        if not allow_code:
            refuse_code({"detectors": [{"name": record.name}]}, str(place / RECORD))
        tensors = _read_tensors(place / TENSORS, header)
        try:
            spec = DetectorSpec(**{**record.fields, "name": record.name, "label": record.label})
            (detector,) = make_detectors([spec]).values()
        except ValueError as error:  # also a field that no detector can have
            raise InputError(f"{place / RECORD}: {first_line(error)}; {_AGAIN}") from None
        head = _part(tensors, _HEAD) or None
        return GuardArtifact(record, FittedDetector(detector, _part(tensors, _LEARNED), head))


def name_of(detector: Detector) -> str:
    """The name by which a detector is made again: of one of the user `package.module:Class`."""
    kind = type(detector)
    own = DETECTORS.get(kind.__name__) is kind
    return kind.__name__ if own else f"{kind.__module__}:{kind.__qualname__}"


def as_stored(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as loading gives them, memory layout included: sums depend on it."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def check_free(folder: str | Path) -> Path:
    """The folder's absolute path; InputError where it is not empty."""
    require_new(Path(folder), " for the detector")
    return Path(folder).resolve()


def _record_text(record: Record, tensors: list[str], content: bytes) -> str:
    """detector.json: the record, the names and hash of the tensors, and a hash over all of it."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        **record.model_dump(mode="json"),
        "tensors": tensors,
        "tensors_sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps({**body, "sha256": _digest(body)}, indent=2, allow_nan=False) + "\n"


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class _Header(pydantic.BaseModel):
    """The entries that are read before the record itself."""

    format: Literal["robust detector"]
    version: int = Field(ge=1)
    tensors: tuple[str, ...]
    """Names in the order of fitting, which the tensor file does not keep."""
    tensors_sha256: str
    sha256: str


def _read_record(place: Path) -> tuple[Record, _Header]:
    path = place / RECORD
    require_detector(place)
    text = read_bytes(path, MOST_TEXT)
    try:
        body = json.loads(text)
        header = _Header.model_validate(body)
    except (ValueError, RecursionError):  # a pydantic error is a ValueError
        raise InputError(f"{path} is not the record of a detector; {_AGAIN}") from None
    if header.version != VERSION:
        newer = header.version > VERSION
        raise InputError(
            f"{path} was written by {'a newer' if newer else 'an older'} version of robust (its "
            f"format is {header.version}, this one reads {VERSION}); "
            f"{'update robust' if newer else _AGAIN}"
        )
    if _digest({name: value for name, value in body.items() if name != "sha256"}) != header.sha256:
        raise InputError(f"{path} was changed after it was stored; {_AGAIN}")
    try:
        known = {k: v for k, v in body.items() if k not in _Header.model_fields}
        return Record.model_validate(known), header
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise InputError(f"{path}: {where}: {detail['msg']}; {_AGAIN}") from None


def _read_tensors(path: Path, header: _Header) -> dict[str, Tensor]:
    from safetensors.torch import load

    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"{cannot(path, 'be read', error)}; {_AGAIN}") from None
    if hashlib.sha256(content).hexdigest() != header.tensors_sha256:
        raise InputError(f"{path} is not the file that was stored beside {RECORD}; {_AGAIN}")
    try:
        found: dict[str, Tensor] = load(content)
        return {name: found[name] for name in header.tensors}
    except Exception as error:  # noqa: BLE001  (a broken file makes it raise of every kind)
        raise InputError(f"{path} is broken ({first_line(error)}); {_AGAIN}") from None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def probe_image(shape: tuple[int, int, int]) -> Tensor:
    """A fixed image `(1, c, h, w)` in [0, 1] of waves in every direction."""
    c, h, w = (torch.arange(count, dtype=torch.float64) for count in shape)
    waves = (0.7 * h[:, None] + 0.3 * w[None]).sin() + (0.05 * h[:, None] * w[None]).cos()
    return ((waves[None] + c[:, None, None].sin()) / 6 + 0.5).clamp(0, 1).float()[None]
