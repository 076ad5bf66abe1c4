"""Universal perturbation: one change for every image, fitted on held-out patients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attacks import UniversalPerturbation
from attacks.image_agnostic.universal import spread_over
from robust.cases.case import spread
from robust.engine.batch import Batch
from robust.records import Scenario
from robust.scenarios.holdout import Holdout
from robust.scenarios.image_agnostic import _best, _none


def universal(ground: Holdout, images: int) -> Scenario | None:
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
        budget=images,
        size=threat.eps,
        norm=threat.norm,
        fooled=ground.fooled(hits),
        control=ground.fooled(control),
    )
