"""An estimate with its interval: the base of every figure in a report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, resampled by group."""

    value: float
    low: float
    high: float
    cases: int
    """Cases the number is computed from."""
    groups: int
    """Groups (patients, lesions) among them: the unit of resampling."""
