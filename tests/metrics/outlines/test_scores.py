"""Scores of outlines: closed forms, brute force, and what may not change them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from robust.metrics.arrays import Array, Mask
from robust.metrics.outlines.kept import COLUMNS, KeptScores, kept_width
from robust.metrics.outlines.scores import border_distances, kept_scores, outline_scores
from tests.metrics.outlines.masks import random_pair


def named(scores: Array) -> dict[str, float]:
    return dict(zip(COLUMNS, scores.tolist(), strict=True))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.7, 2.5), (1.0, 1.0, 1.0), (3.0, 0.6, 1.1)])
@pytest.mark.parametrize("shift", [1, 2, 3])
def test_two_shifted_cubes(spacing: tuple[float, ...], shift: int) -> None:
    """Overlap and distance are closed; all of a face is off, far more than 5 % of the border."""
    side, steps = 6, np.array(spacing)
    for axis in range(len(spacing)):
        true = np.zeros((12,) * len(spacing), bool)
        true[(slice(1, 1 + side),) * len(spacing)] = True
        predicted = np.roll(true, shift, axis)
        found = named(outline_scores(predicted, true, steps, shift * spacing[axis] - 1e-9))
        assert found["dice"] == pytest.approx((side - shift) / side, abs=1e-12)
        assert found["iou"] == pytest.approx((side - shift) / (side + shift), abs=1e-12)
        assert found["volume_error"] == 0
        assert found["true_volume"] == pytest.approx(side ** len(spacing) * steps.prod())
        far = border_distances(predicted, true, steps)
        assert max(d.max() for d in far) == pytest.approx(shift * spacing[axis], abs=1e-12)
        assert found["hd95"] == pytest.approx(shift * spacing[axis], abs=1e-12)
        assert 0 < found["surface_dice"] < 1
        within = outline_scores(predicted, true, steps, shift * spacing[axis] + 1e-9)
        assert named(within)["surface_dice"] == 1


def test_one_stray_pixel_moves_the_largest_distance_alone() -> None:
    true = np.zeros((30, 30), bool)
    true[2:22, 2:22] = True
    predicted = true.copy()
    predicted[29, 29] = True
    steps = np.array([1.0, 2.0])
    assert max(d.max() for d in border_distances(predicted, true, steps)) == pytest.approx(
        math.hypot(8, 16)
    )
    assert named(outline_scores(predicted, true, steps, 1.0))["hd95"] == 0


def test_the_two_halves_are_not_pooled() -> None:
    """Many right pixels of the prediction do not hide that a piece of the truth is missed."""
    true = np.zeros((40, 60), bool)
    true[5:35, 5:35] = True
    true[10:14, 54:56] = True
    predicted = true.copy()
    predicted[:, 50:] = False
    steps = np.ones(2)
    to_true, to_predicted = border_distances(predicted, true, steps)
    assert not to_true.any()
    pooled = np.percentile(np.concatenate([to_true, to_predicted]), 95)
    assert pooled == 0
    assert named(outline_scores(predicted, true, steps, 1.0))["hd95"] == 20


def test_empty_truth_and_empty_prediction() -> None:
    there, empty = np.zeros((6, 6), bool), np.zeros((6, 6), bool)
    there[2:4, 2:5] = True
    steps = np.array([2.0, 0.5])
    missed = named(outline_scores(empty, there, steps, 1.0))
    invented = named(outline_scores(there, empty, steps, 1.0))
    for found in (missed, invented):
        assert [found[name] for name in ("dice", "iou", "surface_dice", "hd95")] == [
            0,
            0,
            0,
            np.inf,
        ]
    assert (missed["volume_error"], invented["volume_error"]) == (-1, np.inf)
    assert (missed["true_volume"], missed["predicted_volume"]) == (6, 0)
    assert (invented["true_volume"], invented["predicted_volume"]) == (0, 6)
    neither = outline_scores(empty, empty, steps, 1.0)
    assert np.isnan(neither[:5]).all() and not neither[5:].any()


def borders_by_hand(mask: Mask) -> Array:
    """Pixels with a neighbour across a face that is background or outside, one by one."""
    found = []
    for place in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                other = place.copy()
                other[axis] += step
                inside = 0 <= other[axis] < mask.shape[axis]
                if not inside or not mask[tuple(other)]:
                    found.append(place)
    return np.unique(np.array(found), axis=0).astype(float)


def test_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    compared = 0
    for number in range(120):
        predicted, true, spacing, tolerance = random_pair(rng, number)
        found = named(outline_scores(predicted, true, np.array(spacing), tolerance))
        if not (predicted.any() and true.any()):
            continue
        compared += 1
        pairs = cdist(*(borders_by_hand(m) * spacing for m in (predicted, true)))
        far = pairs.min(1), pairs.min(0)
        near = sum((d <= tolerance).sum() for d in far) / sum(map(len, far))
        assert found["surface_dice"] == pytest.approx(near, abs=1e-12)
        assert found["hd95"] == pytest.approx(max(np.percentile(d, 95) for d in far), abs=1e-9)
        both, either = (predicted & true).sum(), (predicted | true).sum()
        assert found["dice"] == pytest.approx(2 * both / (both + either), abs=1e-12)
        assert found["iou"] == pytest.approx(both / either, abs=1e-12)
    assert compared > 60


@pytest.mark.parametrize("number", range(24))
def test_what_does_not_matter(number: int) -> None:
    """Room around both, mirrors, the order of the axes; for all but the volumes who is the truth."""
    rng = np.random.default_rng(number)
    predicted, true, spacing, tolerance = random_pair(rng, number)
    steps = np.array(spacing)
    first = outline_scores(predicted, true, steps, tolerance)
    room = [(int(rng.integers(4)), int(rng.integers(4))) for _ in spacing]
    same = [
        outline_scores(np.pad(predicted, room), np.pad(true, room), steps, tolerance),
        outline_scores(predicted[::-1], true[::-1], steps, tolerance),
        outline_scores(predicted.T, true.T, steps[::-1], tolerance),
    ]
    for other in same:
        assert other == pytest.approx(first, rel=1e-12, abs=1e-12, nan_ok=True)
    swapped = outline_scores(true, predicted, steps, tolerance)
    assert swapped[:4] == pytest.approx(first[:4], rel=1e-12, abs=1e-12, nan_ok=True)
    assert swapped[5:].tolist() == first[[6, 5]].tolist()
    larger = outline_scores(predicted, true, 3 * steps, 3 * tolerance)
    scale = np.array([1, 1, 1, 3, 1, 3.0 ** len(steps), 3.0 ** len(steps)])
    assert larger == pytest.approx(first * scale, rel=1e-9, abs=1e-9, nan_ok=True)


def random_maps(rng: np.random.Generator, classes: int = 4) -> tuple[Array, Array]:
    return tuple(rng.integers(0, classes, (9, 8)).astype(np.uint8) for _ in range(2))  # type: ignore[return-value]


def test_the_vector_of_a_case() -> None:
    rng = np.random.default_rng(1)
    predicted, mask = random_maps(rng)
    mask[mask == 3] = 1
    predicted[predicted == 3] = 2
    target = np.where(rng.random(mask.shape) < 0.5, predicted, 255)
    target[0, 0] = 1 - min(int(predicted[0, 0]), 1)
    spacing = (2.0, 0.5)
    vector = kept_scores(
        predicted, mask, structures=(1, 3, 2), spacing=spacing, tolerance=0.6, target_mask=target
    )
    assert len(vector) == kept_width(3)
    kept = KeptScores(vector[None])
    assert kept.structures == 3
    for place, number in enumerate((1, 3, 2)):
        one = outline_scores(predicted == number, mask == number, np.array(spacing), 0.6)
        assert np.array_equal(kept.table[0, place], one, equal_nan=True)
    assert np.isnan(kept.dice[0, 1])
    assert kept.case_dice[0] == pytest.approx((kept.dice[0, 0] + kept.dice[0, 2]) / 2, abs=1e-12)
    assert kept.pixel_accuracy[0] == pytest.approx((predicted == mask).mean(), abs=1e-12)
    assert kept.diagonal[0] == pytest.approx(math.hypot(18, 4))
    wished = target != 255
    assert kept.target_agreement[0] == pytest.approx((predicted == target)[wished].mean())
    names = [name for name in COLUMNS if name != "dice"]
    for name in names:
        assert np.array_equal(
            getattr(kept, name), kept.table[:, :, COLUMNS.index(name)], equal_nan=True
        )


def test_a_stack_that_does_not_overlap_scores_as_the_map() -> None:
    rng = np.random.default_rng(2)
    predicted, mask = random_maps(rng)
    numbers = (1, 2, 3)
    one = kept_scores(predicted, mask, structures=numbers)
    stacks = [
        np.stack([m == number for number in numbers]).astype(np.uint8) for m in (predicted, mask)
    ]
    other = kept_scores(*stacks, structures=(0, 1, 2), overlapping=True)
    assert np.array_equal(KeptScores(one[None]).table, KeptScores(other[None]).table)
    right = (stacks[0] == stacks[1]).mean()
    assert KeptScores(other[None]).pixel_accuracy[0] == pytest.approx(right, abs=1e-12)
    assert KeptScores(other[None]).diagonal == KeptScores(one[None]).diagonal
    assert np.isnan(KeptScores(other[None]).target_agreement[0])


@pytest.mark.parametrize("overlapping", [False, True])
def test_pixels_that_are_not_outlined_never_count(overlapping: bool) -> None:
    rng = np.random.default_rng(3)
    predicted, mask = random_maps(rng)
    if overlapping:
        predicted, mask = (rng.integers(0, 2, (3, 9, 8)).astype(np.uint8) for _ in range(2))
    hidden = rng.random(mask.shape) < 0.3
    mask[hidden] = 255
    changed = np.where(hidden, 1, predicted)
    numbers = (0, 1, 2) if overlapping else (1, 2, 3)
    one, other = (
        kept_scores(p, mask, structures=numbers, overlapping=overlapping)
        for p in (predicted, changed)
    )
    assert not np.array_equal(predicted, changed)
    assert np.array_equal(one, other, equal_nan=True)
    accuracy = (predicted == mask)[~hidden].mean()
    assert KeptScores(one[None]).pixel_accuracy[0] == pytest.approx(accuracy, abs=1e-12)


def test_nothing_there_and_nothing_predicted_is_right() -> None:
    empty = np.zeros((5, 5), np.uint8)
    kept = KeptScores(kept_scores(empty, empty, structures=(1, 2))[None])
    assert kept.case_dice[0] == 1 and kept.pixel_accuracy[0] == 1
    assert np.isnan(kept.dice).all() and np.isnan(kept.hd95).all()
    invented = np.array(empty)
    invented[2, 2] = 2
    kept = KeptScores(kept_scores(invented, empty, structures=(1, 2))[None])
    assert kept.case_dice[0] == 0 and kept.hd95[0, 1] == np.inf
