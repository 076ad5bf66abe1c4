"""The words of segmentation: structures are outlined well or badly."""

from __future__ import annotations

from functools import cache

from robust.records import AttackResult, AuditedTask, Estimate, Report
from robust.report.text.format import (
    bracket,
    images,
    listed,
    plain,
    quoted,
    rate_of_hundred,
)
from robust.report.text.glossary import OUTLINE_TERMS
from robust.report.text.vocabulary import GateWords, ScoreColumn, Vocabulary, touched

_RULE = (
    "A verdict is given only if the whole 95 % interval supports it. Fails: the attacker fails on "
    "fewer than 10 of 100 attacked cases. Mostly fooled: on fewer than 50. Partly robust: on 50 to "
    "90. Robust: on 90 or more, against the attacks that were run; a stronger attack may find "
    "more. Undecided: the interval crosses 50 or 90, or more than 5 of 100 attacked cases could "
    "not be evaluated. No verdict: a warning voids it; the warning is named, and its figures are "
    "not quoted at the top."
)

_RESULTS = (
    "In brackets: 95 % intervals, by group. Outlined well and mean Dice count all cases, including "
    "those already outlined badly before the attack, which stay as they are. Still outlined well "
    "counts only the attacked cases. The background is no structure and counts in no mean. "
    "Distance: the median of the successful images."
)

_COLUMNS = (
    ScoreColumn("outlined well %", "accuracy", "accuracy"),
    ScoreColumn("still outlined well %", "robust_accuracy", "robust-accuracy"),
    ScoreColumn("attacker succeeds %", "success", "success"),
    ScoreColumn("mean Dice", "dice", "dice"),
)


@cache
def segmentation(task: AuditedTask) -> Vocabulary:
    """The words for a task of segmentation."""
    image, pixel = ("volume", "voxel") if task.volumes else ("image", "pixel")
    return Vocabulary(
        model="segmentation model",
        right="outlined well",
        does_right="outlines well",
        do_right="outline well",
        correct="outlined well",
        kept="The share that is still outlined well",
        image=image,
        pixel=pixel,
        where=touched(task),
        clean=(
            f"On unmodified {image}s, the model outlines {{share}} of 100 {{images}} well, with a "
            f"Dice of at least {task.dice:g}{_mean(task).rstrip(',')} ({{interval}}; measured on "
            f"{{population}})."
        ),
        unknown="The model was given {cases} {images}; how well it outlines them is not known.",
        none_right=f"No {image} was attacked, because the model outlines none of them well.",
        none_fits=(
            f"No {image} was attacked: the attack goal applies to none of the {image}s that the "
            f"model outlines well."
        ),
        attacked=_attacked,
        effect=_effect,
        goal=_goal,
        errors=_errors,
        subject=lambda report: ("Structures", structures_sentence(report)),
        counts="{} (cases with the structure)",
        population=_population,
        rule=_RULE,
        section="Outlines under attack",
        columns=_COLUMNS,
        results=_RESULTS,
        jpeg="that are no longer outlined well after JPEG",
        twin=(
            f"On {{agreement}} of the unmodified {image}s both outline it well or neither does. It "
            f"outlines {{twin}} of them well; the model {{model}}."
        ),
        alike="same outcome %",
        alike_means=(
            "Same outcome: under every attack, both outline the case well or neither does."
        ),
        gates={
            "clean_accuracy": GateWords("outlined well without attack", *_WELL),
            "robust_accuracy": GateWords("still outlined well", *_WELL),
            "dice": GateWords("mean Dice", "every Dice were 1", "Dice 0"),
            "corrupted_accuracy": GateWords("Dice of corrupted images", "every Dice were 1"),
        },
        error="1 - mean Dice",
        error_means="what the outlines lack to a perfect Dice of 1, as the mean over the cases",
        error_term="dice",
        scores={
            "accuracy": "outlined well",
            "robust_accuracy": "still outlined well",
            "dice": "mean Dice",
        },
        fallen="lost",
        held="held",
        gallery=(
            "First cases that are lost, each from the smallest change; then those that held "
            "longest. A case is lost where an attack reaches its goal. Shown first: the smallest "
            "eps at which one of them is lost."
        ),
        answers=f"Outlines are those of all structures that count{_slice_text(task)}.",
        terms=OUTLINE_TERMS,
    )


_WELL = ("all were outlined well", "outlined badly")


def structures_sentence(report: Report) -> str:
    """Which structures count, and when a case is outlined well."""
    task = report.task
    names = listed([quoted(name) for name in task.structures], most=6)
    well = f"A case is outlined well where its Dice{_mean(task)} is at least {task.dice:g}"
    if task.drop < 1:
        well += f", and under attack no more than {task.drop:g} below that without attack"
    return f"{names}; the background does not count. {well}. Distances are in {task.unit}."


