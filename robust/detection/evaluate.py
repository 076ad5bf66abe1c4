"""Evaluates every detector on a finished run: recorded features to the report's `Detection`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.cross_fitting import FeatureSet
from robust.detection.curves import feature_maps, score_curves
from robust.detection.factory import DetectorSuite
from robust.detection.feature_log import CLEAN, FeatureLog, change_key, logged_cells, noise_key
from robust.detection.transfer_matrix import EvaluationData, TransferMatrix, evaluate_transfer
from robust.engine.cells import Cell
from robust.metrics.groups import FOLDS
from robust.plan.spec import AuditSpec, DetectionSpec
from robust.records import Detection, DetectorScore, ImageSet, NullControl
from robust.records.estimate import TOO_FEW
from robust.units import same_eps


def evaluate_detectors(
    log: FeatureLog,
    suite: DetectorSuite,
    cells: Sequence[Cell],
    spec: DetectionSpec,
    audit: AuditSpec,
    progress: Callable[[float, float, str], None] = lambda done, total, label: None,
) -> Detection:
    """The transfer matrix with its controls and curves; adaptive attacks are not part of it.

    Reads from the log and writes nothing. InputError as in `evaluate_transfer`.
    """
    population, logged = log.population, logged_cells(cells)
    key = key_cell(logged, log.count, audit.norm)
    sources = _image_sets(log, logged)
    attacks = [cell.key for cell in logged]
    matrix = evaluate_transfer(
        suite.fitted,
        EvaluationData(
            reference=suite.reference,
            clean=log.feature_set(CLEAN),
            attacks=_StoredImageSets(log, attacks),
            controls=_StoredImageSets(log, [source for source in sources if source not in attacks]),
            labels=population.labels,
            groups=population.groups,
        ),
        audit.seed,
        fit_on=fitting_keys(logged, spec),
        key_attack=key.key if key else "",
        progress=progress,
    )
    place = {source: i for i, source in enumerate(sources)}
    reasons = matrix.unfitted_reasons
    by_place = {place[cell.key]: cell for cell in logged}
    return Detection(
        detectors={label: repr(fitted.detector) for label, fitted in suite.fitted.items()},
        layers=suite.layers,
        reference=suite.reference_set,
        cases=len(population.rows),
        groups=len(set(population.groups.tolist())),
        correct_cases=population.correct_cases,
        joined_by_features=population.joined_pairs,
        folds=FOLDS,
        key_attack=place[key.key] if key else None,
        image_sets=tuple(
            replace(one, unfitted_reason=reasons.get(s, "")) for s, one in sources.items()
        ),
        detector_scores=tuple(_scores(matrix, place)),
        null_controls=tuple(_null_controls(matrix, place)),
        score_curves=tuple(score_curves(matrix, key)) if key else (),
        feature_maps=tuple(feature_maps(log, by_place, key, audit.seed, progress)) if key else (),
    )


def key_cell(cells: Sequence[Cell], successes: Callable[[str], int], norm: str) -> Cell | None:
    """The cell with most successes at the smallest eps with enough of them for a verdict.

    Cells in `norm` are preferred. `successes` counts by the cell's key. None without any success.
    """
    counts = {cell.key: successes(cell.key) for cell in cells}
    enough = [c for c in cells if counts[c.key] >= TOO_FEW and c.threat.norm == norm]
    enough = enough or [c for c in cells if counts[c.key] >= TOO_FEW]
    enough = enough or [c for c in cells if counts[c.key]]
    if not enough:
        return None
    smallest = min(c.threat.eps for c in enough)
    candidates = [c for c in enough if c.threat.eps == smallest]
    return max(candidates, key=lambda c: (counts[c.key], c.attack.passes))


def fitting_keys(cells: Sequence[Cell], spec: DetectionSpec) -> list[str]:
    """The keys of the cells that the plan lets heads be fitted on."""
    return [
        c.key
        for c in cells
        if (spec.fit_on is None or c.label in spec.fit_on)
        and (spec.fit_eps is None or any(same_eps(c.threat.eps, e) for e in spec.fit_eps))
    ]


class _StoredImageSets(Mapping[str, FeatureSet]):
    """Image sets by source, read from the log one at a time."""

    def __init__(self, log: FeatureLog, sources: Sequence[str]) -> None:
        self._log, self._sources = log, sources

    def __getitem__(self, source: str) -> FeatureSet:
        if source not in self._sources:
            raise KeyError(source)
        return self._log.feature_set(source)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


def _image_sets(log: FeatureLog, cells: Sequence[Cell]) -> dict[str, ImageSet]:
    """By source: attacks in the order of the plan, then noise, then benign changes."""
    found: dict[str, ImageSet] = {}
    for cell in cells:
        count = log.count(cell.key)
        found[cell.key] = ImageSet("attack", cell.label, cell.threat.norm, cell.eps, count)
    for key, cell in {noise_key(cell): cell for cell in cells}.items():
        name = "noise" if np.isfinite(cell.threat.eps) else f"noise as far as {cell.label}"
        found[key] = ImageSet("noise", name, cell.threat.norm, cell.eps, log.count(key))
    for name in BENIGN_CHANGES:
        found[change_key(name)] = ImageSet("change", name, "", None, len(log.population.rows))
    return found


def _scores(matrix: TransferMatrix, place: Mapping[str, int]) -> Iterator[DetectorScore]:
    for key, found in matrix.metrics.items():
        detector, fitted, scored = key
        yield DetectorScore(
            detector=detector,
            fitted_on=place.get(fitted),
            image_set=place[scored],
            paired_auc=found.auc.paired,
            auc=found.auc.all_clean,
            selection_auc=found.auc.selection,
            detection_rates={f"{share:g}": rate for share, rate in found.detection_rates.items()},
            too_few=found.too_few,
            explained_by_selection=key in matrix.explained,
        )


def _null_controls(matrix: TransferMatrix, place: Mapping[str, int]) -> Iterator[NullControl]:
    for (detector, fitted), null in matrix.null_controls.items():
        alarm = (detector, fitted) in matrix.alarms
        yield NullControl(detector, place.get(fitted), null.auc, null.p, alarm)
