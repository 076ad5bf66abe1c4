"""A report as sections of blocks, in the order of its template; each format renders the blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from robust.records import Exhibit, Flag, Report
from robust.report import noticed, noticed_tables, tables
from robust.report.adaptive_table import adaptive_table
from robust.report.canvas import FigureOf
from robust.report.gate_files import gate_table
from robust.report.gates import judge
from robust.report.glossary import TERMS
from robust.report.made import facts
from robust.report.plots import figures
from robust.report.repeat import command, plan_toml
from robust.report.scenario_table import scenario_sentences, scenario_table
from robust.report.story import RULE, goal_text, headline
from robust.report.survival_table import survival_table
from robust.report.tables import Table
from robust.report.words import counted, plain


@dataclass(frozen=True)
class Text:
    """Paragraphs; `note` for what explains a table."""

    paragraphs: tuple[str, ...]
    note: bool = False
    visual: bool = False
    """About colours and frames: left out where there are none."""


@dataclass(frozen=True)
class Tables:
    """One table, or small ones side by side."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Folded:
    """Large tables, each closed until someone asks for it, with its note; open on paper."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Figures:
    figures: tuple[FigureOf, ...]


@dataclass(frozen=True)
class Doubts:
    flags: tuple[Flag, ...]


@dataclass(frozen=True)
class Facts:
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Gallery:
    """Shown where the pictures are at hand; no text stands for them."""

    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class Code:
    """A file to save and the line to type."""

    command: str
    file: str
    content: str


@dataclass(frozen=True)
class Terms:
    terms: tuple[tuple[str, str, str], ...]
    """Id, term, meaning."""


Block = Text | Tables | Folded | Figures | Doubts | Facts | Gallery | Code | Terms


@dataclass(frozen=True)
class Section:
    name: str
    """An id within the page."""
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    title: str
    under: str
    """A line below the title: what was audited."""
    lead: tuple[str, ...]
    """What was found, in three sentences."""
    sections: tuple[Section, ...]


GATES = (
    "A gate passes where the lower end of the 95 % interval reaches what is wanted. It is "
    "undecided where no result could have shown that: the groups are too few, or there is no "
    "number. Then it does not pass."
)

Order = Callable[[Report], tuple[Section, ...]]
"""A template: which sections, in which order."""


def make_document(report: Report, order: Order) -> Document:
    """The report in one order; sections without content are left out."""
    data = report.data
    population = f"{counted(data['cases'], 'case')}, {counted(data['groups'], 'group')}"
    under = f"{plain(data['source'])} · split {plain(data['split'])} · {population}"
    sections = tuple(
        Section(s.name, s.title, blocks)
        for s in order(report)
        if (blocks := tuple(block for block in s.blocks if _holds(block)))
    )
    return Document(plain(report.title), under, tuple(headline(report)), sections)


def standard(report: Report) -> tuple[Section, ...]:
    """For everyone: what happened first, how it was made last."""
    return (
        Section("gates", "Gates", gate_blocks(report)),
        Section("verdicts", "Verdict for each threat", verdict_blocks(report)),
        Section("curve", "How much still holds", (curve(report),)),
        Section("gallery", "Cases as pictures", (Gallery(report.gallery),)),
        Section("results", "All results", results_blocks(report)),
        Section("confusion", "What is read as what", (Tables(tuple(tables.confusions(report))),)),
        Section("harm", "Findings missed and invented", (harm(report),)),
        Section("survival", "What survives storing", survival_blocks(report)),
        Section("classes", "Recall by class", recall_blocks(report)),
        Section("subgroups", "Subgroups", (subgroup_tables(report),)),
        Section("noticed", "Would anyone notice", noticed_blocks(report)),
        Section("scenarios", "Other attackers", scenario_blocks(report)),
        Section("doubts", "Doubts about these numbers", (Doubts(report.flags),)),
        Section("made", "How it was made", (*threat_model(report), Facts(tuple(facts(report))))),
        Section("repeat", "How to repeat it", repeat_blocks(report)),
        Section("glossary", "Glossary", (glossary(),)),
    )


def gate_blocks(report: Report) -> tuple[Block, ...]:
    """What the plan asks for, where it does."""
    results = judge(report)
    return (Tables((gate_table(results),)), Text((GATES,), note=True)) if results else ()


def verdict_blocks(report: Report) -> tuple[Block, ...]:
    return Tables((tables.verdict_table(report),)), Text((RULE,), note=True)


def results_blocks(report: Report) -> tuple[Block, ...]:
    table = tables.results(report)
    return Tables((table,)), Text((table.note,), note=True), Tables((tables.difficulty(report),))


def recall_blocks(report: Report) -> tuple[Block, ...]:
    table = tables.recall(report)
    return Tables((table,)), Text((table.note,) if table.note else (), note=True)


def curve(report: Report) -> Figures:
    return Figures(tuple(f for f in figures(report) if f.name.startswith("robust")))


def harm(report: Report) -> Figures:
    return Figures(tuple(f for f in figures(report) if f.name.startswith("harm")))


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
        Figures(tuple(f for f in figures(report) if f.name.startswith("detectors"))),
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
        case Figures(found):
            return bool(found)
        case Doubts(found):
            return bool(found)
        case Gallery(found):
            return bool(found)
        case _:
            return True
