"""What certificates prove, beside what attacks found on the same cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class CertifiedPoint:
    """One eps: the share of cases proven correct, and the share that attacks left correct."""

    eps: float
    """In [0, 1] units of the displayed image."""
    certified: Estimate
    """Share of the cases that are correct and proven to stay so within eps: a lower bound."""
    attacked: Estimate | None
    """Share of the same cases that every attack on the same function, in the same norm and at most
    at this eps left correct: an upper bound. None where no such attack ran."""
    crossings: int
    """Number of cases that are proven at this eps and that an attack changed within it."""


@dataclass(frozen=True)
class CertifiedAccuracy:
    """One certificate on a sample of the cases that the goal of the attacks applies to."""

    certificate: str
    """Name of the certificate in the plan."""
    text: str
    """The certificate with all its parameters."""
    norm: str
    """`Linf` or `L2`."""
    function: Literal["network", "smoothed"]
    """What the proof is about: the audited network, or the network smoothed by noise, which is
    another classifier. Attacks on the other one say nothing about it."""
    deterministic: bool
    """Whether the proof holds for certain; else each case with probability 1 - `alpha` at least."""
    alpha: float | None
    """Probability, at most, that a case is proven falsely; None of a deterministic certificate."""
    clean: Estimate
    """Share of the cases that this function reads correctly without attack; to abstain is no
    correct reading."""
    abstained: Estimate | None
    """Share of the cases on which the smoothed classifier abstains; None of a network."""
    median_radius: Estimate | None
    """Median certified radius of the cases; 0 where a case is misread or nothing is proven."""
    cap: float | None
    """Largest radius that can be proven at all with so many samples; None where there is no
    limit."""
    radii: tuple[float, ...]
    """Ascending from 0, in [0, 1] units; at each further one another case is no longer proven.
    Thinned out where they are many."""
    certified: tuple[Estimate, ...]
    """Certified accuracy up to and with each radius."""
    points: tuple[CertifiedPoint, ...]
    """The eps of the plan, ascending."""
    attack: str
    """The attacks on the same function that it is compared with; empty where none ran."""
    compared: int
    """Number of proven cases for which an attack looked for an image within the proven radius."""
    crossings: int
    """Number of cases with an adversarial image nearer than the proven radius."""
    allowed: int
    """Largest number of crossings that chance explains: a binomial test at 5 % of `compared` cases
    at `alpha`. 0 of a deterministic certificate, where one is a fault."""
    failed: int = 0
    """Number of cases on which the certificate broke off; nothing counts as proven for them."""
    failure: str = ""
    """Why it did so on the first of them; empty where it did not."""

    @property
    def is_contradicted(self) -> bool:
        """Whether attacks cross the proof more often than chance explains: a fault of one."""
        return self.crossings > self.allowed

    @property
    def crossed_text(self) -> str:
        """How often attacks cross the proof, as the end of a sentence without its full stop."""
        images = "an adversarial image" if self.crossings == 1 else "adversarial images"
        text = (
            f"attacks tried {self.compared} proven cases, and in {self.crossings} of them found "
            f"{images} nearer than the proven radius"
        )
        return text if self.deterministic else f"{text}; chance explains at most {self.allowed}"

    def at(self, eps: float) -> CertifiedPoint:
        """The point at that eps (within 1e-9); KeyError if there is none."""
        for point in self.points:
            if abs(point.eps - eps) < 1e-9:
                return point
        raise KeyError(f"{self.certificate} has no point at eps {eps:g}")
