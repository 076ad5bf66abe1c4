"""Scores of corrupted images: error by kind and severity beside attacks of the same size, BE, rBE.

BE and rBE are those of Di Salvo, Doerrich and Ledig 2024, "MedMNIST-C: Comprehensive benchmark and
improved classifier robustness by simulating realistic image corruptions": the balanced error of a
kind, a mean over its severities, in units of that of a reference model, and the same of the
increase over the clean error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robust.corruptions.contract import Corruption
from robust.corruptions.predictions import CorruptedSample, Predictions
from robust.engine.cells import running_order
from robust.engine.session import Session
from robust.metrics.arrays import Array
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition
from robust.records import CorruptedScores, CorruptionKind, CorruptionResult, Estimate
from robust.tasks.contract import TaskScorer

ROUNDING = 1e-12
"""Errors that differ by less are the same."""


@dataclass(frozen=True)
class FoundImages:
    """What the attacks of an audit found for the cases of a sample."""

    l2: Array
    """`(cells, n)`: distances from the clean images; infinite where nothing was found."""
    errors: Array
    """`(cells, n)`: how wrong the model is on them, in [0, 1]."""

    def within(self, limits: Array, clean: Array) -> Array | None:
        """The largest error of each case `(n,)` on an image no farther than its limit `(n,)`.

        The clean image, with its error `(n,)`, counts as well. None where no attack came so near.
        """
        near = self.l2 <= limits
        if not near.any():
            return None
        worst: Array = np.maximum(np.where(near, self.errors, 0.0).max(0), clean)
        return worst


def score_corrupted(
    session: Session,
    sample: CorruptedSample,
    found: Predictions,
    kinds: Sequence[Corruption],
    severities: Sequence[int],
    *,
    modality: str,
    reference: str,
) -> CorruptionResult:
    """The result on a sample; `reference` says what the reference model is, "" without one."""
    scorer = sample_scorer(session, sample)
    clean = scorer.errors(found.clean)
    other = None if found.clean_reference is None else scorer.errors(found.clean_reference)
    attacked = _found_by_attacks(session, sample, scorer)
    errors = {key: scorer.errors(one.kept) for key, one in found.corrupted.items()}
    others = {
        key: scorer.errors(one.reference)
        for key, one in found.corrupted.items()
        if one.reference is not None
    }
    every = np.ones(len(sample.rows), bool)
    scores = []
    for (name, severity), one in found.corrupted.items():
        worst = attacked.within(one.l2, clean)
        l2, linf = (scorer.by_group.median(v, every) for v in (one.l2, one.linf))
        assert l2 is not None and linf is not None  # there are cases
        scores.append(
            CorruptedScores(
                kind=name,
                severity=severity,
                error=scorer.error(errors[name, severity]),
                median_l2=l2,
                median_linf=linf,
                attacked=None if worst is None else scorer.error(worst),
                reference=_error(scorer, others.get((name, severity))),
            )
        )
    clean_error, other_clean = scorer.error(clean), _error(scorer, other)
    by_kind = []
    for kind in kinds:
        mean = scorer.error(_mean([errors[kind.name, severity] for severity in severities]))
        its = [others[kind.name, severity] for severity in severities if others]
        its_mean = _error(scorer, _mean(its) if its else None)
        by_kind.append(
            CorruptionKind(
                kind=kind.name,
                family=kind.family,
                definition=kind.definition,
                error=mean,
                be=relative_error(mean, its_mean),
                rbe=relative_increase(mean, clean_error, its_mean, other_clean),
                note=kind.note,
            )
        )
    return CorruptionResult(
        modality=modality,
        clean=clean_error,
        mean=scorer.error(_mean(list(errors.values()))),
        kinds=tuple(by_kind),
        scores=tuple(scores),
        reference=reference,
        reference_clean=other_clean,
        reference_mean=_error(scorer, _mean(list(others.values())) if others else None),
        be=_mean_of_known([one.be for one in by_kind]),
        rbe=_mean_of_known([one.rbe for one in by_kind]),
    )


def relative_error(error: Estimate, reference: Estimate | None) -> float | None:
    """BE: an error in units of that of the reference model; None where that is 0, or without."""
    if reference is None or reference.value <= ROUNDING:
        return None
    return error.value / reference.value


def relative_increase(
    error: Estimate,
    clean: Estimate,
    reference: Estimate | None,
    reference_clean: Estimate | None,
) -> float | None:
    """rBE: an increase over the clean error in units of that of the reference model.

    None where the reference model loses nothing, or without one.
    """
    if reference is None or reference_clean is None:
        return None
    loss = reference.value - reference_clean.value
    return (error.value - clean.value) / loss if loss > ROUNDING else None


def sample_scorer(session: Session, sample: CorruptedSample) -> TaskScorer:
    """What the task scores the cases of a sample by."""
    cases = session.cases.select(sample.rows)
    by_group = ByGroup([entry.group for entry in cases.entries])
    return session.task.scorer(by_group, cases, Condition.clean(sample.clean))


def _found_by_attacks(session: Session, sample: CorruptedSample, scorer: TaskScorer) -> FoundImages:
    """Of every attack at every eps; a case that was not attacked has nothing."""
    place = {row: i for i, row in enumerate(sample.rows)}
    cells = running_order(session.cells)
    l2 = np.full((len(cells), len(place)), np.inf)
    errors = np.zeros_like(l2)
    for number, cell in enumerate(cells):
        kept = sample.clean.copy()
        for one in session.store.outcomes(cell.key):
            if one.row in place and one.failure is None:
                kept[place[one.row]], l2[number, place[one.row]] = one.kept, one.l2
        errors[number] = scorer.errors(kept)
    return FoundImages(l2, errors)


def _error(scorer: TaskScorer, errors: Array | None) -> Estimate | None:
    return None if errors is None else scorer.error(errors)


def _mean(errors: Sequence[Array]) -> Array:
    """Case by case, over several looks."""
    mean: Array = np.mean(errors, axis=0)
    return mean


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
