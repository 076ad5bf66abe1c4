"""Every number of a report in one list, each with its condition, interval, control and doubt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
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
from robust.units import format_threat, printed_threat

Section = Literal[
    "clean",
    "worst case",
    "attacks",
    "detectors",
    "scenarios",
    "certificates",
    "corruptions",
    "storage",
    "deployed version",
]
SECTIONS: tuple[Section, ...] = (
    *("clean", "worst case", "attacks", "detectors", "scenarios"),
    *("certificates", "corruptions", "storage", "deployed version"),
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

    def __str__(self) -> str:
        """`random noise of the same size: 0.95 [0.9, 1]`."""
        ends = self.estimate.interval
        interval = f" [{ends[0]:.9g}, {ends[1]:.9g}]" if ends else ", no interval"
        return f"{self.name}: {self.estimate.value:.9g}{interval}"


@dataclass(frozen=True)
class MeasuredUnder:
    """What a number was measured under: in words, and in the names that the report has for it."""

    text: str
    """`clean`, `PGD, L∞ 1/255`, or what else."""
    subject: str = ""
    """The certificate, corruption, scenario or detector."""
    attack: str = ""
    """Or the control that a detector scored."""
    norm: str = ""
    eps: float | None = None
    kind: str = ""
    """As the record says it: `exact`, `curve` or `clean`; of images that a detector scored
    `attack`, `noise` or `change`; of a certificate what it is of."""
    fitted_set: ImageSet | None = None
    """The attack that a detector was fitted on."""
    subgroup: str = ""
    """`column = value`, or the size of a structure; empty for all cases."""
    of: str = ""
    """The class, structure, severity, query budget or false-alarm rate that a measure is of."""

    @property
    def fitted_on(self) -> str:
        """`PGD, L∞ 1/255`; empty where no detector was fitted on an attack."""
        return "" if self.fitted_set is None else _image_set(self.fitted_set)


@dataclass(frozen=True)
class ReportedNumber:
    """One number of a report, in words that stand by themselves."""

    section: Section
    measure: str
    """Name of the measure, as a word of a programming language: `robust_accuracy`."""
    under: MeasuredUnder
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
    def condition(self) -> str:
        """`clean`, `PGD, L∞ 1/255`, or what else it was measured under."""
        return self.under.text

    @property
    def place(self) -> str:
        """Condition and part of the cases in one text, by which the number is known."""
        return f"{self.condition}; {self.part}" if self.part else self.condition


def reported_numbers(report: Report) -> tuple[ReportedNumber, ...]:
    """All numbers of a report, but for curves: each eps of the plan stands for itself.

    What serves others as a control is in the list as well, under its own name.
    """
    found = [replace(n, is_control=True) for n in _row("clean", report.clean)]
    noise = {(row.norm, row.eps): _by_measure(row) for row in reversed(report.rows) if row.baseline}
    for row, verdict in zip(report.worst_cases, report.verdicts, strict=True):
        doubt = verdict if is_withheld(verdict) else ""
        found += _against_noise(_row("worst case", row), noise.get((row.norm, row.eps)), doubt)
    for row in report.rows:
        control = None if row.baseline else noise.get((row.norm, row.eps))
        numbers = _against_noise(_row("attacks", row), control, "")
        found += (replace(one, is_control=row.baseline) for one in numbers)
    if report.detection is not None:
        found += _detectors(report.detection)
    for one in report.scenarios:
        found += _scenario(one)
    for proof in report.certificates:
        found += _certificate(proof)
    if report.corruptions is not None:
        found += _corruptions(report.corruptions)
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
        yield replace(one, controls=controls, doubt=doubt)


def _row(section: Section, row: AttackResult) -> Iterator[ReportedNumber]:
    under = MeasuredUnder(
        condition(row), attack=row.attack, norm=row.norm, eps=row.eps, kind=row.kind
    )
    yield from _scores(section, under, row.scores)
    for part in row.subgroups:
        subgroup = f"{plain(part.column)} = {plain(part.value)}"
        yield from _scores(section, replace(under, subgroup=subgroup), part.scores)


def _scores(section: Section, under: MeasuredUnder, scores: Scores) -> Iterator[ReportedNumber]:
    attacked = under.kind != "clean"

    def number(
        measure: str, estimate: Estimate, noun: str = "", of: str = "", size: str = ""
    ) -> ReportedNumber:
        name = f"{measure}{UNDER_ATTACK}" if attacked and measure in _CLEAN_TOO else measure
        one = f"{noun} {plain(of)}" if of else ""
        part = ", ".join(text for text in (under.subgroup, one, size) if text)
        subgroup = ", ".join(text for text in (under.subgroup, size) if text)
        where = replace(under, subgroup=subgroup, of=of)
        return ReportedNumber(section, name, where, estimate, part)

    for field in dataclasses.fields(scores):
        value = getattr(scores, field.name)
        if isinstance(value, Estimate):
            yield number(field.name, value)
        elif field.name == "ece_chance" and value is not None and scores.ece is not None:
            cases, groups = scores.ece.cases, scores.ece.groups
            yield number(field.name, Estimate(value, None, None, cases, groups))
    for name, recall in scores.recall.items():
        if recall is not None:
            yield number("recall", recall, "class", name)
    for name, outlines in scores.outlines.items():
        for measure, size, estimate in _outlines(outlines):
            yield number(measure, estimate, "structure", name, size)


def _outlines(scores: OutlineScores) -> Iterator[tuple[str, str, Estimate]]:
    for field in dataclasses.fields(scores):
        if isinstance(value := getattr(scores, field.name), Estimate):
            yield field.name, "", value
    for size in scores.by_size:
        if size.dice is not None:
            yield "dice", plain(size.name), size.dice


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
        under = replace(
            _of_detector(found, score, _image_set(images)),
            attack=images.name,
            norm=images.norm,
            eps=images.eps,
            kind=images.kind,
        )
        yield from _seen(under, score, null, beside)
    for null in found.null_controls:
        doubt = "the null control raised an alarm" if null.alarm else ""
        under = _of_detector(found, null, "clean images against clean images")
        yield ReportedNumber("detectors", "null_control_auc", under, null.auc, "", (), doubt, True)
    for one in found.adaptive:
        yield from _adaptive(one)


def _of_detector(found: Detection, one: DetectorScore | NullControl, where: str) -> MeasuredUnder:
    fitted = None if one.fitted_on is None else found.image_sets[one.fitted_on]
    on = "" if fitted is None else f" fitted on {_image_set(fitted)}"
    text = f"{plain(one.detector)}{on}: {where}"
    return MeasuredUnder(text, subject=one.detector, fitted_set=fitted)


def _image_set(images: ImageSet) -> str:
    if not images.norm:
        return plain(images.name)
    return f"{plain(images.name)}, {printed_threat(images.norm, images.eps)}"


def _seen(
    under: MeasuredUnder,
    score: DetectorScore,
    null: NullControl | None,
    beside: DetectorScore | None,
) -> Iterator[ReportedNumber]:
    kind = "detector" if under.kind == "attack" else "control"
    doubts = {
        "the null control raised an alarm": null is not None and null.alarm,
        "fewer than 30 images": score.too_few,
    }
    doubt = "; ".join(text for text, holds in doubts.items() if holds)
    nulls = () if null is None else (ControlNumber("null control, no attack at all", null.auc),)

    def number(
        measure: str, value: Estimate, *controls: ControlNumber, why: str = doubt, of: str = ""
    ) -> ReportedNumber:
        where = replace(under, of=of)
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
            yield number(f"{kind}_rate_at_{rate}_false_alarms", seen, *noise(other), of=rate)


def _adaptive(one: AdaptiveResult) -> Iterator[ReportedNumber]:
    names = ", ".join(plain(name) for name in one.attacks)
    text = f"{plain(one.detector)}: adaptive attacks ({names})"
    under = MeasuredUnder(text, subject=one.detector, attack=", ".join(one.attacks))
    doubt = "fewer than 30 images" if one.too_few else ""

    def number(
        measure: str, value: Estimate | None, static: Estimate | None, of: str = ""
    ) -> Iterator[ReportedNumber]:
        controls = () if static is None else (ControlNumber(STATIC, static),)
        for name, found, beside in (("adaptive", value, controls), ("static", static, ())):
            if found is not None:
                full, where = f"{name}_{measure}", replace(under, of=of)
                yield ReportedNumber("detectors", full, where, found, "", beside, doubt)

    yield from number("fooled", one.fooled, None)
    yield from number("paired_auc", one.paired_auc, one.static_paired_auc)
    yield from number("auc", one.auc, one.static_auc)
    yield from number("selection_auc", one.selection_auc, one.static_selection_auc)
    for name in ("undetected", "evasion"):
        own, other = getattr(one, f"{name}_rates"), getattr(one, f"static_{name}_rates")
        for rate in own:
            measure = f"{name}_rate_at_{rate}_false_alarms"
            yield from number(measure, own[rate], other.get(rate), rate)


# --- beyond attacks on single images ---


def _scenario(one: Scenario) -> Iterator[ReportedNumber]:
    said = SCENARIO_WORDS[one.name]
    parts = (said.name, scenario_size(one), scenario_effort(one))
    known = one.norm is not None  # else the size is a share or an angle, and no eps
    where = MeasuredUnder(
        ", ".join(plain(text) for text in parts if text),
        subject=one.name,
        attack=one.attack,
        norm=one.norm or "",
        eps=one.size if known else None,
        of="" if one.budget is None else f"budget {one.budget}",
    )
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
        where: MeasuredUnder,
        value: Estimate | None,
        controls: tuple[ControlNumber, ...] = (),
        why: str = "",
    ) -> Iterator[ReportedNumber]:
        if value is not None:
            yield ReportedNumber(
                *("corruptions", measure, where, value, "", controls, why),
                is_control=not controls,
            )

    none, every = MeasuredUnder("no corruption"), MeasuredUnder("mean over all corruptions")
    yield from number("clean_error", none, found.clean)
    yield from number("mean_corrupted_error", every, found.mean, clean)
    yield from number("clean_reference_error", none, found.reference_clean)
    yield from number("mean_reference_error", every, found.reference_mean, clean_reference)
    for kind in found.kinds:
        where = MeasuredUnder(f"{plain(kind.kind)}, mean over severities", kind.kind)
        yield from number("mean_corrupted_error", where, kind.error, clean, plain(kind.note))
    for one in found.scores:
        severity = f"severity {one.severity}"
        where = MeasuredUnder(f"{plain(one.kind)}, {severity}", one.kind, of=severity)
        yield from number("corrupted_error", where, one.error, clean)
        yield from number("attacked_error_at_this_distance", where, one.attacked, clean)
        yield from number("reference_error", where, one.reference, clean_reference)
        yield from number("median_l2", where, one.median_l2)
        yield from number("median_linf", where, one.median_linf)


def _certificate(proof: CertifiedAccuracy) -> Iterator[ReportedNumber]:
    name = f"{plain(proof.certificate)} of the {proof.function}"

    whole = MeasuredUnder(name, subject=proof.certificate, norm=proof.norm, kind=proof.function)

    def number(
        measure: str,
        where: MeasuredUnder,
        value: Estimate | None,
        *controls: ControlNumber,
        why: str = "",
    ) -> Iterator[ReportedNumber]:
        if value is not None:
            yield ReportedNumber(
                "certificates", measure, where, value, controls=controls, doubt=why
            )

    yield from number("certified_function_accuracy", whole, proof.clean)
    yield from number("abstained", whole, proof.abstained)
    yield from number("median_certified_radius", whole, proof.median_radius)
    for point in proof.points:
        text = f"{name}, {format_threat(proof.norm, point.eps, default='')}"
        where = replace(whole, text=text, eps=point.eps, attack=proof.attack)
        why = f"{point.crossings} proven cases were changed by attacks" if point.crossings else ""
        upper = (
            ()
            if point.attacked is None
            else (ControlNumber("upper bound: left correct by attacks", point.attacked),)
        )
        yield from number("certified_accuracy", where, point.certified, *upper, why=why)
        yield from number("left_correct_by_attacks", where, point.attacked)


def _storage(one: Survival, noise: _Noise | None) -> Iterator[ReportedNumber]:
    text = f"saved as files, {printed_threat('Linf', one.eps)}"
    where = MeasuredUnder(text, norm="Linf", eps=one.eps)
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
    def number(measure: str, where: MeasuredUnder, value: Estimate) -> ReportedNumber:
        return ReportedNumber("deployed version", measure, where, value)

    clean = MeasuredUnder("unmodified images", kind="clean")
    yield number("agreement", clean, twin.agreement)
    yield number("audited_model_accuracy", clean, twin.audited_accuracy)
    yield number("deployed_version_accuracy", clean, twin.twin_accuracy)
    for shown in twin.shown:
        size = printed_threat(shown.norm, shown.eps)
        text = f"images made on the audited model, {size}"
        where = MeasuredUnder(text, norm=shown.norm, eps=shown.eps, kind="shown images")
        yield number("agreement", where, shown.agreement)
        yield number("audited_model_fooled", where, shown.audited_fooled)
        yield number("deployed_version_fooled", where, shown.twin_fooled)
        yield number("deployed_version_alone_fooled", where, shown.twin_alone)
        yield number("audited_model_alone_fooled", where, shown.audited_alone)
    for one in twin.attacked:
        size = printed_threat(one.norm, one.eps)
        text = f"{plain(one.attack)} with {one.queries} queries on each, {size}"
        where = MeasuredUnder(
            text, attack=one.attack, norm=one.norm, eps=one.eps, of=f"budget {one.queries}"
        )
        yield number("audited_model_left_correct", where, one.audited_correct)
        yield number("deployed_version_left_correct", where, one.twin_correct)
