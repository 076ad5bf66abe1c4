"""`[gates]` of a plan: what a report must show before anyone lets the model pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from robust.errors import did_you_mean
from robust.records import FLAGS
from robust.units import parse_threat


def _share(value: object) -> float:
    """0.6; ValueError for what no interval can reach, and for what each one reaches."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a gate is a number, such as 0.6 for 60 %")
    if math.isnan(value) or not 0 < value < 1:
        raise ValueError("a gate lies above 0 and below 1, such as 0.6 for 60 %")
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
    return _named(value)


def _named(value: object) -> object:
    """One number, or one for each name."""
    if value is None or not isinstance(value, Mapping):
        return value if value is None else _share(value)
    if not value:
        raise ValueError("an empty table asks for nothing; take it out")
    return {str(key): _share(bound) for key, bound in value.items()}


def _flags(value: object) -> object:
    """`true`, or a list of names."""
    if value is None or value is True:
        return value
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('write true for no flag at all, or a list such as ["few groups"]')
    for name in value:
        if name not in FLAGS:
            raise ValueError(f"unknown flag {str(name)!r}; {did_you_mean(str(name), FLAGS)}")
    return tuple(dict.fromkeys(value))


Share = Annotated[float | None, BeforeValidator(_named)]
Shares = Annotated[float | dict[str, float] | None, BeforeValidator(_by_eps)]
Named = Annotated[float | dict[str, float] | None, BeforeValidator(_named)]
Flags = Annotated[bool | tuple[str, ...] | None, BeforeValidator(_flags)]


class GatesSpec(BaseModel):
    """Each number is one that the lower end of an interval must reach.

    By eps: keys such as `1/255`, of the norm of `[audit]`, or `L2 0.5`; one number alone is for
    the largest eps.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    clean_accuracy: Share = None
    robust_accuracy: Shares = None
    """Of the worst case, as are the next two."""
    sensitivity: Shares = None
    specificity: Shares = None
    detector_auc: Named = None
    """Against the key attack, by the detector's name; one number alone is for every detector."""
    adaptive_auc: Named = None
    """As `detector_auc`, against attackers who know of the detector."""
    withstands: Named = None
    """The share of cases with which such an attacker does not pass model and detector, at one
    false alarm in twenty."""
    no_flags: Flags = Field(default=None)
    """Names of doubts that must not be raised; true: none at all."""

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return any(value is not None for value in self.model_dump().values())
