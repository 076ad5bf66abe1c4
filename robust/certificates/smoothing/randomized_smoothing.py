"""Randomized smoothing, a certificate in L2: Cohen et al. 2019 (arXiv 1902.02918)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from scipy.stats import beta, norm
from torch import Tensor

from attacks.contract import Model
from attacks.streams import Streams
from robust.certificates.contract import ABSTAINED, Certified
from robust.certificates.smoothing.grid_noise import deviation, generators_of, noisy_images
from robust.errors import InputError
from robust.models.acceleration.memory import find_batch_size, memory_ran_out
from robust.models.adapter import Adapter

MOST_AT_ONCE, MOST_VALUES = 512, 1 << 24
"""Noisy images in one pass, and values of them all, where memory allows them."""


@dataclass(frozen=True)
class RandomizedSmoothing:
    """What the classifier predicts most often when Gaussian noise is added to the image.

    That is another classifier. It cannot change within `sigma` times the normal quantile of the
    probability of its class, of which a lower Clopper-Pearson bound is used: each radius is false
    with probability `alpha` at most. Where the class is not the likelier half of the draws, it
    abstains. A network that was not trained with such noise rarely reads it well. The cost is
    `n0 + n` forward passes for each case.
    """

    norm: ClassVar[str] = "L2"
    function: ClassVar[Literal["network", "smoothed"]] = "smoothed"

    sigma: float = 0.25
    """Standard deviation of the noise, in [0, 1] units of the displayed image."""
    n0: int = 100
    """Noisy images that choose the class."""
    n: int = 10_000
    """Noisy images that bound its probability. More of them raise the largest radius that can be
    proven, slowly: 3.2 sigma with 10,000, 3.8 sigma with 100,000."""
    alpha: float = 0.001
    """Probability, at most, that the radius of a case is false."""
    batch: int | None = None
    """Noisy images in one pass. Default: as many as memory allows, up to 512. It changes no
    result."""

    def __post_init__(self) -> None:
        require_smoothing(self.sigma, self.n0, self.n, self.alpha, self.batch)

    @property
    def cap(self) -> float:
        """The radius of a class that every draw has voted for."""
        return certified_radius(self.n, self.n, self.sigma, self.alpha)

    @property
    def passes(self) -> int:
        """One for each draw."""
        return self.n0 + self.n

    @property
    def weights(self) -> str:
        """It has none."""
        return ""

    def check(self, model: Adapter) -> None:
        """It reads any network."""

    def base(self, model: Adapter) -> Model:
        """The classifier itself."""
        return model

    def votes(self, model: Adapter, x: Tensor, streams: Streams, n: int) -> Tensor:
        """How often each class is predicted under `n` draws of noise: `(cases, k)` int64."""
        return smoothed_votes(self.base(model), x, streams, self, n)

    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """Classes and proven radii; `ABSTAINED` where no class is proven to be more than half."""
        return certify_smoothed(self.base(model), x, streams, self)


def require_smoothing(sigma: float, n0: int, n: int, alpha: float, batch: int | None) -> None:
    """ValueError for parameters of smoothing that have no meaning."""
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be above 0, not {sigma}; 0.25 is a usual one")
    if n0 < 1 or n < 1:
        raise ValueError(f"n0 and n are numbers of draws, at least 1; got {n0} and {n}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is a probability between 0 and 1, not {alpha}; 0.001 is usual")
    if batch is not None and batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    if alpha ** (1 / n) <= 0.5:
        needed = math.floor(math.log(alpha) / math.log(0.5)) + 1
        raise ValueError(f"n = {n} draws prove nothing at alpha = {alpha}; take at least {needed}")


def probability_bound(count: int, n: int, alpha: float) -> float:
    """One-sided lower Clopper-Pearson bound of a probability, from `count` of `n` draws."""
    return float(beta.ppf(alpha, count, n - count + 1)) if count else 0.0


def certified_radius(
    count: int, n: int, sigma: float, alpha: float, deviation: float = 0.0
) -> float:
    """The L2 radius from how many of `n` draws voted for the class; 0 where nothing is proven.

    `deviation` is how far the probabilities of the draws may be from those of Gaussian noise.
    """
    p = probability_bound(count, n, alpha) - deviation
    return sigma * float(norm.ppf(p)) if p > 0.5 else 0.0


def certify_smoothed(
    base: Model, x: Tensor, streams: Streams, smoothing: RandomizedSmoothing
) -> Certified:
    """The certificate of a base classifier; draws that choose the class are not used again."""
    wrong = deviation(smoothing.sigma, x[0].numel())
    predicted, radii = [], []
    votes = _Votes(base, x, streams, smoothing)
    for case in range(len(x)):
        first = votes.of(case, smoothing.n0)
        if not int(first.sum()):
            raise InputError(
                "the network gives NaN or infinite logits for every noisy image of a case; noise "
                "takes pixels outside [0, 1], which it cannot read"
            )
        chosen = int(first.argmax())
        count = int(votes.of(case, smoothing.n)[chosen])
        radius = certified_radius(count, smoothing.n, smoothing.sigma, smoothing.alpha, wrong)
        predicted.append(chosen if radius > 0 else ABSTAINED)
        radii.append(radius)
    return Certified(torch.tensor(predicted), torch.tensor(radii, dtype=torch.float64))


def smoothed_votes(
    base: Model, x: Tensor, streams: Streams, smoothing: RandomizedSmoothing, n: int
) -> Tensor:
    """How often a base classifier predicts each class under `n` draws: `(cases, k)` int64."""
    votes = _Votes(base, x, streams, smoothing)
    return torch.stack([votes.of(case, n) for case in range(len(x))])


def _most(x: Tensor) -> int:
    """Noisy images of one of the images `x` in a pass, at most."""
    return max(1, min(MOST_AT_ONCE, MOST_VALUES // x[0].numel()))


class _Votes:
    """Draws noise for each case from its own stream, and counts what is predicted."""

    def __init__(
        self, base: Model, x: Tensor, streams: Streams, smoothing: RandomizedSmoothing
    ) -> None:
        self._base, self._x, self._sigma = base, x, smoothing.sigma
        self._generators = generators_of([streams[[case]].seed() for case in range(len(x))])
        self._most = smoothing.batch or find_batch_size(base, x[:1], _most(x)).used

    def of(self, case: int, n: int) -> Tensor:
        """Votes `(k,)` of the next `n` draws; logits that are not finite vote for no class."""
        total: Tensor | None = None
        for labels, classes in self._labels(case, n):
            counts = torch.bincount(labels, minlength=classes)
            total = counts if total is None else total + counts
        assert total is not None  # n is at least 1
        return total

    def _labels(self, case: int, n: int) -> Iterator[tuple[Tensor, int]]:
        while n > 0:
            size = min(n, self._most)
            images = noisy_images(self._x[case], self._sigma, self._generators[case], size)
            for part in self._passes(images):
                finite = part.isfinite().all(1)
                yield part.argmax(1)[finite].cpu(), part.shape[1]
            n -= size

    @torch.no_grad()
    def _passes(self, images: Tensor) -> Iterator[Tensor]:
        """Logits, part by part; the parts are halved where memory runs out."""
        place = 0
        while place < len(images):
            part = images[place : place + self._most]
            try:
                logits = self._base(part)
            except Exception as error:
                if self._most == 1 or not memory_ran_out(error):
                    raise
                self._most = max(1, len(part) // 2)
                continue
            yield logits
            place += len(part)
