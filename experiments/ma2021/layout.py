"""Writes the `cases.csv` of the paper's data sets from the tables that come with them.

Run: `python -m experiments.ma2021.layout chest|fundus|dermoscopy TABLE FOLDER`, with the images in
`FOLDER/images`; DATA.md says which table. Images that are not there are left out, and so are those
whose finding the paper does not use. Groups are patients (or lesions), split by their hash: the
same on every machine, 70, 10 and 20 in a hundred.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from robust.errors import InputError

Row = Mapping[str, str]
Placed = tuple[str, int, str] | None
"""File name, label and group; None for a row that the task leaves out."""


def chest(row: Row) -> Placed:
    """ChestX-ray14: pneumothorax or no finding."""
    findings = row["Finding Labels"].split("|")
    label = 1 if "Pneumothorax" in findings else 0 if findings == ["No Finding"] else None
    return None if label is None else (row["Image Index"], label, row["Patient ID"])


def fundus(row: Row) -> Placed:
    """Kaggle diabetic retinopathy: referable (level 2 and above) or not; both eyes in one group."""
    return f"{row['image']}.jpeg", int(int(row["level"]) >= 2), row["image"].split("_")[0]


def dermoscopy(row: Row) -> Placed:
    """ISIC: melanoma or benign; the patient is the group, else the lesion, else the image."""
    diagnosis = row.get("diagnosis", "").lower()
    melanoma = diagnosis.startswith("melanoma")
    if not melanoma and row["benign_malignant"].lower() != "benign":
        return None
    group = row.get("patient_id") or row.get("lesion_id") or row["isic_id"]
    return f"{row['isic_id']}.jpg", int(melanoma), group


SETS: dict[str, tuple[Callable[[Row], Placed], tuple[str, str]]] = {
    "chest": (chest, ("normal", "pneumothorax")),
    "fundus": (fundus, ("not referable", "referable")),
    "dermoscopy": (dermoscopy, ("benign", "melanoma")),
}


def split(group: str) -> str:
    """By the hash of the group alone."""
    place = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10
    return "train" if place < 7 else "val" if place < 8 else "test"


def write_cases(kind: str, table: Path, folder: Path) -> Counter[tuple[str, str]]:
    """Write `cases.csv`; how many images each split has of each class. InputError."""
    if kind not in SETS:
        raise InputError(f"no data set {kind!r}; there are {', '.join(SETS)}")
    place, names = SETS[kind]
    counts: Counter[tuple[str, str]] = Counter()
    rows = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            found = [place(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"{table} cannot be read: {error.strerror}") from None
    except KeyError as error:
        raise InputError(f"{table} has no column {error}; DATA.md says which it needs") from None
    for one in found:
        if one is None or not (folder / "images" / one[0]).is_file():
            continue
        name, label, group = one
        rows.append([f"images/{name}", label, names[label], group, split(group)])
        counts[split(group), names[label]] += 1
    if not rows:
        raise InputError(f"not one image that {table} names lies in {folder / 'images'}")
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow(["file", "label", "label_name", "group", "split"])
        written.writerows(rows)
    return counts


def main(arguments: list[str]) -> None:
    if len(arguments) != 3:
        sys.exit(__doc__)
    try:
        counts = write_cases(arguments[0], Path(arguments[1]), Path(arguments[2]))
    except InputError as error:
        sys.exit(str(error))
    for (part, name), count in sorted(counts.items()):
        print(f"{part}: {count} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
