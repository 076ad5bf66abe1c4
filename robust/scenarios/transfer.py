"""Transfer attack: adversarial images made on a surrogate model, shown to the audited one."""

from __future__ import annotations

import torch

from attacks import APGD, Noise, Streams
from robust.engine.touch.instances import within_limits
from robust.errors import InputError
from robust.models import Adapter, prepare
from robust.records import Scenario
from robust.scenarios.holdout import Holdout

STEPS = 100


def transfer(holdout: Holdout, surrogate: Adapter) -> Scenario:
    """Share of cases that images made on a surrogate fool; the control is noise of the same size.

    InputError where the surrogate has other classes or takes other images.
    """
    surrogate = _prepared(surrogate, holdout)
    attack = APGD(steps=STEPS)
    batch, threat = holdout.batch, holdout.threat
    hits, control, surrogate_hits = (holdout.no_cases() for _ in range(3))
    for places in holdout.chunks():
        part = batch.take(places.tolist())
        ids = [case.id for case in part.cases]
        streams = Streams.of(holdout.seed, ids, "transfer", threat.stream_key)
        within = within_limits(holdout.task, attack, part, together=attack.traits.keeps_still)
        x_adv = within(surrogate, part.x, part.y, threat, streams, holdout.targets(part))
        x_adv = threat.project(x_adv.detach(), part.x)
        hits[places] = holdout.reached(x_adv, part)
        with torch.no_grad():
            fooled = holdout.task.success(surrogate(x_adv), part)
        surrogate_hits[places] = fooled.cpu().numpy()
        drawn = within_limits(holdout.task, Noise(), part)
        noise = drawn(holdout.logits, part.x, part.y, threat, streams, None)
        control[places] = holdout.reached(noise, part)
    return Scenario(
        name="transfer",
        attack=repr(attack),
        budget=None,
        size=threat.eps,
        norm=threat.norm,
        fooled=holdout.rate(hits),
        control=holdout.rate(control),
        surrogate_fooled=holdout.rate(surrogate_hits),
    )


@torch.no_grad()
def _prepared(surrogate: Adapter, holdout: Holdout) -> Adapter:
    """A copy with its head recognised; InputError where it cannot answer for the cases."""
    parts = [holdout.batch.x[places] for places in holdout.chunks()]
    x = parts[0]
    try:
        ready = prepare(surrogate, x.device, images=x)
        for places, part in zip(holdout.chunks(), parts):
            holdout.task.check(ready(part), [holdout.batch.cases[i] for i in places])
    except InputError as error:
        raise InputError(
            f"the surrogate does not fit, and must answer the same question: {error}"
        ) from None
    return ready
