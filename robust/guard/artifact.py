"""A fitted detector as a folder: detector.json and detector.safetensors, and no code in either."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import torch
from pydantic import Field
from torch import Tensor

from detectors import Detector
from robust.detection.factory import make_detectors
from robust.errors import InputError, first_line
from robust.files import replacing
from robust.plan.spec import DetectorSpec, ModelSpec, Section
from robust.units import at_eps

FORMAT, VERSION = "robust detector", 1
RECORD, TENSORS = "detector.json", "detector.safetensors"
_LEARNED, _HEAD = "learned/", "head/"
_ENDLESS = (math.inf, -math.inf)
_ANEW = "store it anew with robust fit-detector"

Finite = pydantic.FiniteFloat


class Owner(Section):
    """The classifier that a detector belongs to."""

    weights_sha256: str
    described: dict[str, Any]
    """`Classifier.describe()`: the preprocessing and the head."""
    classes: tuple[str, ...]
    image: tuple[int, int, int]
    """Shape (c, h, w) of an image that it was fitted on."""
    probe: tuple[Finite, ...]
    """Its logits on a pattern of that shape: the same weights in other code are another network."""
    model: ModelSpec
    """Where it was loaded from, its head settled."""


class Promise(Section):
    """The false alarms that the threshold stands for, among all clean images."""

    asked: float = Field(gt=0, lt=1)
    reached: float = Field(ge=0, lt=1)
    """On the images that set the threshold."""
    split: str
    images: int
    groups: int


class Teaching(Section):
    """The attack shown to the detector, and what came of it."""

    attack: str
    fields: dict[str, Any]
    norm: str
    eps: Finite | None
    """None where the attack finds the nearest image."""
    taught: int
    """Successful attacks that the head learned from; 0 where the detector has no head."""
    met: int
    """Successful attacks on the images that set the threshold: nothing was learned from them."""
    flagged: int
    """Of those met."""

    def __str__(self) -> str:
        return at_eps(self.attack, self.norm, self.eps)


class Record(Section):
    """What detector.json says."""

    name: str
    label: str
    fields: dict[str, Any]
    layers: tuple[str, ...]
    passes: int
    seed: int
    threshold: Finite
    """A score above it is flagged."""
    promise: Promise
    teaching: Teaching | None
    reference: str
    """The split whose images are the reference."""
    reference_images: int
    left_out: int
    """Copies of other images, which teach and measure nothing."""
    size: tuple[int, int] | None
    """(h, w) to which `[data]` resized images when they were read."""
    grey: bool
    classifier: Owner
    robust: str
    """The version that fitted it."""


@dataclass(frozen=True)
class StoredDetector:
    """A fitted detector with all that it needs to judge images of its classifier."""

    record: Record
    detector: Detector
    """Its tensors on the CPU."""

    def save(self, folder: str | Path) -> None:
        """Write the folder as a whole or not at all; InputError where it holds something."""
        from safetensors.torch import save

        place = check_free(folder)
        tensors = {_LEARNED + name: value for name, value in (self.detector.learned or {}).items()}
        tensors |= {_HEAD + name: value for name, value in (self.detector.head or {}).items()}
        content = save(tensors)
        record = _written(self.record, list(tensors), content)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with replacing(place) as partial:
                partial.mkdir()
                (partial / TENSORS).write_bytes(content)
                (partial / RECORD).write_text(record, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}") from None

    @staticmethod
    def load(folder: str | Path) -> StoredDetector:
        """InputError in one line for whatever is not a folder that `save` wrote."""
        place = Path(folder)
        record, head = _read_record(place)
        tensors = _read_tensors(place / TENSORS, head)
        spec = DetectorSpec(name=record.name, label=record.label, **record.fields)
        try:
            (detector,) = make_detectors([spec]).values()
        except InputError as error:
            raise InputError(f"{place / RECORD}: {error}") from None
        detector.learned = _part(tensors, _LEARNED)
        detector.head = _part(tensors, _HEAD) or None
        return StoredDetector(record, detector)


def settle(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """As a file gives them back, down to the order in memory, on which a sum's last bit depends."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def check_free(folder: str | Path) -> Path:
    """The folder's whole path; InputError where something is in it already."""
    place = Path(folder).resolve()
    try:
        taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from None
    if taken:
        raise InputError(f"{folder} exists and is not empty; name a new folder for the detector")
    return place


def fields_of(thing: Any) -> dict[str, Any]:
    """What a plan would say of a detector or an attack; what no file can say, in Python's words."""
    if not dataclasses.is_dataclass(thing):
        return {}
    found = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    plain = str | int | float | None
    return {
        name: value if isinstance(value, plain) and value not in _ENDLESS else repr(value)
        for name, value in found.items()
    }


def _written(record: Record, tensors: list[str], content: bytes) -> str:
    """The record with what to expect of the tensors, and a hash over all: no slip passes."""
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


class _Head(pydantic.BaseModel):
    """The entries that say how to read the others."""

    format: Literal["robust detector"]
    version: int = Field(ge=1)
    tensors: tuple[str, ...]
    """In the order in which they were learned, which the file does not keep."""
    tensors_sha256: str
    sha256: str


def _read_record(place: Path) -> tuple[Record, _Head]:
    path = place / RECORD
    if place.is_file():
        raise InputError(f"{place} is a file; name the folder that robust fit-detector wrote")
    if not path.is_file():
        missing = f"{place} holds no {RECORD}" if place.is_dir() else f"no such detector: {place}"
        raise InputError(f"{missing}; name the folder that robust fit-detector wrote")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        head = _Head.model_validate(body)
    except (ValueError, RecursionError, OSError):  # a pydantic error is a ValueError
        raise InputError(f"{path} is not the record of a detector; {_ANEW}") from None
    if head.version > VERSION:
        raise InputError(
            f"{path} was written by a newer robust (its format is {head.version}, this one reads "
            f"{VERSION}); update robust"
        )
    if _digest({name: value for name, value in body.items() if name != "sha256"}) != head.sha256:
        raise InputError(f"{path} was changed after it was stored; {_ANEW}")
    try:
        known = {k: v for k, v in body.items() if k not in _Head.model_fields}
        return Record.model_validate(known), head
    except pydantic.ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        raise InputError(f"{path}: {where}: {detail['msg']}; {_ANEW}") from None


def _read_tensors(path: Path, head: _Head) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {_ANEW}") from None
    if hashlib.sha256(content).hexdigest() != head.tensors_sha256:
        raise InputError(f"{path} is not the file that was stored beside {RECORD}; {_ANEW}")
    try:
        found: dict[str, Tensor] = load(content)
        return {name: found[name] for name in head.tensors}
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} is broken ({first_line(error)}); {_ANEW}") from None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def pattern(shape: tuple[int, int, int]) -> Tensor:
    """An image `(1, c, h, w)` in [0, 1] with waves in every direction, the same everywhere."""
    c, h, w = (torch.arange(count, dtype=torch.float64) for count in shape)
    waves = (0.7 * h[:, None] + 0.3 * w[None]).sin() + (0.05 * h[:, None] * w[None]).cos()
    return ((waves[None] + c[:, None, None].sin()) / 6 + 0.5).clamp(0, 1).float()[None]
