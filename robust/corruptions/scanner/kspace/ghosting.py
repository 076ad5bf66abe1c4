"""Ghosts of MRI: a signal that pulses while k-space is read repeats the object along a direction.

Wood and Henkelman 1985, MR image artifacts from periodic motion (Medical Physics 12).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import ClassVar

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Family, at_severity
from robust.corruptions.scanner.draws import case_draws
from robust.corruptions.scanner.kspace.spectrum import line_numbers, to_kspace, to_magnitude

NEAREST, FARTHEST = 0.15, 0.45
"""Distance of a ghost from the object, as a fraction of the field of view."""


@dataclass(frozen=True)
class Ghosting:
    """Line k is multiplied by 1 + 2 a cos(2 pi k s + phase): two ghosts of amplitude a.

    They lie s fields of view above and below the object, and wrap around. The shift and the phase
    are random; the phase decides whether a ghost adds to what lies under it or not.
    """

    name: ClassVar[str] = "ghosting"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "periodic motion, Wood and Henkelman 1985, ghosts of 4 to 30 %"
    note: str = ""
    amplitudes: tuple[float, ...] = (0.04, 0.08, 0.14, 0.21, 0.3)
    """Amplitude of each ghost, in units of the object."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The magnitude image."""
        if severity == 0:
            return x
        where, phase = case_draws(x, 2, streams)
        shift = NEAREST + (FARTHEST - NEAREST) * where
        pulse = torch.cos(2 * pi * (line_numbers(x) * shift + phase))
        return to_magnitude(to_kspace(x) * (1 + 2 * at_severity(self.amplitudes, severity) * pulse))
