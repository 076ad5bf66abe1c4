"""From the features that a run has kept to what its report says of detectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from detectors import Reference
from robust.detection.adaptive.evaluate import evaluate_adaptive
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.cross_fitting import (
    FEW,
    FeatureSet,
)
from robust.detection.curves import _scatters, _traces
from robust.detection.feature_log import CLEAN, FeatureLog, change_key, logged_cells, noise_key
from robust.detection.transfer_matrix import UNFITTED, TransferMatrix, evaluate_transfer
from robust.engine.cells import Cell
from robust.engine.goal import Goal
from robust.metrics.groups import FOLDS
from robust.records import Detection, DetectorScore, ImageSet, NullControl, ReferenceSet, build


def evaluate_detectors(
    watch: FeatureLog, reference: Reference, cells: Sequence[Cell], goal: Goal
) -> Detection:
    """Evaluate every detector on a finished run. InputError as in `evaluate_transfer`."""
    store = watch.runner.store
    if (kept := store.get_json("detection")) is not None:
        known: Detection = build(Detection, kept)
        return known
    found = _judge(watch, reference, cells, goal)
    store.put_json("detection", dataclasses.asdict(found))
    return found


def _judge(watch: FeatureLog, reference: Reference, cells: Sequence[Cell], goal: Goal) -> Detection:
    shown_cells = logged_cells(cells)
    key = _key(watch, shown_cells)
    shown, keys = _shown(watch, shown_cells)
    attacks = {cell.key: cell.key for cell in shown_cells}
    matrix = evaluate_transfer(
        watch.detectors,
        reference,
        watch.side(CLEAN),
        _Lazy(watch, [k for k in keys if k in attacks]),
        _Lazy(watch, [k for k in keys if k not in attacks]),
        np.array([watch.runner.cases.entries[row].label for row in watch.rows]),
        watch.groups,
        watch.plan.audit.seed,
        fit_on=_fit_on(watch, shown_cells),
        keep=key or "",
        progress=watch.runner.progress,
    )
    place = {key: i for i, key in enumerate(keys)}
    judged = [label for label, fitted in matrix.nulls if fitted in (UNFITTED, key)]
    shown = [
        replace(one, unfitted_reason=matrix.empty.get(key, ""))
        for key, one in zip(keys, shown, strict=True)
    ]
    return Detection(
        detectors={label: repr(detector) for label, detector in watch.detectors.items()},
        layers=watch.look.extract.layers,
        reference=build(ReferenceSet, watch.runner.store.get_json("reference facts")),
        cases=len(watch.rows),
        groups=len(set(watch.groups.tolist())),
        correct_cases=watch.of,
        folds=FOLDS,
        key_attack=place[key] if key else None,
        image_sets=tuple(shown),
        detector_scores=tuple(_sightings(matrix, place)),
        null_controls=tuple(_nulls(matrix, place)),
        score_curves=tuple(_traces(matrix, key, shown_cells)) if key else (),
        feature_maps=tuple(_scatters(watch, shown_cells, key, place)) if key else (),
        adaptive=evaluate_adaptive(watch, reference, shown_cells[place[key]], goal, judged)
        if key
        else (),
    )


class _Lazy(Mapping[str, FeatureSet]):
    """Sides by key, read from the store one at a time."""

    def __init__(self, watch: FeatureLog, keys: Sequence[str]) -> None:
        self._watch, self._keys = watch, keys

    def __getitem__(self, key: str) -> FeatureSet:
        if key not in self._keys:
            raise KeyError(key)
        return self._watch.side(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _shown(watch: FeatureLog, cells: Sequence[Cell]) -> tuple[list[ImageSet], list[str]]:
    """Attacks in the order of the plan, then noise, then changes; and their keys."""
    shown, keys = [], []
    for cell in cells:
        count = watch.runner.store.count(cell.key)
        shown.append(ImageSet("attack", cell.label, cell.threat.norm, cell.eps, count))
        keys.append(cell.key)
    for key, cell in {noise_key(cell): cell for cell in cells}.items():
        count = watch.runner.store.count(key)
        name = "noise" if np.isfinite(cell.threat.eps) else f"noise as far as {cell.label}"
        shown.append(ImageSet("noise", name, cell.threat.norm, cell.eps, count))
        keys.append(key)
    for name in BENIGN_CHANGES:
        shown.append(ImageSet("change", name, "", None, len(watch.rows)))
        keys.append(change_key(name))
    return shown, keys


def _key(watch: FeatureLog, cells: Sequence[Cell]) -> str | None:
    """The strongest attack at the smallest eps at which one has enough successes for a verdict."""
    norm = watch.plan.audit.norm
    counts = {cell.key: watch.runner.store.count(cell.key) for cell in cells}
    enough = [c for c in cells if counts[c.key] >= FEW and c.threat.norm == norm]
    enough = enough or [c for c in cells if counts[c.key] >= FEW]
    enough = enough or [c for c in cells if counts[c.key]]
    if not enough:
        return None
    least = min(c.threat.eps for c in enough)
    at = [c for c in enough if c.threat.eps == least]
    return max(at, key=lambda c: (counts[c.key], c.attack.passes)).key


def _fit_on(watch: FeatureLog, cells: Sequence[Cell]) -> list[str]:
    """The keys of the cells that the plan lets heads be fitted on."""
    spec = watch.plan.detection
    return [
        c.key
        for c in cells
        if (spec.fit_on is None or c.label in spec.fit_on)
        and (spec.fit_eps is None or any(abs(c.threat.eps - e) < 1e-9 for e in spec.fit_eps))
    ]


def _sightings(matrix: TransferMatrix, place: Mapping[str, int]) -> Iterator[DetectorScore]:
    for (detector, fitted, scored), found in matrix.cells.items():
        seen = {f"{share:g}": rate for share, rate in found.seen.items()}
        yield DetectorScore(detector, place.get(fitted), place[scored], found.auc, seen, found.few)


def _nulls(matrix: TransferMatrix, place: Mapping[str, int]) -> Iterator[NullControl]:
    for (detector, fitted), null in matrix.nulls.items():
        alarm = (detector, fitted) in matrix.alarms
        yield NullControl(detector, place.get(fitted), null.auc, null.p, alarm)
