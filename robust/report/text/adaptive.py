"""What detectors are worth against an attacker who knows of them, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from robust.records import Detection, Estimate
from robust.report.text.format import SHARE, of_hundred, short, whole


def clause(detection: Detection, detector: str) -> str:
    """A sentence to follow what a detector sees of the known attack; nothing if none tried."""
    found = detection.adaptive_result(detector)
    if found is None or detection.key_attack is None:
        return ""
    passes, static = found.evasion_rates[SHARE], found.static_evasion_rates[SHARE]
    known = short(detection.image_sets[detection.key_attack].name)
    text = (
        f" An attacker who knows of it passes model and detector with {_share(passes)} of cases, "
        f"{known} with {_share(static)}"
    )
    if found.fooled.value - passes.value > 0.005:
        return f"{text}; the model alone is fooled on {of_hundred(found.fooled.value)} %."
    return f"{text}; no case that fools the model is stopped."


def overall(detection: Detection, detectors: Sequence[str]) -> str:
    """All these detectors in half a sentence; nothing if nobody tried."""
    found = _passes(detection, detectors)
    if not found:
        return ""
    low, high = (f"{of_hundred(e.value)} {whole(e)}" for e in (found[0], found[-1]))
    share = low if low == high else f"between {low} and {high}"
    them = "them" if len(found) > 1 else "it"
    return f"an attacker who knows of {them} passes with {share} of 100 cases"


def in_a_line(detection: Detection, detectors: Sequence[str]) -> str:
    """The same without intervals, for a terminal."""
    found = _passes(detection, detectors)
    if not found:
        return ""
    low, high = (of_hundred(e.value) for e in (found[0], found[-1]))
    return f"; who knows of them passes with {low if low == high else f'{low} to {high}'}"


def _passes(detection: Detection, detectors: Sequence[str]) -> list[Estimate]:
    """The least first."""
    found = [
        one.evasion_rates[SHARE] for name in detectors if (one := detection.adaptive_result(name))
    ]
    return sorted(found, key=lambda estimate: estimate.value)


def _share(estimate: Estimate) -> str:
    return f"{of_hundred(estimate.value)} % {whole(estimate)}"
