"""Opening facts: dates, model, intended use, criteria, visibility, limits, next steps."""

from __future__ import annotations

from robust.records import Exhibit, Report, Visibility
from robust.records.verdicts import is_withheld, withholding
from robust.report.text.format import (
    counted,
    decimals,
    flat,
    images,
    listed,
    of_hundred,
    quoted,
)
from robust.report.text.headline import Verdict, verdicts
from robust.report.text.provenance import provenance_facts
from robust.report.text.words import words
from robust.units import NORMS, eps_text, norm_text

NOT_STATED = "not stated"
STATED = {
    "model_version": "Model version",
    "operator": "Operator",
    "intended_use": "Intended use",
    "acceptance_criteria": "Acceptance criteria",
}
"""Fields of the plan's `[report]` that the opening quotes, with their names on the page."""
UPPER_BOUND = (
    "{kept} is at most the value shown: another attack may find more. The numbers hold "
    "for this model file, this preprocessing and this population."
)
ELSEWHERE = (
    "changes made before the image is acquired, poisoning of data or model, extraction of the "
    "model or of patient data, and attacks on the software and network around the model"
)
_SCENARIOS = {
    "universal": "universal perturbations",
    "patch": "patches",
    "spatial": "rotations and shifts",
    "transfer": "images made on another model",
    "queries": "decision-based attacks, which see labels alone",
}
"""Attackers with less knowledge, by the name of the scenario in the records."""
_BROKEN = ("fails", "mostly fooled", "partly robust")


