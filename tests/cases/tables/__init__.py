"""Image folders for tests: files, and a cases.csv."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from robust.cases import Cases

TABLE = """\
file,label,label_name,group,split,site,age,sex,source
a/Jane_Doe_1.png,0,normal,Jane Doe,test,north,31,f,hospital
a/Jane_Doe_2.png,1,effusion,Jane Doe,test,north,31,f,hospital
b/scan3.png,2,tumour,pat-7,test,south,,m,hospital
b/scan4.png,0,normal,pat-8,train,south,64,m,clinic
b/scan5.png,1,effusion,pat-9,val,south,50,,clinic
"""


def write_images(root: Path, *names: str) -> Path:
    """Small grey images, each of one level: its place among the names."""
    for level, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (5, 4), level).save(root / name)
    return root


def write_table(root: Path, text: str = TABLE) -> Path:
    files = [line.split(",")[0] for line in text.splitlines()[1:]]
    write_images(root, *(name for name in files if name))
    (root / "cases.csv").write_text(text, encoding="utf-8")
    return root


def labels(cases: Cases) -> list[int]:
    return [entry.label for entry in cases.entries]
