"""The regulatory template: the order of a technical file; no conformity is claimed."""

from __future__ import annotations

from robust.records import Report
from robust.report.crosswalk.answers import PointAnswer, answers
from robust.report.crosswalk.texts import read_crosswalk
from robust.report.layout.blocks import (
    Block,
    DocumentSection,
    FactsBlock,
    TablesBlock,
    TextBlock,
)
from robust.report.layout.sections import (
    accuracy_blocks,
    calibration_blocks,
    certificate_blocks,
    confusion_blocks,
    corruption_blocks,
    detection_blocks,
    gallery_blocks,
    gate_blocks,
    glossary_blocks,
    outline_blocks,
    recall_blocks,
    repeat_blocks,
    results_blocks,
    scenario_blocks,
    sensitivity_blocks,
    storage_blocks,
    subgroup_blocks,
    threat_model_blocks,
    twin_blocks,
    verdict_blocks,
    visibility_blocks,
    warning_blocks,
)
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.detection import detector_sentences, null_control_warning
from robust.report.text.format import images, plain
from robust.report.text.headline import attack_sentences
from robust.report.text.opening import ELSEWHERE, upper_bound
from robust.report.text.provenance import provenance_facts
from robust.report.text.words import words

PURPOSE = (
    "This document reports how a trained {model} behaved under adversarial attacks. It is meant "
    "as evidence for a technical file: on accuracy, robustness and cybersecurity, which Article 15 "
    "of Regulation (EU) 2024/1689 requires of high-risk AI systems, and on threat modelling and "
    "security testing, which the FDA's guidance on cybersecurity in medical devices requires of a "
    "premarket submission.",
    "It does not claim conformity with either. The manufacturer's risk management decides whether "
    "a measured risk is acceptable and whether other measures reduce it.",
)

METHOD = (
    "Each attack runs on every case that the model {does_right} without attack and that the "
    "attack goal applies to. The size of each change and the prediction on each adversarial image "
    "are recomputed independently of the attack, in float32. An image outside its limits, a crash "
    "or a NaN counts neither as robust nor as fooled. The worst case takes, for each image, the "
    "most damaging change within eps that any attack found.",
    "Intervals are 95 %: exact binomial ones (Clopper and Pearson 1934) for as many independent "
    "cases as the groups are worth (Korn and Graubard 1998, with a jackknife over groups). Where "
    "too few groups are there, no interval is given.",
)

DETECTORS = (
    "Detectors are fitted and scored on different groups; their thresholds come from clean images "
    "alone. Attacked images are those on which an attack succeeded. Each result has three "
    "controls: unmodified images used in place of attacked ones, noise of the same size as the "
    "attack, and harmless changes such as JPEG.",
)
STATIC = "No adaptive attack was run, in which the attacker knows the detector and evades it."
ADAPTIVE = (
    "In adaptive attacks the attacker knows the detector and looks for images that fool the model "
    "and raise no alarm. Each image is confirmed on a detector that was fitted without that case."
)
TWIN = (
    "The deployed version of the model (exported, quantised or at lower precision) was shown the "
    "images that attacks made on the audited model, and was attacked itself without its gradients."
)
SCENARIOS = (
    "Attackers with less knowledge or other means were tested too. A perturbation or a patch that "
    "was fitted on images of some patients is tested on images of other patients."
)

CERTIFICATES = (
    "Certificates prove, for the images of a sample, that no change up to a certain size alters "
    "the reading. They give a lower bound. Attacks on the same classifier, in the same norm, were "
    "held against each proof; an attack within a proven radius would show a fault of one of them."
)
CORRUPTIONS = (
    "Corruptions change images as scanners, storage and movement do, at severities that published "
    "definitions fix. They run on a sample of all cases, right or wrong without corruption. Beside "
    "each stands the error that attacks leave that change the images no more."
)

LIMITS = (
    "Attacks give an upper bound. {bound}",
    "Covered: evasion by digital changes of single images, by an attacker who knows the model. Not "
    f"covered: {ELSEWHERE}.",
)


REQUIREMENTS = ("eu-ai-act", "fda")
"""The texts that Annex A is about, of `CROSSWALKS`."""
MAPPED = "Mapping to requirements"
_PLACES = {
    "provenance": 2,
    "threat-model": 3,
    "attacks": 4,
    "probe": 4,
    "population": 5,
    "warnings": 7,
    "repeat": 9,
    "intended-use": 0,
}
"""Number of the section that shows a kind of evidence; 0 above the sections, 6 for all others."""
ANNEX = (
    "In part: a part is missing, or the requirement asks for more than this program measures. The "
    "templates eu-ai-act and fda give the numbers, their doubts, what is not answered and why, and "
    "what was looked at of each text."
)

_METHOD_FACTS = (
    *("Software", "Cost", "Seed", "Attacks"),
    *("Detectors", "Layers read", "Evaluation of detectors", "Per-case table"),
)
_POPULATION_FACTS = ("Data", "Groups", "Pixels")


