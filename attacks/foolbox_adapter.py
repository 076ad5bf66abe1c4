"""Adapter for the attacks of foolbox 3: Rauber et al. 2020 (JOSS 5(53), 2607)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from attacks.contract import AttackTraits, Knowledge, Model, require_fit
from attacks.losses import margin
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case

KNOWLEDGE: dict[str, Knowledge] = {
    **dict.fromkeys(
        [
            *("BaseGradientDescent", "BrendelBethgeAttack", "DDNAttack", "DeepFoolAttack"),
            *("EADAttack", "FMNAttackLp", "L2CarliniWagnerAttack", "NewtonFoolAttack"),
            "VirtualAdversarialAttack",
        ],
        "gradients",
    ),
    "GenAttack": "scores",
    **dict.fromkeys(
        [
            *("BinarizationRefinementAttack", "BinarySearchContrastReductionAttack"),
            *("BaseRepeatedAdditiveNoiseAttack", "BoundaryAttack", "DatasetAttack"),
            *("GaussianBlurAttack", "HopSkipJumpAttack", "InversionAttack"),
            *("LinearSearchBlendedUniformNoiseAttack", "LinearSearchContrastReductionAttack"),
            *("PointwiseAttack", "SaltAndPepperNoiseAttack", "SpatialAttack"),
        ],
        "labels",
    ),
    **dict.fromkeys(["BaseAdditiveNoiseAttack", "L2ContrastReductionAttack"], "none"),
}
"""What foolbox's classes must know of the model; subclasses know the same."""


@dataclass(frozen=True)
class FromFoolbox:
    """A foolbox attack under our contract; make one with `from_foolbox`.

    Its images are projected onto ball and box again. Foolbox's random attacks draw once for a whole
    batch: here that draw is seeded from the streams and the global random state is restored, but it
    still depends on the other cases of the batch.
    """

    traits: ClassVar[AttackTraits] = AttackTraits(counts_passes=False)

    attack: Any
    """An instance of `foolbox.attacks.base.Attack`."""
    norms: tuple[str, ...]
    """The norm of its distance."""
    minimum_norm: bool
    """Whether it is one of foolbox's minimisation attacks."""
    knowledge: Knowledge
    """What it must know of the model."""

    @property
    def stream_key(self) -> str:
        """As the first release wrote it; foolbox prints an attack with its settings."""
        return call_text(
            "FromFoolbox", attack=self.attack, norms=self.norms, minimum_norm=self.minimum_norm
        )

    @property
    def passes(self) -> int:
        """An estimate from its steps, since foolbox does not count passes."""
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
        *,
        starting_points: Tensor | None = None,
    ) -> Tensor:
        """`starting_points (n, c, h, w)` reach the goal already, for attacks that begin there."""
        import foolbox
        from foolbox.models.pytorch import PyTorchModel

        require_fit(self, threat, y.ndim > 1)
        criterion: Any
        if target is None:
            criterion = foolbox.criteria.Misclassification(y)
        else:
            criterion = foolbox.criteria.TargetedMisclassification(target)
        frozen = PyTorchModel(_AsModule(model).eval(), bounds=(0, 1), device=x.device)
        options: dict[str, Any] = {"epsilons": None if math.isinf(threat.eps) else threat.eps}
        if starting_points is not None:
            options["starting_points"] = starting_points
        with _seeded(streams.seed(), x.device):
            _, clipped, _ = self.attack(frozen, x, criterion, **options)
        x_adv = threat.project(clipped.detach(), x)
        with torch.no_grad():
            nearer_goal = margin(model(x_adv), y, target) >= margin(model(x), y, target)
        return torch.where(per_case(nearer_goal, x), x_adv, x)


def from_foolbox(attack: Any, knowledge: Knowledge | None = None) -> FromFoolbox:
    """Wrap an instance of a foolbox attack; its distance gives the norm.

    `knowledge` is needed for attacks of your own that extend no attack of foolbox. Raises
    ValueError without it there, and for norms that a ThreatModel does not know (L0, L1).
    """
    import foolbox
    from foolbox.attacks.base import FixedEpsilonAttack

    distance = attack.distance
    norm = {foolbox.distances.linf: "Linf", foolbox.distances.l2: "L2"}.get(distance)
    if norm is None:
        raise ValueError(
            f"foolbox's {type(attack).__name__} measures in {distance}; only L-inf and L2 attacks "
            f"can be used"
        )
    bases = [base.__name__ for base in type(attack).__mro__]
    knowledge = knowledge or next((KNOWLEDGE[name] for name in bases if name in KNOWLEDGE), None)
    if knowledge is None:
        raise ValueError(
            f"{type(attack).__name__} is none of foolbox's attacks; say what it must know of the "
            f"model: from_foolbox(attack, knowledge='gradients')"
        )
    minimum_norm = not isinstance(attack, FixedEpsilonAttack)
    return FromFoolbox(attack, (norm,), minimum_norm, knowledge)


class _AsModule(nn.Module):
    """Any callable as the module that foolbox insists on.

    The call is in a closure, so that `eval()` on the wrapper leaves the user's model alone.
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
    """The model, differentiated in the image alone: foolbox would fill the parameters' `.grad`."""

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
    """Seed the global generators that foolbox draws from, and restore them."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