def opening_facts(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Names, each with one or more sentences."""
    stated, timings = report.plan.get("report") or {}, report.timings
    subject, what = words(report).subject(report)
    name = stated.get("model_name") or dict(provenance_facts(report)).get("Model") or NOT_STATED
    facts: list[tuple[str, tuple[str, ...]]] = [
        ("Date of the audit", (date_text(timings.audited),)),
        ("Date of the report", (date_text(timings.reported),)),
        ("Model", (flat(name),)),
        *((title, (_stated(stated.get(field)),)) for field, title in STATED.items()),
        (subject, (what,)),
        ("Visibility of the change", (visibility_sentence(report),)),
        ("Not tested", limits(report)),
        ("What to do next", next_steps(report)),
    ]
    return tuple(facts)


def date_text(date: str) -> str:
    """`2026-11-26 12:46 UTC`, from UTC in ISO 8601."""
    return f"{date[:10]} {date[11:16]} UTC" if date else "not known"


def visibility_sentence(report: Report) -> str:
    """What was measured of the smallest change that fools; whether a reader sees it was not."""
    image = words(report).image
    if not report.visibility:
        return f"No {image} fooled the model, so that there is no change to measure."
    first = report.visibility[0]
    text = (
        f"The smallest change that fools the model ({norm_text(first.norm)} "
        f"{eps_text(first.eps, first.norm)}): median PSNR {first.median_psnr:.1f} dB over "
        f"{counted(first.images, image)}, the largest change of a pixel "
        f"{levels_text(first.median_linf)} of 255 grey levels (median)"
    )
    if similarity := ssim_text(report.gallery, first):
        text += f", SSIM {similarity} in the example images"
    return f"{text}. Whether a reader sees it was not tested."


def levels_text(linf: float) -> str:
    """A change of a pixel in grey levels of 255: `0.50`, `0.004`."""
    return decimals(255 * linf, 2)


def ssim_text(gallery: tuple[Exhibit, ...], visibility: Visibility) -> str:
    """`0.987 to 0.992`: SSIM of the example images that fool at this eps; empty without any."""
    found = [
        frame.ssim
        for exhibit in gallery
        for frame in exhibit.images
        if exhibit.norm == visibility.norm and frame.eps == visibility.eps
        if frame.success and frame.ssim is not None
    ]
    if not found:
        return ""
    low, high = (
        f"{one:.3f}" if one < 0.9995 else "above 0.999" for one in (min(found), max(found))
    )
    if low != high and high.startswith("above"):
        return f"{low} or more"
    return low if low == high else f"{low} to {high}"


def limits(report: Report) -> tuple[str, ...]:
    """What this audit did not test, and what its numbers hold for."""
    used = {row.norm for row in report.rows} | {row.norm for row in report.worst_cases}
    unused = [norm_text(norm) for norm in NORMS if norm not in used and norm != "L2-slice"]
    left = [f"attacks in {listed(unused, len(unused))}"] if unused else []
    if report.detection is None:
        left += ["detection of attacks", "copies of these images among those learned from"]
    elif not report.detection.adaptive:
        left.append("attackers who know the detector")
    known = {scenario.name for scenario in report.scenarios}
    left += [words for name, words in _SCENARIOS.items() if name not in known]
    if not report.certificates and not report.task.is_segmentation:
        left.append("proofs of robustness")
    if report.corruptions is None:
        left.append("corruption by scanners, storage and movement")
    return (
        *([f"{_sentence(left)}."] if left else []),
        f"{_sentence([ELSEWHERE])}.",
        upper_bound(report),
    )


def upper_bound(report: Report) -> str:
    """That attacks give an upper bound, and what the numbers hold for."""
    return UPPER_BOUND.format(kept=words(report).kept)


def next_steps(report: Report) -> tuple[str, ...]:
    """What a reader should do, the most urgent first."""
    steps = []
    if not report.is_finished:
        steps.append(
            f"Finish the audit: give the same command again. Missing: {report.missing_text}."
        )
    if report.flags:
        warnings = "warning" if len(report.flags) == 1 else f"{len(report.flags)} warnings"
        steps.append(f"Read the {warnings} first: the numbers mean less where one applies.")
    steps += _by_verdict(report)
    if not any((report.plan.get("gates") or {}).values()):
        steps.append(
            "Put the values that you need into [gates] of the plan: a later audit that misses them "
            "then fails."
        )
    stated = report.plan.get("report") or {}
    left_out = [name.lower() for field, name in STATED.items() if not stated.get(field)]
    if left_out:
        steps.append(f"State in [report] of the plan: {listed(left_out, most=len(left_out))}.")
    return tuple(steps)


def _by_verdict(report: Report) -> list[str]:
    found = verdicts(report)
    broken = next((v for v in found if v.word in _BROKEN), None)
    undecided = [v for v in found if v.word == "undecided"]
    steps = []
    if report.is_finished and (step := _withheld_step(found)):
        steps.append(step)
    if broken is not None:
        success = broken.worst_case.scores.success
        image = words(report).image
        part = "" if success is None else f" in {of_hundred(success.value)} of 100 {image}s"
        steps.append(
            f"An attacker who may {broken.threat} misleads the model{part}. Decide whether that is "
            "acceptable for the intended use. If it is not, harden the model by adversarial "
            "training, audit it again and compare the two runs."
        )
    if undecided:
        groups = counted(report.data.groups, "group")
        steps.append(
            f"Audit more groups: with {groups}, {counted(len(undecided), 'verdict')} of "
            f"{len(found)} could not be given."
        )
    if found and all(v.word == "robust" for v in found):
        steps.append(
            "Before you rely on this, run stronger attacks and larger eps: no attack that was run "
            f"misleads the model on many {images(report)}, and others may."
        )
    return steps


def _withheld_step(found: list[Verdict]) -> str:
    """What to do about verdicts that warnings void; empty where all are given."""
    withheld = [v.word for v in found if is_withheld(v.word)]
    if not withheld:
        return ""
    names = withholding(withheld)
    warnings = "warning" if len(names) == 1 else "warnings"
    them = "it" if len(withheld) == 1 else "them"
    return (
        f"{len(withheld)} of {counted(len(found), 'verdict')} cannot be given: follow the advice "
        f"beside the {warnings} {listed([quoted(name) for name in names])}, then audit again to "
        f"get {them}."
    )


def _sentence(parts: list[str]) -> str:
    text = listed(parts, most=len(parts))
    return text[0].upper() + text[1:]


def _stated(value: object) -> str:
    return flat(value) if value else NOT_STATED
