"""Sentences on adaptive attacks: how detectors fare when the attacker knows them."""

from __future__ import annotations

from collections.abc import Sequence

from robust.metrics.operating_point import fewest_groups_for
from robust.records import AdaptiveResult, Detection, Estimate
from robust.records.estimate import TOO_FEW
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
    if result.too_few:
        return (
            f" Fewer than {TOO_FEW} images fooled the model in adaptive attacks: too few for a "
            "verdict."
        )
    passing = result.undetected_rates[FALSE_ALARM_RATE]
    static = result.static_undetected_rates[FALSE_ALARM_RATE]
    if passing is None:
        return (
            " How often an attacker who knows this detector passes it is unknown: 5 % false alarms "
            f"take at least {fewest_groups_for(float(FALSE_ALARM_RATE))} groups of clean images."
        )
    known = short(detection.image_sets[detection.key_attack].name)
    alone = "" if static is None else f"; of those of {known} alone, {whole_percent(static)}"
    return (
        " When the attacker knows this detector, of the images that fool the model "
        f"{whole_percent(passing)} raise no alarm{alone}.{_whole_sentence(result, passing)}"
    )


def adaptive_summary(detection: Detection, detectors: Sequence[str]) -> str:
    """To follow the share that passes these detectors unknown; empty where no attack was run."""
    rates = _undetected_rates(detection, detectors)
    if not rates:
        return ""
    low, high = rate_of_hundred(rates[0]), rate_of_hundred(rates[-1])
    share = low if low == high else f"between {low} and {high}"
    return f"; if the attacker knows the detector, {share}"


def adaptive_line(detection: Detection, detectors: Sequence[str]) -> str:
    """The same without intervals, in at most 80 characters."""
    rates = _undetected_rates(detection, detectors)
    if not rates:
        return ""
    low, high = (of_hundred(e.value) for e in (rates[0], rates[-1]))
    share = low if low == high else f"{low} to {high}"
    return f"If the attacker knows the detector, {share} of 100 pass."


def _whole_sentence(result: AdaptiveResult, passing: Estimate) -> str:
    """What the detector stops, and how many of all cases fall nevertheless."""
    evasion = result.evasion_rates[FALSE_ALARM_RATE]
    if evasion is None:
        return ""
    of_all = f"Of all cases, {whole_percent(evasion)} fall unnoticed"
    if passing.value > 0.995:
        return f" The detector stopped none of them. {of_all}."
    return f" {of_all}; without the detector, {of_hundred(result.fooled.value)} % fall."


def _undetected_rates(detection: Detection, detectors: Sequence[str]) -> list[Estimate]:
    """Of the adaptive attacks that get a verdict, those with an interval, in ascending order."""
    results = [detection.adaptive_result(name) for name in detectors]
    rates = [
        one.undetected_rates[FALSE_ALARM_RATE]
        for one in results
        if one and not one.too_few and not one.explained_by_selection
    ]
    return sorted((rate for rate in rates if rate and rate.interval), key=lambda one: one.value)
