"""Sentences on detectors: detection rate, chance level, null control, false alarms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from robust.metrics.operating_point import fewest_groups_for, groups_needed_for
from robust.records import Detection, DetectorScore, Estimate, ImageSet, NullControl
from robust.report.text.adaptive import adaptive_line, adaptive_sentences, adaptive_summary
from robust.report.text.format import (
    FALSE_ALARM_RATE,
    bracket,
    counted,
    listed,
    of_hundred,
    rate_of_hundred,
    short,
    told_apart,
    whole_percent,
)
from robust.units import eps_text, norm_text

LEGEND = (
    "A detector reads the activations inside the model and gives each image a score: the higher "
    "the score, the more suspicious the image. A false alarm of a detector is a clean "
    "(unmodified) image that it flags as attacked. The paired AUC compares attacked images with "
    "the clean images of the same cases. The AUC against all clean images also counts which cases "
    "fall: those near the decision boundary, which may look suspicious before anybody attacks "
    "them. The selection control measures that alone: clean images of the cases that fall against "
    "clean images of the others; the expected AUC is 0.5. The null control repeats the whole "
    "evaluation with unmodified images used in place of attacked ones: the expected AUC is 0.5, "
    "because there is nothing to find. It raises an alarm if its AUC is more than 0.03 away from "
    "0.5 and the difference is significant (level 1 % over all null controls, Holm's correction)."
)

SELECTION_ALONE = (
    "Whether the attack can be detected is not shown: what the detectors notice is which cases "
    "fall, and not the attack."
)
SELECTION_LINE = "The detectors notice which cases fall, not the attack: no verdict."


def null_control_warning(detection: Detection) -> tuple[str, ...]:
    """The first sentence of a report in which a null control raised an alarm; empty otherwise."""
    alarms = null_control_alarms(detection)
    if not alarms:
        return ()
    name, null = max(alarms.items(), key=lambda item: abs(item[1].auc.value - 0.5))
    return (
        f"Do not trust the results of {listed(told_apart([*alarms]))}: {short(name)} "
        "separated unmodified images from other unmodified images (null control: AUC "
        f"{auc_text(null.auc)}, expected 0.5).",
    )


def null_control_alarms(detection: Detection) -> dict[str, NullControl]:
    """Each detector with an alarm, and the null control whose AUC is furthest from 0.5."""
    alarms: dict[str, NullControl] = {}
    for null in detection.null_controls:
        before = alarms.get(null.detector)
        if null.alarm and (
            before is None or abs(null.auc.value - 0.5) > abs(before.auc.value - 0.5)
        ):
            alarms[null.detector] = null
    return alarms


def detection_summary(detection: Detection) -> str:
    """All detectors with a verdict as a range with intervals, no best one chosen.

    Paired AUC first, then how many of the images that fool the model pass undetected, without and
    with knowledge of the detector. Without a verdict on any detector there is no figure: one
    sentence where which cases fall explains what they show, else nothing.
    """
    if detection.key_attack is None:
        return "Whether attacks can be detected is unknown: no detector could be evaluated."
    judged = _with_verdict(detection)
    if not judged:
        return SELECTION_ALONE if selection_doubts(detection) else ""
    areas = _ordered(score.paired_auc for score in judged)
    sentences = [
        f"Against the unmodified images of the same cases, {_detectors_reach(len(judged))} an AUC "
        f"{_range([auc_text(area) for area in areas], 'of ')} on {key_images_text(detection)}; 0.5 "
        "is chance."
    ]
    if passing := _undetected(judged):
        share = _range([rate_of_hundred(rate) for rate in passing])
        known = adaptive_summary(detection, [score.detector for score in judged])
        sentences.append(
            f"Of 100 images that fool the model, {share} raise no alarm at 5 false alarms per 100 "
            f"clean images{known}."
        )
    else:
        sentences.append(_unknown_passing(detection, judged))
    if doubted := selection_doubts(detection):
        names = listed(told_apart(doubted))
        verb = "get" if len(doubted) > 1 else "gets"
        sentences.append(f"{names} {verb} no verdict, because which cases fall explains the AUC.")
    return " ".join(sentences)


def detection_lines(detection: Detection) -> list[str]:
    """The same without intervals, as lines of about 80 characters."""
    if detection.key_attack is None:
        return ["No detector could be evaluated."]
    judged = _with_verdict(detection)
    if not judged:
        return [SELECTION_LINE] if selection_doubts(detection) else []
    areas = _range([f"{a.value:.2f}" for a in _ordered(s.paired_auc for s in judged)], "", "to")
    lines = [f"Detectors: AUC {areas} against the same cases' clean images (0.5: chance)."]
    if passing := _undetected(judged):
        share = _range([of_hundred(rate.value) for rate in passing], "", "to")
        lines.append(f"At 5 % false alarms, {share} of 100 images that fool the model pass.")
        if known := adaptive_line(detection, [score.detector for score in judged]):
            lines.append(known)
    return lines


def selection_doubts(detection: Detection) -> list[str]:
    """Detectors whose AUC on the key attack is explained by which cases fall."""
    scores = {name: detection.score(name, detection.key_attack) for name in detection.detectors}
    return [name for name, score in scores.items() if score and score.explained_by_selection]


def detector_sentences(detection: Detection) -> tuple[str, ...]:
    """A paragraph for each detector on the key attack; one sentence if none was evaluated."""
    if detection.key_attack is None:
        reasons = [short(s.unfitted_reason) for s in detection.image_sets if s.unfitted_reason]
        why = f": {listed(list(dict.fromkeys(reasons)))}" if reasons else ""
        return (f"No detector could be evaluated{why}.",)
    return tuple(_detector_sentences(detection, name) for name in detection.detectors)


def harmless_change_sentence(detection: Detection) -> str:
    """The harmless change with the highest false-alarm rate, over all trusted detectors."""
    found = [
        (estimate.value, -place, name, change, estimate)
        for place, name in enumerate(_trusted(detection))
        if (change := worst_harmless_change(detection, name)) is not None
        if (estimate := change.detection_rates.get(FALSE_ALARM_RATE)) is not None
    ]
    if not found:
        return ""
    *_, name, change, estimate = max(found)
    changed = image_set_text(detection.image_sets[change.image_set])
    return (
        f"Among harmless changes, {changed} triggers the most false alarms: {short(name)} flags "
        f"{rate_of_hundred(estimate)} of 100 clean images changed in this way."
    )


def population_text(detection: Detection, does_right: str) -> str:
    """Which cases detectors are evaluated on, and which images they have learned from.

    `does_right` is what the model does with those cases: `reads correctly`.
    """
    reference = detection.reference
    return (
        f"Evaluated on {detection.cases} of the {detection.correct_cases} cases that the model "
        f"{does_right} without attack ({counted(detection.groups, 'group')}). The detectors "
        f"learned from other images: {reference.cases} images "
        f"({counted(reference.groups, 'group')}) of split {short(reference.split)}."
    )


def image_set_text(images: ImageSet, *, norm: bool = True) -> str:
    """`PGD, L∞ 1/255`; the name alone for a harmless change."""
    name = short(images.name)
    if images.kind == "change":
        return name
    if images.eps is None:
        return f"{name}, nearest" if images.kind == "attack" else name
    size = eps_text(images.eps, images.norm)
    return f"{name}, {norm_text(images.norm)} {size}" if norm else f"{name} {size}"


def key_images_text(detection: Detection) -> str:
    """`attacked images (PGD, eps 1/255)`: those of the key attack."""
    if detection.key_attack is None:
        return "attacked images"
    images = detection.image_sets[detection.key_attack]
    name = short(images.name)
    if images.eps is None:
        return f"attacked images ({name})"
    size = eps_text(images.eps, images.norm)
    unit = "eps" if images.norm == "Linf" else norm_text(images.norm)
    return f"attacked images ({name}, {unit} {size})"


def noise_control(detection: Detection, attack: int) -> int | None:
    """The noise of that attack's size, as an index into the image sets; None without one."""
    attack_set = detection.image_sets[attack]
    candidates = [
        (attack_set.name not in images.name, place)
        for place, images in enumerate(detection.image_sets)
        if (images.kind, images.norm, images.eps) == ("noise", attack_set.norm, attack_set.eps)
    ]
    return min(candidates)[1] if candidates else None


