"""The report on several findings of one model: page, Markdown, CSV, terminal; loads no torch."""

from __future__ import annotations

from robust.report.findings.write import is_findings, print_findings, read_findings, write_findings

__all__ = ["is_findings", "print_findings", "read_findings", "write_findings"]
