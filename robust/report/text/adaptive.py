"""Sentences on adaptive attacks: how detectors fare when the attacker knows them."""

from __future__ import annotations

from collections.abc import Sequence

from robust.metrics.operating_point import fewest_groups_for
from robust.records import AdaptiveResult, Detection, Estimate
from robust.report.text.format import (
    FALSE_ALARM_RATE,
    of_hundred,
    rate_of_hundred,
    short,
    whole_percent,
)


def adaptive_sentences(detection: Detection, detector: str) -> str:
    """Sentences to follow a detector's result on the known attack; empty where none was run."""
    result = detection.adaptive_result(detector)
    if result is None or detection.key_attack is None:
        return ""
    evasion = result.evasion_rates[FALSE_ALARM_RATE]
    static = result.static_evasion_rates[FALSE_ALARM_RATE]
    if evasion is None or static is None:
        return (
            " How often an attacker who knows this detector passes it is unknown: 5 % false alarms "
            f"take at least {fewest_groups_for(float(FALSE_ALARM_RATE))} groups of clean images."
        )
    known = short(detection.image_sets[detection.key_attack].name)
    text = (
        f" When the attacker knows this detector, {whole_percent(evasion)} of the images fool the "
        f"model and raise no alarm; with {known} alone, {whole_percent(static)} do."
    )
    if result.fooled.value - evasion.value > 0.005:
        return f"{text} Without the detector, {of_hundred(result.fooled.value)} % fool the model."
    return f"{text} The detector stopped none of the images that fooled the model."


def adaptive_summary(detection: Detection, detectors: Sequence[str]) -> str:
    """All these detectors in one sentence, with intervals; empty where no attack was run."""
    rates = _evasion_rates(detection, detectors)
    if not rates:
        return ""
    low, high = rate_of_hundred(rates[0]), rate_of_hundred(rates[-1])
    share = low if low == high else f"between {low} and {high}"
    fooled = max(one.fooled.value for one in _results(detection, detectors))
    return (
        f"When the attacker knows the detector, {share} of 100 images fool the model and raise no "
        f"alarm; without a detector, {of_hundred(fooled)} fool the model."
    )


def adaptive_line(detection: Detection, detectors: Sequence[str]) -> str:
    """The same without intervals, in at most 80 characters."""
    rates = _evasion_rates(detection, detectors)
    if not rates:
        return ""
    low, high = (of_hundred(e.value) for e in (rates[0], rates[-1]))
    share = low if low == high else f"{low} to {high}"
    return f"If the attacker knows the detector, {share} of 100 fool the model undetected."


def _results(detection: Detection, detectors: Sequence[str]) -> list[AdaptiveResult]:
    return [one for name in detectors if (one := detection.adaptive_result(name))]


def _evasion_rates(detection: Detection, detectors: Sequence[str]) -> list[Estimate]:
    """In ascending order."""
    rates = [one.evasion_rates[FALSE_ALARM_RATE] for one in _results(detection, detectors)]
    return sorted((one for one in rates if one is not None), key=lambda one: one.value)
