"""Random factors of a set of models: which are nested, which are crossed, is the design balanced.

A factor is nested in another where each of its levels occurs within one level of the other alone.
In a balanced design the space of the observations falls into orthogonal strata, one for each factor
and one for the residual, and each component of variance adds the same amount to every direction of
a stratum (Nelder 1965, "The analysis of randomized experiments with orthogonal block structure").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robust.metrics.arrays import Array, Places

TINY = 1e-8


def level_codes(levels: Sequence[str]) -> Places:
    """Levels as whole numbers from 0, `(n,)`."""
    return np.unique(np.asarray(levels, str), return_inverse=True)[1].astype(np.int64)


def joint_codes(columns: Sequence[Places], count: int) -> Places:
    """A number for each combination of levels that occurs, `(n,)`; all 0 without columns."""
    if not columns:
        return np.zeros(count, np.int64)
    return np.unique(np.stack(columns, 1), axis=0, return_inverse=True)[1].reshape(-1)


def is_nested(inner: Places, outer: Places) -> bool:
    """Whether each level of `inner` occurs within one level of `outer` alone."""
    pairs = joint_codes([inner, outer], len(inner))
    return bool(pairs.max() == inner.max())


def indicators(codes: Places) -> Array:
    """`(n, levels)`: 1 where an observation has the level."""
    return np.eye(int(codes.max()) + 1)[codes]


def joint_span(*parts: Array) -> Array:
    """Orthonormal basis `(n, rank)` of the columns of all parts."""
    left, size, _ = np.linalg.svd(np.concatenate(parts, 1), full_matrices=False)
    return np.asarray(left[:, size > TINY * max(float(size[0]), 1.0)], np.float64)


def beyond(basis: Array, lower: Array) -> Array:
    """Orthonormal basis of what `basis` spans and the orthonormal `lower`, part of it, does not."""
    left, size, _ = np.linalg.svd(basis - lower @ (lower.T @ basis), full_matrices=False)
    return np.asarray(left[:, size > 0.5], np.float64)


@dataclass(frozen=True)
class Stratum:
    """Directions in which one factor shows, and no factor that it is nested in."""

    basis: Array
    """Orthonormal, `(n, degrees)`."""
    weights: dict[str, float]
    """What a unit of each component adds to the expected mean square; the residual adds 1."""

    @property
    def degrees(self) -> int:
        """Degrees of freedom."""
        return int(self.basis.shape[1])

    def mean_square(self, values: Array) -> float:
        """Mean square of `values (n,)` in this stratum."""
        return float(((self.basis.T @ values) ** 2).sum()) / self.degrees


def strata(fixed: Array, factors: Mapping[str, Places]) -> dict[str, Stratum] | None:
    """The strata of a balanced design by factor, the residual as `""`; None where it is not.

    `fixed (n, p)` are the fixed effects. The residual has no stratum where nothing is left.
    """
    squares = {name: indicators(codes) for name, codes in factors.items()}
    bases: dict[str, Array] = {}
    for name, codes in factors.items():
        outer = [
            squares[other]
            for other, theirs in factors.items()
            if other != name and is_nested(codes, theirs)
        ]
        lower = joint_span(fixed, *outer)
        bases[name] = beyond(joint_span(lower, squares[name]), lower)
    everything = joint_span(fixed, *squares.values())
    names = list(bases)
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            if np.abs(bases[one].T @ bases[other]).max(initial=0.0) > TINY:
                return None
    if joint_span(fixed).shape[1] + sum(b.shape[1] for b in bases.values()) != everything.shape[1]:
        return None
    bases[""] = beyond(np.eye(len(fixed)), everything)
    found: dict[str, Stratum] = {}
    for name, basis in bases.items():
        if not basis.shape[1]:
            continue
        weights: dict[str, float] = {}
        for factor, columns in squares.items():
            seen = basis.T @ columns
            gram = seen @ seen.T
            weights[factor] = float(np.trace(gram)) / len(gram)
            if np.abs(gram - weights[factor] * np.eye(len(gram))).max() > TINY * len(fixed):
                return None
            if weights[factor] < TINY:
                weights[factor] = 0.0
        found[name] = Stratum(basis, weights)
    return found
