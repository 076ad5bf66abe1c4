"""Content of each section; the templates put the sections in order."""

from __future__ import annotations

from collections.abc import Mapping

from robust.records import Report
from robust.report.figures.accuracy import (
    dice_figures,
    robust_accuracy_figures,
    sensitivity_figures,
)
from robust.report.figures.certificates import certificate_figures
from robust.report.figures.corruptions import corruption_figures
from robust.report.figures.detection import detection_figures
from robust.report.gates import judge_gates
from robust.report.layout.blocks import (
    Block,
    CodeBlock,
    FactsBlock,
    FiguresBlock,
    FoldedBlock,
    GalleryBlock,
    GlossaryBlock,
    TablesBlock,
    TextBlock,
    WarningsBlock,
)
from robust.report.tables.adaptive import adaptive_table
from robust.report.tables.calibration import calibration_table
from robust.report.tables.certificates import certificate_table, certified_table
from robust.report.tables.classes import confusion_tables, recall_table, subgroup_table
from robust.report.tables.corruptions import corruption_size_table, kind_table, severity_table
from robust.report.tables.detection import (
    COLOURS,
    MATRICES,
    detector_table,
    key_attack_table,
    matched_table,
    selection_table,
    transfer_tables,
)
from robust.report.tables.gates import gate_table
from robust.report.tables.model import Table
from robust.report.tables.outlines import size_table, structure_table
from robust.report.tables.results import difficulty_table, results_table
from robust.report.tables.scenarios import scenario_table
from robust.report.tables.storage import storage_table
from robust.report.tables.twin import direct_table, shown_table
from robust.report.tables.verdicts import verdict_table
from robust.report.tables.visibility import visibility_table
from robust.report.text.certificates import certificate_sentences
from robust.report.text.classification import calibration_sentences
from robust.report.text.corruptions import corruption_sentences
from robust.report.text.detection import (
    LEGEND,
    detector_sentences,
    harmless_change_sentence,
    population_text,
)
from robust.report.text.glossary import OF_CALIBRATION, OF_CERTIFICATES, OF_CORRUPTIONS
from robust.report.text.headline import knowledge_text
from robust.report.text.provenance import provenance_facts
from robust.report.text.reproduce import PLAN, command_line, plan_toml
from robust.report.text.scenarios import scenario_sentences
from robust.report.text.twin import twin_sentences
from robust.report.text.words import words

WHOLE = (
    "The whole transfer matrix of each detector is in the HTML report and in transfer\\_matrix.csv "
    "(`robust report RUN --format csv`)."
)
"""Markdown."""
GATES = (
    "A gate passes if the lower end of the 95 % interval reaches the required value. It is "
    "undecided if no result could have shown that: there are too few groups, or there is no "
    "number. An undecided gate does not pass."
)


def gate_blocks(report: Report) -> tuple[Block, ...]:
    """The gates of the plan; nothing where it has none."""
    results = judge_gates(report)
    return (*_with_note(gate_table(results)), _note(GATES)) if results else ()


def verdict_blocks(report: Report) -> tuple[Block, ...]:
    """A verdict for each threat, and the rule."""
    return *_with_note(verdict_table(report)), _note(words(report).rule)


def accuracy_blocks(report: Report) -> tuple[Block, ...]:
    """Robust accuracy and Dice against eps."""
    return (FiguresBlock((*robust_accuracy_figures(report), *dice_figures(report))),)


def outline_blocks(report: Report) -> tuple[Block, ...]:
    """Scores of outlines by structure and by its size; nothing for classification."""
    return *_with_note(structure_table(report)), *_with_note(size_table(report))


def gallery_blocks(report: Report) -> tuple[Block, ...]:
    """Cases as images, clean and attacked."""
    return (GalleryBlock(report.gallery, words(report)),)


def visibility_blocks(report: Report) -> tuple[Block, ...]:
    """Size of the changes: grey levels, PSNR, SSIM."""
    return _with_note(visibility_table(report))


def results_blocks(report: Report) -> tuple[Block, ...]:
    """All scores, and how difficult each attack finds the model."""
    reached = any(one.eps is not None for one in report.difficulty)
    if report.task.is_segmentation and not reached:  # the measure is one of classifiers
        return _with_note(results_table(report))
    return *_with_note(results_table(report)), TablesBlock((difficulty_table(report),))


def confusion_blocks(report: Report) -> tuple[Block, ...]:
    """Confusion matrices, side by side."""
    return (TablesBlock(tuple(confusion_tables(report))),)


def sensitivity_blocks(report: Report) -> tuple[Block, ...]:
    """Sensitivity and specificity against eps."""
    return (FiguresBlock(tuple(sensitivity_figures(report))),)


def storage_blocks(report: Report) -> tuple[Block, ...]:
    """Attack success after quantisation and JPEG."""
    return _with_note(storage_table(report))


def recall_blocks(report: Report) -> tuple[Block, ...]:
    """Recall by class."""
    return _with_note(recall_table(report))


