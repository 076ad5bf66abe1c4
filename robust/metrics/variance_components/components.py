"""Components of the spread of one number over models: seed, fold, training images, machine.

Renard, Guedria, De Palma and Vuillerme (2020, "Variability and reproducibility in deep learning for
medical image segmentation") ask that each source be told apart and reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robust.errors import InputError
from robust.metrics.arrays import Array, Places
from robust.metrics.variance_components.factors import (
    Stratum,
    beyond,
    indicators,
    is_nested,
    joint_codes,
    joint_span,
    level_codes,
    strata,
)
from robust.metrics.variance_components.intervals import (
    chi_square_interval,
    difference_interval,
    generalised_interval,
)
from robust.metrics.variance_components.reml import reml
from robust.records import VarianceComponent

FEWEST_LEVELS = 5
"""Of a source, for an interval."""
RESIDUAL = "residual"

Ends = tuple[float, float] | str
"""An interval, or why there is none."""


def variance_components(
    values: Sequence[float],
    fixed: Mapping[str, Sequence[str]],
    random: Mapping[str, Sequence[str]],
) -> tuple[tuple[VarianceComponent, ...], str, tuple[str, ...]]:
    """Components, method in one line, and notes: how the variance of `values` splits into sources.

    `values` holds one number for each model; `fixed` and `random` the level of each model, by name
    of the axis, of the same length. Fixed axes (architecture, share of the training set) shift the
    mean, one mean for each combination; random ones (seed, fold, data, machine) are sources of
    spread. What is nested or crossed follows from the levels: seeds that are named alike in two
    folds are crossed with them. A random axis with one number for each level takes the place of the
    residual. InputError for lengths that differ, or a number that is not finite.
    """
    numbers = _checked(values, fixed, random)
    notes: list[str] = []
    cells = _fixed_effects(fixed, len(numbers), notes)
    factors = _sources(random, cells, notes)
    spread = numbers - cells @ (cells.T @ numbers)
    if len(numbers) <= cells.shape[1]:
        notes.append("Each combination of the fixed axes has one model: there is no spread.")
        return (), "none", tuple(notes)
    silent = float((spread**2).max()) <= 1e-24 * float((numbers**2).max())
    if silent:
        notes.append("All models have the same number: there is no spread.")
    factors, last = _last(factors, cells)
    if last != RESIDUAL:
        notes.append(
            f"Each {last} has one number: its variance includes all that is not repeated, such as"
            " chance in training and what test cases add."
        )
    elif factors:
        notes.append(
            "The residual holds what no source explains: how sources act together, chance in"
            " training, and what a finite number of test cases adds."
        )
    columns = {name: indicators(codes) for name, codes in factors.items()}
    layers = strata(cells, factors)
    moments = [] if layers is None else [_moments(numbers, layers, list(factors))]
    variances = np.zeros(len(factors) + 1)
    if not silent:
        variances = reml(numbers, cells, list(columns.values()), moments)
    ends: list[Ends] = []
    for name in factors:
        if layers is None:
            ends.append(_unbalanced(name, numbers, cells, factors, columns))
        else:
            ends.append(_balanced(name, numbers, layers, factors))
    levels = {name: int(codes.max()) + 1 for name, codes in factors.items()}
    levels[last] = 0 if last == RESIDUAL else len(set(map(tuple, _columns(random, last))))
    ends.append(_residual(numbers, cells, columns))
    total = float(variances.sum())
    components = tuple(
        _component(name, levels[name], float(variance), total, found)
        for name, variance, found in zip([*factors, last], variances, ends, strict=True)
    )
    notes += [
        f"The estimate of {one.source} lies at 0, the least that a variance can be."
        for one in components
        if one.variance == 0 and total > 0
    ]
    method = "REML; " + (
        "unbalanced: generalised intervals (Weerahandi 1993)"
        if layers is None
        else "balanced: modified-large-sample intervals (Burdick and Graybill 1992)"
    )
    return components, method, tuple(notes)


def _checked(
    values: Sequence[float], fixed: Mapping[str, Sequence[str]], random: Mapping[str, Sequence[str]]
) -> Array:
    numbers = np.asarray(values, np.float64)
    if not len(numbers) or not np.isfinite(numbers).all():
        raise InputError("variance components need finite numbers, one for each model")
    for name, levels in {**fixed, **random}.items():
        if len(levels) != len(numbers):
            raise InputError(f"{name} has {len(levels)} levels for {len(numbers)} numbers")
    if both := set(fixed) & set(random):
        raise InputError(f"{min(both)} is fixed and random: name it once")
    return numbers


def _fixed_effects(fixed: Mapping[str, Sequence[str]], count: int, notes: list[str]) -> Array:
    """Orthonormal basis of the fixed effects: cell means where cells repeat, else main effects."""
    codes = [level_codes(levels) for levels in fixed.values()]
    cells = joint_codes(codes, count)
    if int(cells.max()) + 1 < count or len(codes) < 2:
        return joint_span(indicators(cells))
    notes.append("Fixed axes shift the mean one by one: no combination of them is repeated.")
    return joint_span(*(indicators(one) for one in codes))


def _sources(
    random: Mapping[str, Sequence[str]], cells: Array, notes: list[str]
) -> dict[str, Places]:
    """Random axes that can be told apart from one another and from the fixed ones."""
    found: dict[str, Places] = {}
    for name, levels in random.items():
        codes = level_codes(levels)
        if not codes.max():
            notes.append(f"{name} has one level: it adds no spread here.")
            continue
        if joint_span(cells, indicators(codes)).shape[1] == cells.shape[1]:
            notes.append(f"{name} changes only with the fixed axes: it cannot be told apart.")
            continue
        same = [
            o
            for o, theirs in found.items()
            if is_nested(codes, theirs) and is_nested(theirs, codes)
        ]
        if same:
            joined = f"{same[0]} and {name}"
            notes.append(f"{joined} change together: their spread is one number.")
            found = {joined if o == same[0] else o: theirs for o, theirs in found.items()}
        else:
            found[name] = codes
    return found


def _last(factors: dict[str, Places], cells: Array) -> tuple[dict[str, Places], str]:
    """The factors without the one that takes the place of the residual, and its name."""
    everything = joint_span(cells, *(indicators(codes) for codes in factors.values()))
    if factors and everything.shape[1] == len(cells):
        finest = max(factors, key=lambda name: int(factors[name].max()))
        return {name: codes for name, codes in factors.items() if name != finest}, finest
    return factors, RESIDUAL


def _columns(random: Mapping[str, Sequence[str]], name: str) -> list[tuple[str, ...]]:
    parts = [
        levels for axis, levels in random.items() if axis in name.split(" and ") or axis == name
    ]
    return list(zip(*parts, strict=True))


def _moments(values: Array, layers: Mapping[str, Stratum], factors: list[str]) -> Array:
    """Estimates of analysis of variance: expected mean squares set equal to those found."""
    rows = [[one.weights[name] for name in factors] + [1.0] for one in layers.values()]
    squares = [one.mean_square(values) for one in layers.values()]
    return np.asarray(np.linalg.lstsq(np.array(rows), np.array(squares), rcond=None)[0])


def _balanced(
    name: str, values: Array, layers: Mapping[str, Stratum], factors: Mapping[str, Places]
) -> Ends:
    """The difference between the factor's mean square and that of what it is compared with."""
    if few := _few(name, factors):
        return few
    own = layers[name]
    needed = {other: w for other, w in own.weights.items() if other != name and w}
    for below in layers.values():
        rest = {other: w for other, w in below.weights.items() if w}
        if rest.keys() == needed.keys() and all(
            abs(rest[other] - w) < 1e-6 * w for other, w in needed.items()
        ):
            squares = own.mean_square(values), below.mean_square(values)
            ends = difference_interval(squares[0], own.degrees, squares[1], below.degrees)
            return ends[0] / own.weights[name], ends[1] / own.weights[name]
    return "no single mean square is what this source is compared with"


