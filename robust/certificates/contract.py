"""The contract of a certificate: a frozen dataclass that proves a radius for each case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from attacks.contract import Model
from attacks.streams import Streams
from robust.models.adapter import Adapter

ABSTAINED = -1
"""Class of a case on which a certified function abstains."""


@dataclass(frozen=True)
class Certified:
    """What is proven of a batch."""

    predicted: Tensor
    """Class that the certified function predicts, `(n,)` int64; `ABSTAINED` where it gives none."""
    radius: Tensor
    """`(n,)` float64, finite, at least 0: this class is predicted for every image within it."""


class Certificate(Protocol):
    """A frozen dataclass that proves of each case how far its prediction cannot change.

    Call it as `certificate(model, x, streams) -> Certified`: `x` is `(n, c, h, w)` in [0, 1],
    `streams` holds one stream per case. It looks at no label. It raises InputError, in one line,
    for a network that it cannot read. Parameters are fields; every field has a default.

    Tables are made from docstrings, as those of attacks are.
    """

    @property
    def norm(self) -> str:
        """`Linf` or `L2`."""

    @property
    def function(self) -> Literal["network", "smoothed"]:
        """What the proof is about."""

    @property
    def alpha(self) -> float | None:
        """Probability, at most, of a false proof of a case; None: there is none."""

    @property
    def cap(self) -> float | None:
        """Largest radius that it can prove at all; None where there is no limit."""

    @property
    def passes(self) -> int:
        """Forward passes per case, about."""

    def check(self, model: Adapter) -> None:
        """InputError, before any work, for a network that it cannot read, or for its own fields."""

    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """Classes and proven radii."""


class SmoothedCertificate(Certificate, Protocol):
    """A certificate whose `function` is `smoothed`: noise is drawn, and the base classifier votes.

    It can be attacked: the smoothed classifier predicts the class with the most votes.
    """

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise, in [0, 1] units of the displayed image."""

    @property
    def n0(self) -> int:
        """Noisy images that choose the class."""

    @property
    def n(self) -> int:
        """Noisy images that bound its probability."""

    @property
    def weights(self) -> str:
        """Hash of the weights of networks that are its own; empty where it has none."""

    def base(self, model: Adapter) -> Model:
        """What reads the noisy images: logits `(n, k)`, differentiable where the model is."""

    def votes(self, model: Adapter, x: Tensor, streams: Streams, n: int) -> Tensor:
        """How often each class is predicted under `n` draws of noise: `(cases, k)` int64."""
