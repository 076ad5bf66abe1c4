"""Attack on a smoothed classifier: SmoothAdv, Salman et al. 2019 (arXiv 1906.04584)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import binom
from torch import Tensor

from attacks import PGD, ThreatModel
from attacks.contract import Model
from attacks.streams import Streams
from robust.certificates.contract import SmoothedCertificate
from robust.models.acceleration.memory import find_batch_size
from robust.models.adapter import Adapter

DRAWS = 16
"""Draws of noise in the mean that each step climbs."""
ATTACK = PGD(steps=20, keep="last")
"""The last iterate is kept: which of several is best, the few draws of a step cannot tell."""
FALSE_SUCCESS = 1e-6
"""Probability, at most, that an image counts as misread and is not: far below any alpha, so that
crossings are not the fault of this test."""
ATTACK_TEXT = (
    f"SmoothAdv: PGD on the mean softmax over {DRAWS} draws of noise, {ATTACK.steps} steps"
)


@dataclass(frozen=True)
class MeanSoftmax:
    """The logarithm of the mean softmax over draws of noise, new ones at every call.

    Its gradient is the expectation over the noise. It takes the images of all its streams at once.
    """

    base: Model
    sigma: float
    streams: Streams
    draws: int = DRAWS

    def __call__(self, x: Tensor) -> Tensor:
        """`(n, k)`."""
        shares = [
            self.base(x + self.sigma * self.streams.normal(x)).log_softmax(1)
            for _ in range(self.draws)
        ]
        return torch.stack(shares).logsumexp(0) - math.log(self.draws)


def attack_smoothed(
    certificate: SmoothedCertificate,
    model: Adapter,
    x: Tensor,
    y: Tensor,
    eps: float,
    streams: Streams,
) -> list[float | None]:
    """L2 distance of an image within eps of each case that is predicted as another class.

    None where none is found. `x` is `(n, c, h, w)`, `y (n,)` what the smoothed classifier predicts.
    """
    base, found = certificate.base(model), list[float | None]()
    size = max(1, find_batch_size(base, x[:1], DRAWS * len(x)).used // DRAWS)
    for rows in torch.split(torch.arange(len(x)), size):
        own = streams[rows]
        mean = MeanSoftmax(base, certificate.sigma, own)
        images = ATTACK(mean, x[rows], y[rows], ThreatModel("L2", eps), own).detach()
        distance = ThreatModel("L2", eps).distance(images.double(), x[rows].double()).tolist()
        misread = _misread(certificate, model, images, y[rows], own)
        found += [d if wrong else None for d, wrong in zip(distance, misread, strict=True)]
    return found


def _misread(
    certificate: SmoothedCertificate, model: Adapter, images: Tensor, y: Tensor, streams: Streams
) -> list[bool]:
    """Which images the smoothed classifier predicts as another class than `y`, beyond chance.

    Only those of which some draws vote for another class first get the many draws.
    """
    first = certificate.votes(model, images, streams, certificate.n0)
    leading = (first.argmax(1) != y.cpu()).nonzero().flatten()
    wrong = [False] * len(images)
    if len(leading):
        part = images[leading.to(images.device)]
        votes = certificate.votes(model, part, streams[leading], certificate.n)
        for place, counts in zip(leading.tolist(), votes, strict=True):
            wrong[place] = outvoted(counts, int(y[place]))
    return wrong


def outvoted(counts: Tensor, label: int) -> bool:
    """Whether another class is likelier than `label`, by the votes `(k,)` and a binomial test.

    Were the label at least as likely as the class with the most votes, that class would win so many
    of the votes for the two with probability `FALSE_SUCCESS` / k at most.
    """
    most = int(counts.argmax())
    both = int(counts[most]) + int(counts[label])
    if most == label or not both:
        return False
    chance = float(binom.sf(int(counts[most]) - 1, both, 0.5))
    return chance * len(counts) <= FALSE_SUCCESS


def attack_passes(certificate: SmoothedCertificate) -> int:
    """Passes of the attack on one case at one eps, at most; a gradient counts as two."""
    return 2 * DRAWS * ATTACK.passes + certificate.n0 + certificate.n
