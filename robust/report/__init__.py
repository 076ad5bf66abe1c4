"""A report as people read it. Knows records and files, never torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robust.errors import InputError, did_you_mean
from robust.files import write_atomically
from robust.records import GALLERY, Report

if TYPE_CHECKING:
    from robust.report.layout.blocks import Order


@dataclass(frozen=True)
class _Job:
    """What a format is made from."""

    report: Report
    template: str
    pictures: dict[str, bytes]
    stem: str
    """Of the file name."""


def _html(job: _Job) -> dict[str, bytes]:
    from robust.report.formats.html import render_html

    page = render_html(job.report, _order(job), job.pictures)
    return {f"{job.stem}.html": page.encode()}


def _markdown(job: _Job) -> dict[str, bytes]:
    from robust.report.formats.markdown import render_markdown

    return {f"{job.stem}.md": render_markdown(job.report, _order(job)).encode()}


def _json(job: _Job) -> dict[str, bytes]:
    return {f"{_plain_stem(job)}.json": job.report.to_json().encode()}


def _latex(job: _Job) -> dict[str, bytes]:
    from robust.report.formats.latex import render_latex

    return {f"{_plain_stem(job)}.tex": render_latex(job.report).encode()}


def _svg(job: _Job) -> dict[str, bytes]:
    from robust.report.figures.accuracy import accuracy_figures

    return {f"figures/{f.name}.svg": f.svg().encode() for f in accuracy_figures(job.report)}


def _png(job: _Job) -> dict[str, bytes]:
    from robust.report.figures.accuracy import accuracy_figures

    return {f"figures/{f.name}.png": f.png() for f in accuracy_figures(job.report)}


FORMATS: dict[str, Callable[[_Job], dict[str, bytes]]] = {
    "html": _html,
    "md": _markdown,
    "json": _json,
    "latex": _latex,
    "svg": _svg,
    "png": _png,
}
"""Format to what makes its files, by path within the folder."""

TEMPLATES = ("standard", "regulatory")
"""The orders that the page and the Markdown can have."""


def write_report(
    report: Report,
    directory: str | Path,
    *formats: str,
    template: str = "standard",
    gallery: bool = True,
) -> list[Path]:
    """Write the report in these formats (HTML, Markdown and JSON by default).

    Each file appears whole or not at all. The gallery is shown where its pictures lie in the
    directory. An unfinished run's files are called `unfinished`. Raises InputError.
    """
    if template not in TEMPLATES:
        raise InputError(f"unknown template {template!r}; {did_you_mean(template, TEMPLATES)}")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown format {name!r}; {did_you_mean(name, FORMATS)}")
    folder = Path(directory)
    stem = "report" if template == "standard" else template
    if report.data.unfinished:
        stem = "unfinished" if template == "standard" else f"unfinished-{template}"
    pictures = _pictures(folder) if gallery else {}
    job = _Job(report, template, pictures, stem)
    written = []
    if not stem.startswith("unfinished"):
        for path in folder.glob("unfinished*.*"):
            path.unlink()
    for name in formats or ("html", "md", "json"):
        for file, content in FORMATS[name](job).items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            written.append(path)
    return written


def is_unfinished(run: str | Path) -> bool:
    """Whether this is the directory of a run that goes on, or was cut short."""
    path = Path(run)
    return (path / "outcomes.sqlite").exists() and not (path / "report.json").exists()


def read_report(run: str | Path) -> Report:
    """The report of a run directory, or of a report.json; InputError where there is none."""
    path = Path(run)
    if path.is_dir():
        if is_unfinished(path):
            raise InputError(
                f"the run in {path} is not finished; give the same audit command again"
            )
        path = path / "report.json"
    try:
        return Report.load(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"no report at {path}; name the folder that `robust audit` wrote"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: {error}") from None


def _order(job: _Job) -> Order:
    from robust.report.layout.regulatory import regulatory
    from robust.report.layout.standard import standard

    return standard if job.template == "standard" else regulatory


def _plain_stem(job: _Job) -> str:
    """For formats that have no template."""
    return "unfinished" if job.stem.startswith("unfinished") else "report"


def _pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / GALLERY).glob("*.png"))}
