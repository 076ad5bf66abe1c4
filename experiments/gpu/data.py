"""Packs a small copy of the three image sets, for a machine that the whole sets do not reach.

Run: `python -m experiments.gpu.data FOLDER`: of each set 300 cases to audit, 240 to learn from and
60 to choose an epoch on, whole patients, with the weights to start from. About 35 MB.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd

from experiments.models import DATA

SETS = {"chest_xray": "", "fundus": "source == 'odir'", "dermoscopy": ""}
"""Image sets, each with the rows to take."""
COUNTS = {"train": 240, "val": 60, "test": 300}
WEIGHTS = "mobilenet_v2_imagenet.pth"


def pack(folder: Path, source: Path = DATA) -> None:
    """Copy the files and write a `cases.csv` for each set."""
    for name, rows in SETS.items():
        cases = pd.read_csv(source / name / "cases.csv", dtype={"group": str})
        cases = cases.query(rows) if rows else cases
        chosen = pd.concat([_some(cases[cases.split == s], n) for s, n in COUNTS.items()])
        (folder / name / "images").mkdir(parents=True, exist_ok=True)
        for file in chosen.file:
            shutil.copyfile(source / name / file, folder / name / file)
        chosen.to_csv(folder / name / "cases.csv", index=False)
    (folder / "weights").mkdir(exist_ok=True)
    shutil.copyfile(source / "weights" / WEIGHTS, folder / "weights" / WEIGHTS)


def _some(cases: pd.DataFrame, count: int) -> pd.DataFrame:
    """The cases of patients drawn at random, as many of each label as there are."""
    groups = cases.group.drop_duplicates().sample(frac=1, random_state=0)
    place = {group: i for i, group in enumerate(groups)}
    ordered = cases.iloc[cases.group.map(place).argsort(kind="stable")]
    labels = ordered.label.nunique()
    return ordered.groupby("label").head(-(-count // labels)).head(count).sort_values("file")


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
