"""What a report shows for each kind of evidence: numbers with intervals and controls, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from robust.records import AttackResult, CertifiedAccuracy, Report, Scenario
from robust.report.crosswalk.concerns import Concern
from robust.report.gates import judge_gates
from robust.report.text.certificates import function_text, quoted_point
from robust.report.text.corruptions import corruption_text, worst_corruption
from robust.report.text.format import (
    FALSE_ALARM_RATE,
    counted,
    decimal,
    flat,
    json_key,
    listed,
    percent,
    plain,
    short,
)
from robust.report.text.headline import knowledge_text
from robust.report.text.scenarios import SCENARIO_WORDS, scenario_size
from robust.report.text.words import words
from robust.units import eps_text, norm_text, printed_threat

SCORE_BASED = ("Square",)
"""Attacks that see scores alone, by the name of their class."""
MOST_NAMES = 8
"""Attacks or subgroups that are named; the section that a line leads to has them all."""


@dataclass(frozen=True)
class ShownResult:
    """One result that answers a point."""

    text: str
    """With its number, interval and control, on one line."""
    path: str
    """JSON pointer into report.json: to the number, or to the part that the line sums up."""


@dataclass(frozen=True)
class EvidenceKind:
    """A kind of evidence that a report may hold."""

    name: str
    """What it is called where it is missing, in the plural or without an article."""
    section: str
    """Id of the section of the standard template that shows it."""
    concern: Concern
    """What its results are about: which warnings weaken them."""
    find: Callable[[Report], Iterator[ShownResult]]
    """Its results in a report; none where the report has none."""
    remedy: str
    """How a run gets it: an option, or a part of the plan."""


def _clean(report: Report) -> Iterator[ShownResult]:
    scores, said = report.clean.scores, words(report)
    for field in ("accuracy", "sensitivity", "specificity", "auc", "dice"):
        if (estimate := getattr(scores, field)) is not None:
            show = decimal if field in ("auc", "dice") else percent
            name = "AUC" if field == "auc" else said.scores.get(field, field)
            yield ShownResult(f"{name} without attack {show(estimate)}", f"/clean/scores/{field}")


def _threat(row: AttackResult) -> str:
    return printed_threat(row.norm, row.eps)


def _ends(report: Report) -> list[int]:
    """Places of the smallest and the largest eps of each norm among the worst cases."""
    every: dict[str, list[int]] = {}
    for place, row in enumerate(report.worst_cases):
        every.setdefault(row.norm, []).append(place)
    return [place for places in every.values() for place in sorted({places[0], places[-1]})]


def _worst(report: Report) -> Iterator[ShownResult]:
    said = words(report)
    for place in _ends(report):
        row = report.worst_cases[place]
        if (estimate := row.scores.robust_accuracy) is not None:
            yield ShownResult(
                f"worst case, {_threat(row)}: still {said.correct} {percent(estimate)} "
                f"({plain(report.verdicts[place])})",
                f"/worst_cases/{place}/scores/robust_accuracy",
            )


def _errors(report: Report) -> Iterator[ShownResult]:
    for place in _ends(report):
        row = report.worst_cases[place]
        for field in ("misses", "false_alarms"):
            if (estimate := getattr(row.scores, field)) is not None:
                yield ShownResult(
                    f"{field.replace('_', ' ')}, {_threat(row)}: {percent(estimate)}",
                    f"/worst_cases/{place}/scores/{field}",
                )


def _attacks(report: Report) -> Iterator[ShownResult]:
    ran = dict.fromkeys(plain(row.attack) for row in report.rows if not row.baseline)
    if ran:
        norms = listed(list(dict.fromkeys(norm_text(r.norm) for r in report.rows)), most=6)
        text = f"{counted(len(ran), 'attack')} in {norms}: {listed(list(ran), most=MOST_NAMES)}"
        yield ShownResult(text, "/attacks")


def _noise(report: Report) -> Iterator[ShownResult]:
    said, last = words(report), dict[str, int]()
    for place, row in enumerate(report.rows):
        if row.baseline and row.scores.robust_accuracy is not None:
            last[row.norm] = place
    for place in last.values():
        row = report.rows[place]
        yield ShownResult(
            f"control, random noise of {_threat(row)}: still {said.correct} "
            f"{percent(row.scores.robust_accuracy)}",
            f"/rows/{place}/scores/robust_accuracy",
        )


def _threat_model(report: Report) -> Iterator[ShownResult]:
    goal = words(report).goal(report)
    yield ShownResult(
        f"the attacker {knowledge_text(report)}; goal: {goal}; digital changes within eps",
        "/plan/audit",
    )


def _white_box(report: Report) -> Iterator[ShownResult]:
    if report.model.differentiable:
        yield from _by_knowledge(report, lambda score_based: not score_based)


def _score_based(report: Report) -> Iterator[ShownResult]:
    yield from _by_knowledge(report, lambda score_based: score_based)


def _by_knowledge(report: Report, wanted: Callable[[bool], bool]) -> Iterator[ShownResult]:
    """The strongest result of the attacks of a kind, at their largest eps."""
    found: list[tuple[int, AttackResult]] = []
    for place, row in enumerate(report.rows):
        text = report.attacks.get(row.attack, row.attack)
        if wanted(text.startswith(SCORE_BASED)) and not row.baseline:
            if row.scores.robust_accuracy is not None and row.eps is not None:
                found.append((place, row))
    for norm in dict.fromkeys(row.norm for _, row in found):
        own = [(place, row) for place, row in found if row.norm == norm]
        largest = max(row.eps or 0.0 for _, row in own)
        place, row = min(
            ((place, row) for place, row in own if row.eps == largest),
            key=lambda one: one[1].robust_accuracy.value,
        )
        yield ShownResult(
            f"{plain(row.attack)}, {_threat(row)}: still {words(report).correct} "
            f"{percent(row.scores.robust_accuracy)}",
            f"/rows/{place}/scores/robust_accuracy",
        )


def _curve(report: Report) -> Iterator[ShownResult]:
    for place, curve in enumerate(report.accuracy_curves):
        last = len(curve.eps) - 1
        # A distance that was found, not an eps that was chosen.
        far = curve.eps[last]
        size = f"{255 * far:.4g}/255" if curve.norm == "Linf" else f"{far:.4g}"
        yield ShownResult(
            f"accuracy at every eps in {norm_text(curve.norm)}, from the nearest images that "
            f"{listed([plain(name) for name in curve.attacks])} found; at {size}: "
            f"{percent(curve.robust_accuracy[last])}",
            f"/accuracy_curves/{place}/robust_accuracy/{last}",
        )


def _formal(report: Report) -> Iterator[ShownResult]:
    yield from _certificates(report, deterministic=True)


def _statistical(report: Report) -> Iterator[ShownResult]:
    yield from _certificates(report, deterministic=False)


def _certificates(report: Report, *, deterministic: bool) -> Iterator[ShownResult]:
    for place, one in enumerate(report.certificates):
        if one.deterministic is deterministic and (line := _certified(one)):
            text, point = line
            path = f"/certificates/{place}/points/{point}/certified"
            yield ShownResult(text, path)


def _certified(one: CertifiedAccuracy) -> tuple[str, int] | None:
    """What is proven at the smallest eps above 0, beside what attacks leave there."""
    point = quoted_point(one)
    if point is None:
        return None
    sure = "a calculation" if one.alpha is None else f"each case wrong with at most {one.alpha:g}"
    attacked = "no attack ran beside it"
    if point.attacked is not None:
        attacked = f"attacks leave {percent(point.attacked)}"
    crossed = f"; {one.crossed_text}" if one.is_contradicted else ""
    text = (
        f"{short(one.certificate)} ({sure}) proves {percent(point.certified)} at "
        f"{printed_threat(one.norm, point.eps)}, of {function_text(one)}; {attacked}{crossed}"
    )
    return text, one.points.index(point)


def _intervals(report: Report) -> Iterator[ShownResult]:
    data = report.data
    unit = "group" if data.grouped else "image, since no groups are known"
    yield ShownResult(
        f"95 % intervals by {unit}: {counted(data.groups, 'group')}, {counted(data.cases, 'case')}",
        "/data/groups",
    )


def _corruptions(report: Report) -> Iterator[ShownResult]:
    result = report.corruptions
    if result is None:
        return
    error = words(report).error
    yield ShownResult(f"{error} without corruption {percent(result.clean)}", "/corruptions/clean")
    yield ShownResult(
        f"{error}, mean of {counted(len(result.kinds), 'kind')} of corruption: "
        f"{percent(result.mean)}",
        "/corruptions/mean",
    )
    if (worst := worst_corruption(result)) is not None:
        beside = "no attack came so near"
        if worst.attacked is not None:
            beside = f"attacks that change no more: {percent(worst.attacked)}"
        yield ShownResult(
            f"{error}, worst: {corruption_text(worst)} {percent(worst.error)}; {beside}",
            f"/corruptions/scores/{result.scores.index(worst)}/error",
        )


def _detection(report: Report) -> Iterator[ShownResult]:
    detection = report.detection
    if detection is None:
        return
    for name in detection.detectors:
        score = detection.score(name, detection.key_attack)
        if score is None or score.paired_auc is None or detection.key_attack is None:
            continue
        attack = detection.image_sets[detection.key_attack]
        null, control = detection.null_control(name), "no null control"
        if null is not None:
            control = f"null control {decimal(null.auc)}{', an alarm' if null.alarm else ''}"
        few = "; too few images for a verdict" if score.too_few else ""
        yield ShownResult(
            f"{short(name)} on {short(attack.name)}: paired AUC {decimal(score.paired_auc)}; "
            f"{control}{few}",
            f"/detection/detector_scores/{detection.detector_scores.index(score)}/paired_auc",
        )


def _adaptive(report: Report) -> Iterator[ShownResult]:
    for place, one in enumerate(report.detection.adaptive if report.detection else ()):
        rate = one.undetected_rates.get(FALSE_ALARM_RATE)
        static = one.static_undetected_rates.get(FALSE_ALARM_RATE)
        if rate is not None:
            yield ShownResult(
                f"{short(one.detector)}, attacker knows it: of the cases that fall, "
                f"{percent(rate)} without an alarm at 5 % false alarms; attacker who does not "
                f"know it: {percent(static)}",
                f"/detection/adaptive/{place}/undetected_rates/{json_key(FALSE_ALARM_RATE)}",
            )


def _scenario(name: str) -> Callable[[Report], Iterator[ShownResult]]:
    def find(report: Report) -> Iterator[ShownResult]:
        own = [place for place, one in enumerate(report.scenarios) if one.name == name]
        for place in own[-1:]:
            yield _scenario_line(report.scenarios[place], place)

    return find


def _scenario_line(one: Scenario, place: int) -> ShownResult:
    said = SCENARIO_WORDS[one.name]
    doubt = "" if one.beats_control else "; the intervals overlap"
    return ShownResult(
        f"{said.name}, {scenario_size(one)}: fooled {percent(one.fooled)}; control ({said.control})"
        f" {percent(one.control)}{doubt}",
        f"/scenarios/{place}/fooled",
    )


def _subgroups(report: Report) -> Iterator[ShownResult]:
    place = report.worst_cases.index(report.worst) if report.worst_cases else 0
    row = report.worst_cases[place] if report.worst_cases else report.clean
    found = [
        ShownResult(
            f"{short(part.column)} {short(part.value)}, worst case, {_threat(row)}: still "
            f"{words(report).correct} {percent(part.scores.robust_accuracy)}",
            f"/worst_cases/{place}/subgroups/{i}/scores/robust_accuracy",
        )
        for i, part in enumerate(row.subgroups)
        if part.scores.robust_accuracy is not None
    ]
    yield from found[:MOST_NAMES]
    if more := len(found) - MOST_NAMES:
        if more > 0:
            text = f"and {counted(more, 'more subgroup')}"
            yield ShownResult(text, f"/worst_cases/{place}/subgroups")


def _calibration(report: Report) -> Iterator[ShownResult]:
    scores = report.clean.scores
    if scores.ece is not None:
        chance = "" if scores.ece_chance is None else f" (by chance {scores.ece_chance:.3f})"
        yield ShownResult(
            f"calibration error without attack {decimal(scores.ece)}{chance}", "/clean/scores/ece"
        )
    for place in _ends(report)[-1:]:
        row = report.worst_cases[place]
        if row.scores.ece is not None:
            yield ShownResult(
                f"calibration error, worst case, {_threat(row)}: {decimal(row.scores.ece)}",
                f"/worst_cases/{place}/scores/ece",
            )


def _storage(report: Report) -> Iterator[ShownResult]:
    for place in range(len(report.survival))[-1:]:
        one = report.survival[place]
        jpeg = "" if one.jpeg is None else f"; after JPEG {percent(one.jpeg)}"
        yield ShownResult(
            f"fooled at L∞ {eps_text(one.eps)}: as computed {percent(one.computed)}, as files "
            f"{percent(one.quantised)}{jpeg}",
            f"/survival/{place}/quantised",
        )


def _twin(report: Report) -> Iterator[ShownResult]:
    if (twin := report.twin) is None:
        return
    yield ShownResult(
        f"the deployed version ({short(twin.source)}) reads {percent(twin.agreement)} of "
        "unmodified images as the model does",
        "/twin/agreement",
    )
    for place in range(len(twin.shown))[-1:]:
        shown = twin.shown[place]
        yield ShownResult(
            f"images that attacks made on the model: fool the deployed version "
            f"{percent(shown.twin_fooled)}, the model {percent(shown.audited_fooled)}",
            f"/twin/shown/{place}/twin_fooled",
        )


def _gates(report: Report) -> Iterator[ShownResult]:
    for result in judge_gates(report):
        yield ShownResult(f"gate {plain(result.name)}: {result.outcome}", "/plan/gates")


def _population(report: Report) -> Iterator[ShownResult]:
    data = report.data
    yield ShownResult(
        f"{counted(data.cases, 'case')} of {counted(data.groups, 'group')}, split "
        f"{plain(data.split)}; pixels by SHA-256",
        "/data",
    )


def _provenance(report: Report) -> Iterator[ShownResult]:
    yield ShownResult(
        f"weights, pixels and tables by SHA-256; preprocessing; versions of "
        f"{counted(len(report.environment), 'package', 'packages')}",
        "/model",
    )


def _repeat(report: Report) -> Iterator[ShownResult]:
    yield ShownResult("the plan with all its values, and how to run it again", "/plan")


def _warnings(report: Report) -> Iterator[ShownResult]:
    names = [plain(flag.name) for flag in report.flags]
    text = "no warning was raised"
    if names:
        text = f"{counted(len(names), 'warning')}: {listed(names, most=MOST_NAMES)}"
    yield ShownResult(text, "/flags")


def _probe(report: Report) -> Iterator[ShownResult]:
    if (probe := report.timings.probe) is not None:
        yield ShownResult(
            f"the probe for masked gradients ran on {counted(probe.cases, 'case')}; what it found "
            "is among the warnings",
            "/timings/probe/cases",
        )


def _visibility(report: Report) -> Iterator[ShownResult]:
    for place in range(len(report.visibility))[:1]:
        one = report.visibility[place]
        yield ShownResult(
            f"smallest change that fools, {printed_threat(one.norm, one.eps)}: "
            f"median PSNR {one.median_psnr:.1f} dB over {counted(one.images, 'image')}, which has "
            "no interval",
            f"/visibility/{place}/median_psnr",
        )


def _intended_use(report: Report) -> Iterator[ShownResult]:
    stated: Mapping[str, object] = report.plan.get("report") or {}
    for field in ("intended_use", "acceptance_criteria"):
        if value := stated.get(field):
            yield ShownResult(f"{field.replace('_', ' ')}: {flat(value)}", f"/plan/report/{field}")


_SCENARIOS = {"transfer": "surrogate"}
"""What `[scenarios]` of a plan calls a scenario, where it is not its own name."""

EVIDENCE: Mapping[str, EvidenceKind] = {
    "clean": EvidenceKind(
        "scores without attack", "results", "clean", _clean, "audit labelled cases"
    ),
    "worst": EvidenceKind(
        "worst cases under attack", "verdicts", "attacks", _worst, "let attacks run to their end"
    ),
    "errors": EvidenceKind(
        "misses and false alarms under attack",
        "results",
        "attacks",
        _errors,
        "name the findings (findings in [data])",
    ),
    "attacks": EvidenceKind("attacks", "method", "record", _attacks, "name attacks (--attack)"),
    "noise": EvidenceKind(
        "the control of random noise", "results", "attacks", _noise, "add --attack Noise"
    ),
    "threat-model": EvidenceKind("the threat model", "method", "record", _threat_model, "audit"),
    "white-box": EvidenceKind(
        "attacks with gradients",
        "results",
        "attacks",
        _white_box,
        "audit the network itself, with PGD or AutoAttack",
    ),
    "score-based": EvidenceKind(
        "score-based attacks", "results", "attacks", _score_based, "add --attack Square"
    ),
    "curve": EvidenceKind(
        "distances to the nearest adversarial image",
        "accuracy",
        "attacks",
        _curve,
        "add a minimum-norm attack such as --attack FMN",
    ),
    "formal": EvidenceKind(
        "calculated certificates",
        "certificates",
        "proofs",
        _formal,
        "add --certificate CROWN",
    ),
    "statistical": EvidenceKind(
        "statistical certificates",
        "certificates",
        "proofs",
        _statistical,
        "add --certificate RandomizedSmoothing",
    ),
    "intervals": EvidenceKind("intervals", "results", "clean", _intervals, "audit labelled cases"),
    "corruptions": EvidenceKind(
        "corruptions", "corruptions", "corruptions", _corruptions, "add --corruptions auto"
    ),
    "detection": EvidenceKind(
        "detectors", "detection", "detectors", _detection, "add --detector all"
    ),
    "adaptive": EvidenceKind(
        "adaptive attacks on detectors",
        "detection",
        "detectors",
        _adaptive,
        "add detectors, and leave adaptive attacks on",
    ),
    **{
        name: EvidenceKind(
            said.name,
            "scenarios",
            "attacks",
            _scenario(name),
            f"set {_SCENARIOS.get(name, name)} in [scenarios] of the plan",
        )
        for name, said in SCENARIO_WORDS.items()
    },
    "subgroups": EvidenceKind(
        "subgroups", "subgroups", "attacks", _subgroups, "name columns (--subgroups sex,age)"
    ),
    "calibration": EvidenceKind(
        "calibration", "calibration", "clean", _calibration, "audit a model that gives scores"
    ),
    "storage": EvidenceKind(
        "the effect of saving", "storage", "attacks", _storage, "audit in Linf, with storage on"
    ),
    "twin": EvidenceKind(
        "a comparison with the deployed version", "twin", "twin", _twin, "add --twin FILE"
    ),
    "gates": EvidenceKind("gates", "gates", "record", _gates, "write [gates] into the plan"),
    "population": EvidenceKind("the population", "method", "record", _population, "audit"),
    "provenance": EvidenceKind("provenance", "method", "record", _provenance, "audit"),
    "repeat": EvidenceKind("the plan", "repeat", "record", _repeat, "audit"),
    "warnings": EvidenceKind("warnings", "warnings", "record", _warnings, "audit"),
    "probe": EvidenceKind(
        "the probe for masked gradients",
        "method",
        "record",
        _probe,
        "leave probe in [doubts] on",
    ),
    "visibility": EvidenceKind(
        "the size of the changes", "visibility", "attacks", _visibility, "let attacks succeed"
    ),
    "intended-use": EvidenceKind(
        "intended use and acceptance criteria",
        "",
        "record",
        _intended_use,
        "state intended_use and acceptance_criteria in [report] of the plan",
    ),
}
"""By the name that points of a text use."""


def found(report: Report, names: Sequence[str]) -> dict[str, tuple[ShownResult, ...]]:
    """The results of each kind of evidence that the report holds, in this order."""
    every = {name: tuple(EVIDENCE[name].find(report)) for name in names}
    return {name: results for name, results in every.items() if results}
