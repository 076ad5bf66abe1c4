"""Drafts `[data]` from a folder of images or a table: images, labels, groups, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from robust.cases.cell_types import EMPTY_WORDS
from robust.cases.formats import is_dicom, is_image, is_nifti
from robust.cases.index.findings import absence_among
from robust.cases.split_names import split_meant
from robust.cases.tables.beside import tables_in
from robust.cases.tables.groups import find_group
from robust.cases.tables.image_index import ImageIndex
from robust.cases.tables.label_cells import values_of
from robust.cases.tables.table_file import TableFile
from robust.cases.walk import list_folder, walk_files
from robust.drafting.columns import LABEL, MOST_CLASSES, Roles, find_roles, name_rank
from robust.drafting.draft import Draft, Question
from robust.drafting.findings import AskedFor, draft_all
from robust.errors import InputError, excerpt
from robust.plan.paths import FOLDERS_ALONE, is_table

PATTERNS = (
    r"((?:patient|person|subject|participant|case)[ _-]?\d+)",
    r"(?:^|/)(sub-[A-Za-z0-9]+)",
    r"(\d+)[_-](?:left|right|l|r|od|os)\b",
    r"(?:^|/)([A-Za-z]?\d+)[_-]\d+\.",
)
"""Of patients in file names, the surest first."""
_SAMPLE = 2000
"""Files whose names are looked at."""
_MANIFEST = "cases.csv"
_LABEL, _MASK = "label", "mask"
"""Columns of a cases.csv."""
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Of the groups, where nothing else divides the images."""


def draft_data(draft: Draft, path: Path, wanted: AskedFor, images: Path | None) -> None:
    """Fill `[data]` from what lies at a path; InputError where there is nothing to audit.

    `images` is where the images of a table are.
    """
    if path.is_dir():
        tables = _label_tables(path)
        if tables:
            _draft_table(draft, path, tables, wanted)
        else:
            _draft_folder(draft, path, wanted.finding)
    elif is_table(path.name):
        root = images or path.parent
        inside = path.name if images is None else path.as_posix()
        _draft_table(draft, root, {inside: TableFile(path)}, wanted)
    else:
        raise InputError(
            f"{path} is neither a folder of images, a table nor a MedMNIST .npz file; name one of "
            f"these"
        )


# --- tables ---


def _label_tables(root: Path) -> dict[str, TableFile]:
    """The table that names most images of a folder, and those beside it of the same columns."""
    index = ImageIndex(root)
    best: dict[str, TableFile] = {}
    most = 0
    for path in tables_in(root):
        try:
            file = TableFile(path)
            named = _named_images(file, index)
        except InputError as error:
            if path.name == _MANIFEST:
                raise
            _ = error
            continue
        if path.name == _MANIFEST:
            return {path.name: file}
        if best and named and file.header == next(iter(best.values())).header:
            best[path.name] = file
        elif named > most:
            best, most = {path.name: file}, named
    return best


def _named_images(file: TableFile, index: ImageIndex) -> int:
    """How many of the first rows name an image of the folder."""
    columns = file.columns([name for name in file.header if name], most=_SAMPLE)
    roles = find_roles(columns, index)
    return len(set(columns[roles.files[0]])) if roles.files else 0


def _draft_table(
    draft: Draft, root: Path, tables: Mapping[str, TableFile], wanted: AskedFor
) -> None:
    first = next(iter(tables.values()))
    names = [name for name in first.header if name and first.header.count(name) == 1]
    columns: dict[str, list[str]] = {name: [] for name in names}
    for file in tables.values():
        for name, cells in file.columns(names).items():
            columns[name] += cells
    index = ImageIndex(root)
    roles = find_roles(columns, index)
    draft.set("data.path", root.as_posix())
    draft.set("data.table", list(tables))
    if not roles.files and not draft.has("data.file"):
        if not _has_images(root):
            raise InputError(
                f"{root} holds no image that {', '.join(tables)} names; give the folder of the "
                f"images: --images FOLDER"
            )
        draft.ask(Question("data.file", "Which column names the images?", names[0], tuple(names)))
    elif roles.files:
        several = len(roles.files) > 1
        draft.set(
            "data.file",
            list(roles.files) if several else roles.files[0],
            "Each row has several images." if several else "Its cells name images of the folder.",
        )
    _draft_label(draft, columns, roles, wanted)
    _draft_group(draft, columns, roles)
    _draft_split(draft, columns, roles)


