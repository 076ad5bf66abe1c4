"""Universal perturbation: one perturbation for every image, tested on held-out patients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attacks import UniversalPerturbation
from attacks.image_agnostic.universal import apply_perturbation
from robust.cases.case import sample_rows
from robust.records import Scenario
from robust.scenarios.fitting import fit_best_target
from robust.scenarios.holdout import Holdout
from robust.tasks.contract import Batch


def universal(holdout: Holdout, images: int) -> Scenario | None:
    """Fit a perturbation on so many images of one half, test it on the other.

    The control is one random perturbation of the same size for all images. None where a half has
    fewer images.
    """
    attack = UniversalPerturbation()
    threat, batch = holdout.threat, holdout.batch
    if min(np.bincount(holdout.half, minlength=2)) < images:
        return None
    hits, control = holdout.no_cases(), holdout.no_cases()
    for number, fitting, testing in holdout.halves():
        generator = holdout.generator("universal", images, number)

        def fit(
            batch: Batch, target: Tensor | None, generator: torch.Generator = generator
        ) -> Tensor:
            return attack.fit(holdout.logits, batch.x, batch.y, threat, generator, target)

        delta = fit_best_target(
            holdout,
            batch.take(sample_rows(batch.cases, fitting.tolist(), images, holdout.seed)),
            fit,
            lambda batch, delta: apply_perturbation(batch.x, delta, threat),
        )
        noise = torch.randn(delta.shape, generator=generator).to(delta)
        noise = threat.eps * threat.steepest(noise)
        tested = batch.take(testing.tolist())
        hits[testing] = holdout.reached(apply_perturbation(tested.x, delta, threat), tested)
        control[testing] = holdout.reached(apply_perturbation(tested.x, noise, threat), tested)
    return Scenario(
        name="universal",
        attack=repr(attack),
        budget=images,
        size=threat.eps,
        norm=threat.norm,
        fooled=holdout.rate(hits),
        control=holdout.rate(control),
    )
