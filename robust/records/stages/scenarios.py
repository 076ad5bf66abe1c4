"""Results of scenarios: attackers with less knowledge or other means, and the deployed version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class Scenario:
    """One scenario on cases that are correct without attack, beside its control."""

    name: str
    """`universal`: one perturbation for every image; `patch`: a square of any pixels; `transfer`:
    images made on a surrogate model; `queries`: only the predicted label is known; `spatial`: the
    worst rotation and shift of a grid."""
    attack: str
    """The attack with all its parameters."""
    budget: int | None
    """Number of images that it was fitted on (`universal`, `patch`: at least as many), or queries
    per case (`queries`), or moves of the grid (`spatial`); None for `transfer`."""
    size: float
    """eps in [0, 1] pixel units; for a patch its share of the image's area, in [0, 1]; for
    `spatial` the largest rotation, in degrees."""
    norm: str | None
    """`Linf` or `L2`; None for a patch, whose pixels have no bound, and for `spatial`."""
    fooled: Estimate
    """Share of cases that are misread; none of them was used for fitting."""
    control: Estimate
    """The same share for the control, which is no attack: a random change of the same size, the
    square of another clean image, as many random images as queries, or a random rotation and
    shift."""
    surrogate_fooled: Estimate | None = None
    """Share of cases whose images fool the surrogate that they were made on; None but for
    `transfer`."""
    shift: float | None = None
    """Of `spatial`: the largest shift, as a share of the image's side."""
    failure: str = ""
    """Why the attack broke off on some cases, empty where it did not; what it had found until then
    counts."""

    @property
    def beats_control(self) -> bool:
        """Whether the two intervals do not overlap, and the attack's is the higher one."""
        low, high = self.fooled.low, self.control.high
        return low is not None and high is not None and low > high


@dataclass(frozen=True)
class TwinShownImages:
    """Images that attacks made on the audited model at one eps, shown to both."""

    norm: str
    """`Linf` or `L2`."""
    eps: float | None
    """In [0, 1] pixel units; None for attacks that look for the nearest image."""
    agreement: Estimate
    """Share of cases that both read alike under every attack."""
    audited_fooled: Estimate
    """Share of cases that some attack fools the audited model on."""
    twin_fooled: Estimate
    """Share of cases whose images, of some attack, fool the deployed version."""
    twin_alone: Estimate
    """Share of cases that fool the deployed version and not the audited model."""
    audited_alone: Estimate
    """Share of cases that fool the audited model and not the deployed version."""


@dataclass(frozen=True)
class TwinAttacked:
    """One attack without gradients, run on each of both models at one eps."""

    attack: str
    """`Square`, which sees outputs, or `HopSkipJump`, which sees labels."""
    queries: int
    """Query budget for each case."""
    norm: str
    """`Linf` or `L2`."""
    eps: float
    """In [0, 1] pixel units."""
    audited_correct: Estimate
    """Share of cases that the audited model still reads correctly."""
    twin_correct: Estimate
    """Share of cases that the deployed version still reads correctly."""
    failure: str = ""
    """Why the attack broke off on some cases; what it had found until then counts."""


@dataclass(frozen=True)
class Twin:
    """The audited model beside its deployed version."""

    source: str
    """What the deployed version is: its format, and its precision where that is low."""
    weights_sha256: str
    """SHA-256 of its weights."""
    agreement: Estimate
    """Share of unmodified images that both read alike."""
    audited_accuracy: Estimate
    """Accuracy of the audited model on these images."""
    twin_accuracy: Estimate
    """Accuracy of the deployed version on the same images."""
    describe: Mapping[str, Any] = field(default_factory=dict)
    """Preprocessing and head of the deployed version."""
    shown: tuple[TwinShownImages, ...] = ()
    """One for each norm and eps, on cases that both read correctly without attack; empty where
    fewer than two patients have one."""
    attacked: tuple[TwinAttacked, ...] = ()
    """Attacks on the deployed version itself, on the same cases."""
