"""Tables of the deployed version: attacked images shown to both models, attacks on each."""

from __future__ import annotations

from robust.records import Report, TwinAttacked, TwinShownImages
from robust.report.tables.model import Column, Table, TableCell, TableRow, percent_cell
from robust.report.text.format import counted, plain
from robust.report.text.words import words
from robust.units import eps_text, norm_text, printed_threat

SHOWN = (
    "The plan's attacks ran on the model; each image they made was shown to both. Cases: "
    "{right} by both without attack. {alike_means} "
    "Fooled: by the images of any attack. In brackets: 95 % intervals, by group."
)
DIRECT = (
    "Each attack ran on each of the two, on the same cases, with the same random numbers and the "
    "same number of queries. It sees no gradients. In brackets: 95 % intervals, by group."
)


def shown_table(report: Report) -> Table:
    """One row for each norm and eps."""
    said = words(report)
    note = SHOWN.format(right=said.right, alike_means=said.alike_means)
    columns = (
        Column("eps", "eps"),
        Column(said.alike),
        Column("model fooled %"),
        Column("deployed version fooled %"),
        Column("deployed version alone %"),
        Column("model alone %"),
    )
    shown = report.twin.shown if report.twin else ()
    rows = tuple(_shown_row(one, f"/twin/shown/{place}") for place, one in enumerate(shown))
    return Table("twin-shown", "Attacked images, shown to both", columns, rows, note)


def direct_table(report: Report) -> Table:
    """One row for each attack and eps."""
    correct = words(report).correct
    columns = (
        Column("attack"),
        Column("eps", "eps"),
        Column("effort"),
        Column(f"model {correct} %"),
        Column(f"deployed version {correct} %"),
    )
    attacked = report.twin.attacked if report.twin else ()
    rows, before = [], ""
    for place, one in enumerate(attacked):
        rows.append(_direct_row(one, f"/twin/attacked/{place}", opens=one.attack != before))
        before = one.attack
    failures = "".join(
        f" {one} stopped early on some cases ({why}); what it had found counts."
        for one, why in {a.attack: plain(a.failure) for a in attacked if a.failure}.items()
    )
    title = "Attacks on the deployed version itself"
    return Table("twin-direct", title, columns, tuple(rows), DIRECT + failures)


def _shown_row(one: TwinShownImages, path: str) -> TableRow:
    size = "any" if one.eps is None else eps_text(one.eps, one.norm)
    eps = TableCell(
        f"{norm_text(one.norm)} {size}", path=f"{path}/eps" if one.eps is not None else ""
    )
    names = ("agreement", "audited_fooled", "twin_fooled", "twin_alone", "audited_alone")
    return TableRow((eps, *(percent_cell(getattr(one, n), f"{path}/{n}") for n in names)))


def _direct_row(one: TwinAttacked, path: str, opens: bool) -> TableRow:
    return TableRow(
        (
            TableCell(plain(one.attack)),
            TableCell(printed_threat(one.norm, one.eps), path=f"{path}/eps"),
            TableCell(counted(one.queries, "query", "queries")),
            percent_cell(one.audited_correct, f"{path}/audited_correct"),
            percent_cell(one.twin_correct, f"{path}/twin_correct"),
        ),
        opens=opens,
    )
