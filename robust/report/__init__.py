"""A report as people read it. Knows records and files, never torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from robust.errors import InputError, did_you_mean
from robust.records import Report


def _html(report: Report) -> str:
    from robust.report.html import render_html

    return render_html(report)


def _markdown(report: Report) -> str:
    from robust.report.markdown import render_markdown

    return render_markdown(report)


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "html": ("report.html", _html),
    "md": ("report.md", _markdown),
    "json": ("report.json", Report.to_json),
}
"""Format to file name and renderer."""


def write_report(report: Report, directory: str | Path, *formats: str) -> list[Path]:
    """Write the report in these formats (all by default); each file appears whole or not at all."""
    written = []
    for name in formats or tuple(FORMATS):
        if name not in FORMATS:
            raise InputError(f"unknown format {name!r}; {did_you_mean(name, FORMATS)}")
        file, render = FORMATS[name]
        path = Path(directory) / file
        partial = path.with_name(f"{file}.partial")
        partial.write_text(render(report), encoding="utf-8")
        partial.replace(path)
        written.append(path)
    return written


def read_report(run: str | Path) -> Report:
    """The report of a run directory, or of a report.json; InputError where there is none."""
    path = Path(run)
    if path.is_dir():
        if not (path / "report.json").exists() and (path / "outcomes.sqlite").exists():
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
