"""Scores of outlines equal those of MONAI, medpy and pymia wherever the definitions agree.

MONAI takes part in slow tests; medpy and pymia where they are installed (`make peers`). Each library
is asked on the same 500 random pairs of masks. Where a definition differs (the pooled HD95 of medpy,
the percentile without interpolation and the surface elements of pymia), ours is evaluated by theirs.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from robust.metrics.arrays import Array, Mask
from robust.metrics.outlines.kept import COLUMNS
from robust.metrics.outlines.scores import border_distances, outline_scores
from tests.metrics.outlines.masks import random_pair

PAIRS = 500
ALIKE = {"rel": 1e-9, "abs": 1e-12}
FLOAT32 = {"rel": 1e-5, "abs": 1e-7}
monai_warns = pytest.mark.filterwarnings(
    "ignore:.*always_return_as_numpy:FutureWarning", "ignore:.*all 0:UserWarning"
)
Pair = tuple[Mask, Mask, tuple[float, ...], float]


@cache
def pairs() -> list[tuple[Pair, dict[str, float]]]:
    """Predictions and truths, with our scores."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(PAIRS):
        predicted, true, spacing, tolerance = random_pair(rng, number)
        scores = outline_scores(predicted, true, np.array(spacing), tolerance)
        ours = dict(zip(COLUMNS, scores.tolist(), strict=True))
        found.append(((predicted, true, spacing, tolerance), ours))
    return found


def with_both() -> list[tuple[Pair, dict[str, float]]]:
    return [one for one in pairs() if one[0][0].any() and one[0][1].any()]


def test_the_pairs_are_of_every_kind() -> None:
    masks = [pair[:2] for pair, _ in pairs()]
    assert sum(not p.any() and not t.any() for p, t in masks) >= 5
    for k in (0, 1):
        assert sum(not pair[k].any() for pair in masks) >= 40
        assert sum(int(pair[k].sum()) == 1 for pair in masks) >= 40
    assert sum(not (p & t).any() and p.any() and t.any() for p, t in masks) >= 40
    assert sum(p.ndim == 3 for p, _ in masks) == PAIRS // 2
    assert len(with_both()) >= 300


@pytest.mark.slow
@monai_warns
def test_monai() -> None:
    from monai.metrics import (
        compute_dice,
        compute_hausdorff_distance,
        compute_iou,
        compute_surface_dice,
    )

    for (predicted, true, spacing, tolerance), ours in with_both():
        p, t = (
            torch.from_numpy(np.ascontiguousarray(m)).float()[None, None] for m in (predicted, true)
        )
        same: dict[str, Any] = {"include_background": True}
        theirs = {
            "dice": compute_dice(p, t, **same),
            "iou": compute_iou(p, t, **same),
            "hd95": compute_hausdorff_distance(p, t, percentile=95, spacing=spacing, **same),
            "surface_dice": compute_surface_dice(p, t, [tolerance], spacing=spacing, **same),
        }
        for name, value in theirs.items():
            assert ours[name] == pytest.approx(value.item(), **FLOAT32), (name, predicted.shape)


@pytest.mark.slow
@monai_warns
def test_what_monai_does_not_count_counts_here() -> None:
    """Where one mask is empty, its distance is NaN, which leaves its mean."""
    from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    unknown = 0
    for (predicted, true, spacing, tolerance), ours in pairs():
        if predicted.any() != true.any():
            p, t = (torch.from_numpy(m.copy()).float()[None, None] for m in (predicted, true))
            same: dict[str, Any] = {"include_background": True, "spacing": spacing}
            near = compute_surface_dice(p, t, [tolerance], **same).item()
            assert near == ours["surface_dice"] == ours["dice"] == 0
            far = compute_hausdorff_distance(p, t, percentile=95, **same).item()
            assert np.isnan(far) and ours["hd95"] == np.inf
            unknown += 1
    assert unknown >= 40


def test_medpy() -> None:
    binary = pytest.importorskip("medpy.metric.binary")
    for (predicted, true, spacing, _), ours in with_both():
        assert ours["dice"] == pytest.approx(binary.dc(predicted, true), **ALIKE)
        assert ours["iou"] == pytest.approx(binary.jc(predicted, true), **ALIKE)
        assert ours["volume_error"] == pytest.approx(binary.ravd(predicted, true), **ALIKE)
        to_true, to_predicted = border_distances(predicted, true, np.array(spacing))
        pooled = np.percentile(np.concatenate([to_true, to_predicted]), 95)
        theirs = binary.hd95(predicted, true, voxelspacing=spacing)
        assert pooled == pytest.approx(theirs, **ALIKE)
        largest = max(to_true.max(), to_predicted.max())
        assert largest == pytest.approx(binary.hd(predicted, true, voxelspacing=spacing), **ALIKE)


def test_pymia() -> None:
    metric = pytest.importorskip("pymia.evaluation.metric")
    for (predicted, true, _, _), ours in with_both():
        counts = metric.ConfusionMatrix(predicted.astype(np.uint8), true.astype(np.uint8))
        found, there = int(predicted.sum()), int(true.sum())
        wanted = {
            "DiceCoefficient": ours["dice"],
            "JaccardCoefficient": ours["iou"],
            "VolumeSimilarity": 1 - abs(ours["volume_error"]) * there / (found + there),
        }
        for name, value in wanted.items():
            one = getattr(metric, name)()
            one.confusion_matrix = counts
            assert value == pytest.approx(one.calculate(), **ALIKE), name


def test_pymia_distances() -> None:
    """Its percentile and surface Dice, over borders by medpy, each pixel an element of area 1."""
    metric = pytest.importorskip("pymia.evaluation.metric")
    binary = pytest.importorskip("medpy.metric.binary")
    surface = getattr(binary, "__surface_distances")
    for (predicted, true, spacing, tolerance), ours in with_both():
        ways = [(predicted, true), (true, predicted)]
        far: list[Array] = [np.sort(surface(*way, voxelspacing=spacing)) for way in ways]
        given = SimpleNamespace(
            distances_pred_to_gt=far[0],
            distances_gt_to_pred=far[1],
            surfel_areas_pred=np.ones(len(far[0])),
            surfel_areas_gt=np.ones(len(far[1])),
        )
        own = border_distances(predicted, true, np.array(spacing))
        overlap = metric.SurfaceDiceOverlap(tolerance)
        overlap.distances = given
        assert ours["surface_dice"] == pytest.approx(overlap.calculate(), **ALIKE)
        for percentile in (50, 90, 100):
            distance = metric.HausdorffDistance(percentile)
            distance.distances = given
            stepped = [np.percentile(d, percentile, method="inverted_cdf") for d in own]
            assert max(stepped) == pytest.approx(distance.calculate(), **ALIKE)
