"""Tables of certificates: what each proves, and certified beside attacked accuracy by eps."""

from __future__ import annotations

import dataclasses

from robust.records import CertifiedAccuracy, CertifiedPoint, Report
from robust.report.tables.model import (
    Column,
    Table,
    TableCell,
    TableRow,
    number_cell,
    percent_cell,
)
from robust.report.text.certificates import decimal_radius, function_text
from robust.report.text.format import NONE, of_hundred, plain
from robust.units import norm_text, printed_threat

NOTE = (
    "In brackets: 95 % intervals, by group. Proven: read correctly, and proven to stay so within "
    "eps; it is at most what is true. Left by attacks: no attack on the same classifier, in the "
    "same norm, changed the reading; it is at least what is true. Crossings: cases that are proven "
    "at this eps and that an attack changed within it."
)
OVERVIEW_NOTE = (
    "Median radius: half of the cases are proven up to it or further; it is 0 where a case is "
    "misread or nothing is proven. Largest radius: no more can be proven with so many draws. "
    "Crossings: proven cases with an adversarial image nearer than the proven radius, of those "
    "that attacks tried, and how many chance explains."
)


def certified_table(report: Report) -> Table:
    """Certified accuracy beside attacked accuracy: a row for each certificate and eps."""
    columns = (
        Column("certificate"),
        Column("eps", "eps"),
        Column("proven %", "certified-accuracy"),
        Column("left by attacks %", "robust-accuracy"),
        Column("crossings", "crossing"),
    )
    rows = tuple(
        _row(one, point, f"/certificates/{i}/points/{j}", opens=not j)
        for i, one in enumerate(report.certificates)
        for j, point in enumerate(one.points)
    )
    title = "Certified accuracy beside attacked accuracy"
    return Table("certified", title, columns, rows, NOTE)


def certificate_table(report: Report) -> Table:
    """What each certificate is about, how sure it is, and how far it reaches."""
    columns = (
        Column("certificate", "certificate"),
        Column("about"),
        Column("correct without attack %"),
        Column("abstains %", "abstention"),
        Column("median radius", "certified-radius"),
        Column("largest radius"),
        Column("wrong at most %"),
        Column("crossings", "crossing"),
    )
    rows = tuple(_overview(one, f"/certificates/{i}") for i, one in enumerate(report.certificates))
    parts = [f"{plain(one.certificate)}: {plain(one.text)}." for one in report.certificates]
    note = " ".join([OVERVIEW_NOTE, *parts])
    return Table("certificates", "Certificates", columns, rows, note)


def _row(one: CertifiedAccuracy, point: CertifiedPoint, path: str, opens: bool) -> TableRow:
    at = f"{path}/eps" if one.norm == "Linf" else ""
    crossings = str(point.crossings) if point.attacked is not None else NONE
    return TableRow(
        (
            TableCell(plain(one.certificate)),
            TableCell(printed_threat(one.norm, point.eps), path=at),
            percent_cell(point.certified, f"{path}/certified"),
            percent_cell(point.attacked, f"{path}/attacked"),
            TableCell(crossings, path=f"{path}/crossings" if crossings != NONE else ""),
        ),
        strong=one.is_contradicted and point.crossings > 0,
        opens=opens,
    )


def _overview(one: CertifiedAccuracy, path: str) -> TableRow:
    cap = NONE if one.cap is None else decimal_radius(one.cap, one.norm)
    alpha = "0" if one.alpha is None else of_hundred(one.alpha)
    crossings = f"{one.crossings} of {one.compared}" if one.compared else NONE
    if one.compared and not one.deterministic:
        crossings += f" (chance: up to {one.allowed})"
    return TableRow(
        (
            TableCell(plain(one.certificate)),
            TableCell(f"{function_text(one)}, {norm_text(one.norm)}"),
            percent_cell(one.clean, f"{path}/clean"),
            percent_cell(one.abstained, f"{path}/abstained"),
            _radius_cell(one, f"{path}/median_radius"),
            TableCell(cap),
            TableCell(alpha),
            TableCell(crossings),
        ),
        strong=one.is_contradicted,
    )


def _radius_cell(one: CertifiedAccuracy, path: str) -> TableCell:
    if one.median_radius is None or one.norm != "Linf":
        return number_cell(one.median_radius, path)
    cell = number_cell(one.median_radius, path, scale=255, digits=2)
    return dataclasses.replace(cell, text=f"{cell.text}/255")
