"""A report as sections of blocks, in the order of its template; each format renders the blocks."""

from __future__ import annotations

from robust.records import Report
from robust.report.figures.accuracy import accuracy_figures
from robust.report.gates import judge_gates
from robust.report.layout.blocks import (
    Block,
    Code,
    Document,
    DocumentSection,
    FactsBlock,
    FiguresBlock,
    Folded,
    GalleryBlock,
    Order,
    Tables,
    Terms,
    Text,
    WarningsBlock,
)
from robust.report.tables import detection as noticed_tables
from robust.report.tables import results as tables
from robust.report.tables.adaptive import adaptive_table
from robust.report.tables.gates import gate_table
from robust.report.tables.scenarios import scenario_sentences, scenario_table
from robust.report.tables.storage import survival_table
from robust.report.text import detection as noticed
from robust.report.text.format import counted, plain
from robust.report.text.glossary import TERMS
from robust.report.text.headline import RULE, goal_text, headline
from robust.report.text.provenance import facts
from robust.report.text.reproduce import command, plan_toml

GATES = (
    "A gate passes where the lower end of the 95 % interval reaches what is wanted. It is "
    "undecided where no result could have shown that: the groups are too few, or there is no "
    "number. Then it does not pass."
)


def make_document(report: Report, order: Order) -> Document:
    """The report in one order; sections without content are left out."""
    data = report.data
    population = f"{counted(data.cases, 'case')}, {counted(data.groups, 'group')}"
    under = f"{plain(data.source)} · split {plain(data.split)} · {population}"
    sections = tuple(
        DocumentSection(s.name, s.title, blocks)
        for s in order(report)
        if (blocks := tuple(block for block in s.blocks if _holds(block)))
    )
    return Document(plain(report.title), under, tuple(headline(report)), sections)


def standard(report: Report) -> tuple[DocumentSection, ...]:
    """For everyone: what happened first, how it was made last."""
    return (
        DocumentSection("gates", "Gates", gate_blocks(report)),
        DocumentSection("verdicts", "Verdict for each threat", verdict_blocks(report)),
        DocumentSection("curve", "How much still holds", (curve(report),)),
        DocumentSection("gallery", "Cases as pictures", (GalleryBlock(report.gallery),)),
        DocumentSection("results", "All results", results_blocks(report)),
        DocumentSection(
            "confusion", "What is read as what", (Tables(tuple(tables.confusions(report))),)
        ),
        DocumentSection("harm", "Findings missed and invented", (harm(report),)),
        DocumentSection("survival", "What survives storing", survival_blocks(report)),
        DocumentSection("classes", "Recall by class", recall_blocks(report)),
        DocumentSection("subgroups", "Subgroups", (subgroup_tables(report),)),
        DocumentSection("noticed", "Would anyone notice", noticed_blocks(report)),
        DocumentSection("scenarios", "Other attackers", scenario_blocks(report)),
        DocumentSection("doubts", "Doubts about these numbers", (WarningsBlock(report.flags),)),
        DocumentSection(
            "made", "How it was made", (*threat_model(report), FactsBlock(tuple(facts(report))))
        ),
        DocumentSection("repeat", "How to repeat it", repeat_blocks(report)),
        DocumentSection("glossary", "Glossary", (glossary(),)),
    )


def gate_blocks(report: Report) -> tuple[Block, ...]:
    """What the plan asks for, where it does."""
    results = judge_gates(report)
    return (Tables((gate_table(results),)), Text((GATES,), note=True)) if results else ()


def verdict_blocks(report: Report) -> tuple[Block, ...]:
    return Tables((tables.verdict_table(report),)), Text((RULE,), note=True)


def results_blocks(report: Report) -> tuple[Block, ...]:
    table = tables.results(report)
    return Tables((table,)), Text((table.note,), note=True), Tables((tables.difficulty(report),))


def recall_blocks(report: Report) -> tuple[Block, ...]:
    table = tables.recall(report)
    return Tables((table,)), Text((table.note,) if table.note else (), note=True)


def curve(report: Report) -> FiguresBlock:
    return FiguresBlock(tuple(f for f in accuracy_figures(report) if f.name.startswith("robust")))


def harm(report: Report) -> FiguresBlock:
    return FiguresBlock(tuple(f for f in accuracy_figures(report) if f.name.startswith("harm")))


def subgroup_tables(report: Report) -> Tables:
    table = tables.subgroups(report)
    return Tables((table,) if table else ())


def noticed_blocks(report: Report) -> tuple[Block, ...]:
    """What detectors are worth, from one sentence each down to every cell."""
    detection = report.detection
    if detection is None:
        return ()
    said = (*noticed.sentences(detection), noticed.daily(detection))
    best, line = noticed_tables.matched(report), noticed_tables.summary(report)
    known = adaptive_table(report)
    return (
        Text(tuple(sentence for sentence in said if sentence)),
        Text((noticed.LEGEND, f"Judged on {noticed.population(detection)}"), note=True),
        Tables((line,)),
        Text((line.note,) if line.lines else (), note=True),
        Tables((known,)),
        Text((known.note,) if known.lines else (), note=True),
        FiguresBlock(tuple(f for f in accuracy_figures(report) if f.name.startswith("detectors"))),
        Tables((best,)),
        Text((best.note,), note=True),
        Text((noticed_tables.COLOURS,), note=True, visual=True),
        Text((noticed_tables.MATRICES,), note=True),
        Folded(tuple(noticed_tables.matrices(report))),
    )


def survival_blocks(report: Report) -> tuple[Block, ...]:
    """The attacks as computed, and as files."""
    table = survival_table(report)
    return Tables((table,)), Text((table.note,) if table.lines else (), note=True)


def scenario_blocks(report: Report) -> tuple[Block, ...]:
    """Attackers who have less than the model, or other means."""
    table = scenario_table(report)
    return (
        Text(scenario_sentences(report)),
        Tables((table,)),
        Text((table.note,) if table.lines else (), note=True),
    )


def threat_model(report: Report) -> tuple[Block, ...]:
    return (
        Text(
            (
                "The attacker knows the model, its weights and its gradients, sees the displayed "
                "image, and may change every pixel within the stated distance; pixels stay "
                f"between black and white. The goal: {goal_text(report)}.",
            )
        ),
    )


def repeat_blocks(report: Report) -> tuple[Block, ...]:
    line = command(report)
    if not line:
        return (
            Text(
                (
                    "Classifier or cases were handed over in Python: call robust.audit with the "
                    "same objects and these settings.",
                )
            ),
            Code("", "settings", plan_toml(report)),
        )
    return Text(("Save the plan below, then:",)), Code(line, "plan.toml", plan_toml(report))


def glossary() -> Terms:
    return Terms(tuple((name, *entry) for name, entry in TERMS.items()))


def _holds(block: Block) -> bool:
    """Whether there is anything in it to show."""
    match block:
        case Tables(found) | Folded(found):
            return any(table.lines for table in found)
        case Text(paragraphs):
            return bool(paragraphs)
        case FiguresBlock(found):
            return bool(found)
        case WarningsBlock(found):
            return bool(found)
        case GalleryBlock(found):
            return bool(found)
        case _:
            return True
