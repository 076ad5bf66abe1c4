"""Another window: display with a shifted centre and another width (DICOM PS3.3, C.11.2.1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import case_draws


@dataclass(frozen=True)
class WindowShift:
    """The centre moves up or down, the width grows or shrinks: which of it is random.

    Linear between the ends of the window; what lies outside becomes black or white.
    """

    name: ClassVar[str] = "window_shift"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "centre off by 4 to 20 % of the width, width off by a factor 1.1 to 1.75"
    note: str = ""
    shifts: tuple[float, ...] = (0.04, 0.08, 0.12, 0.16, 0.2)
    """Shift of the centre, in widths."""
    factors: tuple[float, ...] = (1.1, 1.2, 1.35, 1.5, 1.75)
    """Factor of the width."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The image in the other window."""
        if severity == 0:
            return x
        up, wide = case_draws(x, 2, streams)
        shift, factor = at_severity(self.shifts, severity), at_severity(self.factors, severity)
        centre = 0.5 + torch.where(up < 0.5, -shift, shift)
        width = torch.where(wide < 0.5, 1 / factor, factor)
        return ((x - centre) / width + 0.5).clamp(0, 1)
