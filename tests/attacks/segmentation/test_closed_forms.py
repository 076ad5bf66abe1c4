"""The closed forms of linear segmenters against enumeration of all masks on toys of few pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize

from tests.attacks.segmentation import closed_forms as truth
from tests.attacks.segmentation.closed_forms import Array, Labels, Mask, Scores
from tests.attacks.segmentation.kernels import kernel_matrix, kernel_radii, lowest_scores

PIXELS = 5
TOYS = range(60)


def toy(
    seed: int, channels: int = 2, rows: int = 1
) -> tuple[np.random.Generator, Array, Array, Array]:
    """A generator, weights `(rows, c)`, biases `(rows,)` and an image with some black and white."""
    generator = np.random.default_rng(seed)
    weight = generator.normal(size=(rows, channels))
    x = (1.4 * generator.random((channels, PIXELS)) - 0.2).clip(0, 1)
    return generator, weight, 0.3 * generator.normal(size=rows) - weight.sum(1) / 2, x


def attainable(weight: Array, bias: Array, pixel: Array, eps: float, points: int) -> set[int]:
    """The classes that a pixel takes on a grid of its values within eps and the box."""
    axes = [np.linspace(max(v - eps, 0), min(v + eps, 1), points) for v in pixel]
    values = np.array(list(itertools.product(*axes))).T
    return set((weight @ values + bias[:, None]).argmax(0).tolist())


def lowest(masks: list[tuple[int, ...]], y: Labels, structure: int) -> Scores:
    scores = [Scores.of(np.array(mask) == structure, y == structure) for mask in masks]
    return Scores(
        min(s.accuracy for s in scores), min(s.dice for s in scores), min(s.iou for s in scores)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_worst_scores_of_one_structure(channels: int) -> None:
    """Every mask of the corners of the ball; the grid holds them, where a linear score is largest."""
    for seed in TOYS:
        generator, weight, bias, x = toy(seed, channels)
        true, eps = generator.random(PIXELS) < 0.5, float(generator.random() * 0.3)
        two = np.concatenate([np.zeros_like(weight), weight]), np.concatenate([[0.0], bias])
        sets = [attainable(*two, pixel, eps, 2) for pixel in x.T]
        expected = lowest(list(itertools.product(*sets)), true.astype(int), 1)
        found = truth.worst_scores(weight[0], float(bias[0]), x, true, eps)
        assert found == expected, seed


def test_radii_are_where_a_pixel_turns() -> None:
    never = 0
    for seed in TOYS:
        generator, weight, bias, x = toy(seed, 3)
        true = generator.random(PIXELS) < 0.5
        found = truth.radii(weight[0], float(bias[0]), x, true)
        for pixel, radius in enumerate(found):
            own = weight[0], float(bias[0]), x[:, [pixel]], true[[pixel]]
            if np.isinf(radius):
                never += 1
                assert not truth.wrong_at(*own, 1.0)[0]
            else:
                assert truth.wrong_at(*own, radius * (1 + 1e-9) + 1e-12)[0]
                assert radius == 0 or not truth.wrong_at(*own, radius * (1 - 1e-9))[0]
    assert never


def shortest(weight: Array, missing: float) -> float:
    """The squared length of the shortest step that gains so much, by least squares."""
    step = np.linalg.lstsq(weight[None], np.array([missing]), rcond=None)[0]
    return float(step @ step)


def test_minimum_in_l2() -> None:
    """Every set of wrong pixels that the budget pays for."""
    below_greedy = 0
    for seed in TOYS:
        generator, weight, bias, x = toy(seed)
        true, eps = generator.random(PIXELS) < 0.6, float(generator.random() * 0.6)
        own = weight[0], float(bias[0]), x, true
        ahead = truth.advantage(*own)
        price = np.array([shortest(weight[0], max(m, 0.0)) for m in ahead])
        assert np.allclose(truth.costs(*own), price, rtol=1e-12, atol=0)
        masks = []
        for chosen in itertools.product([False, True], repeat=PIXELS):
            wrong = np.array(chosen) | (ahead < 0)
            if price[wrong].sum() <= eps**2:
                masks.append(tuple((true ^ wrong).astype(int)))
        expected = lowest(masks, true.astype(int), 1)
        assert truth.minimum_dice_l2(*own, eps) == pytest.approx(expected.dice, abs=1e-12)
        assert truth.lowest_accuracy_l2(*own, eps) == pytest.approx(expected.accuracy, abs=1e-12)
        cheapest = true ^ ((np.cumsum(np.sort(price)) <= eps**2)[np.argsort(np.argsort(price))])
        below_greedy += expected.dice < Scores.of(cheapest, true).dice - 1e-9
    assert below_greedy, "the cheapest pixels are not always those that lower Dice most"


def test_no_image_in_the_ball_is_below_the_minimum_in_l2() -> None:
    for seed in range(20):
        generator, weight, bias, x = toy(seed)
        true, eps = generator.random(PIXELS) < 0.6, 0.3
        lowest_dice = truth.minimum_dice_l2(weight[0], float(bias[0]), x, true, eps)
        steps = generator.normal(size=(500, *x.shape))
        steps *= eps / np.linalg.norm(steps.reshape(500, -1), axis=1)[:, None, None]
        for step in steps:
            predicted = weight[0] @ (x + step) + bias[0] > 0
            assert Scores.of(predicted, true).dice >= lowest_dice


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99, 1.0])
def test_smallest_budget(share: float) -> None:
    """By bisection on the budget with the lowest accuracy, which the tests above have checked."""
    for seed in range(30):
        generator, weight, bias, x = toy(seed)
        true = generator.random(PIXELS) < 0.5
        own = weight[0], float(bias[0]), x, true

        def enough(accuracy: float) -> bool:
            return 1 - accuracy >= share - 1e-9

        linf = truth.smallest_linf(truth.radii(*own), share)
        if np.isinf(linf):
            assert not enough(truth.worst_scores(*own, 1.0).accuracy)
        else:
            assert enough(truth.worst_scores(*own, linf * (1 + 1e-9) + 1e-12).accuracy)
            assert linf == 0 or not enough(truth.worst_scores(*own, linf * (1 - 1e-9)).accuracy)
        l2 = truth.smallest_l2(truth.costs(*own), share)
        assert enough(truth.lowest_accuracy_l2(*own, l2 * (1 + 1e-9)))
        assert l2 == 0 or not enough(truth.lowest_accuracy_l2(*own, l2 * (1 - 1e-9)))


def test_a_structure_vanishes() -> None:
    """At the smallest eps nothing of what was predicted is left, just below something is."""
    for seed in range(30):
        _, weight, bias, x = toy(seed)
        predicted = weight[0] @ x + bias[0] > 0
        if not predicted.any():
            continue
        own = weight[0], float(bias[0]), x[:, predicted], predicted[predicted]
        eps = truth.smallest_linf(truth.radii(*own))
        if np.isfinite(eps):
            assert truth.wrong_at(*own, eps * (1 + 1e-9)).all()
            assert not truth.wrong_at(*own, eps * (1 - 1e-9)).all()
        price = [shortest(weight[0], m) for m in truth.advantage(*own)]
        assert truth.smallest_l2(truth.costs(*own)) ** 2 == pytest.approx(sum(price))


def test_several_classes() -> None:
    """Grey images, every mask of 4,001 grey values a pixel; with colours, of the corners."""
    for seed in range(30):
        generator, weight, bias, x = toy(seed, 1, rows=3)
        y, eps = generator.integers(0, 3, PIXELS), float(generator.random() * 0.3)
        sets = [attainable(weight, bias, pixel, eps, 4001) for pixel in x.T]
        masks = list(itertools.product(*sets))
        accuracy = min(float((np.array(mask) == y).mean()) for mask in masks)
        assert truth.lowest_accuracy(weight, bias, x, y, eps) == pytest.approx(accuracy)
        for structure in range(3):
            found = truth.worst_of_class(weight, bias, x, y, eps, structure)
            assert found == lowest(masks, y, structure), (seed, structure)
        generator, weight, bias, x = toy(seed, 3, rows=4)
        sets = [attainable(weight, bias, pixel, eps, 2) for pixel in x.T]
        right = [reached == {label} for reached, label in zip(sets, y.tolist(), strict=True)]
        found_accuracy = truth.lowest_accuracy(weight, bias, x, y, eps)
        assert found_accuracy == pytest.approx(np.mean(right))


def lowest_by_subsets(matrix: Array, bias: float, x: Array, true: Mask, eps: float) -> Scores:
    """Every set of wrong pixels, each a linear program."""
    signed = np.where(true, 1.0, -1.0)[:, None] * matrix
    offset = np.where(true, bias, -bias)
    bounds = list(zip(np.maximum(x - eps, 0), np.minimum(x + eps, 1), strict=True))
    masks = []
    for chosen in itertools.product([False, True], repeat=len(x)):
        wrong = np.array(chosen)
        rows = np.where(wrong[:, None], signed, -signed)
        limits = np.where(wrong, -offset - 1e-9, offset)
        if optimize.linprog(0 * x, rows, limits, bounds=bounds).status == 0:
            masks.append(tuple((true ^ wrong).astype(int)))
    return lowest(masks, true.astype(int), 1)


def test_kernels() -> None:
    """The integer program against all sets; no pixel turns below its own radius."""
    coupled = 0
    for seed in range(5):
        generator = np.random.default_rng(seed)
        kernel = generator.normal(size=(3, 3))
        matrix, x = kernel_matrix(kernel, (2, 3)), generator.random(6)
        bias = float(-matrix.sum(1).mean() / 2)
        true = (matrix @ x + bias > 0) ^ (generator.random(6) < 0.2)
        found = lowest_scores(matrix, bias, x, true, 0.2)
        expected = lowest_by_subsets(matrix, bias, x, true, 0.2)
        assert found.accuracy == pytest.approx(expected.accuracy)
        assert found.dice == pytest.approx(expected.dice)
        assert found.iou == pytest.approx(expected.iou)
        radius = kernel_radii(matrix, bias, x, true)
        assert found.accuracy >= (radius > 0.2).mean() - 1e-12
        coupled += found.accuracy > (radius > 0.2).mean() + 1e-12
    assert coupled, "the bound by pixels is not reached jointly"


def test_the_matrix_of_a_kernel() -> None:
    """The convolution of torch."""
    import torch

    kernel, x = np.random.default_rng(0).normal(size=(3, 3)), np.random.default_rng(1).random(12)
    direct = torch.nn.functional.conv2d(
        torch.from_numpy(x).view(1, 1, 3, 4), torch.from_numpy(kernel)[None, None], padding=1
    )
    assert np.allclose(kernel_matrix(kernel, (3, 4)) @ x, direct.flatten().numpy())