def worst_harmless_change(detection: Detection, detector: str) -> DetectorScore | None:
    """The detector's result on the harmless change that it flags most often."""
    found = [
        (estimate.value, -place, score)
        for place, images in enumerate(detection.image_sets)
        if images.kind == "change"
        if (score := detection.score(detector, place)) is not None
        if (estimate := score.detection_rates.get(FALSE_ALARM_RATE)) is not None
    ]
    return max(found)[2] if found else None


def auc_text(estimate: Estimate) -> str:
    """`0.61 [0.55, 0.67]`."""
    return f"{estimate.value:.2f} {bracket(estimate, 1, 2)}"


def _trusted(detection: Detection) -> list[str]:
    alarms = null_control_alarms(detection)
    return [name for name in detection.detectors if name not in alarms]


def _with_verdict(detection: Detection) -> list[DetectorScore]:
    """On the key attack: without the few images, a null control's alarm or doubt of selection."""
    scores = [detection.score(name, detection.key_attack) for name in _trusted(detection)]
    return [
        score
        for score in scores
        if score and score.paired_auc and not score.too_few and not score.explained_by_selection
    ]


def _undetected(scores: Sequence[DetectorScore]) -> list[Estimate]:
    """Of attacked images, the shares with an interval that raise no alarm, in ascending order."""
    rates = (score.detection_rates.get(FALSE_ALARM_RATE) for score in scores)
    return _ordered(rate.complement for rate in rates if rate and rate.interval)


