"""Any foolbox attack as ours (Rauber et al. 2020, foolbox 3): re-projected and re-verified."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks.contract import Model, require_fit
from attacks.losses import margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case


@dataclass(frozen=True)
class FromFoolbox:
    """A foolbox attack under our contract; make one with `from_foolbox`.

    Foolbox's random attacks draw once for a whole batch: here that draw is seeded from the streams
    and the global random state is put back, but it still depends on who is in the batch.
    """

    attack: Any
    """An instance of `foolbox.attacks.base.Attack`."""
    norms: tuple[str, ...]
    minimum_norm: bool
    starting_points: Tensor | None = field(default=None, repr=False, compare=False)
    """Images `(n, c, h, w)` that reach the goal already, for attacks that begin with one."""

    @property
    def passes(self) -> int:
        """Foolbox does not tell; steps are the best guess."""
        return int(getattr(self.attack, "steps", 1)) * int(
            getattr(self.attack, "binary_search_steps", 1)
        )

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        import foolbox
        from foolbox.models.pytorch import PyTorchModel

        require_fit(self, threat)
        criterion: Any
        if target is None:
            criterion = foolbox.criteria.Misclassification(y)
        else:
            criterion = foolbox.criteria.TargetedMisclassification(target)
        frozen = PyTorchModel(_AsModule(model).eval(), bounds=(0, 1), device=x.device)
        options: dict[str, Any] = {"epsilons": None if math.isinf(threat.eps) else threat.eps}
        if self.starting_points is not None:
            options["starting_points"] = self.starting_points
        with _seeded(streams.seed(), x.device):
            _, clipped, _ = self.attack(frozen, x, criterion, **options)
        x_adv = threat.project(clipped.detach(), x)
        with torch.no_grad():
            nearer_goal = margin(model(x_adv), y, target) >= margin(model(x), y, target)
        return torch.where(per_case(nearer_goal, x), x_adv, x)


def from_foolbox(attack: Any) -> FromFoolbox:
    """Wrap an instance of a foolbox attack; its distance says the norm.

    Raises ValueError for norms that a ThreatModel does not know (L0, L1).
    """
    import foolbox
    from foolbox.attacks.base import FixedEpsilonAttack

    distance = attack.distance
    norm = {foolbox.distances.linf: "Linf", foolbox.distances.l2: "L2"}.get(distance)
    if norm is None:
        raise ValueError(
            f"foolbox's {type(attack).__name__} measures in {distance}; only L-inf and L2 attacks "
            f"can be taken over"
        )
    return FromFoolbox(attack, (norm,), not isinstance(attack, FixedEpsilonAttack))


class _AsModule(nn.Module):
    """Foolbox insists on a module; ours may be any callable.

    The call hides in a closure, so that `eval()` on the wrapper leaves the user's model alone.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.call: Callable[[Tensor], Tensor] = lambda x: model(x)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor
        if x.requires_grad and torch.is_grad_enabled():
            logits = _InImageAlone.apply(x, self.call)  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                logits = self.call(x)
        return logits


class _InImageAlone(torch.autograd.Function):
    """The model to whose parameters no `backward()` gets: foolbox's would fill their `.grad`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, model: Model) -> Tensor:
        ctx.x = x.detach().requires_grad_()
        with torch.enable_grad():
            ctx.logits = model(ctx.x)
        logits: Tensor = ctx.logits.detach()
        return logits

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,) = torch.autograd.grad(ctx.logits, ctx.x, gradients[0], retain_graph=True)
        return gradient, None


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators that foolbox draws from, and put them back."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