def subgroup_blocks(report: Report) -> tuple[Block, ...]:
    """Scores by subgroup."""
    table = subgroup_table(report)
    return _with_note(table) if table else ()


def detection_blocks(report: Report) -> tuple[Block, ...]:
    """Detectors: a paragraph for each, tables, figures, transfer matrices."""
    detection = report.detection
    if detection is None:
        return ()
    sentences = (*detector_sentences(detection), harmless_change_sentence(detection))
    return (
        TextBlock(tuple(sentence for sentence in sentences if sentence)),
        TextBlock((LEGEND, population_text(detection, words(report).does_right)), note=True),
        *_with_note(detector_table(report)),
        *_with_note(adaptive_table(report)),
        FiguresBlock(tuple(detection_figures(detection))),
        *_with_note(matched_table(report)),
        *_with_note(selection_table(report)),
        TextBlock((COLOURS,), note=True, visual=True),
        _note(MATRICES),
        FoldedBlock(
            tuple(transfer_tables(report)), key_attack_table(report), "transfer matrix", WHOLE
        ),
    )


def calibration_blocks(report: Report) -> tuple[Block, ...]:
    """How far probabilities are from how often they are right, clean and under attack."""
    return TextBlock(calibration_sentences(report)), *_with_note(calibration_table(report))


def certificate_blocks(report: Report) -> tuple[Block, ...]:
    """What is proven: a paragraph and a figure for each certificate, and both tables."""
    return (
        TextBlock(certificate_sentences(report)),
        FiguresBlock(tuple(certificate_figures(report))),
        *_with_note(certified_table(report)),
        *_with_note(certificate_table(report)),
    )


def corruption_blocks(report: Report) -> tuple[Block, ...]:
    """Errors on corrupted images: sentences, figure, by severity, by kind, beside attacks."""
    sizes = corruption_size_table(report)
    return (
        TextBlock(corruption_sentences(report)),
        FiguresBlock(tuple(corruption_figures(report))),
        *_with_note(severity_table(report)),
        *_with_note(kind_table(report)),
        FoldedBlock((sizes,), sizes, sizes.title),
    )


def scenario_blocks(report: Report) -> tuple[Block, ...]:
    """Attackers with less knowledge: a sentence for each, and the table."""
    return TextBlock(scenario_sentences(report)), *_with_note(scenario_table(report))


def twin_blocks(report: Report) -> tuple[Block, ...]:
    """The deployed version beside the model: sentences, attacked images, direct attacks."""
    return (
        TextBlock(twin_sentences(report)),
        *_with_note(shown_table(report)),
        *_with_note(direct_table(report)),
    )


def warning_blocks(report: Report) -> tuple[Block, ...]:
    """Warnings that apply to the numbers."""
    return (WarningsBlock(report.flags),)


def threat_model_blocks(report: Report) -> tuple[Block, ...]:
    """What the attacker knows, may do and wants."""
    said = words(report)
    return (
        TextBlock(
            (
                f"The attacker {knowledge_text(report)}, sees the displayed {said.image}, and can "
                f"change every {said.pixel}{said.where} within the stated distance. Pixel values "
                f"stay between black and white. Goal: {said.goal(report)}.",
            )
        ),
    )


def provenance_blocks(report: Report) -> tuple[Block, ...]:
    """Model, data, attacks, hashes and versions."""
    return (FactsBlock(tuple(provenance_facts(report))),)


def repeat_blocks(report: Report) -> tuple[Block, ...]:
    """How to run the audit again."""
    line = command_line(report)
    if not line:
        return (
            TextBlock(
                (
                    f"The {words(report).model} or the cases were passed in from Python: call "
                    "robust.audit with the same objects and these settings.",
                )
            ),
            CodeBlock("", "settings", plan_toml(report)),
        )
    text = f"Save the plan below as {PLAN}, then run:"
    return TextBlock((text,)), CodeBlock(line, PLAN, plan_toml(report))


def glossary_blocks(report: Report) -> tuple[Block, ...]:
    """The terms of the report; without those of results that it does not have."""
    left_out: list[str] = []
    if not report.certificates:
        left_out += OF_CERTIFICATES
    if report.corruptions is None:
        left_out += OF_CORRUPTIONS
    if report.clean.scores.ece is None:
        left_out += OF_CALIBRATION
    terms = words(report).terms
    return (make_glossary({name: terms[name] for name in terms if name not in left_out}),)


def _with_note(table: Table) -> tuple[Block, ...]:
    """A table and, where it has rows, its note."""
    if not (table.rows and table.whole_note):
        return (TablesBlock((table,)),)
    return TablesBlock((table,)), _note(table.whole_note)


def _note(text: str) -> TextBlock:
    return TextBlock((text,), note=True)


def make_glossary(terms: Mapping[str, tuple[str, str]]) -> GlossaryBlock:
    """The glossary of these terms, by id."""
    return GlossaryBlock(tuple((name, *entry) for name, entry in terms.items()))
