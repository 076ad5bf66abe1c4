"""A run's per-case table as arrays: what each attack left of each case, and the worst of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from robust.errors import InputError
from robust.records import Report
from robust.units import same_eps

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
CellName = tuple[str, str, float | None]
"""Attack, norm, eps; None for a minimum-norm attack without a bound."""

TABLE = "outcomes.csv"
ROUNDING = 1e-6
"""Room for float32 where an image of a larger eps is said to lie within a smaller one."""
UNTOLD = 0.05
"""Share of attacked cases without a verdict beyond which nothing is said of all cases."""

_GUARDED = re.compile("'(?=[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")
"""The apostrophe that keeps a spreadsheet from taking text for a formula."""


@dataclass(frozen=True)
class State:
    """All cases under one condition, clean ones where they were not attacked; each `(n,)`."""

    prediction: Places
    attacked: Mask
    failed: Mask
    """Attacked without a verdict."""

    @property
    def valid(self) -> Mask:
        return self.attacked & ~self.failed

    @property
    def told(self) -> Mask:
        """Cases that count where all cases do; none where too many came to no verdict."""
        if self.failed.sum() > UNTOLD * self.attacked.sum():
            return np.zeros_like(self.failed)
        return ~self.failed


@dataclass(frozen=True)
class Outcomes:
    """The table of one run, restricted to some cases and in their order."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    labels: Places
    logits: Array
    """Of the clean images, `(n, k)`."""
    lines: pd.DataFrame
    """Of attacked images: row (place of the case), cell (place in `cells`), eps, success, linf, l2,
    failed."""
    line_logits: Array
    cells: tuple[CellName, ...]
    """Which attacks were run, at which eps, in the order of the table."""

    def clean(self) -> State:
        no = np.zeros(len(self.names), bool)
        return State(self.logits.argmax(1), no, no)

    def at(self, cell: CellName) -> State:
        """As one attack at one eps left them."""
        own = np.flatnonzero(self._of(cell))
        rows = self.lines["row"].to_numpy()[own]
        lost = self.lines["failed"].to_numpy()[own]
        prediction, attacked = self.logits.argmax(1), np.zeros(len(self.names), bool)
        failed = attacked.copy()
        attacked[rows], failed[rows] = True, lost
        prediction[rows[~lost]] = self.line_logits[own[~lost]].argmax(1)
        return State(prediction, attacked, failed)

    def worst(self, norm: str, eps: float | None, cells: Sequence[CellName]) -> State:
        """Case by case the most damaging image that these cells found within eps, as the report's
        worst case has it: a success before none, then the larger margin.
        """
        mine = np.zeros(len(self.lines), bool)
        for cell in cells:
            if cell[1] == norm:
                mine |= self._of(cell)
        size = self.lines["eps"].to_numpy()
        radius = np.inf if eps is None else eps
        moved = self.lines["linf" if norm == "Linf" else "l2"].to_numpy()
        good = mine & ~self.lines["failed"].to_numpy()
        # An attack without a bound was asked for the nearest image: it has tried at every eps.
        tried = mine & (np.isnan(size) | (size <= radius + 1e-9))
        inside = good & ((size <= radius + 1e-9) | (moved <= radius + ROUNDING))
        rows = self.lines["row"].to_numpy()
        attacked, judged = np.zeros(len(self.names), bool), np.zeros(len(self.names), bool)
        attacked[rows[tried]] = True
        judged[rows[tried & good]] = True
        own = np.flatnonzero(inside)
        lead = margins(self.line_logits[own], self.labels[rows[own]])
        success = self.lines["success"].to_numpy()[own]
        order = np.lexsort((-own, lead, success, rows[own]))
        last = order[np.r_[rows[own][order][1:] != rows[own][order][:-1], True][: len(order)]]
        better = success[last] | (lead[last] > margins(self.logits, self.labels)[rows[own][last]])
        prediction = self.logits.argmax(1)
        chosen = own[last[better]]
        prediction[rows[chosen]] = self.line_logits[chosen].argmax(1)
        return State(prediction, attacked, attacked & ~judged)

    def _of(self, cell: CellName) -> Mask:
        found: Mask = self.lines["cell"].to_numpy() == self.cells.index(
            find_cell(self.cells, *cell)
        )
        return found


def margins(logits: Array, labels: Places) -> Array:
    """By how much the best wrong logit leads `(n,)`."""
    own = np.take_along_axis(logits, labels[:, None], 1)[:, 0]
    others = logits.copy()
    np.put_along_axis(others, labels[:, None], -np.inf, 1)
    ahead: Array = others.max(1) - own if len(logits) else own
    return ahead


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
    numbers = ["eps", "linf", "l2", *_logits(report)]
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


def pick(table: pd.DataFrame, report: Report, names: Sequence[str]) -> Outcomes:
    """The cases of these names, in their order."""
    place = {name: i for i, name in enumerate(names)}
    table = table.assign(row=table["case"].map(place)).dropna(subset="row")
    table["row"] = table["row"].astype(np.int64)
    columns = _logits(report)
    clean = table[table["attack"] == "clean"].sort_values("row")
    lines = table[table["attack"] != "clean"]
    classes = {name: i for i, name in enumerate(report.data.classes)}
    cells = lines.groupby(["attack", "norm", "eps"], sort=False, dropna=False)
    kept = lines[["row", "eps", "linf", "l2"]].assign(
        cell=cells.ngroup(), success=lines["success"] == "1", failed=lines["failure"] != ""
    )
    named = lines.drop_duplicates(["attack", "norm", "eps"])[["attack", "norm", "eps"]]
    return Outcomes(
        tuple(names),
        tuple(clean["group"]),
        np.array([classes[name] for name in clean["label"]], np.int64),
        clean[columns].to_numpy(np.float64),
        kept.reset_index(drop=True),
        lines[columns].to_numpy(np.float64),
        tuple(
            (str(attack), str(norm), None if np.isnan(eps) else float(eps))
            for attack, norm, eps in named.itertuples(index=False)
        ),
    )


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The clean lines of cases whose file could be read."""
    return table[(table["attack"] == "clean") & (table["failure"] == "")]


def _logits(report: Report) -> list[str]:
    return [f"logit_{name}" for name in report.data.classes]


def _plain(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text
