"""The lead of a report in plain sentences, and a verdict for each threat."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records import AttackResult, Report
from robust.records.flags import voiding
from robust.records.verdicts import is_withheld, withholding
from robust.report.text.detection import detection_summary, null_control_warning
from robust.report.text.format import (
    counted,
    images,
    norms,
    of_hundred,
    plain,
    quoted,
    rate_of_hundred,
    size_text,
    threat_text,
    whole_interval,
)

RULE = (
    "A verdict is given only if the whole 95 % interval supports it. Fails: fewer than 10 of 100 "
    "correct readings stay correct. Mostly fooled: fewer than 50. Partly robust: between 50 and "
    "90. Robust: 90 or more, against the attacks that were run; a stronger attack may find more. "
    "Undecided: the interval crosses 50 or 90, or more than 5 of 100 attacked cases could not be "
    "evaluated. No verdict: a warning voids it; the warning is named, and its figures are not "
    "quoted at the top."
)


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
    words = dict(zip(map(id, report.worst_cases), report.verdicts, strict=True))
    valid = [row for row in every if not is_withheld(words[id(row)])]
    if every and not valid:
        return sentences
    rows = [row for row in valid if row.scores.success is not None]
    if not rows:
        return [*sentences, _nothing_attacked(report, every)]
    first, last = rows[0], rows[-1]
    effect = f"an attacker who may {threat_text(first.eps, first.norm)} {_effect(report, first)}"
    success = [row.scores.success.value for row in rows if row.scores.success is not None]
    shown, when = first, "Under this attack"
    if last is not first and last.eps is not None and success[0] < 1:
        effect += f"; with {size_text(last.eps, last.norm)}, {_amount(last)}"
        shown, when = first, "With the smaller change"
        if success[0] == 0 < success[-1]:
            shown, when = last, "With the larger change"
    sentences.append(f"Of 100 {_attacked_images(report)}, {effect}.")
    if errors := _error_sentence(report, shown, when):
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
            threat_text(row.eps, row.norm),
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


def goal_text(report: Report) -> str:
    """What the attacker wants."""
    audit = report.plan["audit"]
    if audit["target"] is not None:
        return f"images of other classes are read as {plain(audit['target'])!r}"
    return {
        "miss": "a finding is missed",
        "false alarm": "a finding is reported where there is none",
    }.get(audit["goal"], "any misclassification")


def _clean_sentence(report: Report) -> str:
    accuracy, data = report.clean.scores.accuracy, report.data
    groups = counted(data.groups, "group")
    if accuracy is None:
        return f"The model was given {data.cases} {images(report)}; there is no accuracy."
    interval = f"95 % interval {whole_interval(accuracy)}"
    if accuracy.interval is None:
        needed = accuracy.groups_needed
        interval = "no 95 % interval" + (f": about {needed} groups needed" if needed else "")
    return (
        f"On unmodified images, the model reads {of_hundred(accuracy.value)} of 100 "
        f"{images(report)} correctly ({interval}; measured on {counted(data.cases, 'image')} of "
        f"{groups})."
    )


def _nothing_attacked(report: Report, rows: list[AttackResult]) -> str:
    """Why no attack has a number."""
    if any(row.attacked for row in rows):
        return "Attacks were run, but none could be evaluated: the robustness is unknown."
    accuracy = report.clean.scores.accuracy
    if accuracy is None or accuracy.value == 0:
        return "No image was attacked, because the model reads none of them correctly."
    return (
        "No image was attacked: the attack goal applies to none of the images that the model reads "
        "correctly."
    )


def _attacked_images(report: Report) -> str:
    audit, what = report.plan["audit"], images(report)
    if audit["target"] is not None:
        kind = f"{what} that are not of class {quoted(audit['target'])} and"
    else:
        kind = what + {"miss": " with a finding", "false alarm": " without a finding"}.get(
            audit["goal"], ""
        )
    return f"{kind} that the model reads correctly"


def _effect(report: Report, row: AttackResult) -> str:
    """`changes the reading of 24 [14, 35]`, in the words of the attack goal."""
    amount, audit = _amount(row), report.plan["audit"]
    if audit["target"] is not None:
        return f"makes the model read {amount} as {quoted(audit['target'])}"
    verb = {
        "miss": "hides the finding in",
        "false alarm": "makes the model report a finding in",
    }
    return f"{verb.get(audit['goal'], 'changes the reading of')} {amount}"


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


def _error_sentence(report: Report, row: AttackResult, when: str) -> str:
    """Misses and false alarms; where no class is a finding, the class that loses most."""
    s = row.scores
    parts = []
    if s.misses is not None:
        parts.append(
            f"misses {rate_of_hundred(s.misses)} of 100 findings {_named(report)}it had detected"
        )
    if s.false_alarms is not None:
        parts.append(
            f"reports a finding in {rate_of_hundred(s.false_alarms)} of 100 images it had called "
            "normal"
        )
    if parts:
        return f"{when}, the model {' and '.join(parts)}."
    before = report.clean.scores.recall
    both = {
        name: (clean, recall)
        for name, recall in s.recall.items()
        if recall is not None and (clean := before.get(name)) is not None
    }
    lost = {name: clean.value - recall.value for name, (clean, recall) in both.items()}
    name = max(lost, key=lost.__getitem__, default="")
    if lost.get(name, 0) <= 0:
        return ""
    clean, left = both[name]
    return (
        f"{when}, class {quoted(name)} is affected most: of 100 of its images, the model reads "
        f"{rate_of_hundred(left)} correctly, down from {rate_of_hundred(clean)}."
    )


def _named(report: Report) -> str:
    """`(PNEUMONIA) `: which classes are meant by findings, where they are few."""
    names = report.data.findings
    return f"({', '.join(map(plain, names))}) " if 0 < len(names) <= 3 else ""


def _strongest(report: Report, row: AttackResult) -> tuple[str, ...]:
    if row.kind != "exact":
        return ()
    left = {
        r.attack: r.scores.robust_accuracy.value
        for r in _same_threat(report, row)
        if r.scores.robust_accuracy is not None
    }
    fewest = min(left.values(), default=None)
    return tuple(plain(name) for name, value in left.items() if value == fewest)


def _same_threat(report: Report, row: AttackResult) -> list[AttackResult]:
    return [r for r in report.rows if r.norm == row.norm and r.eps == row.eps]
