"""An attacker who has another model: images made on it, shown to the audited one."""

from __future__ import annotations

import numpy as np
import torch

from attacks import APGD, Noise, Streams
from robust.errors import InputError
from robust.models import Classifier, settle_head
from robust.records import Scenario
from robust.scenarios.holdout import AT_ONCE, Holdout

STEPS = 100


def transfer(ground: Holdout, surrogate: Classifier) -> Scenario:
    """The control is noise of the same size; `own` says whether the surrogate itself is fooled.

    `surrogate` is prepared. InputError where it has other classes or takes other images.
    """
    attack = APGD(steps=STEPS)
    batch, threat = ground.batch, ground.threat
    hits, control, own = (np.zeros(len(batch.rows), bool) for _ in range(3))
    for places in np.array_split(np.arange(len(batch.rows)), -(-len(batch.rows) // AT_ONCE)):
        part = batch.take(places.tolist())
        ids = [case.id for case in part.cases]
        _check(ground, surrogate, part.x)
        streams = Streams.of(ground.seed, ids, "transfer", threat)
        x_adv = attack(surrogate, part.x, part.y, threat, streams, ground.targets(part))
        x_adv = threat.project(x_adv.detach(), part.x)
        hits[places] = ground.reached(x_adv, part)
        with torch.no_grad():
            read = surrogate(x_adv).argmax(1)
        own[places] = ground.goal.reached(read, part.y).cpu().numpy()
        noise = Noise()(ground.runner.logits, part.x, part.y, threat, streams)
        control[places] = ground.reached(noise, part)
    return Scenario(
        name="transfer",
        attack=repr(attack),
        budget=None,
        size=threat.eps,
        norm=threat.norm,
        fooled=ground.fooled(hits),
        control=ground.fooled(control),
        surrogate_fooled=ground.fooled(own),
    )


def _check(ground: Holdout, surrogate: Classifier, x: torch.Tensor) -> None:
    try:
        with torch.no_grad():
            if surrogate.head == "auto":
                settle_head(surrogate, x)
            logits = surrogate(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"the surrogate fails on images of shape {tuple(x.shape[1:])}: {line[:200]}; set "
            f"channels and size in [scenarios.surrogate] to what it was trained on"
        ) from None
    wanted = len(ground.runner.cases.classes)
    if logits.shape[1] != wanted:
        raise InputError(
            f"the surrogate gives {logits.shape[1]} classes, the data have {wanted}; it must "
            f"answer the same question as the audited model"
        )
    if not bool(logits.isfinite().all()):
        raise InputError("the surrogate gives NaN or infinite logits; check its weights")