def is_one(task: AuditedTask) -> bool:
    """Whether there is one structure alone."""
    return len(task.structures) == 1


def _mean(task: AuditedTask) -> str:
    """`, the mean over 3 structures,`, where there are several."""
    return "" if is_one(task) else f", the mean over {len(task.structures)} structures,"


def _of(task: AuditedTask) -> str:
    """` of 'lungs'`, where there is one structure alone."""
    return f" of {quoted(task.structures[0])}" if is_one(task) else ""


def _it(task: AuditedTask) -> str:
    return quoted(task.structures[0]) if is_one(task) else "a structure"


def _slice_text(task: AuditedTask) -> str:
    where = ". Of each volume the slice is shown in which most voxels are outlined wrongly"
    return f"{where} at the largest eps" if task.volumes else ""


def _size(task: AuditedTask) -> str:
    return f"{100 * task.change:g} % of the true {'volume' if task.volumes else 'area'}"


def _population(report: Report) -> str:
    return f"Structures: {', '.join(map(plain, report.task.structures))}."


def _goal(report: Report) -> str:
    task = report.task
    bad = f"an outline worse than Dice {task.dice:g}"
    if task.drop < 1:
        bad += f", or worse by more than {task.drop:g}"
    return {
        "miss": "every structure vanishes from the outline",
        "false alarm": f"{_it(task)} is outlined where there is none",
        "grow": f"the outline is too large by at least {_size(task)}",
        "shrink": f"the outline is too small by at least {_size(task)}",
        "mask": "the outline becomes the mask that the data name",
    }.get(report.plan["audit"]["goal"], bad)


def _attacked(report: Report) -> str:
    task = report.task
    if report.plan["audit"]["goal"] == "false alarm":
        return f"{images(report)} without {_it(task)}, in which the model outlines none"
    return f"good outlines{_of(task)}"


def _effect(report: Report) -> str:
    task = report.task
    lower = f", or lowers their Dice by more than {task.drop:g}" if task.drop < 1 else ""
    return {
        "miss": "makes {amount} vanish",
        "false alarm": "makes the model outline it in {amount}",
        "grow": f"makes {{amount}} too large by at least {_size(task)}",
        "shrink": f"makes {{amount}} too small by at least {_size(task)}",
        "mask": "turns {amount} into the mask that the attacker wants",
    }.get(report.plan["audit"]["goal"], f"makes {{amount}} worse than Dice {task.dice:g}{lower}")


def _errors(report: Report, row: AttackResult, when: str) -> str:
    """The mean Dice, the structure that loses most, and what is missed or invented."""
    before, after = report.clean.scores, row.scores
    if before.dice is None or after.dice is None:
        return ""
    text = f"{when}, the mean Dice of all cases stays {_decimal(after.dice)}."
    if after.dice.value < before.dice.value:
        text = (
            f"{when}, the mean Dice of all cases falls from {_decimal(before.dice)} to "
            f"{_decimal(after.dice)}."
        )
    if not is_one(report.task):
        text += _most_affected(report, row)
    text += _most_often(report, row, "missed", "The model finds nothing of {name}", "that have it")
    return text + _most_often(report, row, "invented", "The model outlines {name}", "without it")


def _most_affected(report: Report, row: AttackResult) -> str:
    both: dict[str, tuple[Estimate, Estimate]] = {}
    for name, one in row.scores.outlines.items():
        clean = report.clean.scores.outlines.get(name)
        if one.dice is not None and clean is not None and clean.dice is not None:
            both[name] = clean.dice, one.dice
    lost = {name: clean.value - after.value for name, (clean, after) in both.items()}
    name = max(lost, key=lost.__getitem__, default="")
    if lost.get(name, 0) <= 0:
        return ""
    before, after = both[name]
    return f" {quoted(name)} loses most, from {_decimal(before)} to {_decimal(after)}."


def _most_often(report: Report, row: AttackResult, field: str, what: str, where: str) -> str:
    """Of the structures that are missed or invented more often than without attack, the first."""
    known: dict[str, Estimate] = {}
    for name, one in row.scores.outlines.items():
        share: Estimate | None = getattr(one, field)
        clean = report.clean.scores.outlines.get(name)
        before: Estimate | None = None if clean is None else getattr(clean, field)
        if share is not None and share.value > (0 if before is None else before.value):
            known[name] = share
    name = max(known, key=lambda one: known[one].value, default="")
    if not name:
        return ""
    return (
        f" {what.format(name=quoted(name))} in {rate_of_hundred(known[name])} of 100 "
        f"{images(report)} {where}."
    )


def _decimal(estimate: Estimate) -> str:
    """`0.61 [0.57, 0.65]`."""
    return f"{estimate.value:.2f} {bracket(estimate, 1, 2)}"