def _unknown_passing(detection: Detection, scores: Sequence[DetectorScore]) -> str:
    """Why it is not said how many images pass undetected: too few groups, and how many it takes."""
    clean = groups_needed_for(float(FALSE_ALARM_RATE))
    rates = (score.detection_rates.get(FALSE_ALARM_RATE) for score in scores)
    needed = [clean if rate is None else rate.groups_needed or 0 for rate in rates]
    unknown = "How many images that fool the model raise no alarm is not known"
    if max(needed) < clean:
        return f"{unknown}: too few groups have such an image."
    return (
        f"{unknown}: at 5 false alarms per 100 clean images, that takes at least {max(needed)} "
        f"groups of clean images, and there are {detection.groups}."
    )


def _ordered(estimates: Iterable[Estimate | None]) -> list[Estimate]:
    return sorted((one for one in estimates if one is not None), key=lambda one: one.value)


def _range(texts: Sequence[str], single: str = "", word: str = "") -> str:
    """`between the first and the last`, `first to last` with a word, or the only one."""
    first, last = texts[0], texts[-1]
    if first == last:
        return f"{single}{first}"
    return f"{first} {word} {last}" if word else f"between {first} and {last}"


def _detectors_reach(count: int) -> str:
    return f"{count} detectors reach" if count > 1 else "the detector reaches"


def _detector_sentences(detection: Detection, name: str) -> str:
    assert detection.key_attack is not None
    detector, images_text = short(name), key_images_text(detection)
    if (alarm := null_control_alarms(detection).get(name)) is not None:
        return (
            f"The results of {detector} cannot be trusted: the AUC of its null control is "
            f"{auc_text(alarm.auc)}, expected 0.5."
        )
    images = detection.image_sets[detection.key_attack]
    score = detection.score(name, detection.key_attack)
    if score is None or score.paired_auc is None:
        why = images.unfitted_reason or "it was not fitted on them"
        return f"{detector} has no result on {images_text}: {why}."
    if score.too_few:
        return f"{detector} gets no verdict: there are only {images.cases} {images_text}."
    null = detection.null_control(name)
    control = f"AUC {auc_text(null.auc)}, expected 0.5" if null else "none"
    paired = (
        f"Against the unmodified images of the same cases, {detector} reaches an AUC of "
        f"{auc_text(score.paired_auc)} on {images_text}{_chance_text(score.paired_auc)}."
    )
    if score.explained_by_selection:
        return f"{paired}{_selection_sentences(score)}{adaptive_sentences(detection, name)}"
    return (
        f"{paired}{_rate_sentence(score)}{_all_clean_sentence(score)} Null control: {control}."
        f"{adaptive_sentences(detection, name)}"
    )


def _chance_text(paired: Estimate) -> str:
    """Says so where a result is not shown to be better than chance; empty otherwise."""
    if paired.is_below(0.5):
        return ": it rates them as less suspicious"
    if paired.low is None or paired.low <= 0.5:
        return ": not shown to be better than chance"
    return ""


def _rate_sentence(score: DetectorScore) -> str:
    """How many attacked images are detected, and whether clean ones are flagged as often."""
    rate = score.detection_rates.get(FALSE_ALARM_RATE)
    if rate is None:
        fewest = fewest_groups_for(float(FALSE_ALARM_RATE))
        return (
            " It is unknown how many of them it detects at 5 % false alarms: that takes at least "
            f"{fewest} groups of clean images."
        )
    if rate.interval is None:
        needed = rate.groups_needed
        return (
            f" At 5 % false alarms, it detects {of_hundred(rate.value)} % of them; there are too "
            f"few groups for an interval{f' (about {needed} are needed)' if needed else ''}."
        )
    text = f" At 5 % false alarms, it detects {whole_percent(rate)} of them."
    if rate.low is None or rate.low > float(FALSE_ALARM_RATE):
        return text
    verb = "is" if rate.value <= float(FALSE_ALARM_RATE) else "may be"
    return f"{text} This {verb} no more than the share of clean images that it flags."


def _all_clean_sentence(score: DetectorScore) -> str:
    """The AUC that counts selection as well, with its control; empty where they are one."""
    if score.auc is None or score.selection_auc is None:
        return ""
    return (
        f" Against all clean images its AUC is {auc_text(score.auc)}; without any attack, the "
        f"cases that fall differ from the others by an AUC of {auc_text(score.selection_auc)}."
    )


def _selection_sentences(score: DetectorScore) -> str:
    """Why an AUC against all clean images is no evidence."""
    assert score.auc is not None and score.selection_auc is not None  # as it is explained
    return (
        f" Its AUC of {auc_text(score.auc)} against all clean images gets no verdict, because "
        "which cases fall explains it: without any attack, their unmodified images differ from "
        f"those of the other cases by an AUC of {auc_text(score.selection_auc)}."
    )
