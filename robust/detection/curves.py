"""Curves and maps for the report: score histograms, ROC curves, t-SNE of deep features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch

from robust.detection.cross_fitting import FALSE_ALARM_RATES, ScoredImages
from robust.detection.feature_log import CLEAN, FeatureLog, noise_key
from robust.detection.transfer_matrix import TransferMatrix
from robust.engine.cells import Cell
from robust.metrics.operating_point import threshold
from robust.records import FeatureMap, ScoreCurves

MAX_MAPS, MAX_POINTS = 6, 300
"""Most attacks whose deep features are drawn, and most images of each side."""

BINS = 40
"""Bins of a score histogram."""


def score_curves(matrix: TransferMatrix, key: Cell) -> Iterator[ScoreCurves]:
    """ROC curve and histograms of each detector that is fitted on the key attack or not at all."""
    noise = noise_key(key)
    for (detector, fitted, scored), one in matrix.scores.items():
        if scored == key.key:
            beside = matrix.scores.get((detector, fitted, noise))
            yield _curves(detector, one, np.array([]) if beside is None else beside.positive)


def _curves(detector: str, one: ScoredImages, noise: npt.NDArray[np.float64]) -> ScoreCurves:
    clean_fallen = one.clean[np.isin(one.clean_cases, one.positive_cases)]
    every = np.concatenate([one.clean, one.positive])
    low, high = np.quantile(every[np.isfinite(every)], [0.01, 0.99])
    edges = np.linspace(float(low), float(high), BINS + 1)

    def count(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
        inside = np.clip(values, edges[0], edges[-1])
        return tuple(int(n) for n in np.histogram(inside, edges)[0])

    return ScoreCurves(
        detector,
        _roc(clean_fallen, one.positive),
        _roc(one.clean, one.positive),
        tuple(float(f"{edge:.6g}") for edge in edges),
        count(one.clean),
        count(clean_fallen),
        count(one.positive),
        count(noise),
    )


def _roc(
    clean: npt.NDArray[np.float64], positive: npt.NDArray[np.float64]
) -> tuple[tuple[float, float], ...]:
    """Points at whole percents of the clean images, from (0, 0) to (1, 1)."""
    grid = np.round(np.linspace(0, 1, 101), 2).tolist()
    points = [(0.0, 0.0)]
    for rate in sorted({0.0, 1.0, *FALSE_ALARM_RATES, *grid}):
        limit = threshold(clean, rate)
        point = float(np.mean(clean > limit)), float(np.mean(positive > limit))
        points.append((round(point[0], 4), round(point[1], 4)))
    return tuple(dict.fromkeys([*points, (1.0, 1.0)]))


def feature_maps(
    log: FeatureLog,
    cells: Mapping[int, Cell],
    key: Cell,
    seed: int,
    progress: Callable[[float, float, str], None],
) -> Iterator[FeatureMap]:
    """t-SNE of the attacks under the key attack's threat model, beside the same cases when clean.

    `cells` are attacks by their places among the image sets.
    """
    clean = log.feature_set(CLEAN)
    drawn = [(place, cell) for place, cell in cells.items() if cell.threat == key.threat]
    for place, cell in drawn[:MAX_MAPS]:
        images = log.feature_set(cell.key)
        if len(images.cases) < 5:
            continue
        progress(0, 1, f"t-SNE plot of {cell.label}")
        some = np.linspace(0, len(images.cases) - 1, min(MAX_POINTS, len(images.cases))).round()
        rows = some.astype(np.int64)
        before = np.searchsorted(clean.cases, images.cases[rows])
        both = torch.cat(
            [
                clean.features.deep[torch.from_numpy(before)],
                images.features.deep[torch.from_numpy(rows)],
            ]
        )
        points = _embed(both, seed)
        yield FeatureMap(place, tuple(points[: len(rows)]), tuple(points[len(rows) :]))


def _embed(points: torch.Tensor, seed: int) -> list[tuple[float, float]]:
    """t-SNE of points `(n, d)` in two dimensions."""
    from sklearn.manifold import TSNE  # a second, so only where it is used

    tsne = TSNE(perplexity=min(30.0, (len(points) - 1) / 3), random_state=seed)
    flat = tsne.fit_transform(points.double().numpy())
    return [(round(float(x), 2), round(float(y), 2)) for x, y in flat]
