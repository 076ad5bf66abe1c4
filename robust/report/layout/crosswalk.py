"""The templates of texts: the points of a law or standard, then the whole report as evidence."""

from __future__ import annotations

from robust.records import Report
from robust.report.crosswalk.answers import answers, status_sentence
from robust.report.crosswalk.texts import CrosswalkText, read_crosswalk
from robust.report.layout.blocks import DocumentSection, FactsBlock, Order, TablesBlock, TextBlock
from robust.report.layout.document import with_content
from robust.report.layout.standard import standard
from robust.report.tables.crosswalk import crosswalk_table

CLAIM = (
    "This page sets the results of one audit beside the points of a text. It claims no conformity "
    "with that text, and it is no legal advice. Points are in our own words, and not all points of "
    "the text are listed.",
    "Privacy attacks (membership inference, model inversion, reconstruction of training data, "
    "extraction of the model) and poisoning are out of scope of this program: whatever a text asks "
    "about them is not answered here.",
)


def crosswalk_order(name: str) -> Order:
    """The template of a text, one of `CROSSWALKS`: its points, then the standard sections."""
    text = read_crosswalk(name)

    def order(report: Report) -> tuple[DocumentSection, ...]:
        rest = standard(report)
        sections = {section.name for section in with_content(rest)}
        given = answers(report, text)
        table = crosswalk_table(given, text.label, sections)
        return (
            DocumentSection(
                "text", f"{text.label}: what was looked at", (TextBlock(CLAIM), _about(text))
            ),
            DocumentSection(
                "crosswalk",
                table.title,
                (
                    TextBlock((status_sentence(given),)),
                    TablesBlock((table,)),
                    TextBlock((table.note,), note=True),
                ),
            ),
            *rest,
        )

    return order


def _about(text: CrosswalkText) -> FactsBlock:
    """What the text is, from when it applies, and how well it is known."""
    pairs = [
        ("Text", text.title),
        ("Publisher", text.publisher),
        ("Edition", text.edition),
        ("What it is", text.status),
        ("Applies from", " ".join(text.dates)),
        ("Looked at on", text.looked_at.isoformat()),
        ("What was looked at", text.looked_at_what),
    ]
    return FactsBlock(tuple((name, value) for name, value in pairs if value))
