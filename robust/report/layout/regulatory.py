"""The same facts in the order that a technical file asks for them; no conformity is claimed."""

from __future__ import annotations

from dataclasses import replace

from robust.records import Report
from robust.report.layout.blocks import (
    Block,
    DocumentSection,
    FactsBlock,
    GalleryBlock,
    Tables,
    Text,
    WarningsBlock,
)
from robust.report.layout.standard import (
    curve,
    gate_blocks,
    glossary,
    harm,
    noticed_blocks,
    recall_blocks,
    repeat_blocks,
    results_blocks,
    scenario_blocks,
    subgroup_tables,
    survival_blocks,
    threat_model,
    verdict_blocks,
)
from robust.report.tables import results as tables
from robust.report.tables.model import Column, Table, TableCell, TableRow
from robust.report.text.detection import alarm, sentences
from robust.report.text.format import images, plain
from robust.report.text.headline import happened
from robust.report.text.provenance import facts

PURPOSE = (
    "This document states what was measured when a trained classifier was attacked with "
    "adversarial examples. It is meant as evidence for a technical file: for the accuracy, "
    "robustness and cybersecurity that Article 15 of Regulation (EU) 2024/1689 asks of high-risk "
    "AI systems, and for the threat modelling and security testing that the FDA's guidance on "
    "cybersecurity in medical devices asks of a premarket submission.",
    "It claims conformity with neither. Whether a measured risk is acceptable, and whether other "
    "measures reduce it, is for the manufacturer's risk management to judge.",
)

METHOD = (
    "Each attack runs on every case that is read correctly without interference and that its goal "
    "applies to. Distances and predictions of adversarial images are recomputed independently of "
    "the attack, at float32; an image outside its limits, a crash or a NaN counts neither as "
    "robust nor as broken. The worst case takes for each image the most damaging change that any "
    "attack found within eps.",
    "Intervals are 95 %, from 1,000 bootstrap resamples of groups; at 0 and 100 % they are exact "
    "binomial bounds (Clopper and Pearson) on the number of groups.",
)

DETECTORS = (
    "Detectors are fitted on groups other than those they are scored on, with thresholds from "
    "clean images alone; attacked images are those on which an attack succeeded. Beside each stand "
    "three controls: clean images in the part of attacked ones, noise of the attack's size, and "
    "changes that images meet in daily life.",
)
UNKNOWN = "No attacker who knows of a detector and evades it was tried."
KNOWN = (
    "An attacker who knows the detector then looks for images that fool the model and raise no "
    "alarm; each is confirmed on a detector that was fitted without that case."
)
SCENARIOS = (
    "Attackers who have less than the model, or other means, were tried as well. What is fitted on "
    "images, a perturbation or a patch for all of them, is tried on those of other patients."
)

LIMITS = (
    "Attacks give an upper bound: robust accuracy is at most what is shown, and an attack that was "
    "not tried may find more. The numbers hold for this model file, this preprocessing and this "
    "population. Covered is evasion with digital changes of single images by an attacker who "
    "knows the model. Not covered: poisoning of data or model, extraction of the model or of "
    "patients' data, changes made before the image is acquired, and attacks on the software and "
    "network around the model.",
)

REFERENCES = Table(
    "references",
    "Where each fact is asked for",
    (Column("asked for in"), Column("what"), Column("answered in")),
    tuple(
        TableRow(tuple(TableCell(text) for text in line))
        for line in (
            ("(EU) 2024/1689, Art. 15(3)", "accuracy and its metrics", "5, 6"),
            (
                "(EU) 2024/1689, Art. 15(4)",
                "robustness: errors and inconsistencies",
                "6: noise only",
            ),
            ("(EU) 2024/1689, Art. 15(5)", "adversarial examples, model evasion", "3, 4, 6"),
            (
                "(EU) 2024/1689, Art. 15(5)",
                "data and model poisoning, confidentiality",
                "not covered",
            ),
            ("FDA premarket cybersecurity", "threat model", "3"),
            ("FDA premarket cybersecurity", "security testing: method and results", "4, 6"),
            ("FDA premarket cybersecurity", "residual risk", "8"),
        )
    ),
)


