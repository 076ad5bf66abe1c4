"""Writes certificates.csv: what each certificate of a run proves of each case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from robust.certificates.run import certified_cases, sampled
from robust.engine.outcome_table.csv_file import write_lines
from robust.engine.outcome_table.form import Line
from robust.engine.session import Session
from robust.plan.spec import AuditSpec, CertificateSpec

CERTIFICATE_TABLE = "certificates.csv"
"""Name of the file."""
COLUMNS = ("case", "group", "label", "certificate", "norm", "prediction", "radius", "failure")


def write_certificate_table(
    directory: Path, specs: Sequence[CertificateSpec], audit: AuditSpec, session: Session
) -> str:
    """Write the table of a run whose certificates are finished; its SHA-256, "" without any.

    `prediction` is empty where a smoothed classifier abstains; `radius` is in [0, 1] units.
    """
    if not specs:
        return ""
    lines = _lines(specs, audit, session)
    return write_lines(directory / CERTIFICATE_TABLE, COLUMNS, lines)


def _lines(specs: Sequence[CertificateSpec], audit: AuditSpec, session: Session) -> Iterator[Line]:
    names = session.cases.classes
    for _, certificate, cases in sampled(specs, audit, session):
        found = certified_cases(cases)
        proofs = zip(found.predicted, found.radius, found.failed, strict=True)
        for entry, (predicted, radius, failure) in zip(cases.entries, proofs, strict=True):
            said = names[predicted] if predicted >= 0 else None
            yield [
                *(entry.id, entry.group, names[entry.label], cases.label, certificate.norm),
                *(said, float(radius), failure),
            ]
