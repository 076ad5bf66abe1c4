"""The notebook of a report is valid, runs from its first cell to its last, and names nobody."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from robust.report import write_report
from robust.report.formats.notebook import render_notebook
from tests.records.test_report import report
from tests.report.hostile import hostile_report

nbformat = pytest.importorskip("nbformat")
ROOT = Path(__file__).parent.parent.parent.parent
PNEUMONIA = ROOT / "experiments" / "pneumoniamnist" / "report.json"
DOCS = ROOT / "docs" / "notebooks"


def run(path: Path, folder: Path) -> Any:
    """The notebook after all its cells have run in a folder."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(folder)}}
    ).execute()
    return notebook


def outputs(notebook: Any, kind: str) -> list[str]:
    return [
        "".join(output["data"][kind])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if kind in output.get("data", {})
    ]


def test_it_is_valid_and_its_cells_read_the_report_that_is_written_with_it(tmp_path: Path) -> None:
    paths = write_report(report(), tmp_path, "notebook")
    assert [path.name for path in paths] == ["report.ipynb", "report.json"]
    notebook = nbformat.read(paths[0], as_version=4)
    nbformat.validate(notebook)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert 'robust.load_report("report.json")' in code[0]
    assert not any(cell.outputs for cell in notebook.cells if cell.cell_type == "code")
    cut = report(missing_stages=("table",))
    names = [path.name for path in write_report(cut, tmp_path / "cut", "notebook")]
    assert names == ["unfinished.ipynb", "unfinished.json"]
    assert "outcomes.parquet" not in render_notebook(cut, "unfinished.json")


def test_a_hostile_title_stays_text_and_reaches_no_code() -> None:
    made = json.loads(render_notebook(hostile_report(), "report.json"))
    calm = json.loads(render_notebook(report(), "report.json"))
    for own, other in zip(made["cells"][1:], calm["cells"][1:], strict=True):
        assert own == other
    assert "<script" not in made["cells"][0]["source"]


@pytest.mark.slow
def test_it_runs_and_shows_lead_tables_and_figures(tmp_path: Path) -> None:
    shutil.copy(PNEUMONIA, tmp_path)
    from robust.report import load_report

    (path, _) = write_report(load_report(tmp_path), tmp_path, "notebook")
    shown = run(path, tmp_path)
    pages = outputs(shown, "text/html")
    assert "the model reads 83 of 100 chest X-rays correctly" in pages[0].replace("\xa0", " ")
    assert sum("<table" in page for page in pages) >= 4
    assert len(outputs(shown, "image/svg+xml")) == 3
    assert len(outputs(shown, "image/png")) == 1  # the plot of the reader's own


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(DOCS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_of_the_site_run(path: Path) -> None:
    shown = run(path, path.parent)
    assert outputs(shown, "text/html") and outputs(shown, "image/png")


def test_notebooks_of_the_site_are_valid_and_hold_no_outputs() -> None:
    found = sorted(DOCS.glob("*.ipynb"))
    assert found
    for path in found:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert cell.cell_type == "markdown" or not cell.outputs, path
