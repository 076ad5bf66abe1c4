"""The report as one HTML file without any outside request."""

from __future__ import annotations

import jinja2

from robust.records import Report
from robust.report import words
from robust.report.plots import robustness_curve


def render_html(report: Report) -> str:
    """A page from the report alone. Every name in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("robust.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    norms = list(dict.fromkeys(row.norm for row in report.worst_cases))
    figures = [(norm, svg) for norm in norms if (svg := robustness_curve(report, norm))]
    return environment.get_template("report.html.j2").render(
        report=report, words=words, figures=figures
    )
