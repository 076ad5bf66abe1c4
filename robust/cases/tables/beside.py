"""Tables beside folders of images: whether one of them, and not the folders, has the labels."""

from __future__ import annotations

from pathlib import Path

from robust.cases.tables.columns import Tables
from robust.cases.tables.columns_in_use import naming_columns
from robust.cases.tables.image_index import ImageIndex
from robust.cases.tables.table_file import TableFile
from robust.cases.walk import file_size, list_folder
from robust.errors import InputError, excerpt
from robust.plan.paths import is_table


def tables_in(folder: Path) -> list[Path]:
    """The tables in a folder, not in folders below it."""
    return [
        one.path
        for one in list_folder(folder)
        if not one.is_folder and is_table(one.path.name) and file_size(one.path) is not None
    ]


def check_no_label_table(folder: Path) -> None:
    """InputError where a table in the folder names the images below it, and nobody named it.

    Its folders are then no classes: `images_001`, `part_1`. A table that names no image, or cannot
    be read, is passed over.
    """
    index = ImageIndex(folder)
    for path in tables_in(folder):
        try:
            columns = naming_columns(Tables((TableFile(path),), ()), index)
        except InputError:
            continue
        if columns:
            name = excerpt(path.name)
            raise InputError(
                f"{folder} has no cases.csv, but {name} names its images (column "
                f"{excerpt(columns[0])}); read the labels there: --table {name}, or table = "
                f'"{name}" in [data], or let `robust init {excerpt(folder, 200)}` write the plan; '
                f'or say that the folders are classes: table = "none"'
            )


def table_remedy(folder: Path) -> str:
    """What to say of the tables in a folder without classes; empty where there is none."""
    names = [path.name for path in tables_in(folder)]
    if not names:
        return ""
    shown = ", ".join(map(excerpt, names[:6]))
    return f"; or name the table of labels: --table {excerpt(names[0])} (there are {shown})"