def _has_images(root: Path) -> bool:
    return any(is_image(path) or is_nifti(path) or is_dicom(path) for path in walk_files(root))


def _draft_label(
    draft: Draft, columns: Mapping[str, Sequence[str]], roles: Roles, wanted: AskedFor
) -> None:
    several, finding = roles.one_hot or roles.findings, wanted.finding
    if draft.has("data.label"):
        label = draft.get("data.label")
        if isinstance(label, str) and label in columns:
            _draft_values(draft, label, columns, roles, wanted)
        return
    if draft.has("data.mask") or (roles.masks and _LABEL not in columns):
        _draft_mask(draft, roles.masks)
        return
    if several and finding in several:
        draft.set("data.label", finding, "The finding that is audited.")
        _draft_policies(draft, columns[finding])
        return
    if roles.one_hot:
        draft.set(
            "data.label",
            list(roles.one_hot),
            "one column for each class; the network's outputs must be in this order",
            guess=True,
        )
        _draft_findings(draft, roles.one_hot, finding)
        return
    if roles.findings and wanted.are_all(roles.findings):
        draft.set("data.label", list(roles.findings), "A column for each finding.")
        _draft_policies(draft, [cell for name in roles.findings for cell in columns[name]])
        draft_all(draft, wanted, roles.findings, "the order of the columns")
        return
    if roles.findings:
        draft.ask(
            Question(
                "data.label",
                f"Which of the {len(roles.findings)} findings is audited?",
                roles.findings[0],
                roles.findings,
            )
        )
        return
    likely = [name for name in roles.labels if name_rank(name, LABEL) < 20]
    candidates = likely or list(roles.labels)
    if not candidates:
        names = [name for name in columns if name not in roles.files]
        draft.ask(Question("data.label", "Which column is the label?", names[0], tuple(names)))
        return
    if not likely and len(candidates) > 1:
        draft.ask(
            Question("data.label", "Which column is the label?", candidates[0], tuple(candidates))
        )
        return
    label = candidates[0]
    alike = [n for n in candidates if name_rank(n, LABEL) == name_rank(label, LABEL)]
    if 1 < len(roles.files) == len(alike):
        in_order = [name for name in columns if name in alike]
        draft.set("data.label", in_order, "a column for each image of a row", guess=True)
        together = [cell for name in in_order for cell in columns[name]]
        _draft_values(draft, label, {label: together}, roles, wanted)
        return
    others = ", ".join(candidates[1:6])
    draft.set(
        "data.label",
        label,
        f"the name says so; other columns that could be: {others}"
        if others
        else "the only column of few values that has no other part",
        guess=True,
    )
    _draft_values(draft, label, columns, roles, wanted)


def _draft_mask(draft: Draft, masks: Sequence[str]) -> None:
    """Images with masks: the data are outlines of structures."""
    if not masks:
        return
    own = (_MASK,) if _MASK in masks else masks
    others = ", ".join(name for name in masks if name not in own)
    draft.set(
        "data.mask",
        own[0] if len(own) == 1 else list(own),
        "its cells name the masks of the images"
        + (f"; other columns that name masks: {others}" if others else "")
        + "; name the structures with classes",
        guess=True,
    )


def _draft_values(
    draft: Draft, label: str, columns: Mapping[str, Sequence[str]], roles: Roles, wanted: AskedFor
) -> None:
    """What the cells of the label column mean."""
    cells, finding = columns[label], wanted.finding
    full = [cell for cell in cells if cell not in EMPTY_WORDS]
    separator = roles.separator if label in roles.labels[:1] else None
    if separator is not None:
        draft.set("data.separator", separator, "A cell holds several values.")
        found = Counter(one for row in values_of(full, separator, label) for one in row)
        values = [name for name, _ in found.most_common()]
    else:
        values = sorted(set(full), key=_number_or_word)
    if finding is not None and finding in values:
        draft.set("data.positive", [finding], "The finding that is audited.")
    elif (separator is not None or roles.reader is not None) and wanted.are_all(
        present := [value for value in values if absence_among([value]) is None]
    ):
        draft_all(draft, wanted, present, "")
    elif separator is not None or roles.reader is not None:
        draft.ask(
            Question(
                "data.positive",
                "Which value is the finding that is audited?",
                [next((v for v in values if absence_among([v]) is None), values[0])],
                tuple(values[:MOST_CLASSES]),
                several=True,
            )
        )
    elif not all(value.removesuffix(".0").lstrip("-").isdigit() for value in values):
        numbers = _numbered(columns, label, values)
        if numbers is not None:
            column, values = numbers
        order = "the alphabet" if numbers is None else f"the numbers in column {column}"
        draft.set(
            "data.classes",
            values,
            f"in the order of {order}; it must be that of the network's outputs",
            guess=True,
        )
        _draft_findings(draft, values, finding)
    if roles.reader is not None:
        draft.set(
            "data.reader", roles.reader, "several rows of an image have others here", guess=True
        )
        draft.set("data.vote", "majority", "how readers become one label; or any, all", guess=True)
    _draft_policies(draft, cells)