def _unbalanced(
    name: str,
    values: Array,
    cells: Array,
    factors: Mapping[str, Places],
    columns: Mapping[str, Array],
) -> Ends:
    if few := _few(name, factors):
        return few
    inner = [other for other, c in factors.items() if other != name and is_nested(c, factors[name])]
    if inner:
        return f"unbalanced, with {inner[0]} nested in it: no interval is known to hold"
    others = [columns[other] for other in factors if other != name]
    found = generalised_interval(values, np.concatenate([cells, *others], 1), columns[name])
    return found or "nothing is left to compare it with"


def _few(name: str, factors: Mapping[str, Places]) -> str:
    levels = int(factors[name].max()) + 1
    if levels >= FEWEST_LEVELS:
        return ""
    return f"{levels} levels of {name}: an interval needs at least {FEWEST_LEVELS}"


def _residual(values: Array, cells: Array, columns: Mapping[str, Array]) -> Ends:
    """Exact, from what is left when every source is taken as fixed."""
    rest = beyond(np.eye(len(values)), joint_span(cells, *columns.values()))
    degrees = rest.shape[1]
    if degrees < FEWEST_LEVELS - 1:
        return f"{degrees} degrees of freedom: an interval needs at least {FEWEST_LEVELS - 1}"
    return chi_square_interval(float(((rest.T @ values) ** 2).sum()) / degrees, degrees)


def _component(
    source: str, levels: int, variance: float, total: float, ends: Ends
) -> VarianceComponent:
    share = variance / total if total > 0 else 0.0
    if isinstance(ends, str):
        return VarianceComponent(source, levels, variance, share, None, None, ends)
    low, high = min(ends[0], variance), max(ends[1], variance)
    return VarianceComponent(source, levels, variance, share, low, high, "")
