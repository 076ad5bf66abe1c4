"""The scorer of outlines: figures by hand, and what a missed structure may never do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from robust.metrics.arrays import Array, Mask
from robust.metrics.by_group import ByGroup
from robust.metrics.outlines.kept import KeptScores
from robust.metrics.outlines.scorer import OutlineScorer, OutlineStandard
from robust.metrics.outlines.scores import kept_scores
from robust.metrics.outlines.worst import worst_by_structure
from robust.metrics.scores import Condition
from robust.records import Estimate, Scores
from robust.records.scores import OutlineScores

NAMES = ("left lung", "right lung", "lesion")
SPACING = (2.0, 1.5)


def kept_of(predicted: Array, masks: Array) -> Array:
    return np.stack(
        [
            kept_scores(p, m, structures=(1, 2, 3), spacing=SPACING, tolerance=1.0)
            for p, m in zip(predicted, masks, strict=True)
        ]
    )


def attacked_condition(kept: Array, attacked: Mask, failed: Mask, success: Mask) -> Condition:
    """With every distance 1 where the attack ran; whatever distances a condition has."""
    moved = np.where(attacked, 1.0, np.nan)
    fields = {f.name for f in dataclasses.fields(Condition)} - {
        "kept",
        "attacked",
        "failed",
        "success",
    }
    return Condition(kept, attacked, failed, success, **dict.fromkeys(fields, moved))


def random_masks(rng: np.random.Generator, cases: int) -> Array:
    masks = rng.integers(0, 3, (cases, 6, 5))
    masks[rng.random(cases) < 0.6, 2:4, 1:4] = 3
    return masks


def disturbed(rng: np.random.Generator, masks: Array, share: float) -> Array:
    return np.where(rng.random(masks.shape) < share, rng.integers(0, 4, masks.shape), masks)


def scorer_of(
    clean: Array, groups: list[int], dice: float = 0.6, drop: float = 1.0
) -> OutlineScorer:
    return OutlineScorer(ByGroup(groups), clean, NAMES, OutlineStandard(dice, drop))


def estimates(scores: Scores) -> dict[str, tuple[Estimate | None, int]]:
    """Every estimate, with 1 where higher is better and -1 where it is worse."""
    found: dict[str, tuple[Estimate | None, int]] = {
        "accuracy": (scores.accuracy, 1),
        "robust accuracy": (scores.robust_accuracy, 1),
        "dice": (scores.dice, 1),
    }
    signs = {"dice": 1, "iou": 1, "surface_dice": 1, "hd95": -1, "volume_error": -1}
    signs |= {"missed": -1, "invented": -1}
    for structure, one in scores.outlines.items():
        found |= {f"{structure} {name}": (getattr(one, name), sign) for name, sign in signs.items()}
        found |= {f"{structure} {part.name}": (part.dice, 1) for part in one.by_size}
    return found


def test_figures_by_hand() -> None:
    rng = np.random.default_rng(0)
    n = 40
    masks = random_masks(rng, n)
    clean = kept_of(disturbed(rng, masks, 0.2), masks)
    kept, attacked = kept_of(disturbed(rng, masks, 0.5), masks), rng.random(n) < 0.8
    failed = np.zeros(n, bool)
    failed[np.flatnonzero(attacked)[0]] = True
    kept[~attacked | failed] = clean[~attacked | failed]
    success = attacked & ~failed & (rng.random(n) < 0.5)
    drop = 0.15
    scorer = scorer_of(clean, (np.arange(n) // 2).tolist(), 0.6, drop)
    half = np.arange(n) < 20
    condition = attacked_condition(kept, attacked, failed, success)
    every, part = scorer.score(condition, [np.ones(n, bool), half])
    case = KeptScores(kept).case_dice
    well = (case >= 0.6) & (KeptScores(clean).case_dice - case <= drop)
    assert 0 < well.sum() < (case >= 0.6).sum()
    for found, who in ((every, ~failed), (part, half & ~failed)):
        assert found.accuracy is not None and found.robust_accuracy is not None
        assert found.success is not None and found.dice is not None and found.median_l2 is not None
        assert found.accuracy.value == pytest.approx(well[who].mean())
        assert found.robust_accuracy.value == pytest.approx(well[who & attacked].mean())
        assert found.success.value == pytest.approx(success[who & attacked].mean())
        assert found.dice.value == pytest.approx(case[who].mean())
        assert (found.dice.cases, found.median_l2.value) == (who.sum(), 1)
        for place, name in enumerate(NAMES):
            check_structure(found.outlines[name], KeptScores(kept[who]), place)


def check_structure(one: OutlineScores, kept: KeptScores, place: int) -> None:
    dice, there = kept.dice[:, place], kept.true_volume[:, place] > 0
    predicted = kept.predicted_volume[:, place] > 0
    known = there | predicted
    assert known.sum() == (~np.isnan(dice)).sum()
    capped = np.minimum(kept.hd95[:, place], np.hypot(6 * SPACING[0], 5 * SPACING[1]))
    wanted = {
        "dice": dice[known].mean(),
        "iou": kept.iou[known, place].mean(),
        "surface_dice": kept.surface_dice[known, place].mean(),
        "hd95": capped[known].mean(),
        "volume_error": np.minimum(np.abs(kept.volume_error[there, place]), 1).mean(),
        "missed": (~predicted[there]).mean(),
    }
    for name, value in wanted.items():
        assert getattr(one, name).value == pytest.approx(value), name
    if there.all():
        assert one.invented is None
    else:
        assert one.invented is not None and one.invented.value == pytest.approx(
            predicted[~there].mean()
        )
    assert one.cases == there.sum()


@pytest.mark.parametrize("seed", range(12))
def test_a_missed_structure_makes_every_score_worse_or_leaves_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 24
    masks = random_masks(rng, n)
    clean = kept_of(masks, masks)
    groups = rng.integers(0, 9, n).tolist()
    predicted = disturbed(rng, masks, rng.uniform(0, 0.9))
    yes, no = np.ones(n, bool), np.zeros(n, bool)
    scorer = scorer_of(clean, groups, drop=rng.uniform(0.1, 0.6))
    conditions, structure = [], int(rng.integers(1, 4))
    for case in (None, int(rng.choice(np.flatnonzero((masks == structure).any((1, 2)))))):
        if case is not None:
            predicted[case][predicted[case] == structure] = 0
        kept = kept_of(predicted, masks)
        conditions.append(attacked_condition(kept, yes, no, no))
    before, after = (estimates(scorer.score(one, [yes])[0]) for one in conditions)
    worse = 0
    for name, (old, sign) in before.items():
        new = after[name][0]
        assert (old is None) == (new is None)
        if old is not None and new is not None:
            assert np.isfinite(new.value)
            assert sign * new.value <= sign * old.value + 1e-12, name
            worse += sign * new.value < sign * old.value - 1e-12
    assert worse >= 5


def test_all_missed_is_the_worst_of_all() -> None:
    rng = np.random.default_rng(5)
    n = 12
    masks = random_masks(rng, n)
    scorer = scorer_of(kept_of(masks, masks), list(range(n)))
    found = scorer.score(Condition.clean(kept_of(np.zeros_like(masks), masks)), [np.ones(n, bool)])[
        0
    ]
    assert found.accuracy is not None and found.dice is not None
    assert (found.accuracy.value, found.dice.value, found.dice.low) == (0, 0, 0)
    for one in found.outlines.values():
        shares = [one.dice, one.iou, one.surface_dice, one.volume_error, one.missed]
        assert [e.value if e else None for e in shares] == [0, 0, 0, 1, 1]
        assert one.hd95 is not None and one.hd95.value == pytest.approx(np.hypot(12, 7.5))
        assert one.hd95.high == one.hd95.value


def test_thirds_by_size() -> None:
    """The thirds are those of the truth, whatever has failed or is predicted."""
    n = 60
    masks = np.zeros((n, 8, 8), int)
    for case in range(n):
        masks[case].flat[: 1 + case] = 1
    predicted = masks.copy()
    predicted[:20] = 0
    failed = np.zeros(n, bool)
    failed[:2] = True
    kept = kept_of(predicted, masks)
    clean = kept_of(masks, masks)
    scorer = scorer_of(clean, list(range(n)))
    condition = attacked_condition(kept, np.ones(n, bool), failed, ~failed)
    found = scorer.score(condition, [np.ones(n, bool)])[0].outlines
    parts = found["left lung"].by_size
    assert [part.name for part in parts] == ["small", "medium", "large"]
    assert [part.cases for part in parts] == [18, 20, 20]
    assert [(part.smallest, part.largest) for part in parts] == [(3, 60), (63, 120), (123, 180)]
    assert [part.dice.value if part.dice else None for part in parts] == [0, 1, 1]
    assert found["lesion"].by_size == () and found["lesion"].dice is None
    few = scorer.score(Condition.clean(clean), [np.arange(n) < 12])[0]
    assert few.outlines["left lung"].by_size == ()


def test_too_many_failures_leave_no_score_over_all_cases() -> None:
    rng = np.random.default_rng(6)
    n = 20
    masks = random_masks(rng, n)
    clean = kept_of(masks, masks)
    failed = np.arange(n) < 3
    condition = attacked_condition(clean, np.ones(n, bool), failed, ~failed)
    found = scorer_of(clean, list(range(n))).score(condition, [np.ones(n, bool)])[0]
    assert found.accuracy is None and found.dice is None
    assert found.outlines["left lung"].dice is None
    assert found.robust_accuracy is not None and found.robust_accuracy.cases == n - 3


def test_three_children_get_no_interval() -> None:
    rng = np.random.default_rng(7)
    masks = random_masks(rng, 12)
    kept = kept_of(disturbed(rng, masks, 0.2), masks)
    scorer = scorer_of(kept, (np.arange(12) % 3).tolist())
    found = scorer.score(Condition.clean(kept), [np.ones(12, bool)])[0]
    for estimate, _ in estimates(found).values():
        assert estimate is None or (estimate.interval is None and estimate.groups_needed == 5)
    assert found.dice is not None and found.dice.groups == 3


def test_each_structure_takes_its_own_worst_image() -> None:
    rng = np.random.default_rng(8)
    n = 15
    masks = random_masks(rng, n)
    clean, *images = [kept_of(disturbed(rng, masks, share), masks) for share in (0.1, 0.5, 0.5)]
    yes, no = np.ones(n, bool), np.zeros(n, bool)
    images_found = [(images[0], yes), (images[1], rng.random(n) < 0.8)]
    scorer = scorer_of(clean, list(range(n)))
    worst = attacked_condition(images[0], yes, no, yes)
    found = scorer.by_part(worst, images_found)
    wanted = worst_by_structure(images[0], images_found)
    assert np.array_equal(found.kept, wanted, equal_nan=True)
    assert not np.array_equal(found.kept, images[0], equal_nan=True)
    one, other = (scorer.score(condition, [yes])[0] for condition in (worst, found))
    assert one.accuracy == other.accuracy and one.dice == other.dice
    for name in NAMES:
        a, b = one.outlines[name].dice, other.outlines[name].dice
        assert a is not None and b is not None and b.value <= a.value


def test_the_limits_of_the_standard_bear_rounding() -> None:
    standard = OutlineStandard(0.7, 0.3)
    assert standard.met(np.array([1 - 0.3]), np.array([1.0])).all()
    assert not standard.met(np.array([0.7 - 1e-6]), np.array([0.7])).any()
    assert not OutlineStandard(0.5, 0.3).met(np.array([0.6]), np.array([0.95])).any()