def regulatory(report: Report) -> tuple[DocumentSection, ...]:
    """Nine numbered sections and two annexes."""
    facts, said = dict(provenance_facts(report)), words(report)
    elsewhere = (*_METHOD_FACTS, *_POPULATION_FACTS)
    parts: tuple[tuple[str, str, tuple[Block, ...]], ...] = (
        (
            "purpose",
            "Purpose and scope",
            (TextBlock(tuple(text.format(model=said.model) for text in PURPOSE)),),
        ),
        ("system", "System under test", (_facts(facts, [k for k in facts if k not in elsewhere]),)),
        ("threat-model", "Threat model", threat_model_blocks(report)),
        ("method", "Method", (TextBlock(_method(report)), _facts(facts, _METHOD_FACTS))),
        (
            "population",
            "Population",
            (TextBlock((_population(report),)), _facts(facts, _POPULATION_FACTS)),
        ),
        ("results", "Results", _results(report)),
        ("limits", "Limits", (TextBlock(_limits(report)), *warning_blocks(report))),
        ("risk", "Residual risk", (TextBlock(_risk(report)),)),
        ("repeat", "How to repeat the audit", repeat_blocks(report)),
    )
    numbered = [
        DocumentSection(name, f"{i} {title}", b) for i, (name, title, b) in enumerate(parts, 1)
    ]
    return (
        *numbered,
        DocumentSection(
            "references",
            f"Annex A: {MAPPED}",
            (TablesBlock((_references(report),)), TextBlock((ANNEX,), note=True)),
        ),
        DocumentSection("glossary", "Annex B: Glossary", glossary_blocks(report)),
    )


def _facts(facts: dict[str, str], names: list[str] | tuple[str, ...]) -> FactsBlock:
    return FactsBlock(tuple((name, facts[name]) for name in names if name in facts))


def _results(report: Report) -> tuple[Block, ...]:
    return (
        *gate_blocks(report),
        *verdict_blocks(report),
        *accuracy_blocks(report),
        *certificate_blocks(report),
        *results_blocks(report),
        *outline_blocks(report),
        *confusion_blocks(report),
        *sensitivity_blocks(report),
        *calibration_blocks(report),
        *corruption_blocks(report),
        *storage_blocks(report),
        *recall_blocks(report),
        *subgroup_blocks(report),
        *detection_blocks(report),
        *scenario_blocks(report),
        *twin_blocks(report),
        *gallery_blocks(report),
        *visibility_blocks(report),
    )


def _population(report: Report) -> str:
    data = report.data
    subgroups = ", ".join(dict.fromkeys(plain(part.column) for part in report.clean.subgroups))
    return (
        f"Cases: {data.cases} ({images(report)}). "
        f"Groups (patients or lesions): {data.groups}, the unit of every interval. "
        f"{words(report).population(report)} Subgroups reported: {subgroups or 'none'}. "
        f"Unreadable images left out: {data.skipped_broken}; files in formats that are not read: "
        f"{sum(data.left_out.values())}."
    )


def _limits(report: Report) -> tuple[str, ...]:
    bound = upper_bound(report)
    return tuple(text.format(bound=bound) for text in LIMITS)


def _method(report: Report) -> tuple[str, ...]:
    sentences = [text.format(does_right=words(report).does_right) for text in METHOD]
    if report.detection is not None:
        sentences += [*DETECTORS, ADAPTIVE if report.detection.adaptive else STATIC]
    if report.certificates:
        sentences.append(CERTIFICATES)
    if report.corruptions is not None:
        sentences.append(CORRUPTIONS)
    if report.scenarios:
        sentences.append(SCENARIOS)
    return (*sentences, TWIN) if report.twin is not None else tuple(sentences)


def _references(report: Report) -> Table:
    """Where this report answers the points of each text, or that it does not."""
    rows = []
    for text in map(read_crosswalk, REQUIREMENTS):
        for one in answers(report, text):
            requirement = f"{text.label}: {one.point.place}".replace(
                "Article 15: Art. 15", "Art. 15"
            )
            cells = (requirement, one.point.topic, _sections(one))
            rows.append(TableRow(tuple(TableCell(cell) for cell in cells)))
    columns = (Column("requirement"), Column("topic"), Column("section"))
    return Table("references", MAPPED, columns, tuple(rows))


def _sections(one: PointAnswer) -> str:
    """`3, 6 (in part)`: the numbers of the sections that answer a point."""
    if one.status in ("outside", "not in this run"):
        return "not covered" if one.status == "outside" else one.status
    numbers = sorted({_PLACES.get(kind, 6) for kind, _ in one.shown} - {0})
    part = " (in part)" if one.status == "evidence in part" else ""
    return f"{', '.join(map(str, numbers))}{part}".strip()


def _risk(report: Report) -> tuple[str, ...]:
    sentences, model = attack_sentences(report)[1:], words(report).model
    others = "access control, integrity of images in transit and in the archive, a second reader"
    if report.detection is None:
        others += ", detection of manipulated images"
    else:
        detection = report.detection
        sentences = [*null_control_warning(detection), *sentences, *detector_sentences(detection)]
    return (
        f"This risk remains after the measures built into the {model} (in brackets: 95 % "
        "intervals).",
        *sentences,
        f"Measures outside the {model} ({others}) were not assessed. If they are relied upon, "
        "their effect must be shown separately.",
    )