def _numbered(
    columns: Mapping[str, Sequence[str]], label: str, values: Sequence[str]
) -> tuple[str, list[str]] | None:
    """A column that numbers the classes from 0, and the classes in this order; None without one."""
    for name, cells in columns.items():
        pairs = {(cell, word) for cell, word in zip(cells, columns[label]) if word in values}
        numbers = dict(pairs)
        wanted = [str(number) for number in range(len(values))]
        if len(pairs) == len(values) and sorted(numbers) == sorted(wanted):
            return name, [numbers[number] for number in wanted]
    return None


def _number_or_word(text: str) -> tuple[float, str]:
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _draft_policies(draft: Draft, cells: Sequence[str]) -> None:
    unsure = sum(cell.removesuffix(".0") == "-1" for cell in cells)
    blank = sum(cell in EMPTY_WORDS for cell in cells)
    if unsure:
        draft.set(
            "data.uncertain",
            "exclude",
            f"-1 stands in {unsure} of {len(cells)} cells: such images are left out; or positive, "
            f"negative",
            guess=True,
        )
    if blank:
        draft.set(
            "data.blank",
            "exclude",
            f"{blank} of {len(cells)} cells are empty: such images are left out; or positive, "
            f"negative",
            guess=True,
        )


def _draft_findings(draft: Draft, classes: Sequence[str], finding: str | None) -> None:
    """Which classes are findings: as the user said, else by what the names say."""
    if finding is not None and finding in classes:
        draft.set("data.findings", [finding], "The finding that is audited.")
        return
    absence = absence_among(classes)
    if absence is not None:
        others = [name for name in classes if name != classes[absence]]
        draft.set(
            "data.findings",
            others,
            f"{classes[absence]} is called as if nothing were found",
            guess=True,
        )
    elif len(classes) == 2:
        draft.ask(
            Question(
                "data.findings",
                "Which of the two classes is the finding?",
                [classes[1]],
                tuple(classes),
                several=True,
            )
        )


def _draft_group(draft: Draft, columns: Mapping[str, Sequence[str]], roles: Roles) -> None:
    if draft.has("data.group") or draft.has("data.group_pattern"):
        return
    if roles.group is not None:
        empty = sum(cell in EMPTY_WORDS for cell in columns[roles.group])
        draft.set("data.group", roles.group, "the patient or lesion, by its name", guess=True)
        if empty:
            draft.set(
                "data.blank_group",
                "own",
                f"{empty} rows have none: each of their images is its own group",
                guess=True,
            )
        return
    files = [cell for name in roles.files for cell in columns[name]]
    _draft_pattern(draft, files)


def _draft_pattern(draft: Draft, files: Sequence[str]) -> None:
    """Patients in the names of files, else none."""
    pattern = find_pattern(files)
    if pattern is not None:
        groups = len({find_group(file, pattern) for file in files})
        draft.set(
            "data.group_pattern",
            pattern,
            f"finds {groups} patients in the names of {len(files)} images",
            guess=True,
        )
        return
    draft.set(
        "data.group",
        "none",
        "nothing names patients, so each image is its own group: intervals are too narrow where a "
        "patient has several images, and the report says so",
        guess=True,
    )


def find_pattern(files: Sequence[str]) -> str | None:
    """A pattern that finds a patient in the name of each file, and fewer patients than files."""
    unique = list(dict.fromkeys(files))[:_SAMPLE]
    for pattern in PATTERNS:
        found = {find_group(file, pattern) for file in unique}
        if unique and None not in found and 1 < len(found) < len(unique):
            return pattern
    return None


def _draft_split(draft: Draft, columns: Mapping[str, Sequence[str]], roles: Roles) -> None:
    if roles.split is None:
        draft.set(
            "data.split",
            "all",
            "no column names splits: all images are audited, none of which the model may have "
            "learned from",
            guess=True,
        )
        return
    draft.set("data.splits", roles.split, "Its values are names of splits.")
    values = Counter(cell for cell in columns[roles.split] if cell not in EMPTY_WORDS)
    draft.set(
        "data.split", _split_to_audit(values), "the split that the model did not see", guess=True
    )


