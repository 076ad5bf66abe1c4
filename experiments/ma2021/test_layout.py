"""The paper's tables become folders that `open_cases` takes, with no patient on two sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import robust
from experiments.ma2021.layout import write_cases
from robust.errors import InputError

TABLES = {
    "chest": (
        "Image Index,Finding Labels,Patient ID",
        lambda i: f"{i}.png,{['No Finding', 'Effusion|Pneumothorax', 'Mass'][i % 3]},{i // 3}",
        lambda i: None if i % 3 == 2 else (f"{i}.png", i % 3, str(i // 3)),
    ),
    "fundus": (
        "image,level",
        lambda i: f"{i // 2}_{['left', 'right'][i % 2]},{i % 5}",
        lambda i: (f"{i // 2}_{['left', 'right'][i % 2]}.jpeg", int(i % 5 >= 2), str(i // 2)),
    ),
    "dermoscopy": (
        "isic_id,diagnosis,benign_malignant,lesion_id,patient_id",
        lambda i: (
            f"I{i},{['nevus', 'melanoma', 'basal cell carcinoma'][i % 3]},"
            f"{['benign', 'malignant', 'malignant'][i % 3]},L{i // 2},"
            f"{f'P{i // 4}' if i < 20 else ''}"
        ),
        lambda i: (
            None if i % 3 == 2 else (f"I{i}.jpg", i % 3, f"P{i // 4}" if i < 20 else f"L{i // 2}")
        ),
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_table_becomes_cases(kind: str, tmp_path: Path) -> None:
    header, line, expected = TABLES[kind]
    (tmp_path / "images").mkdir()
    wanted = {}
    for i in range(60):
        if (one := expected(i)) is not None:
            wanted[one[0]] = one
            Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "images" / one[0])
    table = tmp_path / "table.csv"
    table.write_text("\n".join([header, *map(line, range(60))]), encoding="utf-8")
    counts = write_cases(kind, table, tmp_path)
    assert sum(counts.values()) == len(wanted)
    groups = {}
    for split in ("train", "val", "test"):
        for entry in robust.open_cases(tmp_path, split=split, keep_names=True).entries:
            name = Path(str(entry.location)).name
            _, label, group = wanted.pop(name)
            assert (entry.label, entry.group) == (label, group)
            assert groups.setdefault(entry.group, split) == split
    assert not wanted


def test_wrong_tables_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("image,level\n1_left,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="no column 'Finding Labels'"):
        write_cases("chest", table, tmp_path)
    with pytest.raises(InputError, match="not one image"):
        write_cases("fundus", table, tmp_path)
    with pytest.raises(InputError, match="no data set 'brain'"):
        write_cases("brain", table, tmp_path)
