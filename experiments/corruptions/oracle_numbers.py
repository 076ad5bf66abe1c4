"""Numbers of the package medmnistc on synthetic images, for tests that run without it.

Run: `python -m experiments.corruptions.oracle_numbers` with `ROBUST_MEDMNISTC` set (two minutes;
see `oracle.py`). Writes `deterministic.csv` and `random.csv` beside the tests.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from experiments.corruptions.oracle import MedMNISTC
from tests.corruptions.medmnist_c.images import DISTINCT, stored

FOLDER = Path(__file__).parent.parent.parent / "tests" / "corruptions" / "medmnist_c" / "oracle"
SIZE, POINTS = 56, 8
"""Side of the images for deterministic kinds, and how many pixels of their diagonal are kept."""
SEED = 7
DRAWS = 400
"""Images of a random kind, 224 px for those that need it."""
SCALED = ("stain_deposit", "bubble", "characters")


def deterministic(oracle: MedMNISTC) -> list[list[object]]:
    """Mean level, mean change, pixels of two images; motion blur in the directions of the seed."""
    rows: list[list[object]] = []
    for data_set, corruption in DISTINCT.values():
        if corruption.random and corruption.name != "motion_blur":
            continue
        given = stored(data_set, SIZE)
        for severity in range(1, 6):
            done = oracle.corrupted(data_set, corruption.name, severity, given, SEED)
            change = np.abs(done.astype(float) - given).mean()
            along = np.linspace(0, SIZE - 1, POINTS).astype(int)
            diagonal = done[0][along, along].reshape(POINTS, -1)[:, 0]
            name = [data_set, corruption.name, severity]
            rows.append([*name, f"{done.mean():.3f}", f"{change:.3f}", *diagonal])
    return rows


def random(oracle: MedMNISTC) -> list[list[object]]:
    """Mean and root mean square of the change over many draws of one image."""
    rows: list[list[object]] = []
    for data_set, corruption in DISTINCT.values():
        if not corruption.random or corruption.name == "motion_blur":
            continue
        size = 224 if corruption.name in SCALED else SIZE
        given = np.repeat(stored(data_set, size)[:1], DRAWS, 0)
        for severity in range(1, 6):
            done = oracle.corrupted(data_set, corruption.name, severity, given, SEED)
            change = done.astype(float) - given
            own = (change**2).mean(tuple(range(1, change.ndim))) ** 0.5
            name = [data_set, corruption.name, severity, size]
            rows.append([*name, f"{change.mean():.3f}", f"{own.mean():.3f}", f"{own.std():.3f}"])
    return rows


def main() -> None:
    pixels = [f"pixel{i}" for i in range(POINTS)]
    headers = {
        "deterministic": ["set", "kind", "severity", "level", "change", *pixels],
        "random": ["set", "kind", "severity", "size", "mean", "rms", "rms_std"],
    }
    FOLDER.mkdir(exist_ok=True)
    with MedMNISTC() as oracle:
        tables = {"deterministic": deterministic(oracle), "random": random(oracle)}
    for name, rows in tables.items():
        with (FOLDER / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([headers[name], *rows])


if __name__ == "__main__":
    main()
