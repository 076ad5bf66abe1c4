"""`[gates]` of a plan: bounds that the results must reach for the model to pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robust.errors import did_you_mean
from robust.records import FLAGS
from robust.units import parse_certified, parse_threat


def _share(value: object) -> float:
    """A number above 0 and below 1; ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a gate is a number, such as 0.6 for 60 %")
    if math.isnan(value) or not 0 < value < 1:
        raise ValueError("a gate must be above 0 and below 1, such as 0.6 for 60 %")
    return float(value)


def _by_eps(value: object) -> object:
    """One number, or one for each eps."""
    if value is None or not isinstance(value, Mapping):
        return value if value is None else _share(value)
    seen = set()
    for key in value:
        threat = parse_threat(str(key), "")
        if threat in seen:
            raise ValueError(f"eps {key} is named twice")
        seen.add(threat)
    return _by_name(value)


def _by_certificate(value: object) -> object:
    """One number, or one for each eps, perhaps with the names of a certificate and a norm."""
    if value is None or not isinstance(value, Mapping):
        return value if value is None else _share(value)
    seen = set()
    for key in value:
        proof = parse_certified(str(key))
        if proof in seen:
            raise ValueError(f"{key} is named twice")
        seen.add(proof)
    return _by_name(value)


def _by_name(value: object) -> object:
    """One number, or one for each name."""
    if value is None or not isinstance(value, Mapping):
        return value if value is None else _share(value)
    if not value:
        raise ValueError("the table is empty; remove it or add a gate")
    return {str(key): _share(bound) for key, bound in value.items()}


def _warnings(value: object) -> object:
    """`true`, or a list of names."""
    if value is None or value is True:
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('write true for no warning at all, or a list such as ["few groups"]')
    for name in value:
        if name not in FLAGS:
            raise ValueError(f"unknown warning {str(name)!r}; {did_you_mean(str(name), FLAGS)}")
    return tuple(dict.fromkeys(value))


_Above = Annotated[float, Field(gt=0, lt=1)]
_Bounds = _Above | dict[str, _Above] | None


def _read_by(check: Callable[[object], object], kind: Any = _Bounds) -> BeforeValidator:
    """A check of what the file holds, of which a schema for editors says that it is of a kind."""
    return BeforeValidator(check, json_schema_input_type=kind)


Bound = Annotated[float | None, _read_by(_by_name, _Above | None)]
BoundByEps = Annotated[float | dict[str, float] | None, _read_by(_by_eps)]
BoundByCertificate = Annotated[float | dict[str, float] | None, _read_by(_by_certificate)]
BoundByName = Annotated[float | dict[str, float] | None, _read_by(_by_name)]
Warnings = Annotated[
    bool | tuple[str, ...] | None,
    _read_by(_warnings, Literal[True] | Annotated[tuple[Literal[FLAGS], ...], Field(min_length=1)]),  # type: ignore[valid-type]
]


class GatesSpec(BaseModel):
    """`[gates]`: the lower end of a 95 % interval must reach each number.

    By eps means a table with keys such as `1/255`, in the norm of `[audit]`, or `L2 0.5`; a single
    number is for the largest eps. Default of every gate: not checked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clean_accuracy: Bound = None
    """Accuracy without attack."""
    robust_accuracy: BoundByEps = None
    """Accuracy in the worst case over all attacks, by eps."""
    sensitivity: BoundByEps = None
    """Sensitivity in the worst case over all attacks, by eps."""
    specificity: BoundByEps = None
    """Specificity in the worst case over all attacks, by eps."""
    dice: BoundByEps = None
    """Mean Dice in the worst case over all attacks, by eps (segmentation)."""
    detector_auc: BoundByName = None
    """AUC of a detector on the key attack, against the clean images of the same cases (paired), by
    the detector's name; a single number is for every detector."""
    adaptive_auc: BoundByName = None
    """The paired AUC of a detector on adaptive attacks, as `detector_auc`."""
    withstands: BoundByName = None
    """Share of cases in which no adaptive attack fools both the model and the detector, at 5 %
    false alarms, as `detector_auc`."""
    certified_accuracy: BoundByCertificate = None
    """Share of cases that are read correctly and proven to stay so, by eps in the norm of the
    certificate; a key may name certificate and norm, as in `IntervalBounds Linf 1/255`, else every
    certificate with that eps counts. A single number is for the largest eps of each."""
    corrupted_accuracy: BoundByName = None
    """Balanced accuracy on corrupted images in the mean over the severities (mean Dice of
    outlines), by the corruption's name; a single number is for the mean over all kinds."""
    no_flags: Warnings = Field(default=None)
    """Names of warnings that must not be raised, or true: none at all."""

    def __bool__(self) -> bool:
        """Whether there is any gate."""
        return any(value is not None for value in self.model_dump().values())
