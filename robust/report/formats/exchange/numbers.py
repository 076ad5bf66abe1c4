"""Every number of a report in one list, each with its interval, its control and its doubt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from robust.records import (
    AdaptiveResult,
    AttackResult,
    CertifiedAccuracy,
    CorruptionResult,
    Detection,
    DetectorScore,
    Estimate,
    ImageSet,
    NullControl,
    OutlineScores,
    Report,
    Scenario,
    Scores,
    Survival,
    Twin,
)
from robust.records.verdicts import is_withheld
from robust.report.text.format import condition, plain
from robust.report.text.scenarios import SCENARIO_WORDS, scenario_effort, scenario_size
from robust.units import eps_text, format_threat, norm_text

Section = Literal[
    "clean",
    "worst case",
    "attacks",
    "detectors",
    "scenarios",
    "corruptions",
    "certificates",
    "storage",
    "deployed version",
]
SECTIONS: tuple[Section, ...] = (
    *("clean", "worst case", "attacks", "detectors", "scenarios"),
    *("corruptions", "certificates", "storage", "deployed version"),
)
"""Parts of a report, in the order of the list."""
_CLEAN_TOO = (
    *("accuracy", "sensitivity", "specificity", "auc", "ece", "ece_chance", "brier", "dice"),
    *("recall", "iou", "surface_dice", "hd95", "volume_error", "missed", "invented"),
)
"""Measures that exist without an attack as well: with one they bear another name, so that nobody
who collects one by its name takes it for the other."""
UNDER_ATTACK = "_under_attack"
NOISE = "random noise of the same size"
SELECTION = "the clean images of these cases"
STATIC = "the same attack without knowledge of the detector"


@dataclass(frozen=True)
class ControlNumber:
    """What a number is to be compared with: the same measure where nobody attacks."""

    name: str
    """What it is, in words."""
    estimate: Estimate


@dataclass(frozen=True)
class ReportedNumber:
    """One number of a report, in words that stand by themselves."""

    section: Section
    measure: str
    """Name of the measure, as a word of a programming language: `robust_accuracy`."""
    condition: str
    """`clean`, `PGD, L∞ 1/255`, or what else it was measured under."""
    estimate: Estimate
    """The number with its interval."""
    part: str = ""
    """Which part of the cases: `sex = f`, `class pneumonia`; empty for all of them."""
    controls: tuple[ControlNumber, ...] = ()
    """Empty where there is none in this report."""
    doubt: str = ""
    """Why no verdict is given; empty where nothing voids it."""
    is_control: bool = False
    """Whether nobody attacks here, so that it needs no control of its own."""

    @property
    def place(self) -> str:
        """Condition and part of the cases in one text, by which the number is known."""
        return f"{self.condition}; {self.part}" if self.part else self.condition


def reported_numbers(report: Report) -> tuple[ReportedNumber, ...]:
    """All numbers of a report, but for curves: each eps of the plan stands for itself.

    What serves others as a control is in the list as well, under its own name.
    """
    found = [dataclasses.replace(n, is_control=True) for n in _row("clean", report.clean)]
    noise = {(row.norm, row.eps): _by_measure(row) for row in reversed(report.rows) if row.baseline}
    for row, verdict in zip(report.worst_cases, report.verdicts, strict=True):
        doubt = verdict if is_withheld(verdict) else ""
        found += _against_noise(_row("worst case", row), noise.get((row.norm, row.eps)), doubt)
    for row in report.rows:
        control = None if row.baseline else noise.get((row.norm, row.eps))
        numbers = _against_noise(_row("attacks", row), control, "")
        found += (dataclasses.replace(one, is_control=row.baseline) for one in numbers)
    if report.detection is not None:
        found += _detectors(report.detection)
    for one in report.scenarios:
        found += _scenario(one)
    if report.corruptions is not None:
        found += _corruptions(report.corruptions)
    for proof in report.certificates:
        found += _certificate(proof)
    for survived in report.survival:
        found += _storage(survived, noise.get(("Linf", survived.eps)))
    if report.twin is not None:
        found += _deployed(report.twin)
    return tuple(found)


_Noise = Mapping[tuple[str, str], Estimate]


def _by_measure(row: AttackResult) -> dict[tuple[str, str], Estimate]:
    return {(one.measure, one.part): one.estimate for one in _row("attacks", row)}


def _against_noise(
    numbers: Iterator[ReportedNumber], noise: _Noise | None, doubt: str
) -> Iterator[ReportedNumber]:
    for one in numbers:
        measure, name = one.measure, NOISE
        if measure == "attacker_auc":  # noise aims at nothing
            measure, name = f"auc{UNDER_ATTACK}", f"AUC under {NOISE}"
        found = None if noise is None else noise.get((measure, one.part))
        controls = () if found is None else (ControlNumber(name, found),)
        yield dataclasses.replace(one, controls=controls, doubt=doubt)


def _row(section: Section, row: AttackResult) -> Iterator[ReportedNumber]:
    yield from _scores(section, condition(row), "", row.scores, attacked=row.kind != "clean")
    for part in row.subgroups:
        name = f"{plain(part.column)} = {plain(part.value)}"
        yield from _scores(section, condition(row), name, part.scores, row.kind != "clean")


def _scores(
    section: Section, where: str, part: str, scores: Scores, attacked: bool
) -> Iterator[ReportedNumber]:
    def number(measure: str, estimate: Estimate, inner: str = "") -> ReportedNumber:
        name = f"{measure}{UNDER_ATTACK}" if attacked and measure in _CLEAN_TOO else measure
        what = ", ".join(text for text in (part, inner) if text)
        return ReportedNumber(section, name, where, estimate, what)

    for field in dataclasses.fields(scores):
        value = getattr(scores, field.name)
        if isinstance(value, Estimate):
            yield number(field.name, value)
        elif field.name == "ece_chance" and value is not None and scores.ece is not None:
            cases, groups = scores.ece.cases, scores.ece.groups
            yield number(field.name, Estimate(value, None, None, cases, groups))
    for name, recall in scores.recall.items():
        if recall is not None:
            yield number("recall", recall, f"class {plain(name)}")
    for name, outlines in scores.outlines.items():
        for measure, inner, estimate in _outlines(outlines):
            yield number(measure, estimate, f"structure {plain(name)}{inner}")


def _outlines(scores: OutlineScores) -> Iterator[tuple[str, str, Estimate]]:
    for field in dataclasses.fields(scores):
        if isinstance(value := getattr(scores, field.name), Estimate):
            yield field.name, "", value
    for size in scores.by_size:
        if size.dice is not None:
            yield "dice", f", {plain(size.name)}", size.dice


# --- detectors ---


def _detectors(found: Detection) -> Iterator[ReportedNumber]:
    sets = found.image_sets
    noise = {(one.norm, one.eps): i for i, one in enumerate(sets) if one.kind == "noise"}
    known = {(s.detector, s.fitted_on, s.image_set): s for s in found.detector_scores}
    nulls = {(n.detector, n.fitted_on): n for n in found.null_controls}
    for score in found.detector_scores:
        images = sets[score.image_set]
        null = nulls.get((score.detector, score.fitted_on))
        place = noise.get((images.norm, images.eps)) if images.kind == "attack" else None
        beside = None if place is None else known.get((score.detector, score.fitted_on, place))
        yield from _seen(_fitted(found, score), images, score, null, beside)
    for null in found.null_controls:
        doubt = "the null control raised an alarm" if null.alarm else ""
        where = f"{_fitted(found, null)}: clean images against clean images"
        yield ReportedNumber("detectors", "null_control_auc", where, null.auc, "", (), doubt, True)
    for one in found.adaptive:
        yield from _adaptive(one)


def _fitted(found: Detection, one: DetectorScore | NullControl) -> str:
    if one.fitted_on is None:
        return plain(one.detector)
    return f"{plain(one.detector)} fitted on {_image_set(found.image_sets[one.fitted_on])}"


def _image_set(images: ImageSet) -> str:
    if not images.norm:
        return plain(images.name)
    return f"{plain(images.name)}, {norm_text(images.norm)} {eps_text(images.eps, images.norm)}"


def _seen(
    detector: str,
    images: ImageSet,
    score: DetectorScore,
    null: NullControl | None,
    beside: DetectorScore | None,
) -> Iterator[ReportedNumber]:
    where = f"{detector}: {_image_set(images)}"
    kind = "detector" if images.kind == "attack" else "control"
    doubts = {
        "the null control raised an alarm": null is not None and null.alarm,
        "fewer than 30 images": score.too_few,
    }
    doubt = "; ".join(text for text, holds in doubts.items() if holds)
    nulls = () if null is None else (ControlNumber("null control, no attack at all", null.auc),)

    def number(
        measure: str, value: Estimate, *controls: ControlNumber, why: str = doubt
    ) -> ReportedNumber:
        return ReportedNumber(
            "detectors", measure, where, value, "", controls, why, is_control=kind == "control"
        )

    def noise(value: Estimate | None) -> tuple[ControlNumber, ...]:
        return () if value is None else (ControlNumber(NOISE, value),)

    if score.paired_auc is not None:
        own = None if beside is None else beside.paired_auc
        yield number(f"{kind}_paired_auc", score.paired_auc, *nulls, *noise(own))
    selection = score.selection_auc
    if score.auc is not None:
        chosen = () if selection is None else (ControlNumber(SELECTION, selection),)
        explained = "the cases that fall explain it" if score.explained_by_selection else ""
        why = "; ".join(text for text in (doubt, explained) if text)
        yield number(f"{kind}_auc", score.auc, *nulls, *chosen, why=why)
    if selection is not None:
        yield number(f"{kind}_selection_auc", selection, *nulls)
    for rate, seen in score.detection_rates.items():
        if seen is not None:
            other = None if beside is None else beside.detection_rates.get(rate)
            yield number(f"{kind}_rate_at_{rate}_false_alarms", seen, *noise(other))


def _adaptive(one: AdaptiveResult) -> Iterator[ReportedNumber]:
    names = ", ".join(plain(name) for name in one.attacks)
    where = f"{plain(one.detector)}: adaptive attacks ({names})"
    doubt = "fewer than 30 images" if one.too_few else ""

    def number(
        measure: str, value: Estimate | None, static: Estimate | None
    ) -> Iterator[ReportedNumber]:
        controls = () if static is None else (ControlNumber(STATIC, static),)
        for name, found, beside in (("adaptive", value, controls), ("static", static, ())):
            if found is not None:
                full = f"{name}_{measure}"
                yield ReportedNumber("detectors", full, where, found, "", beside, doubt)

    yield from number("fooled", one.fooled, None)
    yield from number("paired_auc", one.paired_auc, one.static_paired_auc)
    yield from number("auc", one.auc, one.static_auc)
    yield from number("selection_auc", one.selection_auc, one.static_selection_auc)
    for name in ("undetected", "evasion"):
        own, other = getattr(one, f"{name}_rates"), getattr(one, f"static_{name}_rates")
        for rate in own:
            measure = f"{name}_rate_at_{rate}_false_alarms"
            yield from number(measure, own[rate], other.get(rate))


# --- beyond attacks on single images ---


def _scenario(one: Scenario) -> Iterator[ReportedNumber]:
    said = SCENARIO_WORDS[one.name]
    parts = (said.name, scenario_size(one), scenario_effort(one))
    where = ", ".join(plain(text) for text in parts if text)
    control = (ControlNumber(said.control, one.control),)
    overlap = "" if one.beats_control else "the intervals of attack and control overlap"
    yield ReportedNumber("scenarios", "fooled", where, one.fooled, controls=control, doubt=overlap)
    yield ReportedNumber("scenarios", "fooled_by_control", where, one.control, is_control=True)
    if one.surrogate_fooled is not None:
        yield ReportedNumber("scenarios", "surrogate_fooled", where, one.surrogate_fooled)


def _corruptions(found: CorruptionResult) -> Iterator[ReportedNumber]:
    clean = (ControlNumber("the same error without corruption", found.clean),)
    other = found.reference_clean
    clean_reference = (
        () if other is None else (ControlNumber("the same error without corruption", other),)
    )

    def number(
        measure: str,
        where: str,
        value: Estimate | None,
        controls: tuple[ControlNumber, ...] = (),
        why: str = "",
    ) -> Iterator[ReportedNumber]:
        if value is not None:
            yield ReportedNumber(
                *("corruptions", measure, where, value, "", controls, why),
                is_control=not controls,
            )

    yield from number("clean_error", "no corruption", found.clean)
    yield from number("mean_corrupted_error", "mean over all corruptions", found.mean, clean)
    yield from number("clean_reference_error", "no corruption", found.reference_clean)
    yield from number(
        "mean_reference_error", "mean over all corruptions", found.reference_mean, clean_reference
    )
    for kind in found.kinds:
        name = f"{plain(kind.kind)}, mean over severities"
        yield from number("mean_corrupted_error", name, kind.error, clean, plain(kind.note))
    for one in found.scores:
        where = f"{plain(one.kind)}, severity {one.severity}"
        yield from number("corrupted_error", where, one.error, clean)
        yield from number("attacked_error_at_this_distance", where, one.attacked, clean)
        yield from number("reference_error", where, one.reference, clean_reference)
        yield from number("median_l2", where, one.median_l2)
        yield from number("median_linf", where, one.median_linf)


def _certificate(proof: CertifiedAccuracy) -> Iterator[ReportedNumber]:
    name = f"{plain(proof.certificate)} of the {proof.function}"

    def number(
        measure: str, where: str, value: Estimate | None, *controls: ControlNumber, why: str = ""
    ) -> Iterator[ReportedNumber]:
        if value is not None:
            yield ReportedNumber(
                "certificates", measure, where, value, controls=controls, doubt=why
            )

    yield from number("certified_function_accuracy", name, proof.clean)
    yield from number("abstained", name, proof.abstained)
    yield from number("median_certified_radius", name, proof.median_radius)
    for point in proof.points:
        where = f"{name}, {format_threat(proof.norm, point.eps, default='')}"
        why = f"{point.crossings} proven cases were changed by attacks" if point.crossings else ""
        upper = (
            ()
            if point.attacked is None
            else (ControlNumber("upper bound: left correct by attacks", point.attacked),)
        )
        yield from number("certified_accuracy", where, point.certified, *upper, why=why)
        yield from number("left_correct_by_attacks", where, point.attacked)


def _storage(one: Survival, noise: _Noise | None) -> Iterator[ReportedNumber]:
    where = f"saved as files, {norm_text('Linf')} {eps_text(one.eps)}"
    by_noise = None if noise is None else noise.get(("success", ""))
    random = () if by_noise is None else (ControlNumber(f"{NOISE}, not saved", by_noise),)
    clean = one.jpeg_clean
    after = () if clean is None else (ControlNumber("clean images after the same JPEG", clean),)
    for measure, value, controls in (
        ("fooled_as_computed", one.computed, random),
        ("fooled_after_quantisation", one.quantised, random),
        ("fooled_after_adversarial_rounding", one.adversarially_rounded, random),
        ("fooled_after_jpeg", one.jpeg, after),
    ):
        if value is not None:
            yield ReportedNumber("storage", measure, where, value, "", controls)
    if clean is not None:
        yield ReportedNumber("storage", "clean_misread_after_jpeg", where, clean, is_control=True)


def _deployed(twin: Twin) -> Iterator[ReportedNumber]:
    def number(measure: str, where: str, value: Estimate) -> ReportedNumber:
        return ReportedNumber("deployed version", measure, where, value)

    yield number("agreement", "unmodified images", twin.agreement)
    yield number("audited_model_accuracy", "unmodified images", twin.audited_accuracy)
    yield number("deployed_version_accuracy", "unmodified images", twin.twin_accuracy)
    for shown in twin.shown:
        where = f"images made on the audited model, {norm_text(shown.norm)} "
        where += eps_text(shown.eps, shown.norm)
        yield number("agreement", where, shown.agreement)
        yield number("audited_model_fooled", where, shown.audited_fooled)
        yield number("deployed_version_fooled", where, shown.twin_fooled)
        yield number("deployed_version_alone_fooled", where, shown.twin_alone)
        yield number("audited_model_alone_fooled", where, shown.audited_alone)
    for one in twin.attacked:
        size = f"{norm_text(one.norm)} {eps_text(one.eps, one.norm)}"
        where = f"{plain(one.attack)} with {one.queries} queries on each, {size}"
        yield number("audited_model_left_correct", where, one.audited_correct)
        yield number("deployed_version_left_correct", where, one.twin_correct)
