"""What is made once and fits every image: a universal perturbation, a patch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from attacks import AdversarialPatch, UniversalPerturbation
from attacks.patch import anywhere, cut_into, laid_on
from attacks.universal import spread_over
from robust.engine.ground import Ground, Mask
from robust.engine.looking import spread
from robust.engine.protocol import Places
from robust.engine.verify import Batch
from robust.scenarios import Scenario

MOST_LABELS = 10
"""Aimed at one by one, the first ones of the classes."""


def universal(ground: Ground, images: int) -> Scenario | None:
    """Fitted on so many images of one half, tried on the other; None where a half has fewer.

    The control is a random perturbation of the same size, one for all images as well.
    """
    attack = UniversalPerturbation()
    threat, batch = ground.threat, ground.batch
    if min(np.bincount(ground.half, minlength=2)) < images:
        return None
    hits, control = _none(ground), _none(ground)
    for number, fitting, trying in ground.halves():
        own = batch.take(spread(fitting.tolist(), images))
        drawn = ground.generator("universal", images, number)

        def fit(part: Batch, target: Tensor | None, drawn: torch.Generator = drawn) -> Tensor:
            return attack.fit(ground.runner.logits, part.x, part.y, threat, drawn, target)

        delta = _best(ground, own, fit, lambda part, delta: spread_over(part.x, delta, threat))
        noise = torch.randn(delta.shape, generator=drawn).to(delta)
        tried = batch.take(trying.tolist())
        hits[trying] = ground.reached(spread_over(tried.x, delta, threat), tried)
        noise = threat.eps * threat.steepest(noise)
        control[trying] = ground.reached(spread_over(tried.x, noise, threat), tried)
    return Scenario(
        name="universal",
        attack=repr(attack),
        effort=images,
        size=threat.eps,
        norm=threat.norm,
        fooled=ground.fooled(hits),
        control=ground.fooled(control),
    )


def patch(ground: Ground, share: float) -> Scenario:
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
        effort=int(min(np.bincount(ground.half))),
        size=side**2 / (height * width),
        norm=None,
        fooled=ground.fooled(hits),
        control=ground.fooled(control),
    )


def _best(
    ground: Ground,
    own: Batch,
    fit: Callable[[Batch, Tensor | None], Tensor],
    shown: Callable[[Batch, Tensor], Tensor],
) -> Tensor:
    """Fitted away from every label and towards each: what fools most of the images fitted on.

    Between two labels the ways there and back cancel out, and what fools a few images both ways
    was learned by heart: then each label is aimed at alone. A goal that names it leaves no choice.
    """
    target = ground.targets(own)
    if target is not None:
        return fit(own, target)
    labels = own.logits.shape[1]
    made = [fit(own, None)] if labels > 2 else []
    for label in range(min(labels, MOST_LABELS)):
        if places := (own.y != label).nonzero().flatten().tolist():
            part = own.take(places)
            made.append(fit(part, torch.full_like(part.y, label)))
    return max(made, key=lambda one: int(ground.reached(shown(own, one), own).sum()))


def _of_others(ground: Ground, places: Places) -> Tensor:
    """For each case a clean image of the label that the attacker wants, or its own."""
    images = []
    for place in places.tolist():
        other = ground.another(place, place)
        images.append(ground.batch.x[place] if other is None else ground.others.x[other])
    return torch.stack(images)


def _none(ground: Ground) -> Mask:
    return np.zeros(len(ground.batch.rows), bool)
