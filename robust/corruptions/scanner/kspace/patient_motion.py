"""Motion during an MRI scan: phase errors of the lines of k-space read after a movement.

Shaw, Sudre, Ourselin and Cardoso 2019, MRI k-Space Motion Artefact Augmentation (MIDL); here with
translations alone.
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
from robust.corruptions.scanner.kspace.spectrum import (
    line_numbers,
    readout_numbers,
    to_kspace,
    to_magnitude,
)

MOVEMENTS = 4
EARLIEST, LATEST = 0.3, 0.7
"""Times of a movement, as a fraction of the scan: near the centre of k-space, where it is seen."""


@dataclass(frozen=True)
class PatientMotion:
    """Four sudden shifts at random times of a scan that reads k-space from one edge to the other.

    A line that is read while the object is shifted by d has the phase factor exp(-2 pi i k d).
    Shifts count from where the object is when the centre of k-space is read: the image stays in
    place, and its edges repeat.
    """

    name: ClassVar[str] = "patient_motion"
    family: ClassVar[Family] = "scanner"
    differentiable: ClassVar[bool] = True
    random: ClassVar[bool] = True
    definition: str = "k-space motion, Shaw et al. 2019, translations of 0.3 to 6 % of the side"
    note: str = ""
    reach: tuple[float, ...] = (0.003, 0.007, 0.015, 0.03, 0.06)
    """Largest step of one movement along each axis, as a fraction of the side."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The magnitude image."""
        if severity == 0:
            return x
        draws = torch.cat(case_draws(x, 3 * MOVEMENTS, streams), -1)
        times = EARLIEST + (LATEST - EARLIEST) * draws[..., :MOVEMENTS].sort(-1).values
        steps = 2 * draws[..., MOVEMENTS:] - 1
        # (n, 1, ..., 2, 1 + MOVEMENTS): where the object is before and after each movement.
        steps = steps.view(*steps.shape[:-2], 2, MOVEMENTS)
        places = torch.nn.functional.pad(steps.cumsum(-1), (1, 0)) * at_severity(
            self.reach, severity
        )
        lines, points = line_numbers(x), readout_numbers(x)
        clock = (lines / x.shape[-2] + 0.5).clamp(0, 1)
        part = (times < clock).sum(-1, keepdim=True)
        centre = (times < 0.5).sum(-1, keepdim=True)
        down = _at(places[..., :1, :], part) - _at(places[..., :1, :], centre)
        right = _at(places[..., 1:, :], part) - _at(places[..., 1:, :], centre)
        phase = -2 * pi * (lines * down + points * right)
        return to_magnitude(to_kspace(x) * torch.polar(torch.ones_like(phase), phase))


def _at(places: Tensor, part: Tensor) -> Tensor:
    """The place, `(n, 1, ..., h, 1)`, in each part `(n, 1, ..., h, 1)` of the scan."""
    return places.expand(*part.shape[:-1], -1).gather(-1, part)
