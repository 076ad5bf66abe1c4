"""Adversarial patch, with a patch of natural pixels as its control."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attacks import AdversarialPatch
from attacks.image_agnostic.patch import anywhere, cut_into, laid_on
from robust.engine.batch import Batch
from robust.metrics.groups import Places
from robust.records import Scenario
from robust.scenarios.holdout import Holdout
from robust.scenarios.image_agnostic import _best, _none


def patch(ground: Holdout, share: float) -> Scenario:
    """Fitted on one half, tried on the other, at a random place of each image.

    The control shows a square of a clean image of another label there: what a patch hides, and
    that it does not belong, is the same for both.
    """
    attack = AdversarialPatch(share)
    batch = ground.batch
    height, width = batch.x.shape[2:]
    side = attack.side(height, width)
    hits, control = _none(ground), _none(ground)
    for number, fitting, trying in ground.halves():
        own = batch.take(fitting.tolist())
        drawn = ground.generator("patch", share, number)

        def fit(part: Batch, target: Tensor | None, drawn: torch.Generator = drawn) -> Tensor:
            return attack.fit(ground.runner.logits, part.x, part.y, drawn, target)

        def lay(part: Batch, found: Tensor, drawn: torch.Generator = drawn) -> Tensor:
            corners = anywhere(len(part.rows), height, width, side, drawn)
            return laid_on(part.x, found, corners.to(part.x.device))

        found = _best(ground, own, fit, lay)
        places = anywhere(len(trying), height, width, side, drawn).to(batch.x.device)
        tried = batch.take(trying.tolist())
        hits[trying] = ground.reached(laid_on(tried.x, found, places), tried)
        natural = cut_into(tried.x, _of_others(ground, trying), side, places)
        control[trying] = ground.reached(natural, tried)
    return Scenario(
        name="patch",
        attack=repr(attack),
        budget=int(min(np.bincount(ground.half))),
        size=side**2 / (height * width),
        norm=None,
        fooled=ground.fooled(hits),
        control=ground.fooled(control),
    )


def _of_others(ground: Holdout, places: Places) -> Tensor:
    """For each case a clean image of the label that the attacker wants, or its own."""
    images = []
    for place in places.tolist():
        other = ground.another(place, place)
        images.append(ground.batch.x[place] if other is None else ground.others.x[other])
    return torch.stack(images)
