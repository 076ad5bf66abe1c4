"""What was found, in sentences that need no term of the field, and a verdict for each threat."""

from __future__ import annotations

from dataclasses import dataclass

from robust.records import Estimate, Report, Row
from robust.report.words import images, norms, of_hundred, plain, threat_text

RULE = (
    "A verdict looks at the whole interval. Collapses: fewer than 10 of 100 correct readings "
    "survive. Breaks: fewer than 50. Weakens: between 50 and 90. Holds: 90 or more, against the "
    "attacks that were tried; a stronger one may find more. Undecided: the interval reaches across "
    "50, or more than 5 of 100 attacks came to no verdict."
)


@dataclass(frozen=True)
class Verdict:
    """One threat in words. `row` is the worst case, the others are None where there are none."""

    word: str
    may: str
    """What the attacker may do."""
    row: Row
    hardest: tuple[str, ...]
    """The attacks that alone left the fewest right; none where some ran on a part of the cases."""
    noise: Row | None
    """Random change of the same size."""


def headline(report: Report) -> list[str]:
    """Three sentences: what the model can do, what an attacker undoes, and whom that harms."""
    said = [_undisturbed(report)]
    rows = [row for row in report.worst_cases if row.norm == norms(report)[0]]
    if all(row.scores.success is None for row in rows):
        return [
            *said,
            "No case could be attacked: none of them is read correctly to begin with, "
            "or no attack came to a verdict.",
        ]
    first, last = rows[0], rows[-1]
    attacked = f"an attacker who may {threat_text(first.eps, first.norm)} {_turns(report, first)}"
    all_fell = first.scores.success is not None and first.scores.success.value == 1
    when = "Then"
    if last is not first and not all_fell:
        attacked += (
            f"; one who may {threat_text(last.eps, last.norm)}, {_turns(report, last, True)}"
        )
        when = "With the smaller change"
    said.append(f"Of 100 {_attacked(report)}, {attacked}.")
    if harm := _harm(report, first, when):
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
            next((r for r in _same_threat(report, row) if r.attack == "Noise"), None),
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
    population = f"measured on {data['cases']} images of {data['groups']} groups"
    if accuracy is None:
        return f"The model was shown {data['cases']} {images(report)}; none gave a number."
    return (
        f"Of 100 {images(report)} the model reads {_count(accuracy)} correctly when nobody "
        f"interferes ({population})."
    )


def _attacked(report: Report) -> str:
    audit, what = report.plan["audit"], images(report)
    if audit["target"] is not None:
        return f"{what} of other classes that it reads correctly"
    kind = {"miss": " with a finding", "false alarm": " without a finding"}.get(audit["goal"], "")
    return f"{what}{kind} that it reads correctly"


def _turns(report: Report, row: Row, again: bool = False) -> str:
    """`overturns all but 2 [1, 5] of them`, in the words of the goal."""
    success = row.scores.success
    if success is None:
        return "came to no verdict"
    kept = Estimate(1 - success.value, 1 - success.high, 1 - success.low, 0, 0)
    if success.value == 1:
        amount = f"all of them {_whole(success)}"
    elif success.value == 0:
        amount = f"none of them {_whole(success)}"
    elif kept.value <= 0.1:
        amount = f"all but {of_hundred(kept.value)} {_whole(kept)}"
    else:
        amount = f"{of_hundred(success.value)} {_whole(success)} of them"
    if again:
        return amount
    audit = report.plan["audit"]
    if audit["target"] is not None:
        return f"makes it read {amount} as {plain(audit['target'])!r}"
    verb = {"miss": "hides the finding in", "false alarm": "invents a finding in"}
    return f"{verb.get(audit['goal'], 'overturns')} {amount}"


def _harm(report: Report, row: Row, when: str) -> str:
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
    known = {name: recall for name, recall in s.recall.items() if recall is not None}
    if not known:
        return ""
    name = min(known, key=lambda name: known[name].value)
    return (
        f"{when} {plain(name)!r} suffers most: of 100 images of it, {_count(known[name])} are "
        f"still read as such."
    )


def _hardest(report: Report, row: Row) -> tuple[str, ...]:
    if row.kind != "exact":
        return ()
    left = {
        r.attack: r.scores.robust_accuracy.value
        for r in _same_threat(report, row)
        if r.scores.robust_accuracy is not None
    }
    fewest = min(left.values(), default=None)
    return tuple(plain(name) for name, value in left.items() if value == fewest)


def _same_threat(report: Report, row: Row) -> list[Row]:
    return [r for r in report.rows if r.norm == row.norm and r.eps == row.eps]


def _word(row: Row) -> str:
    success = row.scores.success
    if success is None or row.failed > 0.05 * row.attacked:
        return "undecided"
    low, high = 1 - success.high, 1 - success.low
    if high < 0.1:
        return "collapses"
    if high < 0.5:
        return "breaks"
    if low >= 0.9:
        return "holds"
    return "weakens" if low >= 0.5 else "undecided"


def _count(estimate: Estimate) -> str:
    return f"{of_hundred(estimate.value)} {_whole(estimate)}"


def _whole(estimate: Estimate) -> str:
    return f"[{of_hundred(estimate.low)}, {of_hundred(estimate.high)}]"
