"""What was found, in sentences that need no term of the field, and a verdict for each threat."""

from __future__ import annotations

from dataclasses import dataclass

from robust.metrics.scores import too_many_failed
from robust.records import AttackResult, Estimate, Report
from robust.report.text.detection import alarm, at_a_glance
from robust.report.text.format import (
    counted,
    images,
    norms,
    of_hundred,
    plain,
    short,
    threat_text,
    whole,
)

RULE = (
    "A verdict looks at the whole interval. Collapses: fewer than 10 of 100 correct readings "
    "survive. Breaks: fewer than 50. Weakens: between 50 and 90. Holds: 90 or more, against the "
    "attacks that were tried; a stronger one may find more. Undecided: the interval reaches across "
    "50 or 90, or more than 5 of 100 attacks came to no verdict."
)


@dataclass(frozen=True)
class Verdict:
    """One threat in words. `row` is the worst case, the others are None where there are none."""

    word: str
    may: str
    """What the attacker may do."""
    row: AttackResult
    hardest: tuple[str, ...]
    """The attacks that alone left the fewest right; none where some ran on a part of the cases."""
    noise: AttackResult | None
    """Random change of the same size."""


def headline(report: Report) -> list[str]:
    """First what is not to be believed, then what happened, last whether detectors notice."""
    detection = report.detection
    if detection is None:
        return happened(report)
    every = (*alarm(detection), *happened(report), at_a_glance(detection))
    return [sentence for sentence in every if sentence]


def happened(report: Report) -> list[str]:
    """Three sentences: what the model can do, what an attacker undoes, and whom that harms."""
    said = [_undisturbed(report)]
    every = [row for row in report.worst_cases if row.norm == norms(report)[0]]
    rows = [row for row in every if row.scores.success is not None]
    if not rows:
        return [*said, _untouched(report, every)]
    first, last = rows[0], rows[-1]
    attacked = f"an attacker who may {threat_text(first.eps, first.norm)} {_turns(report, first)}"
    fell = [row.scores.success.value for row in rows if row.scores.success is not None]
    harmed, when = first, "Then"
    if last is not first and fell[0] < 1:
        attacked += (
            f"; one who may {threat_text(last.eps, last.norm)}, {_turns(report, last, True)}"
        )
        harmed, when = first, "With the smaller change"
        if fell[0] == 0 < fell[-1]:
            harmed, when = last, "With the larger change"
    said.append(f"Of 100 {_attacked(report)}, {attacked}.")
    if harm := _harm(report, harmed, when):
        said.append(harm)
    return said


def verdicts(report: Report) -> list[Verdict]:
    """One for each norm and eps, in the order of the report."""
    return [
        Verdict(
            _word(row),
            threat_text(row.eps, row.norm),
            row,
            _hardest(report, row),
            next((r for r in _same_threat(report, row) if r.baseline), None),
        )
        for row in report.worst_cases
    ]


def goal_text(report: Report) -> str:
    """What the attacker wants."""
    audit = report.plan["audit"]
    if audit["target"] is not None:
        return f"any image not of {plain(audit['target'])!r} is to be read as that"
    return {
        "miss": "a finding is to be overlooked",
        "false alarm": "a finding is to be invented",
    }.get(audit["goal"], "any wrong reading will do")


def _undisturbed(report: Report) -> str:
    accuracy, data = report.clean.scores.accuracy, report.data
    groups = counted(data.groups, "group")
    population = f"measured on {counted(data.cases, 'image')} of {groups}"
    if accuracy is None:
        return f"The model was shown {data.cases} {images(report)}; none gave a number."
    return (
        f"Of 100 {images(report)} the model reads {_count(accuracy)} correctly when nobody "
        f"interferes ({population})."
    )


def _untouched(report: Report, rows: list[AttackResult]) -> str:
    """Why no attack has a number."""
    if any(row.attacked for row in rows):
        return "Attacks were tried, but none came to a verdict: how the model fares is unknown."
    accuracy = report.clean.scores.accuracy
    if accuracy is None or accuracy.value == 0:
        return "Nothing was attacked, since there is no correct reading to overturn."
    return "Nothing was attacked: the attacker's goal applies to none of those read correctly."


def _attacked(report: Report) -> str:
    audit, what = report.plan["audit"], images(report)
    if audit["target"] is not None:
        return f"{what} that are not of {_quoted(audit['target'])} and that it reads correctly"
    kind = {"miss": " with a finding", "false alarm": " without a finding"}.get(audit["goal"], "")
    return f"{what}{kind} that it reads correctly"


def _turns(report: Report, row: AttackResult, again: bool = False) -> str:
    """`overturns all but 2 [1, 5] of them`, in the words of the goal."""
    success = row.scores.success
    if success is None:
        return "came to no verdict"
    kept = Estimate(1 - success.value, 1 - success.high, 1 - success.low, 0, 0)
    if success.value == 1:
        amount = f"all of them {whole(success)}"
    elif success.value == 0:
        amount = f"none of them {whole(success)}"
    elif kept.value <= 0.1:
        amount = f"all but {of_hundred(kept.value)} {whole(kept)}"
    else:
        amount = f"{of_hundred(success.value)} {whole(success)} of them"
    if again:
        return amount
    audit = report.plan["audit"]
    if audit["target"] is not None:
        return f"makes it read {amount} as {_quoted(audit['target'])}"
    verb = {"miss": "hides the finding in", "false alarm": "invents a finding in"}
    return f"{verb.get(audit['goal'], 'overturns')} {amount}"


def _harm(report: Report, row: AttackResult, when: str) -> str:
    """Misses and false alarms; without findings the class that suffers most."""
    s = row.scores
    parts = []
    if s.misses is not None:
        parts.append(f"overlooks {_count(s.misses)} of 100 findings that it had seen")
    if s.false_alarms is not None:
        parts.append(
            f"reports a finding in {_count(s.false_alarms)} of 100 images that it had "
            "called free of one"
        )
    if parts:
        return f"{when} the model {' and '.join(parts)}."
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
        f"{when} {_quoted(name)} suffers most: of 100 images of it, {_count(left)} are read as "
        f"such, down from {_count(clean)}."
    )


def _hardest(report: Report, row: AttackResult) -> tuple[str, ...]:
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
    return [r for r in report.results if r.norm == row.norm and r.eps == row.eps]


def _word(row: AttackResult) -> str:
    success = row.scores.success
    if success is None or too_many_failed(row.failed, row.attacked):
        return "undecided"
    low, high = 1 - success.high, 1 - success.low
    if high < 0.1:
        return "collapses"
    if high < 0.5:
        return "breaks"
    if low >= 0.9:
        return "holds"
    return "weakens" if low >= 0.5 and high < 0.9 else "undecided"


def _quoted(name: object) -> str:
    return f"'{short(name)}'"


def _count(estimate: Estimate) -> str:
    return f"{of_hundred(estimate.value)} {whole(estimate)}"
