"""Fast adaptive boundary attack (FAB), minimum-norm: Croce and Hein 2020 (arXiv 1907.02044)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks._prospects import Prospects
from attacks._starts import DRAWS, far_start
from attacks._tracking import ActiveCases, Nearest
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import AttackLoss, climb_and_value, likeliest_wrong, margin
from attacks.minimum_norm.geometry import line_search, to_hyperplane
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, above_zero, per_case

OVERSHOOT = 1.05
"""Length of a step, in units of the way to the boundary (eta)."""
BACKWARD = 0.9
"""Part of the way to the image that an adversarial case keeps before its next step (beta)."""
BIAS = 0.1
"""Largest weight of the step from the image itself (alpha_max)."""


@dataclass(frozen=True)
class FAB:
    """Projects onto the linearised decision boundary, with a pull towards the image.

    Use it for the nearest adversarial image, and where attacks within an eps find none: it has no
    step size, and later restarts begin far from the image. The boundary is where the margin is
    zero, so a step costs one gradient whatever the number of classes (the paper takes one per
    class). With `targets`, one run towards each of that many likeliest wrong labels replaces the
    `restarts`. The last `line_steps` passes bisect the line from the best image to the original.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = True
    knowledge: ClassVar[Knowledge] = "gradients"

    steps: int = 100
    """Gradient steps of each run."""
    restarts: int = 1
    """Runs: the first begins at the image, the second far from it, the others around it at half the
    distance of the best image found; where nothing was found, far from it too."""
    targets: int = 0
    """Targeted runs, towards the likeliest wrong labels; 0: untargeted runs."""
    line_steps: int = 10
    """Bisections on the line from the best image to the original."""

    def __post_init__(self) -> None:
        require_positive(self, "steps", "restarts")
        if self.targets < 0 or self.line_steps < 0:
            raise ValueError("FAB: targets and line_steps must be 0 or more")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text(
            "FAB",
            steps=self.steps,
            restarts=self.restarts,
            targets=self.targets,
            line_steps=self.line_steps,
        )

    @property
    def traits(self) -> AttackTraits:
        """Steps alone."""
        return AttackTraits(steps=self.steps)

    @property
    def passes(self) -> int:
        """Those of all runs, of starts far from the image and of the line search."""
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
        """The nearest adversarial image of all runs."""
        require_fit(self, threat, y.ndim > 1)
        nearest = self.search(model, x, y, threat, streams, target)
        return line_search(
            x, nearest.x_adv, lambda z: margin(model(z), y, target) > 0, self.line_steps
        )

    def search(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None,
        within: float = 0.0,
    ) -> Nearest:
        """All runs, without the line search at the end.

        With `within`, a distance, a case ends where it is that near, and a run of a case where the
        distance, as it has shrunk, would not get there (`_prospects`).
        """
        nearest = Nearest(x)
        to_each = self.targets > 0 and target is None
        run_targets: list[Tensor | None] = [target] * self.restarts
        if to_each:
            run_targets = list(likeliest_wrong(model, x, y)[:, : self.targets].T)
        for run, run_target in enumerate(run_targets):
            x_adv = x
            if run and not to_each:
                x_adv = _around(x, nearest.distance, threat, streams)
                lost = nearest.distance.isinf() | (run == 1)
                if bool(lost.any()):
                    goal = None if target is None else target[lost]
                    x_adv[lost] = far_start(model, x[lost], y[lost], goal, streams[lost])
            active = nearest.distance > within
            every = ActiveCases.of(x, y, streams, target).take(active)
            if len(every.rows):
                self._run(model, every, x_adv[active], run_target, threat, nearest, within)
        return nearest

    def _run(
        self,
        model: Model,
        batch: ActiveCases,
        x_adv: Tensor,
        run_target: Tensor | None,
        threat: ThreatModel,
        nearest: Nearest,
        within: float,
    ) -> None:
        """One run from `x_adv`, an image for each case of the batch."""
        prospects = Prospects(self.steps)
        own = x_adv.new_full((len(x_adv),), torch.inf)
        for step in range(self.steps):
            label = None if run_target is None else run_target[batch.rows]
            loss = AttackLoss("margin", batch.y, label)
            logits, gradient, value = climb_and_value(model, x_adv, loss)
            value = reached = value.to(x_adv)
            if batch.target is None and label is not None:  # towards a label; any other will do
                reached = margin(logits, batch.y).to(x_adv)
            distance = threat.distance(x_adv, batch.x)
            nearest.offer(x_adv, distance, reached, batch.rows)
            x_adv = _step(batch.x, x_adv, value, gradient, reached > 0, threat)
            if within:
                own = torch.minimum(own, torch.where(reached > 0, distance, torch.inf))
                gone = prospects.offer(step + 1, within - own)
                gone |= own <= within
                if bool(gone.any()):
                    prospects.take(~gone)
                    batch, x_adv, own = batch.take(~gone), x_adv[~gone], own[~gone]
                    if not len(batch.rows):
                        return
        with torch.no_grad():
            reached = margin(model(x_adv), batch.y, batch.target)
        nearest.offer(x_adv, threat.distance(x_adv, batch.x), reached, batch.rows)


def _step(
    x: Tensor,
    x_adv: Tensor,
    value: Tensor,
    gradient: Tensor,
    is_adversarial: Tensor,
    threat: ThreatModel,
) -> Tensor:
    """A step beyond the linearised boundary, mixed with the same step from the image itself.

    A case that is adversarial (`is_adversarial`) is first pulled back towards its image.
    """
    start = torch.where(per_case(is_adversarial, x), x + BACKWARD * (x_adv - x), x_adv)
    margin_at_start = value + (gradient * (start - x_adv)).flatten(1).sum(1)
    margin_at_image = value + (gradient * (x - x_adv)).flatten(1).sum(1)
    from_start = to_hyperplane(start, gradient, -margin_at_start, threat)
    from_image = to_hyperplane(x, gradient, -margin_at_image, threat)
    start_distance = threat.distance(start + from_start, start)
    image_distance = threat.distance(x + from_image, x)
    share = start_distance / above_zero(start_distance + image_distance)
    share = per_case(share.clamp_max(BIAS), x)
    mixed = (1 - share) * (start + OVERSHOOT * from_start) + share * (x + OVERSHOOT * from_image)
    return mixed.clamp(0, 1)


def _around(x: Tensor, distance: Tensor, threat: ThreatModel, streams: Streams) -> Tensor:
    """Starts at half the distance of the best image: uniform in L-inf, in direction in L2."""
    noise = 2 * streams.uniform(x) - 1
    if threat.norm == "L2":
        noise = threat.steepest(noise)
    return (x + per_case(torch.where(distance.isfinite(), distance / 2, 0.0), x) * noise).clamp(
        0, 1
    )
