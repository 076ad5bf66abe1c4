"""What acquisition, storage and movement do to the model: errors on corrupted images."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records.estimate import Estimate


@dataclass(frozen=True)
class CorruptedScores:
    """One kind of corruption at one severity."""

    kind: str
    """Name of the corruption, as `robust list corruptions` prints it."""
    severity: int
    """From 1, mild, to 5."""
    error: Estimate
    """Balanced error, the mean over classes of the share that is misread; of outlines 1 minus the
    mean Dice."""
    median_l2: Estimate
    """Median L2 distance between the corrupted and the clean image, in [0, 1] pixel units."""
    median_linf: Estimate
    """Median L-infinity distance, in [0, 1] pixel units."""
    attacked: Estimate | None
    """The same error if each case shows, in place of the corrupted image, the most damaging image
    that an attack of the audit found no farther in L2 than the corrupted one. None where no attack
    came so near."""
    reference: Estimate | None = None
    """The same error of the reference model; None without one."""


@dataclass(frozen=True)
class CorruptionKind:
    """One kind of corruption over its severities."""

    kind: str
    """Name of the corruption."""
    family: str
    """`digital`, `noise`, `blur`, `colour`, `task` or `scanner`."""
    definition: str
    """Who defines the severities: `MedMNIST-C, pneumoniamnist`, or the paper or convention of the
    scanner's effect."""
    error: Estimate
    """Mean of the error over the severities."""
    be: float | None = None
    """BE of Di Salvo et al. 2024: the mean error in units of that of the reference model."""
    rbe: float | None = None
    """rBE: the mean increase over the clean error in units of that of the reference model. None
    where the reference loses nothing."""
    note: str = ""
    """What a reader must know of it, such as severities that are not monotone by definition; empty
    for nothing."""


@dataclass(frozen=True)
class CorruptionResult:
    """All corruptions of a plan, on a sample of all cases, right or wrong when clean."""

    modality: str
    """The modality whose corruptions were applied, such as `chest X-ray`."""
    clean: Estimate
    """The error without corruption, on the same cases."""
    mean: Estimate
    """Mean of the error over all kinds and severities."""
    kinds: tuple[CorruptionKind, ...]
    """The kinds, in the order of the plan."""
    scores: tuple[CorruptedScores, ...]
    """Every kind at every severity, in this order."""
    reference: str = ""
    """What the reference model is; empty without one."""
    reference_clean: Estimate | None = None
    """Error of the reference model without corruption."""
    reference_mean: Estimate | None = None
    """Mean of its error over all kinds and severities."""
    be: float | None = None
    """Mean of `be` over the kinds."""
    rbe: float | None = None
    """Mean of `rbe` over the kinds."""

    def at(self, kind: str, severity: int) -> CorruptedScores:
        """The scores of a kind at a severity; KeyError if there are none."""
        for one in self.scores:
            if one.kind == kind and one.severity == severity:
                return one
        raise KeyError(f"no corruption {kind} at severity {severity}")
