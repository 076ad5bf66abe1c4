"""Adversarial patch, tested on held-out patients, with a patch of natural pixels as control."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attacks import AdversarialPatch
from attacks.image_agnostic.patch import apply_patch, paste_square, random_corners
from robust.metrics.arrays import Places
from robust.records import Scenario
from robust.scenarios.fitting import fit_best_target
from robust.scenarios.holdout import Holdout
from robust.tasks.contract import Batch


def patch(holdout: Holdout, share: float) -> Scenario:
    """Fit a patch on one half, test it on the other at a random place of each image.

    The control pastes a square of a clean image of another label at the same place: it hides as
    much of the image.
    """
    attack = AdversarialPatch(share)
    batch = holdout.batch
    height, width = batch.x.shape[2:]
    side = attack.side(height, width)
    hits, control = holdout.no_cases(), holdout.no_cases()
    for number, fitting, testing in holdout.halves():
        generator = holdout.generator("patch", share, number)

        def fit(
            batch: Batch, target: Tensor | None, generator: torch.Generator = generator
        ) -> Tensor:
            return attack.fit(holdout.logits, batch.x, batch.y, generator, target)

        def apply(batch: Batch, square: Tensor, generator: torch.Generator = generator) -> Tensor:
            corners = random_corners(len(batch.rows), height, width, side, generator)
            return apply_patch(batch.x, square, corners.to(batch.x.device))

        square = fit_best_target(holdout, batch.take(fitting.tolist()), fit, apply)
        corners = random_corners(len(testing), height, width, side, generator).to(batch.x.device)
        tested = batch.take(testing.tolist())
        hits[testing] = holdout.reached(apply_patch(tested.x, square, corners), tested)
        natural = paste_square(tested.x, _donor_images(holdout, testing), side, corners)
        control[testing] = holdout.reached(natural, tested)
    return Scenario(
        name="patch",
        attack=repr(attack),
        budget=int(min(np.bincount(holdout.half))),
        size=side**2 / (height * width),
        norm=None,
        fooled=holdout.rate(hits),
        control=holdout.rate(control),
    )


def _donor_images(holdout: Holdout, places: Places) -> Tensor:
    """For each case a clean image whose label reaches its goal, or its own where there is none."""
    images = []
    for place in places.tolist():
        other = holdout.target_image(place, place)
        images.append(holdout.batch.x[place] if other is None else holdout.others.x[other])
    return torch.stack(images)
