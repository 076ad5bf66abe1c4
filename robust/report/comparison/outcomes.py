"""outcomes.csv of a run as arrays: each attack at each eps, and the worst case over attacks."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from robust.errors import InputError
from robust.metrics.arrays import Array, Places
from robust.metrics.outlines.kept import COLUMNS, KeptScores, kept_width
from robust.metrics.scores import Condition
from robust.metrics.worst_case import Ball, CellOutcome, inside_of, worst_case
from robust.records import Report
from robust.report.comparison.judges import Judge
from robust.units import NORMS, distance_field, same_eps

CellName = tuple[str, str, float | None]
"""Attack, norm, eps; None for a minimum-norm attack without a bound."""

TABLE = "outcomes.csv"
DISTANCES = tuple(map(distance_field, NORMS))

_GUARDED = re.compile("'(?=[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
"""The apostrophe that keeps a spreadsheet from taking text for a formula."""


@dataclass(frozen=True)
class Outcomes:
    """The table of one run, restricted to some cases and in their order."""

    groups: tuple[str, ...]
    """Group of each case."""
    labels: Places
    """Class of each case `(n,)`; 0 where cases have outlines."""
    clean: Condition
    """All cases without attack."""
    lines: pd.DataFrame
    """Adversarial images: row (index of the case), cell (index into `cells`), success, failed, and
    a distance in each norm; NaN in one in which no attack of the run is limited."""
    line_kept: Array
    """What is kept of their predictions `(lines, a)`: logits, or the scores of outlines."""
    cells: tuple[CellName, ...]
    """Attacks that were run, with norm and eps, in the order of the table."""
    values: int
    """Number of values of an image (channels x height x width)."""

    def at(self, cell: CellName) -> Condition:
        """All cases as one attack at one eps left them; KeyError where it was not run."""
        place = self.cells.index(find_cell(self.cells, *cell))
        own = np.flatnonzero(self.lines["cell"].to_numpy() == place)
        lines = self.lines.iloc[own]
        rows, lost = lines["row"].to_numpy(), lines["failed"].to_numpy()
        n = len(self.labels)
        attacked, failed, success = (np.zeros(n, bool) for _ in range(3))
        distances = {name: np.full(n, np.nan) for name in DISTANCES}
        attacked[rows], failed[rows] = True, lost
        success[rows] = lines["success"].to_numpy()
        for name, distance in distances.items():
            distance[rows] = lines[name].to_numpy()
        kept = self.clean.kept.copy()
        kept[rows[~lost]] = self.line_kept[own[~lost]]
        return Condition(kept, attacked, failed, success, **distances)

    def worst(
        self, norm: str, eps: float | None, cells: Sequence[CellName], judge: Judge
    ) -> Condition:
        """The worst case over these cells within eps, defined as in the report."""
        ball = Ball(norm, _bound(eps), self.values)
        own = [CellOutcome(self.at(cell), _bound(cell[2])) for cell in cells if cell[1] == norm]
        found = [(cell.condition.kept, inside_of(cell.condition, ball)) for cell in own]
        return judge.by_part(worst_case(self.clean, judge.damage, own, ball).condition, found)


def _bound(eps: float | None) -> float:
    return math.inf if eps is None else eps


def find_cell(cells: Sequence[CellName], attack: str, norm: str, eps: float | None) -> CellName:
    """The cell of that name, its eps within rounding; KeyError."""
    for cell in cells:
        if cell[:2] == (attack, norm) and same_eps(cell[2], eps):
            return cell
    raise KeyError((attack, norm, eps))


def verified_table(folder: Path, name: str, sha256: str) -> Path:
    """The table of that name in a run; InputError where it is not the one of its report."""
    path = folder / name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; keep it with the run") from None
    if digest != sha256:
        raise InputError(f"{path} is not the table that {folder}/report.json was made from")
    return path


def read_table(folder: Path, report: Report) -> pd.DataFrame:
    """outcomes.csv of a finished run, text as it was; InputError where it is not the report's.

    A line for each case and attack, with what is kept of it in `_kept_columns`.
    """
    path = verified_table(folder, TABLE, report.table_sha256)
    scores = ["value"] if report.task.is_segmentation else _kept_columns(report)
    numbers = ["eps", *DISTANCES, *scores]
    texts = ["case", "group", "label", "attack", "norm", "success", "failure", "score"]
    # Names such as NA are names: only an empty number is missing.
    table = pd.read_csv(
        path,
        usecols=lambda name: plain_cell(name) in {*numbers, *texts},
        dtype=str,
        keep_default_na=False,
        encoding="utf-8",
    ).rename(columns=plain_cell)
    for name in table.columns.intersection(numbers):
        table[name] = pd.to_numeric(table[name].replace("", np.nan))
    for name in table.columns.intersection(["case", "group", "label", "attack"]):
        table[name] = table[name].map(plain_cell)
    for name in set(DISTANCES) - set(table.columns):  # no attack is limited in that norm
        table[name] = np.nan
    return _one_line_each(table, report) if report.task.is_segmentation else table


def _one_line_each(table: pd.DataFrame, report: Report) -> pd.DataFrame:
    """A line for each case and attack, of a table with a line for each of its scores.

    As a label stand the true volumes, by which one knows a mask again.
    """
    width = kept_width(len(report.task.structures))
    scored = table[table["score"] != ""]
    if len(scored) % width or (scored["score"].to_numpy()[::width] != COLUMNS[0]).any():
        raise InputError(
            f"{TABLE} does not have {width} scores for each case and attack, as the structures of "
            f"report.json need; audit again"
        )
    kept = scored["value"].to_numpy(np.float64).reshape(-1, width)
    names = _kept_columns(report)
    first = scored.iloc[::width].reset_index(drop=True)
    wide = pd.concat([first, pd.DataFrame(kept, columns=names)], axis=1)
    volumes = KeptScores(kept).true_volume
    wide["label"] = [" + ".join(f"{one:.6g}" for one in line) for line in volumes]
    return pd.concat([wide, table[table["score"] == ""].assign(label="")], ignore_index=True)


def select_cases(table: pd.DataFrame, report: Report, names: Sequence[str]) -> Outcomes:
    """The cases of these names, in their order."""
    place = {name: i for i, name in enumerate(names)}
    table = table.assign(row=table["case"].map(place)).dropna(subset="row")
    table["row"] = table["row"].astype(np.int64)
    clean = table[table["attack"] == "clean"].sort_values("row")
    lines = table[table["attack"] != "clean"]
    classes = {name: i for i, name in enumerate(report.data.classes)}
    cells = lines.groupby(["attack", "norm", "eps"], sort=False, dropna=False)
    kept = lines[["row", *DISTANCES]].assign(
        cell=cells.ngroup(), success=lines["success"] == "1", failed=lines["failure"] != ""
    )
    named = lines.drop_duplicates(["attack", "norm", "eps"])[["attack", "norm", "eps"]]
    return Outcomes(
        groups=tuple(clean["group"]),
        labels=np.array([classes.get(name, 0) for name in clean["label"]], np.int64),
        clean=Condition.clean(_kept(clean, report)),
        lines=kept.reset_index(drop=True),
        line_kept=_kept(lines, report),
        cells=tuple(
            (str(attack), str(norm), None if np.isnan(eps) else float(eps))
            for attack, norm, eps in named.itertuples(index=False)
        ),
        values=report.data.values_per_image,
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The lines without attack of cases whose file could be read."""
    return table[(table["attack"] == "clean") & (table["failure"] == "")]


def _kept(table: pd.DataFrame, report: Report) -> Array:
    """What is kept of each line `(lines, a)`; of logits nine digits give a float32 back exactly."""
    found = table[_kept_columns(report)]
    if report.task.is_segmentation:
        return found.to_numpy(np.float64)
    return found.to_numpy(np.float32).astype(np.float64)


def _kept_columns(report: Report) -> list[str]:
    if report.task.is_segmentation:
        return [f"kept_{place}" for place in range(kept_width(len(report.task.structures)))]
    return [f"logit_{name}" for name in report.data.classes]


def plain_cell(text: str) -> str:
    """A cell without the apostrophe that guards it."""
    return text[1:] if _GUARDED.match(text) else text
