"""The most damaging images: against a search case by case and structure by structure."""

from __future__ import annotations

import numpy as np

from robust.metrics.arrays import Array
from robust.metrics.outlines.kept import COLUMNS, KeptScores
from robust.metrics.outlines.scores import kept_scores
from robust.metrics.outlines.worst import damage, worst_by_structure


def random_kept(rng: np.random.Generator, cases: int, masks: Array) -> Array:
    predicted = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, 4, masks.shape))
    return np.stack(
        [kept_scores(predicted[i], masks[i], structures=(1, 2, 3)) for i in range(cases)]
    )


def test_the_worst_image_for_each_structure() -> None:
    rng = np.random.default_rng(0)
    n = 25
    masks = rng.integers(0, 4, (n, 4, 4))
    masks[masks == 3] = rng.integers(0, 4, (masks == 3).sum())
    images = [random_kept(rng, n, masks) for _ in range(4)]
    inside = [rng.random(n) < 0.7 for _ in images]
    clean = random_kept(rng, n, masks)
    found = KeptScores(worst_by_structure(clean, zip(images, inside)))
    taken = 0
    for case in range(n):
        for place in range(3):
            rows = [clean, *(kept for kept, within in zip(images, inside) if within[case])]
            every = [KeptScores(kept).table[case, place] for kept in rows]

            def harm(row: Array) -> tuple[float, float, float]:
                one = dict(zip(COLUMNS, row))
                if np.isnan(one["dice"]):
                    return (0.0, 0.0, 0.0)
                return (1 - one["dice"], 1 - one["surface_dice"], one["hd95"])

            worst = max(range(len(every)), key=lambda k: (harm(every[k]), -k))
            taken += worst > 0
            assert np.array_equal(found.table[case, place], every[worst], equal_nan=True)
    assert taken > n
    own = found.values[:, 3 * len(COLUMNS) :]
    assert np.array_equal(own, clean[:, 3 * len(COLUMNS) :], equal_nan=True)


def test_without_images_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    clean = random_kept(rng, 5, rng.integers(0, 4, (5, 4, 4)))
    assert np.array_equal(worst_by_structure(clean, []), clean, equal_nan=True)


def test_damage_is_the_loss_of_dice() -> None:
    rng = np.random.default_rng(2)
    kept = random_kept(rng, 6, rng.integers(0, 4, (6, 4, 4)))
    assert np.array_equal(damage(kept), 1 - KeptScores(kept).case_dice)