def _split_to_audit(names: Mapping[str, int] | Sequence[str]) -> str:
    """Test where there is one, else val, else the first of the others."""
    for wanted in ("test", "testing", "val", "valid", "validation", "validate", "dev"):
        found = next((name for name in names if name.lower() == wanted), None)
        if found is not None:
            return found
    return next(iter(names))


def draft_shares(draft: Draft) -> None:
    """Divide images that nothing else divides, before they are opened."""
    if draft.get("data.split") != "all" or draft.has("data.splits"):
        return
    if draft.get("data.table") == [FOLDERS_ALONE]:
        raise InputError(
            f"{draft.get('data.path')} has no folders train, val and test, so that nothing says "
            f"what to learn from; divide it by patient, or lay a table of labels beside the images"
        )
    draft.set(
        "data.splits",
        SHARES,
        "nothing divides the images: shares of the groups, drawn with split_seed",
        guess=True,
    )
    draft.set("data.split_seed", 0)
    draft.set("data.split", "test")


# --- folders ---


def _draft_folder(draft: Draft, given: Path, finding: str | None) -> None:
    root = _inner(given)
    folders = [one.path.name for one in list_folder(root) if _may_be_class(one.path, one.is_folder)]
    splits = [name for name in folders if split_meant(name)]
    classes_in = root
    draft.set("data.path", root.as_posix())
    draft.set("data.table", [FOLDERS_ALONE], "The folders are classes.")
    if splits:
        split = _split_to_audit(splits)
        draft.set("data.split", split, "The folder of the split that the model did not see.")
        classes_in = root / str(draft.get("data.split"))
        if classes_in.name not in splits:
            raise InputError(
                f"{root} has no split folder {excerpt(classes_in.name)!r}; there are: "
                f"{', '.join(splits)}"
            )
    else:
        draft.set("data.split", "all")
    found = {
        one.path.name: [p for p in walk_files(one.path) if is_image(p) or is_dicom(p)]
        for one in list_folder(classes_in)
        if _may_be_class(one.path, one.is_folder)
    }
    found = {name: files for name, files in found.items() if files}
    if len(found) < 2:
        raise InputError(_nothing_to_audit(given, classes_in, found))
    classes = list(found)
    if not draft.has("data.classes"):
        draft.set(
            "data.classes",
            classes,
            "the folders in the order of the alphabet; it must be that of the network's outputs",
            guess=True,
        )
    _draft_findings(draft, draft.get("data.classes"), finding)
    files = [path for paths in found.values() for path in paths]
    if not any(map(is_dicom, files)):
        if not (draft.has("data.group") or draft.has("data.group_pattern")):
            _draft_pattern(draft, [path.relative_to(root).as_posix() for path in files])
    else:
        draft.notes.append("DICOM files name their patients: the groups come from there.")


def _inner(folder: Path) -> Path:
    """The folder itself, or below it the first that holds more than one folder."""
    inside = list_folder(folder)
    below = [one.path for one in inside if _may_be_class(one.path, one.is_folder)]
    images = any(not one.is_folder and is_image(one.path) for one in inside)
    if len(below) == 1 and not images and not split_meant(below[0].name):
        deeper = [one for one in list_folder(below[0]) if _may_be_class(one.path, one.is_folder)]
        return _inner(below[0]) if deeper else folder
    return folder


def _may_be_class(path: Path, is_folder: bool) -> bool:
    return is_folder and not path.name.startswith((".", "@", "__"))


def _nothing_to_audit(given: Path, folder: Path, found: Mapping[str, Sequence[Path]]) -> str:
    names = [path.name for path in tables_in(given)]
    if found:
        what = f"{folder} has images in one folder alone ({excerpt(next(iter(found)))})"
    elif _has_images(folder):
        what = f"{folder} has images, but no folders of classes"
    elif any(True for _ in walk_files(folder)):
        return f"{folder} holds no image that robust reads: PNG, JPEG, TIFF, BMP or DICOM"
    else:
        return f"{folder} is empty; name a folder of images"
    if names:
        shown = ", ".join(map(excerpt, names[:5]))
        return f"{what}, and no table names them ({shown}); say which does: --table, --file-column"
    return (
        f"{what}; labels are needed: make a folder for each class, or lay a table (CSV, TSV, XLSX) "
        f"beside the images"
    )
