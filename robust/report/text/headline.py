"""The lead of a report in plain sentences, and a verdict for each threat."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records import AttackResult, Report
from robust.records.flags import voiding
from robust.records.verdicts import is_withheld, withholding
from robust.report.text.certificates import crossing_sentences
from robust.report.text.detection import detection_summary, null_control_warning
from robust.report.text.format import (
    counted,
    images,
    norms,
    of_hundred,
    plain,
    rate_of_hundred,
    size_text,
    threat_text,
    whole_interval,
)
from robust.report.text.words import words


@dataclass(frozen=True)
class Verdict:
    """The verdict on one threat (norm and eps), and what stands beside it."""

    word: str
    """`robust`, `partly robust`, `mostly fooled`, `fails`, `undecided`, or `no verdict: ` and the
    name of the warning that voids it."""
    threat: str
    """What the attacker may do, as `threat_text` says it."""
    worst_case: AttackResult
    strongest: tuple[str, ...]
    """The attacks with the lowest robust accuracy; empty for curves, whose attacks share cases."""
    noise: AttackResult | None
    """Random noise of the same size; None where the plan has none."""


def headline(report: Report) -> list[str]:
    """The lead: what not to trust, what the attacks did, whether detectors detect them."""
    detection = report.detection
    lead = [*unfinished_sentence(report), *attack_sentences(report)]
    if detection is not None:
        lead = [*null_control_warning(detection), *lead]
    lead = [*crossing_sentences(report), *lead]
    if detection is not None:
        if voiding(report.flags, "attacks") is None:
            lead.append(detection_summary(detection))
    return [sentence for sentence in lead if sentence]


def unfinished_sentence(report: Report) -> tuple[str, ...]:
    """What a run that was cut short has not done; empty for a finished one."""
    if report.is_finished:
        return ()
    return (
        "This run is not finished, so no gate passes and no verdict is given. Missing: "
        f"{report.missing_text}.",
    )


def attack_sentences(report: Report) -> list[str]:
    """At most four: accuracy without attack, what is withheld, effect of attacks, their errors."""
    sentences = [_clean_sentence(report), *withheld_sentence(report)]
    every = [row for row in report.worst_cases if row.norm == norms(report)[0]]
    given = dict(zip(map(id, report.worst_cases), report.verdicts, strict=True))
    valid = [row for row in every if not is_withheld(given[id(row)])]
    if every and not valid:
        return sentences
    rows = [row for row in valid if row.scores.success is not None]
    if not rows:
        return [*sentences, _nothing_attacked(report, every)]
    first, last = rows[0], rows[-1]
    said = words(report)
    effect = said.effect(report).format(amount=_amount(first))
    effect = f"an attacker who may {_threat(report, first)} {effect}"
    success = [row.scores.success.value for row in rows if row.scores.success is not None]
    shown, when = first, "Under this attack"
    if last is not first and last.eps is not None and success[0] < 1:
        effect += f"; with {size_text(last.eps, last.norm)}, {_amount(last)}"
        shown, when = first, "With the smaller change"
        if success[0] == 0 < success[-1] or report.task.is_segmentation:
            shown, when = last, "With the larger change"
    sentences.append(f"Of 100 {said.attacked(report)}, {effect}.")
    if errors := said.errors(report, shown, when):
        sentences.append(errors)
    return sentences


def withheld_sentence(report: Report) -> tuple[str, ...]:
    """Which verdicts are withheld and why; empty where all are given, or the run is cut short."""
    withheld = [word for word in report.verdicts if is_withheld(word)]
    reasons = map(plain, withholding(withheld))
    if not withheld or not report.is_finished:
        return ()
    every = len(withheld) == len(report.verdicts)
    which = "" if every else f" at {len(withheld)} of {len(report.verdicts)} sizes of the attack"
    seen = {flag.name: plain(flag.observed) for flag in report.flags}
    why = "; ".join(f"{name} ({seen.get(name, '')})" for name in reasons)
    return (f"No verdict on robustness is given{which}: {why}.",)


def verdicts(report: Report) -> list[Verdict]:
    """One for each norm and eps, in the order of the report."""
    return [
        Verdict(
            plain(word),
            _threat(report, row),
            row,
            _strongest(report, row),
            next((r for r in _same_threat(report, row) if r.baseline), None),
        )
        for word, row in zip(report.verdicts, report.worst_cases, strict=True)
    ]


def knowledge_text(report: Report) -> str:
    """What the attacker knows of the model."""
    model = report.model
    if model.differentiable:
        return "knows the model, its weights and its gradients"
    answers = "scores" if model.answers == "scores" else "labels alone"
    return f"asks the model for {answers}, without its weights and gradients"


def _clean_sentence(report: Report) -> str:
    accuracy, data, said = report.clean.scores.accuracy, report.data, words(report)
    groups = counted(data.groups, "group")
    if accuracy is None:
        return said.unknown.format(cases=data.cases, images=images(report))
    interval = f"95 % interval {whole_interval(accuracy)}"
    if accuracy.interval is None:
        needed = accuracy.groups_needed
        interval = "no 95 % interval" + (f": about {needed} groups needed" if needed else "")
    return said.clean.format(
        share=of_hundred(accuracy.value),
        images=images(report),
        interval=interval,
        population=f"{counted(data.cases, said.image)} of {groups}",
    )


def _nothing_attacked(report: Report, rows: list[AttackResult]) -> str:
    """Why no attack has a number."""
    if any(row.attacked for row in rows):
        return "Attacks were run, but none could be evaluated: the robustness is unknown."
    accuracy = report.clean.scores.accuracy
    if accuracy is None or accuracy.value == 0:
        return words(report).none_right
    return words(report).none_fits


def _threat(report: Report, row: AttackResult) -> str:
    """What an attacker may do at the row's eps."""
    said = words(report)
    return threat_text(row.eps, row.norm, pixel=said.pixel, image=said.image, where=said.where)


def _amount(row: AttackResult) -> str:
    """`24 [14, 35]`, `none [0, 9]`, `all but 2 [1, 5]` or `all of them [88, 100]`."""
    success = row.scores.success
    if success is None:
        return "a number that could not be measured"
    if success.value == 1:
        return f"all of them {whole_interval(success)}"
    if success.value == 0:
        return f"none of them {whole_interval(success)}"
    unchanged = success.complement
    if unchanged.value <= 0.1:
        return f"all but {rate_of_hundred(unchanged)}"
    return rate_of_hundred(success)


def _strongest(report: Report, row: AttackResult) -> tuple[str, ...]:
    if row.kind != "exact":
        return ()
    left = {
        r.attack: (r.scores.robust_accuracy.value, r.scores.dice.value if r.scores.dice else 0.0)
        for r in _same_threat(report, row)
        if r.scores.robust_accuracy is not None
    }
    fewest = min(left.values(), default=None)
    return tuple(plain(name) for name, value in left.items() if value == fewest)


def _same_threat(report: Report, row: AttackResult) -> list[AttackResult]:
    return [r for r in report.rows if r.norm == row.norm and r.eps == row.eps]
