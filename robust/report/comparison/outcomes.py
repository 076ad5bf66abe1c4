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
from robust.metrics.scores import Condition, margins
from robust.metrics.worst_case import Ball, CellOutcome, worst_case
from robust.records import Report
from robust.units import same_eps

CellName = tuple[str, str, float | None]
"""Attack, norm, eps; None for a minimum-norm attack without a bound."""

TABLE = "outcomes.csv"

_GUARDED = re.compile("'(?=[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
"""The apostrophe that keeps a spreadsheet from taking text for a formula."""


@dataclass(frozen=True)
class Outcomes:
    """The table of one run, restricted to some cases and in their order."""

    groups: tuple[str, ...]
    """Group of each case."""
    labels: Places
    """Class of each case `(n,)`."""
    clean: Condition
    """All cases without attack."""
    lines: pd.DataFrame
    """Adversarial images: row (index of the case), cell (index into `cells`), success, linf, l2,
    failed."""
    line_logits: Array
    """Logits `(lines, k)`."""
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
        linf, l2 = np.full(n, np.nan), np.full(n, np.nan)
        attacked[rows], failed[rows] = True, lost
        success[rows] = lines["success"].to_numpy()
        linf[rows], l2[rows] = lines["linf"].to_numpy(), lines["l2"].to_numpy()
        logits = self.clean.kept.copy()
        logits[rows[~lost]] = self.line_logits[own[~lost]]
        return Condition(logits, attacked, failed, success, linf, l2, l2)

    def worst(self, norm: str, eps: float | None, cells: Sequence[CellName]) -> Condition:
        """The worst case over these cells within eps, defined as in the report."""
        ball = Ball(norm, _bound(eps), self.values)
        own = (CellOutcome(self.at(cell), _bound(cell[2])) for cell in cells if cell[1] == norm)

        def damage(logits: Array) -> Array:
            return margins(logits, self.labels)

        return worst_case(self.clean, damage, own, ball).condition


def _bound(eps: float | None) -> float:
    return math.inf if eps is None else eps


def find_cell(cells: Sequence[CellName], attack: str, norm: str, eps: float | None) -> CellName:
    """The cell of that name, its eps within rounding; KeyError."""
    for cell in cells:
        if cell[:2] == (attack, norm) and same_eps(cell[2], eps):
            return cell
    raise KeyError((attack, norm, eps))


def read_table(folder: Path, report: Report) -> pd.DataFrame:
    """outcomes.csv of a finished run, text as it was; InputError where it is not the report's."""
    path = folder / TABLE
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; keep it with the run") from None
    if digest != report.table_sha256:
        raise InputError(f"{path} is not the table that {folder}/report.json was made from")
    numbers = ["eps", "linf", "l2", *_logit_columns(report)]
    texts = ["case", "group", "label", "attack", "norm", "success", "failure"]
    # Names such as NA are names: only an empty number is missing.
    table = pd.read_csv(
        path,
        usecols=lambda name: _plain(name) in {*numbers, *texts},
        dtype=str,
        keep_default_na=False,
        encoding="utf-8",
    ).rename(columns=_plain)
    for name in numbers:
        table[name] = pd.to_numeric(table[name].replace("", np.nan))
    for name in ("case", "group", "label", "attack"):
        table[name] = table[name].map(_plain)
    return table


def select_cases(table: pd.DataFrame, report: Report, names: Sequence[str]) -> Outcomes:
    """The cases of these names, in their order."""
    place = {name: i for i, name in enumerate(names)}
    table = table.assign(row=table["case"].map(place)).dropna(subset="row")
    table["row"] = table["row"].astype(np.int64)
    clean = table[table["attack"] == "clean"].sort_values("row")
    lines = table[table["attack"] != "clean"]
    classes = {name: i for i, name in enumerate(report.data.classes)}
    cells = lines.groupby(["attack", "norm", "eps"], sort=False, dropna=False)
    kept = lines[["row", "linf", "l2"]].assign(
        cell=cells.ngroup(), success=lines["success"] == "1", failed=lines["failure"] != ""
    )
    named = lines.drop_duplicates(["attack", "norm", "eps"])[["attack", "norm", "eps"]]
    return Outcomes(
        groups=tuple(clean["group"]),
        labels=np.array([classes[name] for name in clean["label"]], np.int64),
        clean=Condition.clean(_logits(clean, report)),
        lines=kept.reset_index(drop=True),
        line_logits=_logits(lines, report),
        cells=tuple(
            (str(attack), str(norm), None if np.isnan(eps) else float(eps))
            for attack, norm, eps in named.itertuples(index=False)
        ),
        values=report.data.values_per_image,
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The lines without attack of cases whose file could be read."""
    return table[(table["attack"] == "clean") & (table["failure"] == "")]


def _logits(table: pd.DataFrame, report: Report) -> Array:
    """Logits `(lines, k)`; nine digits give the model's float32 back exactly."""
    return table[_logit_columns(report)].to_numpy(np.float32).astype(np.float64)


def _logit_columns(report: Report) -> list[str]:
    return [f"logit_{name}" for name in report.data.classes]


def _plain(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text
