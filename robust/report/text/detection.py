"""Whether detectors notice, in sentences that claim no more than was seen."""

from __future__ import annotations

from robust.records import Detection, DetectorScore, Estimate, ImageSet, NullControl
from robust.report.text import adaptive
from robust.report.text.format import NONE, SHARE, counted, listed, of_hundred, short, whole
from robust.units import eps_text, norm_text

LEGEND = (
    "A detector looks at what happens inside the model and says how suspicious an image is. A "
    "false alarm here is a clean image that it takes for an attacked one. The null control repeats "
    "everything with clean images in the part of the attacked ones: 0.5 is right, since there is "
    "nothing to find. One that lies more than 0.03 away, and further than chance explains (at 1 % "
    "over all null controls, after Holm), raises an alarm."
)


def alarm(detection: Detection) -> tuple[str, ...]:
    """What opens the report where a detector found something in clean images alone."""
    loud = loudest(detection)
    if not loud:
        return ()
    name, null = max(loud.items(), key=lambda item: abs(item[1].auc.value - 0.5))
    return (
        f"Do not believe what this report says of {listed([short(n) for n in loud])}: where there "
        f"was nothing to find, {short(name)} found a difference all the same "
        f"({auc_text(null.auc)}, where 0.5 is right).",
    )


def loudest(detection: Detection) -> dict[str, NullControl]:
    """Detectors that are not to be believed, with the null control that is furthest from 0.5."""
    found: dict[str, NullControl] = {}
    for null in detection.null_controls:
        before = found.get(null.detector)
        if null.alarm and (
            before is None or abs(null.auc.value - 0.5) > abs(before.auc.value - 0.5)
        ):
            found[null.detector] = null
    return found


def at_a_glance(detection: Detection) -> str:
    """All detectors in one sentence, without the choice of a best one; nothing if none counts."""
    if detection.key_attack is None:
        return "Whether anyone would notice is unknown: no detector could be judged."
    if not (seen := _range(detection)):
        return ""
    low, high = (f"{of_hundred(e.value)} {whole(e)}" for e in (seen[0], seen[-1]))
    many = f"{len(seen)} detectors see" if len(seen) > 1 else "the detector sees"
    share = low if low == high else f"between {low} and {high}"
    known = adaptive.overall(detection, _believed(detection))
    after = f"; {known}" if known else ""
    return f"At one false alarm in twenty, {many} {share} of 100 {_images(detection)}{after}."


def in_a_line(detection: Detection) -> str:
    """The same without intervals, for a terminal."""
    if detection.key_attack is None:
        return "No detector could be judged."
    if not (seen := _range(detection)):
        return ""
    low, high = (of_hundred(e.value) for e in (seen[0], seen[-1]))
    share = low if low == high else f"{low} to {high}"
    many = f"{len(seen)} detectors see" if len(seen) > 1 else "the detector sees"
    known = adaptive.in_a_line(detection, _believed(detection))
    return f"At 1 false alarm in 20, {many} {share} of 100 {_images(detection)}{known}"


def sentences(detection: Detection) -> tuple[str, ...]:
    """One for each detector, about the key attack."""
    if detection.key_attack is None:
        reasons = list(
            dict.fromkeys(
                short(s.unfitted_reason) for s in detection.image_sets if s.unfitted_reason
            )
        )
        why = f": {listed(reasons)}" if reasons else ""
        return (f"No detector could be judged{why}.",)
    return tuple(_sentence(detection, name) for name in detection.detectors)


def daily(detection: Detection) -> str:
    """How often a harmless change is taken for an attack, where that happens most."""
    loud = loudest(detection)
    found = [
        (estimate.value, -place, name, change, estimate)
        for place, name in enumerate(detection.detectors)
        if name not in loud and (change := worst_change(detection, name)) is not None
        if (estimate := change.detection_rates.get(SHARE)) is not None
    ]
    if not found:
        return ""
    *_, name, change, estimate = max(found)
    return (
        f"Of what happens to images in daily life, "
        f"{shown_text(detection.image_sets[change.image_set])} "
        f"alarms a detector most: after it, {short(name)} flags {of_hundred(estimate.value)} "
        f"{whole(estimate)} of 100 images that nobody attacked."
    )


def population(detection: Detection) -> str:
    """Who was judged, and what a detector has learned from."""
    reference = detection.reference
    return (
        f"{detection.cases} of {detection.correct_cases} cases that are right when clean "
        f"({counted(detection.groups, 'group')}). What detectors learn about the model, they learn "
        f"from others: {reference.cases} images ({counted(reference.groups, 'group')}) of "
        f"split {short(reference.split)}."
    )


