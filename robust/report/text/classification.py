"""The words of classification: images are read correctly or misread."""

from __future__ import annotations

from robust.records import AttackResult, Report
from robust.report.text.format import (
    images,
    listed,
    of_hundred,
    plain,
    quoted,
    rate_of_hundred,
    size_text,
)
from robust.report.text.glossary import TERMS
from robust.report.text.vocabulary import GateWords, ScoreColumn, Vocabulary

RULE = (
    "A verdict is given only if the whole 95 % interval supports it. Fails: fewer than 10 of 100 "
    "correct readings stay correct. Mostly fooled: fewer than 50. Partly robust: between 50 and "
    "90. Robust: 90 or more, against the attacks that were run; a stronger attack may find more. "
    "Undecided: the interval crosses 50 or 90, or more than 5 of 100 attacked cases could not be "
    "evaluated. No verdict: a warning voids it; the warning is named, and its figures are not "
    "quoted at the top."
)

_RESULTS = (
    "In brackets: 95 % intervals, by group. Accuracy, sensitivity, specificity and AUC "
    "count all cases, including images already misread before the attack, which stay as they are. "
    "The attacker's AUC is that of an attacker who aims at the AUC: of every case, misread before "
    "or not, the image that harms it most. Robust accuracy, misses "
    "and false alarms count only the attacked cases, all read correctly before. Distance: the "
    "median of the successful images."
)

_COLUMNS = (
    ScoreColumn("accuracy %", "accuracy", "accuracy"),
    ScoreColumn("robust accuracy %", "robust_accuracy", "robust-accuracy"),
    ScoreColumn("misses %", "misses", "miss"),
    ScoreColumn("false alarms %", "false_alarms", "false-alarm"),
    ScoreColumn("sensitivity %", "sensitivity", "sensitivity"),
    ScoreColumn("specificity %", "specificity", "specificity"),
    ScoreColumn("AUC", "auc", "auc"),
    ScoreColumn("attacker's AUC", "attacker_auc", "attacker-auc"),
)


def finding_sentence(report: Report) -> str:
    """Which classes count as a finding, and who said so."""
    data = report.data
    names = listed([quoted(name) for name in data.findings], most=6)
    if not data.findings:
        return "No class is named as a finding, so there is no sensitivity and no specificity."
    table = report.plan.get("data")
    if not table:
        return f"{names}."
    if table.get("findings"):
        return f"{names}, as the plan says."
    return f"{names}, told by the names or the order of the classes; the plan names no finding."


def _population(report: Report) -> str:
    names = ", ".join(plain(name) for name in report.data.findings) or "none named"
    return f"Findings: {names}."


def _goal(report: Report) -> str:
    audit = report.plan["audit"]
    if audit["target"] is not None:
        return f"images of other classes are read as {plain(audit['target'])!r}"
    return {
        "miss": "a finding is missed",
        "false alarm": "a finding is reported where there is none",
    }.get(audit["goal"], "any misclassification")


def _attacked(report: Report) -> str:
    audit, what = report.plan["audit"], images(report)
    if audit["target"] is not None:
        kind = f"{what} that are not of class {quoted(audit['target'])} and"
    else:
        kind = what + {"miss": " with a finding", "false alarm": " without a finding"}.get(
            audit["goal"], ""
        )
    return f"{kind} that the model reads correctly"


def _effect(report: Report) -> str:
    """`changes the reading of {amount}`, in the words of the attack goal."""
    audit = report.plan["audit"]
    if audit["target"] is not None:
        target = quoted(audit["target"]).replace("{", "{{").replace("}", "}}")
        return f"makes the model read {{amount}} as {target}"
    verb = {
        "miss": "hides the finding in",
        "false alarm": "makes the model report a finding in",
    }
    return f"{verb.get(audit['goal'], 'changes the reading of')} {{amount}}"


def _errors(report: Report, row: AttackResult, when: str) -> str:
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


def calibration_sentences(report: Report) -> tuple[str, ...]:
    """ECE clean, by chance, and under the largest attack; empty without probabilities."""
    ece = report.clean.scores.ece
    if ece is None:
        return ()
    text = (
        f"Without attack, the model's confidence is {rate_of_hundred(ece)} of 100 away from how "
        "often it is right (expected calibration error)"
    )
    if (chance := report.clean.scores.ece_chance) is not None:
        text += f"; {of_hundred(chance)} of 100 would be chance alone"
    text += "."
    attacked = [row for row in _calibrated(report) if row.eps is not None]
    if attacked and (worst := attacked[-1].scores.ece) is not None:
        size = size_text(attacked[-1].eps or 0.0, attacked[-1].norm)
        text += (
            f" In the worst case over attacks of {size} it is {rate_of_hundred(worst)} of 100: "
            "then a high confidence says as little as a low one."
            if worst.is_at_least(0.5)
            else f" In the worst case over attacks of {size} it is {rate_of_hundred(worst)} of 100."
        )
    return (text,)


def _calibrated(report: Report) -> list[AttackResult]:
    """The worst cases of the first norm that have an expected calibration error."""
    norm = report.worst_cases[0].norm
    return [r for r in report.worst_cases if r.norm == norm and r.scores.ece is not None]


CLASSIFICATION = Vocabulary(
    model="classifier",
    right="read correctly",
    does_right="reads correctly",
    do_right="read correctly",
    correct="correct",
    kept="Robust accuracy",
    image="image",
    pixel="pixel",
    where="",
    clean=(
        "On unmodified images, the model reads {share} of 100 {images} correctly ({interval}; "
        "measured on {population})."
    ),
    unknown="The model was given {cases} {images}; there is no accuracy.",
    none_right="No image was attacked, because the model reads none of them correctly.",
    none_fits=(
        "No image was attacked: the attack goal applies to none of the images that the model reads "
        "correctly."
    ),
    attacked=_attacked,
    effect=_effect,
    goal=_goal,
    errors=_errors,
    subject=lambda report: ("Finding", finding_sentence(report)),
    counts="{}",
    population=_population,
    rule=RULE,
    section="Accuracy under attack",
    columns=_COLUMNS,
    results=_RESULTS,
    jpeg="whose reading changes after JPEG",
    twin=(
        "It reads {agreement} of the unmodified images as the model does, and {twin} of them "
        "correctly; the model {model}."
    ),
    alike="read alike %",
    alike_means="Read alike: both give the same reading under every attack.",
    gates={
        "clean_accuracy": GateWords("clean accuracy"),
        "robust_accuracy": GateWords("robust accuracy"),
        "sensitivity": GateWords("sensitivity"),
        "specificity": GateWords("specificity"),
        "corrupted_accuracy": GateWords("balanced accuracy"),
    },
    error="balanced error",
    error_means="the share of images that is misread, as the mean over the classes",
    error_term="balanced-error",
    scores={"accuracy": "accuracy", "robust_accuracy": "robust accuracy"},
    fallen="misread",
    held="correct",
    answers="In parentheses: the probability that the model gives to its reading.",
    gallery=(
        "First missed findings, then other misread cases, each from the smallest change; then "
        "those that stayed correct longest. Shown first: the smallest eps at which one of them is "
        "misread."
    ),
    terms=TERMS,
)
