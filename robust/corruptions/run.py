"""The corruptions of a plan: checked, told in passes, and run on a sample of all cases."""

from __future__ import annotations

import re

from robust.corruptions.predictions import CorruptedSample, predict_corrupted
from robust.corruptions.registry import MODALITIES, corruptions_of
from robust.corruptions.scoring import score_corrupted
from robust.engine.run_memory import CORRUPTIONS, FinishedCorruptions
from robust.engine.session import Session
from robust.errors import InputError
from robust.models import weights_hash
from robust.plan.spec import AuditSpec, CorruptionsSpec
from robust.records import CorruptionResult


def check_corruptions(spec: CorruptionsSpec | None, noun: str) -> None:
    """InputError, before any work, for a modality, a kind or severities that cannot be.

    `noun` is what the data call their images. Every task is served: masks still fit,
    though motion blur and zoom blur of MedMNIST-C move edges by a part of their reach.
    """
    if spec is None:
        return
    if not spec.severities:
        raise InputError("[corruptions] severities is empty; name some of 1 to 5, or leave it out")
    if len(set(spec.severities)) < len(spec.severities):
        raise InputError("[corruptions] severities names a severity twice; name each once")
    corruptions_of(modality_of(spec, noun), spec.kinds)


def corruption_passes(spec: CorruptionsSpec | None, cases: int) -> float:
    """Forward passes of single images, at most, on so many cases; 0 where a plan asks for none.

    Where the modality follows from the data, those of the one with most kinds.
    """
    if spec is None:
        return 0.0
    named = MODALITIES if spec.modality is None else (spec.modality,)
    looks = max(_kinds_of(modality, spec) for modality in named) * len(spec.severities)
    total = looks if spec.reference is None else 2 * looks + 1
    return float(total * min(cases, spec.cases))


def _kinds_of(modality: str, spec: CorruptionsSpec) -> int:
    """How many kinds a plan asks for; none where the modality lacks one of them."""
    try:
        return len(corruptions_of(modality, spec.kinds))
    except InputError:
        return 0


def modality_of(spec: CorruptionsSpec, noun: str) -> str:
    """The modality that a plan names, or that of images called `noun`; InputError without one."""
    if spec.modality is not None:
        return spec.modality
    found = [name for name in MODALITIES if re.search(rf"\b{name}s?\b", noun, re.IGNORECASE)]
    if len(found) != 1:
        raise InputError(
            f"[corruptions] needs a modality, since the data are called {noun!r}: name one of "
            f"{', '.join(MODALITIES)}"
        )
    return found[0]


def run_corruptions(
    spec: CorruptionsSpec | None, audit: AuditSpec, session: Session
) -> CorruptionResult | None:
    """Every kind and severity on a sample of all cases, right or wrong when clean.

    Every batch of cases is stored as soon as it is finished. None where the plan asks for none.
    InputError where the reference model answers another question, or a model gives NaN.
    """
    if spec is None:
        return None
    modality = modality_of(spec, session.cases.noun)
    kinds = corruptions_of(modality, spec.kinds)
    severities = sorted(spec.severities)

    def made() -> FinishedCorruptions:
        sample = CorruptedSample.of(session, spec.cases, audit.seed)
        found = predict_corrupted(session, sample, kinds, severities, audit.seed)
        reference = _reference_text(spec, session)
        return FinishedCorruptions(
            score_corrupted(
                *(session, sample, found, kinds, severities), modality=modality, reference=reference
            )
        )

    return session.store.memo(CORRUPTIONS, made).corruptions


def _reference_text(spec: CorruptionsSpec, session: Session) -> str:
    """What the reference model is; no path, which may name a person or a place."""
    model = session.corruption_reference
    if model is None:
        return ""
    named = spec.reference.architecture if spec.reference else None
    name = named or type(model.network).__name__
    return f"{name}, weights {weights_hash(model)[:12]}"