def regulatory(report: Report) -> tuple[DocumentSection, ...]:
    """Nine numbered sections and two annexes."""
    made = dict(facts(report))
    watched = ("Detectors", "Layers read", "Detectors judged on")
    machine = ("Software", "Cost", "Seed", "Attacks", *watched, "Per-case table")
    people = ("Data", "Groups", "Pixels")
    model = [(k, v) for k, v in made.items() if k not in (*machine, *people)]
    parts: tuple[tuple[str, str, tuple[Block, ...]], ...] = (
        ("purpose", "Purpose and scope", (Text(PURPOSE),)),
        ("system", "System under test", (FactsBlock(tuple(model)),)),
        ("threat-model", "Threat model", threat_model(report)),
        (
            "method",
            "Method",
            (Text(_method(report)), FactsBlock(tuple((k, made[k]) for k in machine if k in made))),
        ),
        (
            "population",
            "Population",
            (*_population(report), FactsBlock(tuple((k, made[k]) for k in people))),
        ),
        (
            "results",
            "Results with intervals",
            (
                *gate_blocks(report),
                *verdict_blocks(report),
                curve(report),
                *results_blocks(report),
                Tables(tuple(tables.confusions(report))),
                harm(report),
                *survival_blocks(report),
                *recall_blocks(report),
                subgroup_tables(report),
                *noticed_blocks(report),
                *scenario_blocks(report),
                GalleryBlock(report.gallery),
            ),
        ),
        ("limits", "Limits", (Text(LIMITS), WarningsBlock(report.flags))),
        ("risk", "Residual risk", (Text(_risk(report)),)),
        ("repeat", "How to repeat it", repeat_blocks(report)),
    )
    numbered = [
        DocumentSection(name, f"{i} {title}", b) for i, (name, title, b) in enumerate(parts, 1)
    ]
    return (
        *numbered,
        DocumentSection(
            "references", "Annex A: Where each fact is asked for", (Tables((_references(report),)),)
        ),
        DocumentSection("glossary", "Annex B: Glossary", (glossary(),)),
    )


def _population(report: Report) -> tuple[Text, ...]:
    data = report.data
    named = ", ".join(dict.fromkeys(plain(part.column) for part in report.clean.subgroups))
    findings = ", ".join(plain(name) for name in data.findings) or "none named"
    told = (
        f"Cases: {data.cases} ({images(report)}). "
        f"Groups (patients or lesions): {data.groups}, the unit of resampling. "
        f"Findings: {findings}. Subgroups reported: {named or 'none'}. "
        f"Images that could not be read and were left out: {data.skipped_broken}."
    )
    return (Text((told,)),)


def _method(report: Report) -> tuple[str, ...]:
    said = list(METHOD)
    if report.detection is not None:
        said += [*DETECTORS, KNOWN if report.detection.adaptive else UNKNOWN]
    return (*said, SCENARIOS) if report.scenarios else tuple(said)


def _references(report: Report) -> Table:
    """With detectors the article's wish for detection is answered too."""
    if report.detection is None:
        return REFERENCES
    texts = ("(EU) 2024/1689, Art. 15(5)", "measures to detect attacks", "4, 6")
    added = TableRow(tuple(TableCell(text) for text in texts))
    lines = sorted((*REFERENCES.lines, added), key=lambda line: line.cells[0].text)
    return replace(REFERENCES, lines=tuple(lines))


def _risk(report: Report) -> tuple[str, ...]:
    said = happened(report)[1:]
    others = "access control, integrity of images in transit and in the archive, a second reader"
    if report.detection is None:
        others += ", detection of manipulated images"
    else:
        said = [*alarm(report.detection), *said, *sentences(report.detection)]
    return (
        "What remains after the measures that are part of the classifier itself:",
        *said,
        f"No measure outside the classifier ({others}) was assessed. Where "
        "such measures are relied upon, their effect has to be shown separately.",
    )
