"""MedMNIST-C in torch against its package: how far apart, and how fast.

Run: `ROBUST_MEDMNISTC=PYTHON python -m experiments.corruptions.parity` (a few minutes on one core;
see `oracle.py` for that environment). Every kind at severities 1 to 5 of every data set with other
severities, on real images where the folders are there, else on synthetic ones. Times are of 224 px
and of the first set with a kind, in grey and in colour: both start with stored images of 8 bits and
end with tensors in [0, 1], one thread each, one image at a time, in turn; the least of the repeats
counts. Writes `results/parity.csv` and `results/speed.csv`.
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from experiments.corruptions.oracle import MedMNISTC, Pixels, angles
from experiments.models import DATA
from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.blur.motion_blur import MotionBlur, motion_blurred
from tests.corruptions.medmnist_c.images import DISTINCT, IN_COLOUR, images, stored, streams

RESULTS = Path(__file__).parent / "results"
SEED = 3
IMAGES = 3
DRAWS, SCALED_DRAWS = 12, 60
REPEATS = 5


def pictures(data_set: str, size: int) -> tuple[str, Pixels]:
    """What they are, and the images."""
    from PIL import Image

    colour = data_set in IN_COLOUR
    if size == 28:
        name = "retinamnist" if colour else "pneumoniamnist"
        path = DATA / "medmnist" / f"{name}.npz"
        if path.exists():
            return name, np.load(path)["test_images"][:IMAGES]
    else:
        name = {"dermamnist": "dermoscopy", "retinamnist": "fundus"}.get(data_set, "dermoscopy")
        name = name if colour else "chest_xray"
        found = sorted((DATA / name).rglob("*.jp*g"))[:IMAGES]
        if found:
            mode = "RGB" if colour else "L"
            read = [Image.open(p).convert(mode).resize((size, size)) for p in found]
            return name, np.stack([np.asarray(image) for image in read])
    return "synthetic", stored(data_set, size, IMAGES)


def ours(corruption: Corruption, given: Pixels, severity: int) -> torch.Tensor:
    x = images(given)
    if isinstance(corruption, MotionBlur):
        directions = torch.from_numpy(angles(SEED, len(x)))
        return motion_blurred(x, *corruption.levels[severity - 1], directions)
    return corruption(x, severity, streams(len(x)))


def seconds(corruption: Corruption, given: Pixels, severity: int) -> float:
    """For all images, one after the other, from 8 bits to the tensor."""
    found = []
    for _ in range(REPEATS + 1):
        drawn = streams(len(given))
        start = time.perf_counter()
        for row in range(len(given)):
            corruption(images(given[row : row + 1]), severity, drawn[[row]])
        found.append(time.perf_counter() - start)
    return min(found)


def agreement(oracle: MedMNISTC, data_set: str, corruption: Corruption) -> list[list[object]]:
    """A row for each size: mean and largest difference in levels, or sizes of change."""
    rows: list[list[object]] = []
    fixed = not corruption.random or corruption.name == "motion_blur"
    scaled = corruption.name in ("stain_deposit", "bubble", "characters")
    for size in (224,) if scaled else (28, 224):
        source, given = pictures(data_set, size)
        if not fixed:
            given = np.repeat(given[:1], SCALED_DRAWS if scaled else DRAWS, 0)
        mean = most = 0.0
        rms: list[tuple[float, float]] = []
        for severity in range(1, 6):
            theirs = oracle.corrupted(data_set, corruption.name, severity, given, SEED)
            results = ours(corruption, given, severity), images(theirs)
            apart = 255 * (results[0] - results[1]).abs()
            mean = max(mean, float(apart.flatten(1).mean(1).max()))
            most = max(most, float(apart.max()))
            changes = [255 * (one - images(given)).square().mean().sqrt() for one in results]
            rms.append((float(changes[0]), float(changes[1])))
        ratio = max((a / b for a, b in rms), key=lambda r: abs(r - 1))
        numbers = (f"{mean:.3f}", f"{most:.2f}", "") if fixed else ("", "", f"{ratio:.4f}")
        rows.append([data_set, corruption.name, size, source, *numbers])
    return rows


def main() -> None:
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    speed: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    rows: list[list[object]] = []
    with MedMNISTC() as oracle:
        for data_set, corruption in DISTINCT.values():
            rows += agreement(oracle, data_set, corruption)
            given = pictures(data_set, 224)[1]
            form = "colour" if data_set in IN_COLOUR else "grey"
            if (corruption.name, form) in speed:
                continue
            for severity in (1, 5):
                asked = (data_set, corruption.name, severity, given, SEED, REPEATS)
                theirs = oracle.timed(*asked)[1]
                own = seconds(corruption, given, severity)
                again = oracle.timed(*asked)[1]
                speed[corruption.name, form].append((own, min(theirs, again)))
            print(data_set, corruption.name, speed[corruption.name, form][-2:], flush=True)
    header = ["set", "kind", "size", "images", "mean_levels", "most_levels", "rms_ratio"]
    write("parity", header, rows)
    table: list[list[object]] = []
    for (kind, form), pairs in sorted(speed.items()):
        mine, theirs = (1000 * sum(p[i] for p in pairs) / len(pairs) / IMAGES for i in (0, 1))
        least = min(b / a for a, b in pairs)
        table.append(
            [kind, form, f"{mine:.2f}", f"{theirs:.2f}", f"{theirs / mine:.1f}", f"{least:.1f}"]
        )
    write("speed", ["kind", "images", "ms", "package_ms", "ratio", "least_ratio"], table)


def write(name: str, header: list[str], rows: list[list[object]]) -> None:
    with (RESULTS / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()
