"""Adversarial patches against the truth, on a model of brightness."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks import AdversarialPatch
from attacks.image_agnostic.patch import apply_patch, paste_square, random_corners


def test_the_best_patch_on_a_model_of_brightness_is_white() -> None:
    """The model asks for the mean: what raises it most is white, wherever it lies."""
    drawn = torch.Generator().manual_seed(0)
    x = 0.2 + 0.2 * torch.rand(20, 1, 8, 8, generator=drawn)

    def model(z: Tensor) -> Tensor:
        bright = z.mean((1, 2, 3)) - 0.42
        return torch.stack([-bright, bright], 1)

    y = torch.zeros(20, dtype=torch.long)
    attack = AdversarialPatch(0.25)
    assert attack.side(8, 8) == 4
    patch = attack.fit(model, x, y, drawn, torch.ones_like(y))
    assert patch.shape == (1, 4, 4)
    assert bool((patch == 1).all())
    places = random_corners(20, 8, 8, 4, drawn)
    assert bool((model(apply_patch(x, patch, places)).argmax(1) == 1).all())


def test_a_patch_covers_its_square_and_nothing_else() -> None:
    drawn = torch.Generator().manual_seed(3)
    x, other = torch.rand(9, 3, 7, 10, generator=drawn), torch.rand(9, 3, 7, 10, generator=drawn)
    patch = torch.rand(3, 4, 4, generator=drawn)
    places = random_corners(9, 7, 10, 4, drawn)
    shown, cut = apply_patch(x, patch, places), paste_square(x, other, 4, places)
    for i, (top, left) in enumerate(places.tolist()):
        square = (slice(None), slice(top, top + 4), slice(left, left + 4))
        assert torch.equal(shown[i][square], patch)
        assert torch.equal(cut[i][square], other[i][square])
        for image in (shown[i].clone(), cut[i].clone()):
            image[square] = x[i][square]
            assert torch.equal(image, x[i])


def test_corners_reach_every_place_and_no_further() -> None:
    places = random_corners(4000, 7, 10, 4, torch.Generator().manual_seed(0))
    assert set(places[:, 0].tolist()) == set(range(4))
    assert set(places[:, 1].tolist()) == set(range(7))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_patch_has_an_area(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        AdversarialPatch(share)
