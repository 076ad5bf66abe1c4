"""The experiment on phantoms: its curves, and the labels needed on curves that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from experiments.labels.measure import Images, Setting, criteria, curve, with_all
from experiments.labels.tables import Curves
from robust.cases import open_cases


def test_curves_on_phantoms_begin_alike_and_label_no_image_twice() -> None:
    cases = open_cases("phantom:chest_xray", count=80, pixels=28)
    x = torch.stack([case.image for case in cases])
    y = torch.tensor([case.label for case in cases])
    images = Images(x, y, ((x[:20], y[:20]), (x, y)))
    setting = Setting(start=8, step=6, rounds=2, looked_at=30, epochs=2, epochs_all=2)
    found = {name: list(curve(images, setting, one, 0)) for name, one in criteria(0).items()}
    for rounds in found.values():
        assert [labels for labels, _ in rounds] == [8, 14, 20]
        assert rounds[0] == found["random"][0]
    again = list(curve(images, setting, criteria(0)["distance"], 0))
    assert again == found["distance"]
    assert len(with_all(images, setting, 0)) == len(images.judged) == 2


def known() -> Curves:
    labels = np.array([10.0, 20, 30, 40, 50])
    return Curves(
        labels,
        {
            "random": np.array([[0.5, 0.6, 0.7, 0.8, 0.9], [0.5, 0.5, 0.5, 0.5, 0.5]]),
            "better": np.array([[0.6, 0.8, 0.8, 0.9, 0.9], [0.6, 0.6, 0.7, 0.7, 0.7]]),
        },
        np.array([0.8, 0.82]),
    )


def test_labels_needed_are_those_of_the_first_three_rounds_that_reach_it() -> None:
    found = known()
    assert found.wanted == pytest.approx(0.80)
    assert found.needed("random").tolist() == [50, math.inf]
    assert found.needed("better").tolist() == [40, math.inf]  # (0.8 + 0.8 + 0.9) / 3


def test_the_difference_to_random_is_paired_by_seed() -> None:
    mean, low, high = known().minus_random("better")
    by_seed = np.array([0.1, 0.16])
    assert mean == pytest.approx(by_seed.mean())
    reach = 12.706 * by_seed.std(ddof=1) / math.sqrt(2)
    assert (low, high) == pytest.approx((mean - reach, mean + reach), rel=1e-3)
    assert known().minus_random("random") == (0, 0, 0)
