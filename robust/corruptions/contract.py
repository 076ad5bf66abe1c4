"""The contract of a corruption: a frozen dataclass that spoils images at five severities."""

from __future__ import annotations

from typing import Literal, Protocol, TypeVar

from torch import Tensor

from attacks.streams import Streams
from robust.errors import InputError

SEVERITIES = (1, 2, 3, 4, 5)
"""From mild to severe; 0 leaves the image as it is."""

Family = Literal["digital", "noise", "blur", "colour", "task", "scanner"]

T = TypeVar("T")


class Corruption(Protocol):
    """A frozen dataclass that does to images what scanners, storage or movement do.

    Parameters are fields. Tables are made from docstrings, as those of attacks are.
    """

    @property
    def name(self) -> str:
        """What the plan and the report call it, such as `gaussian_noise`."""

    @property
    def family(self) -> Family:
        """The group that it belongs to."""

    @property
    def differentiable(self) -> bool:
        """Whether gradients of the result reach the image."""

    @property
    def random(self) -> bool:
        """Whether the streams are used."""

    @property
    def definition(self) -> str:
        """Who defines the severities: `MedMNIST-C, pneumoniamnist`, or a paper or convention."""

    @property
    def note(self) -> str:
        """What a reader must know, such as severities that are not monotone; empty for nothing."""

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        """The images at a severity from 0, as they are to the bit, to 5.

        `x` is `(n, c, h, w)` in [0, 1], or `(n, c, d, h, w)`, whose slices `(h, w)` are spoiled one
        by one, alike in each case, unless the effect is one in space. The result has its shape,
        dtype and device, and lies in [0, 1]. `streams` holds one stream per case, and the result
        of a case depends on no other case. Raises InputError for another severity.
        """


def at_severity(levels: tuple[T, ...], severity: int) -> T:
    """The parameter of a severity from 1 to 5; InputError for another."""
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity} does not exist; severities are whole, from 0 to 5")
    return levels[severity - 1]
