"""Fast adaptive boundary, Croce and Hein 2020 (arXiv 1907.02044): the nearest adversarial image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._geometry import onto, slide
from attacks._starts import DRAWS, far_start
from attacks._tracking import Nearest
from attacks.contract import Model, require_fit, require_positive
from attacks.losses import Objective, climb, likeliest_wrong, margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, above_zero, per_case

OVERSHOOT = 1.05
BACKWARD = 0.9
BIAS = 0.1
"""Largest share of a step that is drawn from the image's own way to the boundary."""


@dataclass(frozen=True)
class FAB:
    """Walks along the linearised boundary, drawn towards the image: no step size and no eps.

    The boundary is where the margin is zero, so that a step costs one gradient whatever the number
    of classes (the paper takes one a class). With `targets`, one run towards each of that many
    likeliest wrong labels takes the place of the `restarts`. The last `line_steps` passes slide the
    best image towards the original.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = True

    steps: int = 100
    restarts: int = 1
    """The first begins at the image, the second far from it, the others around it, half as far off
    as the best found; where nothing was found, far from it too."""
    targets: int = 0
    line_steps: int = 10

    def __post_init__(self) -> None:
        require_positive(self, "steps", "restarts")
        if self.targets < 0 or self.line_steps < 0:
            raise ValueError("FAB: targets and line_steps must be 0 or more")

    @property
    def passes(self) -> int:
        runs = max(self.restarts, self.targets)
        far = 0 if self.targets else (self.restarts - 1) * DRAWS
        return bool(self.targets) + runs * (self.steps + 1) + far + self.line_steps

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        require_fit(self, threat)
        found = Nearest(x)
        aimed = self.targets > 0 and target is None
        aims: list[Tensor | None] = [target] * self.restarts
        if aimed:
            aims = list(likeliest_wrong(model, x, y)[:, : self.targets].T)
        for number, aim in enumerate(aims):
            x_adv = x
            if number and not aimed:
                x_adv = _around(x, found.distance, threat, streams)
                lost = found.distance.isinf() | (number == 1)
                if bool(lost.any()):
                    goal = None if target is None else target[lost]
                    x_adv[lost] = far_start(model, x[lost], y[lost], goal, streams[lost])
            for _ in range(self.steps):
                logits, gradient = climb(model, x_adv, Objective("margin", y, aim))
                reached = margin(logits, y, target).to(x)
                found.offer(x_adv, threat.distance(x_adv, x), reached)
                value = margin(logits, y, aim).to(x)
                x_adv = _step(x, x_adv, value, gradient, reached > 0, threat)
            with torch.no_grad():
                reached = margin(model(x_adv), y, target)
            found.offer(x_adv, threat.distance(x_adv, x), reached)
        return slide(x, found.best, lambda z: margin(model(z), y, target) > 0, self.line_steps)


def _step(
    x: Tensor, x_adv: Tensor, value: Tensor, gradient: Tensor, works: Tensor, threat: ThreatModel
) -> Tensor:
    """To the boundary as it looks from `x_adv`, a little beyond, and a little towards the image.

    A case that works is first pulled back towards its image.
    """
    at = torch.where(per_case(works, x), x + BACKWARD * (x_adv - x), x_adv)
    ahead_there = value + (gradient * (at - x_adv)).flatten(1).sum(1)
    ahead_here = value + (gradient * (x - x_adv)).flatten(1).sum(1)
    there = onto(at, gradient, -ahead_there, threat)
    here = onto(x, gradient, -ahead_here, threat)
    own, from_image = threat.distance(at + there, at), threat.distance(x + here, x)
    share = own / above_zero(own + from_image)
    share = per_case(share.clamp_max(BIAS), x)
    mixed = (1 - share) * (at + OVERSHOOT * there) + share * (x + OVERSHOOT * here)
    return mixed.clamp(0, 1)


def _around(x: Tensor, distance: Tensor, threat: ThreatModel, streams: Streams) -> Tensor:
    """Half as far off as the best found; uniform in L-inf, in a uniform direction in L2."""
    noise = 2 * streams.uniform(x) - 1
    if threat.norm == "L2":
        noise = threat.steepest(noise)
    return (x + per_case(torch.where(distance.isfinite(), distance / 2, 0.0), x) * noise).clamp(
        0, 1
    )
