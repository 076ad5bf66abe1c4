"""Criteria against closed forms, hand-computed cases and brute force; ties, order of the rows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from robust.metrics.arrays import Array
from robust.ranking.combine import RankSum, TwoStages, rows_to_search
from robust.ranking.contract import Criterion, Pool
from robust.ranking.criteria.adversarial_distance import AdversarialDistance
from robust.ranking.criteria.entropy import PredictiveEntropy
from robust.ranking.criteria.feature_distance import FeatureDistance
from robust.ranking.criteria.margin import ProbabilityMargin
from robust.ranking.criteria.mean_distance import MeanDistance
from robust.ranking.criteria.random_order import RandomOrder

EVERY: tuple[Criterion, ...] = (
    AdversarialDistance(),
    ProbabilityMargin(),
    PredictiveEntropy(),
    FeatureDistance(),
    MeanDistance(),
    RandomOrder(),
    RankSum((AdversarialDistance(), PredictiveEntropy(), FeatureDistance())),
    TwoStages(PredictiveEntropy(), MeanDistance(), 0.3),
)


def drawn(n: int = 40, classes: int = 3, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    distances = rng.random(n)
    distances[::7] = np.nan
    return Pool(
        tuple(f"image {row}" for row in range(n)),
        rng.dirichlet(np.ones(classes), n),
        rng.normal(size=(n, 4)),
        rng.normal(size=(5, 4)),
        distances,
    )


def of_features(features: list[float], labelled: list[float] | None) -> Pool:
    known = None if labelled is None else np.array(labelled, float)[:, None]
    n = len(features)
    names = tuple("abcdefghij"[:n])
    return Pool(names, np.full((n, 2), 0.5), np.array(features, float)[:, None], known)


def ids(pool: Pool, criterion: Criterion, count: int) -> str:
    return "".join(pool.ids[row] for row in criterion(pool, count).order)


# --- values ---


@pytest.mark.parametrize("classes", [2, 5])
def test_entropy_and_margin_are_their_closed_forms(classes: int) -> None:
    pool = drawn(classes=classes)
    entropy, margin = PredictiveEntropy()(pool, 5), ProbabilityMargin()(pool, 5)
    np.testing.assert_allclose(entropy.values, stats.entropy(pool.probabilities, axis=1))
    largest = np.partition(pool.probabilities, -2, axis=1)
    np.testing.assert_allclose(margin.values, largest[:, -1] - largest[:, -2])
    assert list(entropy.order) == list(np.argsort(-entropy.values))
    assert list(margin.order) == list(np.argsort(margin.values))
    if classes == 2:
        assert list(entropy.order) == list(margin.order)


def test_a_sure_model_has_no_entropy_and_an_unsure_one_all_of_it() -> None:
    pool = Pool(("a", "b"), np.array([[1.0, 0.0, 0.0], [1 / 3] * 3]))
    found = PredictiveEntropy()(pool, 2)
    assert found.values == pytest.approx([0, math.log(3)]) and list(found.order) == [1, 0]


def test_an_image_that_no_attack_turns_comes_last_and_has_no_value() -> None:
    pool = Pool(("a", "b", "c"), np.full((3, 2), 0.5), distances=np.array([np.nan, 0.4, 0.1]))
    found = AdversarialDistance()(pool, 3)
    assert list(found.order) == [2, 1, 0] and np.isnan(found.values[0])


# --- k-centre greedy and the average distance ---


def test_k_centre_by_hand() -> None:
    # Labelled at 0: 10 is furthest; then 4 and 5 lie 4 and 5 from their nearest; then 1 (1), 9 (1).
    pool = of_features([1, 4, 5, 9, 10], [0])
    found = FeatureDistance()(pool, 5)
    assert [pool.ids[row] for row in found.order] == ["e", "c", "a", "b", "d"]
    assert [found.values[row] for row in found.order] == [10, 5, 1, 1, 1]


def test_k_centre_without_labels_begins_nearest_to_the_mean() -> None:
    pool = of_features([0, 4, 10], None)  # mean 14/3
    found = FeatureDistance()(pool, 3)
    assert [pool.ids[row] for row in found.order] == ["b", "c", "a"]
    assert [found.values[row] for row in found.order] == pytest.approx([2 / 3, 6, 4])


def test_places_beyond_the_count_follow_by_what_the_chosen_ones_left() -> None:
    pool = of_features([1, 4, 5, 9, 10], [0])
    assert ids(pool, FeatureDistance(), 2) == "ec" + "abd"
    assert ids(pool, FeatureDistance(), 0) == "edcba"


def radius(features: Array, centres: list[int]) -> float:
    far = np.linalg.norm(features[:, None] - features[centres], axis=2).min(1)
    return float(far.max())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_k_centre_reaches_twice_the_best_radius(seed: int, count: int) -> None:
    features = np.random.default_rng(seed).normal(size=(11, 2))
    pool = Pool(tuple("abcdefghijk"), np.full((11, 2), 0.5), features)
    chosen = FeatureDistance()(pool, count).order[:count].tolist()
    best = min(radius(features, list(c)) for c in itertools.combinations(range(11), count))
    assert best <= radius(features, chosen) <= 2 * best + 1e-12


def test_average_distance_by_hand() -> None:
    # Labelled at 0 and 2. Averages of 3, 6, -3: 2, 5, 4. Then also of 6: (4+3)/3, (8+9)/3.
    pool = of_features([3, 6, -3], [0, 2])
    found = MeanDistance()(pool, 3)
    assert list(found.order) == [1, 2, 0]
    assert found.values[[1, 2]] == pytest.approx([5, 17 / 3])
    assert found.values[0] == pytest.approx((4 + 3 + 6) / 4)


def test_average_distance_of_many_labelled_images_is_that_of_all_blocks() -> None:
    rng = np.random.default_rng(0)
    features, labelled = rng.normal(size=(3, 2)), rng.normal(size=(600, 2))
    pool = Pool(("a", "b", "c"), np.full((3, 2), 0.5), features, labelled)
    far = np.linalg.norm(features[:, None] - labelled, axis=2)
    np.testing.assert_allclose(MeanDistance()(pool, 0).values, far.mean(1))
    np.testing.assert_allclose(FeatureDistance()(pool, 0).values, far.min(1))


def test_without_labelled_images_there_is_no_average() -> None:
    with pytest.raises(ValueError, match="at least one labelled image"):
        MeanDistance()(of_features([1, 2], []), 1)


# --- combinations ---


def test_rank_sum_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.6, 0.4], [0.9, 0.1]])
    pool = Pool(("a", "b", "c"), probabilities, distances=np.array([0.3, 0.1, 0.2]))
    found = RankSum((ProbabilityMargin(), AdversarialDistance()))(pool, 3)
    assert found.values.tolist() == [1 + 3, 2 + 1, 3 + 2]
    assert list(found.order) == [1, 0, 2]


def test_o_medal_orders_the_uncertain_by_average_distance_and_leaves_the_others() -> None:
    p = np.array([0.5, 0.45, 0.4, 0.3, 0.2])
    features = np.array([[1.0], [3.0], [2.0], [90.0], [99.0]])
    pool = Pool(tuple("abcde"), np.stack([p, 1 - p], 1), features, np.zeros((1, 1)))
    found = TwoStages(PredictiveEntropy(), MeanDistance(), 0.6)(pool, 1)
    assert found.order[0] == 1 and sorted(found.order[:3]) == [0, 1, 2]
    assert found.order[3:].tolist() == [3, 4] and np.isnan(found.values[3:]).all()
    everyone = TwoStages(PredictiveEntropy(), MeanDistance(), 0.2, least=5)(pool, 1)
    assert everyone.order[0] == 4  # five are wanted, so five are on the shortlist
    assert (
        found.order.tolist()
        == TwoStages(PredictiveEntropy(), MeanDistance(), 0.6)(pool, 5).order.tolist()
    )


def test_a_shortlist_within_a_sum_of_ranks_stays_a_shortlist() -> None:
    pool = drawn()
    stages = TwoStages(PredictiveEntropy(), MeanDistance(), 0.3)
    alone = stages(pool, 1)
    ranks = np.empty(len(pool))
    ranks[stages(pool, len(pool)).order] = np.arange(len(pool))
    assert set(np.argsort(ranks)[:12]) == set(PredictiveEntropy()(pool, 12).order[:12])
    assert np.isnan(alone.values).sum() == len(pool) - 12
    assert RankSum((stages,))(pool, 1).order[0] == alone.order[0]


def test_distances_are_searched_where_a_criterion_reads_them() -> None:
    pool, distance, entropy = drawn(), AdversarialDistance(), PredictiveEntropy()
    stages = TwoStages(entropy, distance, 0.25)
    some = sorted(entropy(pool, 10).order[:10])
    assert sorted(rows_to_search(stages, pool)) == some
    assert sorted(rows_to_search(RankSum((stages, entropy)), pool)) == some
    for every in (distance, TwoStages(distance, entropy), RankSum((stages, distance))):
        assert rows_to_search(every, pool).tolist() == list(range(len(pool)))
    assert not rows_to_search(entropy, pool).size


# --- what all criteria keep ---


@pytest.mark.parametrize("criterion", EVERY, ids=lambda criterion: criterion.name)
def test_an_order_is_a_permutation_and_that_of_the_rows_does_not_matter(
    criterion: Criterion,
) -> None:
    pool = drawn()
    shuffled = np.random.default_rng(1).permutation(len(pool))
    first, second = criterion(pool, 10), criterion(pool.take(shuffled), 10)
    assert sorted(first.order) == list(range(len(pool)))
    assert [pool.ids[row] for row in first.order] == [
        pool.ids[shuffled[row]] for row in second.order
    ]
    np.testing.assert_allclose(second.values, first.values[shuffled])


@pytest.mark.parametrize("criterion", EVERY[:5], ids=lambda criterion: criterion.name)
def test_equal_images_are_ordered_by_id(criterion: Criterion) -> None:
    names = ("c", "a", "d", "b")
    pool = Pool(names, np.full((4, 2), 0.5), np.ones((4, 3)), np.zeros((1, 3)), np.full(4, 0.2))
    assert ids(pool, criterion, 2) == "abcd"


def test_another_seed_gives_another_random_order() -> None:
    pool = drawn(200)
    first, second = RandomOrder(0)(pool, 5), RandomOrder(1)(pool, 5)
    assert list(first.order) != list(second.order)
    assert stats.kstest(first.values, "uniform").pvalue > 0.01


def test_ids_are_unique() -> None:
    with pytest.raises(ValueError, match="same id"):
        Pool(("a", "a"), np.full((2, 2), 0.5))


@pytest.mark.parametrize("n", [1, 2, 3, 7, 100, 1000])
def test_a_threshold_is_found_with_the_logarithm_of_labels(n: int) -> None:
    """The learner puts its threshold halfway between the labels known; the margin asks there."""
    points = np.arange(1, n + 1) / (n + 1)
    for threshold in np.unique(np.linspace(0, n, 7).astype(int)):  # so many points are below it
        low, high, asked = -1, n, 0  # the last point known to be below, the first above
        while high - low > 1:
            ends = [points[low] if low >= 0 else 0.0, points[high] if high < n else 1.0]
            p = 1 / (1 + np.exp(-(points - np.mean(ends)) * 10))
            left = np.arange(low + 1, high)
            pool = Pool(tuple(f"{row:04d}" for row in left), np.stack([1 - p, p], 1)[left])
            row = int(left[ProbabilityMargin()(pool, 1).order[0]])
            asked += 1
            low, high = (row, high) if row < threshold else (low, row)
        assert high == threshold
        assert asked <= math.ceil(math.log2(n + 1))
