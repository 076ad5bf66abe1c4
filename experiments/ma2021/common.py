"""What the scripts of this folder share: an audit of a trained folder, tables, plots, intervals.

An audit lives in `runs/ma2021` under its model, its plan and its weights: two scripts that ask for
the same one share it, and what was cut short goes on. Tables and plots go to `results`, those of
`--quick` to `runs/ma2021/quick`.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.models import built, data_of
from robust.auditing import audit_plan
from robust.errors import InputError
from robust.plan.load import make_plan, read_plan
from robust.records import Estimate, Report
from robust.records.estimate import interval_text
from robust.report.figures.style import ReportFigure

RUNS = Path("runs/ma2021")
RESULTS = Path(__file__).parent / "results"
THREE = {"chest": "chest-224", "dermoscopy": "dermoscopy-224", "fundus": "fundus-224"}
"""The models of the three modalities."""
FOUR = ("FGSM", "BIM", "PGD", "CW")

# Step and schedule are the paper's (MarginPGD's and BIM's defaults are too); our PGD takes long
# steps first. The paper calls PGD on the margin CW, and so do the tables.
PAPER: dict[str, dict[str, Any]] = {
    "FGSM": {"name": "FGSM"},
    "BIM": {"name": "BIM", "steps": 20, "step_size": 0.05},
    "PGD": {"name": "PGD", "steps": 20, "step_size": 0.1, "schedule": "constant"},
    "CW": {"name": "MarginPGD", "label": "CW", "steps": 20, "step_size": 0.1},
}


@dataclass(frozen=True)
class Options:
    """What a script was asked for."""

    quick: bool = False
    """Few cases and cells: whether the script runs, no result."""
    folders: dict[str, str] = field(default_factory=dict)
    """Other folders of `robust train` in place of those in `experiments/built`, by model."""
    only: tuple[str, ...] = ()
    """Models to look at; empty: all."""
    home: Path = RESULTS
    """Where results go that are no trial's."""

    def folder(self, model: str) -> Path:
        """The trained folder of a model; InputError where it was not built."""
        return Path(self.folders[model]) if model in self.folders else built(model)

    def of(self, models: Iterable[str]) -> list[str]:
        """Those of these models that were asked for."""
        return [model for model in models if not self.only or model in self.only]

    def results(self) -> Path:
        folder = RUNS / "quick" if self.quick else self.home
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def options(doc: str | None, arguments: Sequence[str] | None = None) -> Options:
    """Read the command line of a script whose docstring is `doc`."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a trial run; no result")
    parser.add_argument("--only", action="append", default=[], metavar="MODEL")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="take this trained folder for that model, for example chest-224=models/chest14",
    )
    given = parser.parse_args(arguments)
    pairs = [text.partition("=") for text in given.model]
    if bad := [name for name, _, folder in pairs if not folder]:
        parser.error(f"--model {bad[0]}: write NAME=FOLDER")
    folders = {name: folder for name, _, folder in pairs}
    return Options(given.quick, folders, tuple(given.only))


def audited(
    asked: Options,
    model: str,
    *,
    limit: int,
    attacks: Sequence[dict[str, Any]],
    eps: Sequence[str],
    detectors: Sequence[dict[str, Any]] = (),
    detection: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    **audit: Any,
) -> tuple[Report, Path]:
    """Audit a model on at most `limit` of its test images, spread evenly; the report and the run.

    `attacks` and `detectors` are the tables of a plan, `audit` more fields of its `[audit]`. The
    data are those that the trained folder's own plan names; `data` changes fields of that table.
    """
    folder = asked.folder(model)
    raw = read_plan(folder)
    raw["data"] = {**data_of(model, folder).model_dump(exclude_none=True), "limit": limit}
    raw["data"] |= data or {}
    raw["audit"] = {"eps": list(eps), **audit}
    raw["attacks"], raw["detectors"] = list(attacks), list(detectors)
    raw["detection"] = {**raw.get("detection", {}), **(detection or {})}
    raw["report"] = {"gallery": 0}  # no image of a data set stands beside the numbers
    plan = make_plan(raw, str(folder))
    weights = json.loads((folder / "model.json").read_text(encoding="utf-8"))["weights_sha256"]
    key = hashlib.sha256(f"{plan.digest()} {weights}".encode()).hexdigest()[:10]
    run = RUNS / f"{model}-{key}"

    def progress(done: float, total: float, label: str) -> None:
        if sys.stderr.isatty():
            print(
                f"\r{model}: {label} {100 * done / max(total, 1):.0f} %\033[K",
                end="",
                file=sys.stderr,
            )

    return audit_plan(plan, out=run, progress=progress), run


def write_table(
    asked: Options, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> Path:
    """A CSV file of the results; numbers with four decimals, None as nothing.

    With `--only` the rows of other models stay as they are.
    """
    path = asked.results() / f"{name}.csv"
    others = _other_rows(asked, path, columns)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows([_cell(value) for value in row] for row in (*others, *rows))
    print(f"wrote {path}", flush=True)
    return path


def _other_rows(asked: Options, path: Path, columns: Sequence[str]) -> list[list[str]]:
    """Those of models that were not asked for, where the table had the same columns."""
    if not asked.only or columns[0] != "model" or not path.exists():
        return []
    known = read_table(path)
    if not known or tuple(known[0]) != tuple(columns):
        return []
    return [list(row.values()) for row in known if row["model"] not in asked.only]


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_plot(asked: Options, figure: ReportFigure) -> Path:
    """A plot of aggregate numbers; never one that shows an image of a data set."""
    path = asked.results() / f"{figure.name}.png"
    path.write_bytes(figure.png(120))
    print(f"wrote {path}", flush=True)
    return path


def interval(*names: str) -> list[str]:
    """Columns for what `numbers` gives."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]


def numbers(*estimates: Estimate | None) -> list[float | None]:
    """Value, low and high of each."""
    return [
        value
        for one in estimates
        for value in ((None, None, None) if one is None else (one.value, one.low, one.high))
    ]


def percent(one: Estimate | None) -> str:
    """`91.2 [88.0, 94.1]`."""
    if one is None:
        return "none"
    return f"{100 * one.value:.1f} {interval_text(one, 100, 1)}"


def span(found: Iterable[Estimate | None], factor: float = 100, digits: int = 0) -> str:
    """` [88.0, 94.1]`, from the least to the greatest end of the intervals; empty without any."""
    known = [one.interval for one in found if one is not None and one.interval is not None]
    ends = [factor * end for interval in known for end in interval]
    return f" [{min(ends):.{digits}f}, {max(ends):.{digits}f}]" if ends else ""


def started(main: Any, doc: str | None, home: Path = RESULTS) -> None:
    """Run a script's `main(options)`; wrong input in one line."""
    try:
        main(replace(options(doc), home=home))
    except InputError as error:
        sys.exit(f"{error}")


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value