def shown_text(shown: ImageSet, *, norm: bool = True) -> str:
    """`PGD, L∞ 1/255`; a change of daily life by its name alone."""
    name = short(shown.name)
    if shown.kind == "change":
        return name
    if shown.eps is None:
        return f"{name}, nearest" if shown.kind == "attack" else name
    size = eps_text(shown.eps, shown.norm)
    return f"{name}, {norm_text(shown.norm)} {size}" if norm else f"{name} {size}"


def noise_of(detection: Detection, attack: int) -> int | None:
    """The noise of that attack's size, as a place in `shown`."""
    own = detection.image_sets[attack]
    alike = [
        (own.name not in shown.name, place)
        for place, shown in enumerate(detection.image_sets)
        if (shown.kind, shown.norm, shown.eps) == ("noise", own.norm, own.eps)
    ]
    return min(alike)[1] if alike else None


def worst_change(detection: Detection, detector: str) -> DetectorScore | None:
    """The change of daily life that a detector takes for an attack most often."""
    found = [
        (estimate.value, -place, sighting)
        for place, shown in enumerate(detection.image_sets)
        if shown.kind == "change"
        if (sighting := detection.score(detector, place)) is not None
        if (estimate := sighting.detection_rates.get(SHARE)) is not None
    ]
    return max(found)[2] if found else None


def auc_text(estimate: Estimate) -> str:
    """`0.61 [0.55, 0.67]`."""
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _believed(detection: Detection) -> list[str]:
    loud = loudest(detection)
    return [name for name in detection.detectors if name not in loud]


def _range(detection: Detection) -> list[Estimate]:
    """What each detector that counts sees of the key attack, the least first."""
    found = [detection.score(name, detection.key_attack) for name in _believed(detection)]
    seen = [
        estimate
        for one in found
        if one and not one.too_few and (estimate := one.detection_rates.get(SHARE)) is not None
    ]
    return sorted(seen, key=lambda estimate: estimate.value)


def _sentence(detection: Detection, name: str) -> str:
    assert detection.key_attack is not None
    who, what = short(name), _images(detection)
    if (loud := loudest(detection).get(name)) is not None:
        return (
            f"{who} is not to be believed: its null control is {auc_text(loud.auc)} where 0.5 is "
            f"right."
        )
    shown = detection.image_sets[detection.key_attack]
    sighting = detection.score(name, detection.key_attack)
    if sighting is None or sighting.auc is None:
        reason = shown.unfitted_reason or "it was not fitted on them"
        return f"{who} has no number on {what}: {reason}."
    if sighting.too_few:
        return f"{who} gets no verdict: it was shown no more than {shown.cases} {what}."
    null = detection.null_control(name)
    control = f"its null control is {auc_text(null.auc)}" if null else "it has no null control"
    seen = f"{_sees(sighting, who, what)}{_doubted(sighting, sighting.auc)}; {control}."
    return f"{seen}{adaptive.clause(detection, name)}"


def _sees(sighting: DetectorScore, who: str, what: str) -> str:
    seen = sighting.detection_rates.get(SHARE)
    if seen is None:
        return f"How much of {what} {who} sees at one false alarm in twenty is unknown"
    share = f"{of_hundred(seen.value)} % {whole(seen)}"
    return f"At one false alarm in twenty, {who} sees {share} of {what}"


def _doubted(sighting: DetectorScore, auc: Estimate) -> str:
    """What an AUC of a coin, or of less, means, and a share no larger than that of clean images."""
    if auc.high < 0.5:
        return f", which look more harmless to it than clean ones (AUC {auc_text(auc)})"
    if auc.low <= 0.5:
        return f", which it tells from clean ones no better than a coin (AUC {auc_text(auc)})"
    seen = sighting.detection_rates.get(SHARE)
    if seen is None or seen.low > float(SHARE):
        return ""
    surely = "" if seen.value <= float(SHARE) else "perhaps "
    return f", {surely}no more than it flags of clean ones"


def _images(detection: Detection) -> str:
    """`PGD images at 1/255`."""
    if detection.key_attack is None:
        return NONE
    shown = detection.image_sets[detection.key_attack]
    if shown.eps is None:
        return f"{short(shown.name)} images"
    norm = "" if shown.norm == "Linf" else f"{norm_text(shown.norm)} "
    return f"{short(shown.name)} images at {norm}{eps_text(shown.eps, shown.norm)}"
