"""A wrapper around the model that sees what an attack does: passes made, saturation met."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.contract import Model
from attacks.objectives import saturated


class Recorder:
    """Call it in place of the model. It changes nothing and counts:

    - `forward`, `backward`: rows that went through the network either way;
    - `saturated`: `(n,)` bool, the cases whose cross-entropy saturated in a pass with gradients.
    """

    def __init__(self, model: Model, y: Tensor) -> None:
        self._model = model
        self._y = y
        self.forward = 0
        self.backward = 0
        self.saturated = torch.zeros(len(y), dtype=torch.bool, device=y.device)

    def __call__(self, x: Tensor) -> Tensor:
        logits = self._model(x)
        rows = len(x)
        self.forward += rows
        if logits.requires_grad:
            logits.register_hook(lambda _: self._count(rows))  # type: ignore[no-untyped-call]
            if rows == len(self._y):
                self.saturated |= saturated(logits.detach(), self._y)
        return logits

    @property
    def passes(self) -> float:
        """Forward and backward passes a case."""
        return (self.forward + self.backward) / max(len(self._y), 1)

    def _count(self, rows: int) -> None:
        self.backward += rows
