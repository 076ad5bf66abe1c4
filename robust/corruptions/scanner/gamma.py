"""Another gamma of the display or camera: each grey level to a power."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import case_draws


@dataclass(frozen=True)
class GammaShift:
    """x to the power of a factor, or of its inverse: which one is random."""

    name: ClassVar[str] = "gamma_shift"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "power of 1.15 to 2, or the inverse"
    note: str = ""
    powers: tuple[float, ...] = (1.15, 1.3, 1.5, 1.75, 2.0)
    """Powers; at random their inverse."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image after the power; black and white stay."""
        if severity == 0:
            return x
        (up,) = case_draws(x, 1, streams)
        power = at_severity(self.powers, severity)
        exponent = torch.where(up < 0.5, 1 / power, power)
        # The slope of a root is infinite at 0.
        positive = x > 0
        return torch.where(positive, torch.where(positive, x, 1) ** exponent, 0)
