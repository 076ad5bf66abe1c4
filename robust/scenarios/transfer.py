"""Transfer attack: adversarial images made on a surrogate model, shown to the audited one."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import APGD, Noise, Streams
from robust.cases.consistency import check_outputs
from robust.errors import InputError, first_line
from robust.models import Classifier, settle_head
from robust.records import Scenario
from robust.scenarios.holdout import Holdout

STEPS = 100


def transfer(holdout: Holdout, surrogate: Classifier) -> Scenario:
    """The control is noise of the same size; `own` is how many images fool the surrogate itself.

    `surrogate` is prepared. InputError where it has other classes or takes other images.
    """
    attack = APGD(steps=STEPS)
    batch, threat = holdout.batch, holdout.threat
    hits, control, own = holdout.none(), holdout.none(), holdout.none()
    for places in holdout.chunks():
        part = batch.take(places.tolist())
        ids = [case.id for case in part.cases]
        _check(surrogate, part.x, holdout.classes)
        streams = Streams.of(holdout.seed, ids, "transfer", threat.stream_key)
        x_adv = attack(surrogate, part.x, part.y, threat, streams, holdout.targets(part))
        x_adv = threat.project(x_adv.detach(), part.x)
        hits[places] = holdout.reached(x_adv, part)
        with torch.no_grad():
            prediction = surrogate(x_adv).argmax(1)
        own[places] = holdout.goal.reached(prediction, part.y).cpu().numpy()
        noise = Noise()(holdout.logits, part.x, part.y, threat, streams)
        control[places] = holdout.reached(noise, part)
    return Scenario(
        name="transfer",
        attack=repr(attack),
        budget=None,
        size=threat.eps,
        norm=threat.norm,
        fooled=holdout.rate(hits),
        control=holdout.rate(control),
        surrogate_fooled=holdout.rate(own),
    )


def _check(surrogate: Classifier, x: Tensor, classes: int) -> None:
    try:
        with torch.no_grad():
            settle_head(surrogate, x)
            logits = surrogate(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"the surrogate fails on images of shape {tuple(x.shape[1:])}: {first_line(error)}; "
            f"set channels and size in [scenarios.surrogate] to what it was trained on"
        ) from None
    check_outputs(
        logits,
        classes,
        model="the surrogate",
        remedy="it must answer the same question as the audited model",
    )
