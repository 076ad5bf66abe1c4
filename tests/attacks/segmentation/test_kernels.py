"""Attacks on 3 x 3 kernels against integer programming: never below the lowest accuracy or Dice.

There pixels share what changes them, so no attack need find the joint optimum; how often each does
stands in the test.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, SEA, Attack, CosPGD, SegPGD, ThreatModel
from tests.attacks.cases import streams
from tests.attacks.segmentation.closed_forms import Array, Scores
from tests.attacks.segmentation.kernels import kernel_matrix, kernel_radii, lowest_scores
from tests.attacks.segmentation.toys import labels_of, scores_of

SHAPE = 3, 4
KERNELS, CASES = 4, 5
TOLERANCE = 1e-9


class Kernel(nn.Module):
    """A score of each pixel from its neighbours, zero outside the image; logits (0, z)."""

    def __init__(self, kernel: Array, bias: float) -> None:
        super().__init__()
        self.kernel, self.bias = torch.from_numpy(kernel)[None, None], bias

    def forward(self, x: Tensor) -> Tensor:
        z = nn.functional.conv2d(x, self.kernel, padding=1) + self.bias
        return torch.cat([torch.zeros_like(z), z], 1)


@cache
def kernel_cases(seed: int) -> tuple[Kernel, Tensor, Tensor, float, list[Scores]]:
    """A model, images of 12 pixels, masks, eps, and the lowest scores of each."""
    generator = np.random.default_rng(seed)
    kernel = generator.normal(size=(3, 3))
    matrix, x = kernel_matrix(kernel, SHAPE), generator.random((CASES, 12))
    bias = float(-matrix.sum(1).mean() / 2)
    true = (x @ matrix.T + bias > 0) ^ (generator.random(x.shape) < 0.1)
    eps = 0.05 + 0.05 * seed
    lowest = [lowest_scores(matrix, bias, *case, eps) for case in zip(x, true, strict=True)]
    images = torch.from_numpy(x).view(CASES, 1, *SHAPE)
    return Kernel(kernel, bias), images, torch.from_numpy(true).long().view(-1, *SHAPE), eps, lowest


@pytest.mark.parametrize(
    ("attack", "often"),
    [
        (PGD(restarts=3), 0.25),
        (PGD(loss="dice", restarts=3), 0.2),
        (SegPGD(restarts=3), 0.3),
        (CosPGD(restarts=3), 0.2),
        (SEA(steps=30), 0.3),
    ],
    ids=["PGD", "Dice", "SegPGD", "CosPGD", "SEA"],
)
def test_kernels(attack: Attack, often: float) -> None:
    """Never below the optimum; in so large a share of the cases Dice is the lowest."""
    equal = []
    for seed in range(KERNELS):
        model, x, y, eps, lowest = kernel_cases(seed)
        found = model(attack(model, x, y, ThreatModel("Linf", eps), streams(CASES))).argmax(1)
        for mask, true, best in zip(found, y, lowest, strict=True):
            reached = scores_of(mask, true)
            assert reached.accuracy >= best.accuracy - TOLERANCE
            assert reached.dice >= best.dice - TOLERANCE
            equal.append(reached.dice <= best.dice + TOLERANCE)
    assert np.mean(equal) >= often


def test_no_pixel_turns_below_its_own_radius() -> None:
    """Also at the border, where the weights on the padding do not count."""
    for seed in range(KERNELS):
        model, x, y, _, _ = kernel_cases(seed)
        matrix = kernel_matrix(model.kernel[0, 0].numpy(), SHAPE)
        for case in range(3):
            true = labels_of(y[case]) == 1
            radius = kernel_radii(matrix, model.bias, x[case].flatten().numpy(), true)
            for eps in np.sort(radius[radius > 0])[:2] * (1 - 1e-6):
                threat = ThreatModel("Linf", float(eps))
                own = x[[case]], y[[case]], threat, streams(1)
                wrong = labels_of(model(SegPGD()(model, *own)).argmax(1)[0] == 1) != true
                assert not wrong[radius > eps].any()
