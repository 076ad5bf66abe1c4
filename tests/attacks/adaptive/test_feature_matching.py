"""FeatureMatching reaches the features of the guide that it should take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks import DetectorAccess, FeatureMatching, Guides, ThreatModel
from attacks.losses import margin
from tests.attacks.cases import streams


def first_two(x: Tensor) -> Tensor:
    """The features: the first two pixels."""
    return x.flatten(1)[:, :2]


def model(x: Tensor) -> Tensor:
    """Three classes: logits are minus the distances to three points in the plane of features."""
    return -torch.cdist(first_two(x), CENTRES)


CENTRES = torch.tensor([[0.2, 0.2], [0.6, 0.2], [0.2, 0.7]], dtype=torch.float64)
GUIDES = torch.cat([CENTRES, CENTRES + 0.02])
X = torch.full((2, 1, 2, 2), 0.2, dtype=torch.float64)
Y = torch.zeros(2, dtype=torch.int64)
ACCESS = DetectorAccess(guides=Guides(first_two, GUIDES, torch.tensor([0, 1, 2, 0, 1, 2])))
THREAT = ThreatModel("Linf", 0.6)


@pytest.mark.parametrize(("target", "guide"), [(None, 1), (1, 1), (2, 2)])
def test_the_nearest_guide_of_another_label_or_of_the_target(
    target: int | None, guide: int
) -> None:
    labels = None if target is None else torch.full((2,), target)
    attack = FeatureMatching(steps=200, step_size=0.02)
    x_adv = attack(model, X, Y, THREAT, streams(2), labels, access=ACCESS)
    assert bool((margin(model(x_adv), Y, labels) > 0).all())
    # The iterate of the largest margin is kept: one near the guide.
    assert float((first_two(x_adv) - CENTRES[guide]).abs().max()) < 0.05
    # Pixels that the features do not hold stay as they were.
    assert torch.equal(x_adv.flatten(1)[:, 2:], X.flatten(1)[:, 2:])


def test_no_guide_of_another_label_is_an_error() -> None:
    access = DetectorAccess(guides=Guides(first_two, CENTRES[:1], torch.zeros(1, dtype=torch.long)))
    with pytest.raises(ValueError, match="no guide of another label"):
        FeatureMatching(steps=2)(model, X, Y, THREAT, streams(2), access=access)
