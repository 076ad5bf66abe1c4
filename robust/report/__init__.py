"""Writes and reads reports: HTML, Markdown, JSON, CSV, LaTeX and figures; loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robust.errors import InputError, did_you_mean, excerpt
from robust.files import make_private_folder, path_exists, read_bytes, write_atomically
from robust.plan.paths import no_report
from robust.records import GALLERY, INDEX, provide_view
from robust.records import Report as Report
from robust.report.crosswalk.texts import CROSSWALKS

if TYPE_CHECKING:
    import pandas as pd

    from robust.report.layout.blocks import Order


MOST_PICTURE = 64 << 20
"""Bytes of one example image."""


@dataclass(frozen=True)
class Rendering:
    """What a format is rendered from."""

    report: Report
    template: str
    pictures: dict[str, bytes]
    """PNG files of the gallery, by name."""
    stem: str
    """File name without its ending."""


def _html(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.html import render_html

    page = render_html(rendering.report, _order(rendering), rendering.pictures)
    return {f"{rendering.stem}.html": _bytes(page)}


def _markdown(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.markdown import render_markdown

    text = render_markdown(rendering.report, _order(rendering))
    return {f"{rendering.stem}.md": _bytes(text)}


def _json(rendering: Rendering) -> dict[str, bytes]:
    return {f"{_plain_stem(rendering)}.json": rendering.report.to_json().encode()}


def _latex(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.latex import render_latex

    return {f"{_plain_stem(rendering)}.tex": _bytes(render_latex(rendering.report))}


def _svg(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.figures.every import report_figures

    return {f"figures/{f.name}.svg": f.svg().encode() for f in report_figures(rendering.report)}


def _png(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.figures.every import report_figures

    return {f"figures/{f.name}.png": f.png() for f in report_figures(rendering.report)}


def _csv(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.csv_tables import (
        CERTIFIED,
        CORRUPTED,
        MATRIX,
        RESULTS,
        STRUCTURES,
        certified_csv,
        corrupted_csv,
        results_csv,
        structures_csv,
        transfer_csv,
    )

    report, stem = rendering.report, _plain_stem(rendering)
    results = _bytes(results_csv(report))
    if stem != "report":
        return {f"{stem}.csv": results}
    files = {RESULTS: results}
    if report.task.is_segmentation:
        files[STRUCTURES] = _bytes(structures_csv(report))
    if report.detection is not None:
        files[MATRIX] = _bytes(transfer_csv(report.detection))
    if report.certificates:
        files[CERTIFIED] = _bytes(certified_csv(report))
    if report.corruptions is not None:
        files[CORRUPTED] = _bytes(corrupted_csv(report.corruptions))
    return files


def _cyclonedx(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.exchange.cyclonedx import render_cyclonedx

    return {f"{_plain_stem(rendering)}.cdx.json": _bytes(render_cyclonedx(rendering.report))}


def _model_card(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.exchange.model_card import render_model_card

    before = "" if _plain_stem(rendering) == "report" else "unfinished-"
    return {f"{before}model-card.md": _bytes(render_model_card(rendering.report))}


def _pdf(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.html import render_html
    from robust.report.formats.pdf import print_page

    page = render_html(rendering.report, _order(rendering), rendering.pictures, phone=False)
    return {f"{rendering.stem}.pdf": print_page(page)}


def _notebook(rendering: Rendering) -> dict[str, bytes]:
    from robust.report.formats.notebook import render_notebook

    stem = _plain_stem(rendering)
    text = render_notebook(rendering.report, f"{stem}.json")
    return {f"{stem}.ipynb": _bytes(text), **_json(rendering)}


FORMATS: dict[str, Callable[[Rendering], dict[str, bytes]]] = {
    "html": _html,
    "md": _markdown,
    "json": _json,
    "csv": _csv,
    "latex": _latex,
    "svg": _svg,
    "png": _png,
    "pdf": _pdf,
    "notebook": _notebook,
    "cyclonedx": _cyclonedx,
    "model-card": _model_card,
}
"""Format to the function that renders its files, by path within the folder."""

TEMPLATES = ("standard", "regulatory", *CROSSWALKS)
"""The orders of sections that HTML, PDF and Markdown have; most put the points of a text first."""

UNFINISHED = (
    *(f"unfinished.{end}" for end in ("html", "md", "json", "csv", "tex", "cdx.json")),
    *(f"unfinished.{end}" for end in ("pdf", "ipynb")),
    *(f"unfinished-{name}.{end}" for name in TEMPLATES[1:] for end in ("html", "md", "pdf")),
    "unfinished-model-card.md",
)
"""Every file that is written of an unfinished run; once it has finished, they are removed."""


def write_report(
    report: Report,
    directory: str | Path,
    *formats: str,
    template: str = "standard",
    gallery: bool = True,
) -> list[Path]:
    """Write the report in these formats (HTML, Markdown, CSV and JSON by default).

    Each file appears whole or not at all. The gallery is shown if its images are in the
    directory. The files of an unfinished run are called `unfinished`. Returns the paths. Raises
    InputError for an unknown format or template.
    """
    if template not in TEMPLATES:
        raise InputError(f"unknown template {template!r}; {did_you_mean(template, TEMPLATES)}")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"unknown format {name!r}; {did_you_mean(name, FORMATS)}")
    folder = Path(directory)
    stem = "report" if template == "standard" else template
    if report.cut_short:
        stem = "unfinished" if template == "standard" else f"unfinished-{template}"
    pictures = _pictures(folder) if gallery else {}
    rendering = Rendering(report, template, pictures, stem)
    written = []
    if not stem.startswith("unfinished"):
        for name in UNFINISHED:
            (folder / name).unlink(missing_ok=True)
    for name in formats or ("html", "md", "csv", "json"):
        for file, content in FORMATS[name](rendering).items():
            path = folder / file
            make_private_folder(path.parent)
            write_atomically(path, content)
            written.append(path)
    return written


def is_unfinished(run: str | Path) -> bool:
    """Whether this is the directory of a run that has not finished."""
    path = Path(run)
    return path_exists(path / "outcomes.sqlite") and not path_exists(path / "report.json")


def read_report(run: str | Path) -> Report:
    """The report of a run directory or a report.json; raises InputError where there is none."""
    path = Path(run)
    if is_unfinished(path):
        raise InputError(
            f"the run in {excerpt(path, 300)} is not finished; give the same audit command again"
        )
    if path_exists(path) and path.is_dir():
        path = path / "report.json"
    if not path_exists(path):
        raise no_report(path)
    try:
        return Report.load(path)
    except InputError as error:
        name = excerpt(path, 300)
        said = str(error)
        raise InputError(said if said.startswith(name) else f"{name}: {said}") from None


def load_report(path: str | Path) -> Report:
    """The report of a run folder or a report.json, to look at or to compute with.

    InputError where there is none, the run is not finished, or the folder is that of several
    findings, each of which has its own.
    """
    folder = Path(path)
    if path_exists(folder / INDEX) and not path_exists(folder / "report.json"):
        raise InputError(
            f"{excerpt(folder, 300)} holds an audit of several findings; name the folder of one "
            f"of them, as {INDEX} lists them"
        )
    return read_report(folder)


def _as_html(report: Report) -> str:
    from robust.report.formats.html import render_summary

    return render_summary(report)


def _as_frame(report: Report) -> pd.DataFrame:
    from robust.report.long_form import report_frame

    return report_frame(report)


provide_view("html", _as_html)
provide_view("frame", _as_frame)


def _order(rendering: Rendering) -> Order:
    from robust.report.layout.crosswalk import crosswalk_order
    from robust.report.layout.regulatory import regulatory
    from robust.report.layout.standard import standard

    if rendering.template in CROSSWALKS:
        return crosswalk_order(rendering.template)
    return standard if rendering.template == "standard" else regulatory


def _plain_stem(rendering: Rendering) -> str:
    """File name for formats without templates."""
    return "unfinished" if rendering.stem.startswith("unfinished") else "report"


def _pictures(folder: Path) -> dict[str, bytes]:
    found = sorted((folder / GALLERY).glob("*.png"))
    return {path.name: read_bytes(path, MOST_PICTURE) for path in found}


def _bytes(text: str) -> bytes:
    """UTF-8; half a character, from a file name that is no UTF-8, becomes a question mark."""
    return text.encode("utf-8", "replace")
