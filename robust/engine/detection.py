"""The transfer matrix: every detector fitted on every attack, scored on all, with its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors import Detector, Pairs, Reference
from robust.engine.protocol import (
    Figures,
    Null,
    Side,
    alarms,
    check_learns_nothing,
    check_positives,
    check_separate,
    cross_fit,
    figures,
    folds_by_group,
    null_control,
)


@dataclass(frozen=True)
class Matrix:
    """What detectors are worth. Keys are (detector, attack fitted on, attack scored)."""

    cells: Mapping[tuple[str, str, str], Figures]
    nulls: Mapping[tuple[str, str], Null]
    """(detector, attack fitted on)."""
    alarms: tuple[tuple[str, str], ...]
    """Null controls that found something where there is nothing: the figures are not to be
    believed."""
    empty: Mapping[str, str]
    """Attacks that nothing could be fitted on, and why."""


def judge(
    detectors: Mapping[str, Callable[[], Detector]],
    reference: Reference,
    clean: Side,
    attacks: Mapping[str, Side],
    controls: Mapping[str, Side],
    labels: npt.NDArray[np.int64],
    groups: npt.NDArray[np.int64],
    seed: int = 0,
) -> Matrix:
    """Fit each detector on each attack and score it on all attacks and controls.

    `clean` and `attacks` (successes alone) show cases of one population, whose `labels` and
    `groups` are `(n,)`; `controls` are noise and harmless changes of the same cases, scored and
    never fitted on. Every rule of the protocol is checked before a number is made. InputError for
    a rule that is broken.
    """
    folds = folds_by_group(groups, seed)
    check_separate(reference, clean, folds, groups)
    for name, side in attacks.items():
        check_positives(side, labels, name)
    empty = {name: why for name, side in attacks.items() if (why := _unfit(side, folds))}
    fitting = {name: side for name, side in attacks.items() if name not in empty}
    scored = {**{n: s for n, s in attacks.items() if len(s.cases)}, **controls}
    cells: dict[tuple[str, str, str], Figures] = {}
    nulls: dict[tuple[str, str], Null] = {}
    for detector, make in detectors.items():
        for place, (attack, side) in enumerate(fitting.items()):
            probe = make()
            probe.fit(reference, Pairs(clean.features, side.features))
            check_learns_nothing(probe, clean.features)
            for name, one in cross_fit(make, reference, clean, side, scored, folds).items():
                cells[detector, attack, name] = figures(one, groups, seed)
            nulls[detector, attack] = null_control(
                make, reference, clean, groups, folds, seed + 1000 * place
            )
    loud = alarms({f"{a}\n{b}": null for (a, b), null in nulls.items()})
    found = tuple(pair for pair in nulls if "\n".join(pair) in loud)
    return Matrix(cells, nulls, found, empty)


def _unfit(side: Side, folds: npt.NDArray[np.int64]) -> str:
    """Why no detector can be fitted on an attack, or nothing."""
    if not len(side.cases):
        return "no attack succeeded"
    if any((folds[side.cases] != fold).sum() == 0 for fold in np.unique(folds)):
        return f"its {len(side.cases)} successes lie in one fold"
    return ""
