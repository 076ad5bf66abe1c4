"""Sentences on detectors: detection rate, chance level, null control, false alarms."""

from __future__ import annotations

from robust.metrics.operating_point import fewest_groups_for
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
    whole_percent,
)
from robust.units import eps_text, norm_text

LEGEND = (
    "A detector reads the activations inside the model and gives each image a score: the higher "
    "the score, the more suspicious the image. A false alarm of a detector is a clean "
    "(unmodified) image that it flags as attacked. The null control repeats the whole evaluation "
    "with unmodified images used in place of attacked ones: the expected AUC is 0.5, because "
    "there is nothing to find. It raises an alarm if its AUC is more than 0.03 away from 0.5 and "
    "the difference is significant (level 1 % over all null controls, Holm's correction)."
)


def null_control_warning(detection: Detection) -> tuple[str, ...]:
    """The first sentence of a report in which a null control raised an alarm; empty otherwise."""
    alarms = null_control_alarms(detection)
    if not alarms:
        return ()
    name, null = max(alarms.items(), key=lambda item: abs(item[1].auc.value - 0.5))
    return (
        f"Do not trust the results of {listed([short(n) for n in alarms])}: {short(name)} "
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
    """All detectors as a range with intervals, no best one chosen; empty if none can be trusted."""
    if detection.key_attack is None:
        return "Whether attacks can be detected is unknown: no detector could be evaluated."
    if not (rates := _detection_rates(detection)):
        return ""
    low, high = rate_of_hundred(rates[0]), rate_of_hundred(rates[-1])
    share = low if low == high else f"between {low} and {high}"
    known = adaptive_summary(detection, _trusted(detection))
    return (
        f"At 5 false alarms per 100 clean images, {_detectors_detect(len(rates))} {share} of 100 "
        f"{key_images_text(detection)}. {known}"
    ).rstrip()


def detection_lines(detection: Detection) -> list[str]:
    """The same without intervals, as lines of about 80 characters."""
    if detection.key_attack is None:
        return ["No detector could be evaluated."]
    if not (rates := _detection_rates(detection)):
        return []
    low, high = (of_hundred(e.value) for e in (rates[0], rates[-1]))
    share = low if low == high else f"{low} to {high}"
    line = f"At 5 % false alarms, {_detectors_detect(len(rates))} {share} of 100 attacked images."
    known = adaptive_line(detection, _trusted(detection))
    return [line, known] if known else [line]


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


def population_text(detection: Detection) -> str:
    """Which cases detectors are evaluated on, and which images they have learned from."""
    reference = detection.reference
    return (
        f"Evaluated on {detection.cases} of the {detection.correct_cases} cases that the model "
        f"reads correctly without attack ({counted(detection.groups, 'group')}). The detectors "
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


def _detection_rates(detection: Detection) -> list[Estimate]:
    """Of every trusted detector on the key attack, in ascending order."""
    scores = [detection.score(name, detection.key_attack) for name in _trusted(detection)]
    rates = [s.detection_rates.get(FALSE_ALARM_RATE) for s in scores if s and not s.too_few]
    defined = [rate for rate in rates if rate is not None]
    return sorted(defined, key=lambda estimate: estimate.value)


def _detectors_detect(count: int) -> str:
    return f"{count} detectors detect" if count > 1 else "the detector detects"


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
    if score is None or score.auc is None:
        why = images.unfitted_reason or "it was not fitted on them"
        return f"{detector} has no result on {images_text}: {why}."
    if score.too_few:
        return f"{detector} gets no verdict: there are only {images.cases} {images_text}."
    null = detection.null_control(name)
    control = f"AUC {auc_text(null.auc)}, expected 0.5" if null else "none"
    return (
        f"{_rate_sentence(score, detector, images_text)}{_chance_sentence(score, score.auc)} "
        f"Null control: {control}.{adaptive_sentences(detection, name)}"
    )


def _rate_sentence(score: DetectorScore, detector: str, images_text: str) -> str:
    rate = score.detection_rates.get(FALSE_ALARM_RATE)
    if rate is None:
        needed = fewest_groups_for(float(FALSE_ALARM_RATE))
        return (
            f"It is unknown how many {images_text} {detector} detects at 5 % false alarms: that "
            f"takes at least {needed} groups of clean images."
        )
    return f"At 5 % false alarms, {detector} detects {whole_percent(rate)} of {images_text}."


def _chance_sentence(score: DetectorScore, auc: Estimate) -> str:
    """Says so where a result is not shown to be better than chance; empty otherwise."""
    if auc.is_below(0.5):
        return f" It rates them as less suspicious than clean images (AUC {auc_text(auc)})."
    if auc.low is None or auc.low <= 0.5:
        return f" This is no better than chance (AUC {auc_text(auc)})."
    rate = score.detection_rates.get(FALSE_ALARM_RATE)
    if rate is None or rate.low is None or rate.low > float(FALSE_ALARM_RATE):
        return ""
    verb = "is" if rate.value <= float(FALSE_ALARM_RATE) else "may be"
    return f" This {verb} no more than the share of clean images that it flags."
