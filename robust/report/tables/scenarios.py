"""Attackers with less than the model, or other means: a sentence for each, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robust.records import Report, Scenario
from robust.report.tables.detection import number
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.format import counted, of_hundred, plain
from robust.units import eps_text, norm_text

CHANCE = "="
NOTE = (
    "On cases that are right when clean, and of patients that the attacker had not seen; in "
    "brackets 95 % intervals by group. Each attack stands beside its control, which is no attack."
)
MEANING = (
    f" {CHANCE} the intervals of attack and control overlap: it is not shown that the attack does "
    "more than its control."
)


@dataclass(frozen=True)
class _Attacker:
    """How a kind of scenario is spoken of."""

    name: str
    control: str
    said: str
    """What it does, up to the share of images fooled; then the control's share follows."""
    beside: str


_ATTACKERS = {
    "universal": _Attacker(
        "one perturbation for every image",
        "one random change of that size",
        "One perturbation of {size}, found on {images} and added to every other one, fools the "
        "model in {fooled} %",
        "a random one does so in {control} %",
    ),
    "patch": _Attacker(
        "one patch, at any place",
        "a square of another clean image",
        "One patch of {size}, laid at any place of images that it was not made on, fools it in "
        "{fooled} %",
        "a square of another clean image does so in {control} %",
    ),
    "transfer": _Attacker(
        "images made on another model",
        "noise of that size",
        "Images attacked on another model, within {size}, fool this one in {fooled} %",
        "noise does so in {control} %",
    ),
    "queries": _Attacker(
        "questions, answered by the label",
        "as many random images",
        "Who may only ask for the label of images, {questions} for each, fools it within {size} in "
        "{fooled} %",
        "as many random images do so in {control} %",
    ),
}


def scenario_sentences(report: Report) -> tuple[str, ...]:
    """One for each kind of attacker, at the greatest effort or size that was tried."""
    last = {one.name: one for one in report.scenarios}
    return tuple(_sentence(one) for one in last.values())


def scenario_table(report: Report) -> Table:
    """Each attacker and each effort, beside the control."""
    columns = (
        Column("attacker"),
        Column("size"),
        Column("effort"),
        Column("model fooled %"),
        Column("control %", "scenario-control"),
        Column("the control"),
    )
    lines, before = [], ""
    for place, one in enumerate(report.scenarios):
        lines.append(_line(one, f"/scenarios/{place}", opens=one.name != before))
        before = one.name
    return Table("scenarios", "Other attackers", columns, tuple(lines), _note(report.scenarios))


def _note(scenarios: Sequence[Scenario]) -> str:
    note = NOTE if all(one.beats_control for one in scenarios) else f"{NOTE}{MEANING}"
    for one in scenarios:
        if one.surrogate_fooled is not None:
            share = of_hundred(one.surrogate_fooled.value)
            note += f" The images made on the other model fool that model itself in {share} %."
    failed = dict.fromkeys(plain(one.failure) for one in scenarios if one.failure)
    for why in failed:
        note += f" Queries broke off on some cases ({why}); what was found until then counts."
    return note


def _line(one: Scenario, path: str, opens: bool) -> TableRow:
    kind = _ATTACKERS[one.name]
    mark = "" if one.beats_control else CHANCE
    return TableRow(
        (
            TableCell(kind.name),
            TableCell(_size(one), path=f"{path}/size" if one.norm == "Linf" else ""),
            TableCell(_effort(one)),
            number(one.fooled, f"{path}/fooled", mark, 100, 1),
            number(one.control, f"{path}/control", "", 100, 1),
            TableCell(kind.control),
        ),
        opens=opens,
    )


def _size(one: Scenario) -> str:
    if one.norm is None:
        return f"{of_hundred(one.size)} % of the area"
    return f"{norm_text(one.norm)} {eps_text(one.size, one.norm)}"


def _effort(one: Scenario) -> str:
    match one.name:
        case "queries":
            return counted(one.budget or 0, "question")
        case "transfer":
            return "model unseen"
        case _:
            return counted(one.budget or 0, "image")


def _sentence(one: Scenario) -> str:
    kind, effort = _ATTACKERS[one.name], one.budget or 0
    said = f"{kind.said}; {kind.beside}.".format(
        size=_size(one),
        images=counted(effort, "image"),
        questions=counted(effort, "question"),
        fooled=of_hundred(one.fooled.value),
        control=of_hundred(one.control.value),
    )
    doubt = " That may be chance: the intervals overlap."
    return said if one.beats_control else said + doubt
