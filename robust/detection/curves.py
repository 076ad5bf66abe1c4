"""Curves and maps for the report: score histograms, ROC curves, t-SNE of deep features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.manifold import TSNE

from robust.detection.cross_fitting import FALSE_ALARMS, Scored, threshold
from robust.detection.feature_log import CLEAN, FeatureLog, noise_key
from robust.detection.transfer_matrix import TransferMatrix
from robust.engine.cells import Cell
from robust.records import FeatureMap, ScoreCurves

MAPS, POINTS = 6, 300
"""Attacks of which deep features are drawn, and images of either side."""


BINS = 40


def _traces(matrix: TransferMatrix, key: str, cells: Sequence[Cell]) -> Iterator[ScoreCurves]:
    noise = noise_key(next(cell for cell in cells if cell.key == key))
    for (detector, fitted, scored), one in matrix.scores.items():
        if scored == key:
            beside = matrix.scores.get((detector, fitted, noise))
            yield _trace(detector, one, np.array([]) if beside is None else beside.positive)


def _trace(detector: str, one: Scored, noise: npt.NDArray[np.float64]) -> ScoreCurves:
    shares = sorted({0.0, 1.0, *FALSE_ALARMS, *np.round(np.linspace(0, 1, 101), 2).tolist()})
    roc = [(0.0, 0.0)]
    for share in shares:
        limit = threshold(one.clean, share)
        point = float(np.mean(one.clean > limit)), float(np.mean(one.positive > limit))
        roc.append((round(point[0], 4), round(point[1], 4)))
    every = np.concatenate([one.clean, one.positive])
    low, high = np.quantile(every[np.isfinite(every)], [0.01, 0.99])
    edges = np.linspace(float(low), float(high), BINS + 1)

    def count(values: npt.NDArray[np.float64]) -> tuple[int, ...]:
        inside = np.clip(values, edges[0], edges[-1])
        return tuple(int(n) for n in np.histogram(inside, edges)[0])

    return ScoreCurves(
        detector,
        tuple(dict.fromkeys([*roc, (1.0, 1.0)])),
        tuple(float(f"{edge:.6g}") for edge in edges),
        count(one.clean),
        count(one.positive),
        count(noise),
    )


def _scatters(
    watch: FeatureLog, cells: Sequence[Cell], key: str, place: Mapping[str, int]
) -> Iterator[FeatureMap]:
    """The attacks under the threat model of the key one, beside the clean images of their cases."""
    threat = next(cell.threat for cell in cells if cell.key == key)
    clean = watch.side(CLEAN)
    for cell in [cell for cell in cells if cell.threat == threat][:MAPS]:
        side = watch.side(cell.key)
        if len(side.cases) < 5:
            continue
        watch.runner.progress(0, 1, f"drawing the features of {cell.label}")
        some = np.linspace(0, len(side.cases) - 1, min(POINTS, len(side.cases))).round()
        rows = some.astype(np.int64)
        before = np.searchsorted(clean.cases, side.cases[rows])
        both = torch.cat(
            [
                clean.features.deep[torch.from_numpy(before)],
                side.features.deep[torch.from_numpy(rows)],
            ]
        )
        flat = TSNE(
            perplexity=min(30.0, (len(both) - 1) / 3), random_state=watch.plan.audit.seed
        ).fit_transform(both.double().numpy())
        points = [(round(float(x), 2), round(float(y), 2)) for x, y in flat]
        yield FeatureMap(place[cell.key], tuple(points[: len(rows)]), tuple(points[len(rows) :]))
