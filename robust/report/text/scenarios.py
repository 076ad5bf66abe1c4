"""Sentences on attackers with less knowledge: universal, patch, spatial, transfer, queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robust.records import Report, Scenario
from robust.report.text.format import counted, of_hundred
from robust.units import printed_threat


@dataclass(frozen=True)
class ScenarioWords:
    """How a kind of attacker is named and described."""

    name: str
    control: str
    sentence: str
    """With the fields `size`, `effort`, `fooled` and `control`."""


SCENARIO_WORDS: Mapping[str, ScenarioWords] = {
    "universal": ScenarioWords(
        "universal perturbation",
        "random perturbation of the same size",
        "One perturbation of {size}, computed on {effort} and added to every other image, fools "
        "the model on {fooled} % of images; a random perturbation of the same size does so on "
        "{control} %.",
    ),
    "patch": ScenarioWords(
        "patch, at any place",
        "square from another clean image",
        "One patch of {size}, placed anywhere on images of other patients, fools the model on "
        "{fooled} % of images; a square from another clean image does so on {control} %.",
    ),
    "spatial": ScenarioWords(
        "rotation and shift",
        "random rotation and shift",
        "A rotation and shift of at most {size} fools the model on {fooled} % of images, where the "
        "worst of {effort} is taken for each; a random one does so on {control} %.",
    ),
    "transfer": ScenarioWords(
        "images made on another model",
        "noise of the same size",
        "Images attacked on another model, within {size}, fool this model on {fooled} % of "
        "images; noise of the same size does so on {control} %.",
    ),
    "queries": ScenarioWords(
        "decision-based (labels only)",
        "the same number of random images",
        "An attacker who sees only the predicted label fools the model within {size} on {fooled} % "
        "of images, with {effort} for each; the same number of random images does so on "
        "{control} %.",
    ),
}
"""By the name of the scenario in the records."""


def scenario_sentences(report: Report) -> tuple[str, ...]:
    """One for each kind of attacker, at the largest effort or size that was run."""
    last = {one.name: one for one in report.scenarios}
    return tuple(_sentence(one) for one in last.values())


def scenario_size(scenario: Scenario) -> str:
    """`L∞ 2/255`, the area of a patch, or how far an image is turned and shifted."""
    if scenario.shift is not None:
        return f"{scenario.size:g}° and {of_hundred(scenario.shift)} % of the side"
    if scenario.norm is None:
        return f"{of_hundred(scenario.size)} % of the area"
    return printed_threat(scenario.norm, scenario.size)


def scenario_effort(scenario: Scenario) -> str:
    """What the attacker spent: images fitted on, or queries for each image."""
    match scenario.name:
        case "queries":
            return counted(scenario.budget or 0, "query", "queries")
        case "spatial":
            return counted(scenario.budget or 0, "move")
        case "transfer":
            return "no access to the model"
        case _:
            return counted(scenario.budget or 0, "image")


def _sentence(scenario: Scenario) -> str:
    sentence = SCENARIO_WORDS[scenario.name].sentence.format(
        size=scenario_size(scenario),
        effort=scenario_effort(scenario),
        fooled=of_hundred(scenario.fooled.value),
        control=of_hundred(scenario.control.value),
    )
    if scenario.beats_control:
        return sentence
    return f"{sentence} The difference may be chance: the intervals overlap."
