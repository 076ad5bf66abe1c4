"""A detection made of drawn scores: every number in it follows from the others."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from robust.metrics.by_group import auc
from robust.records import (
    AdaptiveResult,
    Detection,
    DetectorScore,
    Estimate,
    FeatureMap,
    ImageSet,
    NullControl,
    ReferenceSet,
    Report,
    Scenario,
    ScoreCurves,
    Timings,
)
from tests.records.test_report import report

Scores = npt.NDArray[np.float64]

CLEAN = 160
CHANGES = ("JPEG at quality 75", "brightness + 5 %", "rotation by 3 degrees", "blur")
STRENGTHS = {"KernelDensity": 1.2, "LID": 0.7, "Mahalanobis": 2.0, "MaxSoftmax": -0.8}
UNFITTED = ("MaxSoftmax", "Energy")
"""Detectors without a head."""
ATTACKS = (
    ImageSet("attack", "FGSM", "Linf", 1 / 255, 12),
    ImageSet("attack", "PGD", "Linf", 1 / 255, 61),
    ImageSet("attack", "FGSM", "Linf", 4 / 255, 77),
    ImageSet("attack", "PGD", "Linf", 4 / 255, 150),
)


def detection(
    strengths: Mapping[str, float] = STRENGTHS,
    attacks: Sequence[ImageSet] = ATTACKS,
    key: int | None = 1,
    alarms: Sequence[str] = (),
    seed: int = 0,
) -> Detection:
    """Detectors of these strengths (shift of the attacked scores, in deviations) on these attacks.

    An attack that is empty is neither fitted on nor, without cases, shown.
    """
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys((a.norm, a.eps) for a in attacks)
    noises = [ImageSet("noise", "noise", norm, eps, CLEAN) for norm, eps in sizes]
    changes = [ImageSet("change", name, "", None, CLEAN) for name in CHANGES]
    shown = (*attacks, *noises, *changes)
    sightings: list[DetectorScore] = []
    nulls: list[NullControl] = []
    traces: list[ScoreCurves] = []
    fits = [i for i, a in enumerate(attacks) if not a.unfitted_reason]
    for name, strength in strengths.items():
        for fitted in [None] if name in UNFITTED else fits:
            clean = rng.normal(size=CLEAN)
            scores = {
                i: rng.normal(_shift(strength, one, fitted == i), size=one.cases)
                for i, one in enumerate(shown)
                if one.cases
            }
            sightings += [
                DetectorScore(
                    name,
                    fitted,
                    i,
                    *_worth(clean, own, len(own) < CLEAN),
                    too_few=len(own) < 30,
                    explained_by_selection=False,
                )
                for i, own in scores.items()
            ]
            value = 0.5 + (0.12 if name in alarms else float(rng.normal(0, 0.008)))
            estimate = Estimate(value, value - 0.02, value + 0.02, CLEAN, CLEAN // 2)
            nulls.append(NullControl(name, fitted, estimate, 1e-9, name in alarms))
            if key is not None and fitted in (None, key) and key in scores:
                noise = scores.get(_noise(shown, key), np.array([]))
                traces.append(_trace(name, clean, scores[key], noise))
    return Detection(
        detectors={name: f"{name}(strength={value})" for name, value in strengths.items()},
        layers=("layer1", "layer2", "penultimate"),
        reference=ReferenceSet("train", 300, 120, 2),
        cases=CLEAN,
        groups=CLEAN // 2,
        correct_cases=CLEAN + 7,
        folds=5,
        key_attack=key,
        image_sets=shown,
        detector_scores=tuple(sightings),
        null_controls=tuple(nulls),
        score_curves=tuple(traces),
        feature_maps=() if key is None else tuple(_scatters(rng, attacks, key)),
    )


@cache
def many() -> Detection:
    """Eight detectors, twenty attacks, twenty-nine columns, and an attacker who knows."""
    names = (*STRENGTHS, "DeepFeatures", "QuantizedFeatures", "BayesianUncertainty", "Energy")
    sizes = [(attack, k) for attack in ("FGSM", "BIM", "PGD", "CW") for k in (0.5, 1, 2, 4, 8)]
    attacks = [ImageSet("attack", name, "Linf", k / 255, int(20 + 15 * k)) for name, k in sizes]
    strengths = {name: -0.6 + 0.35 * i for i, name in enumerate(names)}
    return evaded(detection(strengths, attacks, key=11))


def evaded(made: Detection, **passes: float) -> Detection:
    """The same with an attacker who knows: of every detector, or those named, this share passes."""
    chosen = passes or {name: 0.4 + 0.05 * i for i, name in enumerate(made.detectors)}

    def estimate(value: float, spread: float = 0.07) -> Estimate:
        return Estimate(value, max(0.0, value - spread), min(1.0, value + spread), 60, 40)

    every = tuple(
        AdaptiveResult(
            detector=name,
            attacks={"JointPGD": "JointPGD(steps=100)"},
            fooled=estimate(0.9),
            undetected_rates={rate: estimate(share / 0.9) for rate in ("0.01", "0.05", "0.1")},
            static_undetected_rates={"0.01": estimate(0.35), "0.05": estimate(0.3), "0.1": estimate(0.22)},
            paired_auc=estimate(0.43, 0.032),
            static_paired_auc=estimate(0.74, 0.041),
            auc=estimate(0.4, 0.031),
            static_auc=estimate(0.8, 0.042),
            selection_auc=estimate(0.57, 0.061),
            static_selection_auc=estimate(0.59, 0.062),
            evasion_rates={"0.01": estimate(share + 0.05), "0.05": estimate(share), "0.1": estimate(share - 0.1)},
            static_evasion_rates={"0.01": estimate(0.3), "0.05": estimate(0.25), "0.1": estimate(0.2)},
            cases_by_attack={"PGD": 10, "JointPGD": 44},
            too_few=False,
            explained_by_selection=False,
            surrogate_agreement=0.83 if name == "DeepFeatures" else None,
        )
        for name, share in chosen.items()
    )  # fmt: skip
    return dataclasses.replace(made, adaptive=every)


def without(made: Detection, detector: str, **changes: object) -> Detection:
    """Changed sightings of one detector."""
    sightings = tuple(
        dataclasses.replace(s, **changes) if s.detector == detector else s  # type: ignore[arg-type]
        for s in made.detector_scores
    )
    return dataclasses.replace(made, detector_scores=sightings)


def _shift(strength: float, shown: ImageSet, matched: bool) -> float:
    if shown.kind == "change":
        return 0.15 * strength
    size = min(1.6, 0.6 + 80 * (shown.eps or 0.02))
    return strength * size * (1 if matched else 0.7 if shown.kind == "attack" else 0.25)


def _worth(
    clean: Scores, own: Scores, selected: bool
) -> tuple[Estimate, Estimate, Estimate | None, dict[str, Estimate]]:
    """Paired AUC, a little below that against all clean images, its control, detection rates."""
    positive = np.arange(len(clean) + len(own)) >= len(clean)
    value = auc(np.concatenate([clean, own]), positive)
    groups = max(1, len(own) // 2)

    def estimate(share: float, spread: float) -> Estimate:
        low, high = max(0.0, share - spread), min(1.0, share + spread)
        return Estimate(share, low, high, len(own), groups)

    seen = {}
    for share in (0.01, 0.05, 0.1):
        rate = float(np.mean(own > np.quantile(clean, 1 - share)))
        seen[f"{share:g}"] = estimate(rate, 1.96 * np.sqrt(rate * (1 - rate) / groups))
    reach = 0.9 / np.sqrt(groups + 5)
    paired = estimate(0.5 + 0.9 * (value - 0.5), reach)
    return paired, estimate(value, reach), estimate(0.56, reach) if selected else None, seen


def _noise(shown: Sequence[ImageSet], key: int) -> int:
    own = shown[key]
    places = [i for i, s in enumerate(shown) if s.kind == "noise"]
    return next(i for i in places if (shown[i].norm, shown[i].eps) == (own.norm, own.eps))


def _trace(name: str, clean: Scores, attacked: Scores, noise: Scores) -> ScoreCurves:
    limits = np.quantile(clean, np.linspace(1, 0, 60))
    roc = [(float(np.mean(clean > t)), float(np.mean(attacked > t))) for t in limits]
    edges = np.linspace(-3, 5, 31)

    def count(values: Scores) -> tuple[int, ...]:
        return tuple(int(n) for n in np.histogram(np.clip(values, -3, 5), edges)[0])

    parts = count(clean), count(clean[: len(attacked)]), count(attacked), count(noise)
    curve = (0.0, 0.0), *roc, (1.0, 1.0)
    return ScoreCurves(name, curve, curve, tuple(map(float, edges)), *parts)


def _scatters(rng: np.random.Generator, attacks: Sequence[ImageSet], key: int) -> list[FeatureMap]:
    def cloud(count: int, x: float) -> tuple[tuple[float, float], ...]:
        points = rng.normal((x, 0), 4, (min(count, 300), 2)).round(2)
        return tuple((float(a), float(b)) for a, b in points)

    alike = [i for i, a in enumerate(attacks) if a.eps == attacks[key].eps and a.cases >= 5]
    return [FeatureMap(i, cloud(attacks[i].cases, 0), cloud(attacks[i].cases, 5)) for i in alike]


def report_on(found: Detection | None = None, *, drawn: bool = False, **changes: Any) -> Report:
    """A report on a detection, without its figures unless they are asked for."""
    found = found or detection()
    bare = found if drawn else dataclasses.replace(found, score_curves=(), feature_maps=())
    return report(detection=bare, timings=Timings(1.0, {"PGD": 1.0}), **changes)


def cells_of(page: str, table: str) -> list[list[tuple[str, str]]]:
    """Class and text of each cell of one table, line by line."""
    (body,) = re.findall(rf'<table id="{table}".*?<tbody>(.*?)</tbody>', page, re.S)
    lines = []
    for row in re.findall(r"<tr.*?>(.*?)</tr>", body, re.S):
        found = re.findall(r"<(t[hd])([^>]*)>(.*?)</t[hd]>", row, re.S)
        lines.append(
            [
                (" ".join(re.findall(r'class="(.*?)"', attributes)), re.sub("<.*?>", "", text))
                for _, attributes, text in found
            ]
        )
    return lines


def estimate(value: float, spread: float = 0.05) -> Estimate:
    return Estimate(value, value - spread, value + spread, 60, 40)


def scenario(name: str, **changes: object) -> Scenario:
    base = Scenario(name, f"{name}()", 8, 2 / 255, "Linf", estimate(0.4), estimate(0.1))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


SCENARIOS = (
    scenario("universal", budget=1, fooled=estimate(0.12)),
    scenario("universal"),
    scenario("patch", size=0.048, norm=None, budget=30),
    scenario("transfer", budget=None, surrogate_fooled=estimate(0.9)),
    scenario("queries", budget=500, failure="RuntimeError: out of luck"),
)
SCENARIO_REPORT = dataclasses.replace(report_on(detection()), scenarios=SCENARIOS)
