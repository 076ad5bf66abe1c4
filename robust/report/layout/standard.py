"""The standard template: results first, method and versions last."""

from __future__ import annotations

from robust.records import Report
from robust.report.layout.blocks import Block, DocumentSection
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
    provenance_blocks,
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
from robust.report.text.words import words


def standard(report: Report) -> tuple[DocumentSection, ...]:
    """The sections in the standard order."""
    sections: tuple[tuple[str, str, tuple[Block, ...]], ...] = (
        ("gates", "Gates", gate_blocks(report)),
        ("verdicts", "Verdict for each threat", verdict_blocks(report)),
        ("accuracy", words(report).section, accuracy_blocks(report)),
        ("certificates", "What is proven", certificate_blocks(report)),
        ("gallery", "Example images", gallery_blocks(report)),
        ("visibility", "How visible are the changes?", visibility_blocks(report)),
        ("results", "All results", results_blocks(report)),
        ("structures", "Scores by structure", outline_blocks(report)),
        ("confusion", "Confusion matrices", confusion_blocks(report)),
        (
            "sensitivity",
            "Sensitivity and specificity under attack",
            sensitivity_blocks(report),
        ),
        ("calibration", "Calibration", calibration_blocks(report)),
        ("corruptions", "Corrupted images", corruption_blocks(report)),
        ("storage", "Effect of saving the image", storage_blocks(report)),
        ("classes", "Recall by class", recall_blocks(report)),
        ("subgroups", "Subgroups", subgroup_blocks(report)),
        ("detection", "Can attacks be detected automatically?", detection_blocks(report)),
        ("scenarios", "Attackers with less knowledge", scenario_blocks(report)),
        ("twin", "The deployed version", twin_blocks(report)),
        ("warnings", "Warnings", warning_blocks(report)),
        (
            "method",
            "Method and versions",
            (*threat_model_blocks(report), *provenance_blocks(report)),
        ),
        ("repeat", "How to repeat the audit", repeat_blocks(report)),
        ("glossary", "Glossary", glossary_blocks(report)),
    )
    return tuple(DocumentSection(*section) for section in sections)
