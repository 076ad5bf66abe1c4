"""Layouts of public data sets by name: files, columns and conventions, a small TOML file each."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.cases.tables.table_file import TableFile
from robust.drafting.draft import Draft
from robust.drafting.findings import AskedFor, draft_all
from robust.errors import InputError, did_you_mean
from robust.files import path_exists, read_text
from robust.plan.findings import ALL
from robust.plan.paths import find_table_file, is_table

FOLDER = Path(__file__).parent.parent / "layouts"
LAYOUTS: tuple[str, ...] = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""Names of the layouts that come with the package."""
PLACEHOLDER = "{finding}"
"""Stands for the finding that is audited."""
_DEEPEST = 2
"""Levels below the folder in which a table is looked for."""


@dataclass(frozen=True)
class PublicLayout:
    """How a public data set is distributed."""

    key: str
    """By which it is asked for."""
    name: str
    about: str
    """What is particular, for the head of the plan."""
    files: Mapping[str, tuple[str, ...]]
    """Tables by their role in `data`: names of which the first that is there is used."""
    optional: tuple[str, ...]
    """Roles of `files` without which the plan still runs."""
    data: Mapping[str, Any]
    """Fields of `[data]`."""
    why: Mapping[str, str]
    """The comment of a field."""
    guesses: tuple[str, ...]
    """Fields of `[data]` that the set does not say, and that we chose."""
    folder: str
    """Of the images, where it lies in a folder of this name; else the folder itself."""
    images: str
    """What the report calls the images."""
    recipe: str
    """Name of the recipe that trains on such images."""
    findings: Mapping[str, Any]
    """What may stand for `{finding}`, by the name that the user gives."""
    default: str | None
    """The finding where the user names none; None: the classes as they are."""
    binary: str | None
    """The finding for a model of two classes, where the set has more."""
    outputs: tuple[str, ...]
    """The usual order of the outputs of a network for all findings."""
    named: tuple[str, ...]
    """Names of the two classes where one finding is audited, with `{name}` in them."""
    sets: Mapping[str, Mapping[str, Any]]
    """Of a layout of several sets: what differs, by the beginning of the file's name."""

    @property
    def columns(self) -> set[str]:
        """Columns by which the table is recognised."""
        found: set[str] = set()
        for name in ("file", "label", "group", "reader"):
            value = self.data.get(name, [])
            for one in [value] if isinstance(value, str) else value:
                if name == "label" and one == PLACEHOLDER:
                    found.add(str(self.findings.get(self.default or "", "")))
                elif "{" in one:
                    found.update(re.findall(r"\{([^{}]+)\}", one))
                elif one != "none":
                    found.add(one)
        joined = len(self.files) > 1 and "join" in self.data
        return found - ({str(self.data.get("group"))} if joined else set())


def read_layout(key: str) -> PublicLayout:
    """The layout of a name; InputError."""
    if key not in LAYOUTS:
        raise InputError(f"no layout {key!r}; {did_you_mean(key, LAYOUTS, limit=20)}")
    return _read(key)


@functools.cache
def _read(key: str) -> PublicLayout:
    raw = tomllib.loads(read_text(FOLDER / f"{key}.toml"))
    files = {
        role: (names,) if isinstance(names, str) else tuple(names)
        for role, names in raw.get("files", {}).items()
    }
    finding = raw.get("finding", {})
    return PublicLayout(
        key=key,
        name=raw["name"],
        about=raw["about"],
        files=files,
        optional=tuple(raw.get("optional", ())),
        data=raw["data"],
        why=raw.get("why", {}),
        guesses=tuple(raw.get("guesses", ())),
        folder=raw.get("folder", ""),
        images=raw["images"],
        recipe=raw["recipe"],
        findings=finding.get("names", {}),
        default=finding.get("default"),
        binary=finding.get("binary"),
        outputs=tuple(finding.get("outputs", ())),
        named=tuple(finding.get("classes", ())),
        sets=raw.get("sets", {}),
    )


def find_files(layout: PublicLayout, folder: Path) -> dict[str, str]:
    """The table of each role, as a path below the folder, or in the current one; InputError."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for role, names in layout.files.items():
        place = next((p for name in names if (p := _find(folder, name)) is not None), None)
        if place is not None:
            found[role] = place
        elif role not in layout.optional:
            missing.append(" or ".join(names))
    if missing:
        raise InputError(
            f"{folder} is not {layout.name} as it is published: there is no {', no '.join(missing)}"
            f"; put it there, or leave out --layout"
        )
    return found


def _find(folder: Path, name: str) -> str | None:
    for place in _near(folder):
        if path_exists(place / name):
            return (place / name).relative_to(folder).as_posix()
    return name if path_exists(Path(name)) else None


def _near(folder: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """The folder, and those below it to a certain depth."""
    yield folder
    if depth:
        for below in sorted(one for one in folder.iterdir() if one.is_dir()):
            yield from _near(below, depth - 1)


def choose_finding(layout: PublicLayout, wanted: AskedFor) -> str | None:
    """The name of the finding that is audited, or `all`; None: the classes as they are. InputError.

    All are where the user says so, or where the model has an output for each.
    """
    given = wanted.finding
    if layout.outputs and wanted.are_all(layout.outputs):
        return ALL
    if given is not None:
        if given not in layout.findings:
            known = did_you_mean(given, layout.findings, limit=40)
            raise InputError(f"{layout.name} has no finding {given!r}; {known}")
        return given
    if layout.default is None and wanted.outputs in (1, 2):
        return layout.binary
    return layout.default


def apply_layout(
    draft: Draft, layout: PublicLayout, folder: Path, finding: str | None, wanted: AskedFor
) -> None:
    """Fill `[data]` from a layout, for the finding that is audited, or for all.

    A list of the set's findings says which are chosen where the user has not.
    """
    files = find_files(layout, folder)
    inside = folder / layout.folder if layout.folder else folder
    draft.set("data.path", (inside if path_exists(inside) else folder).as_posix())
    draft.about.append(f"{layout.name}. {layout.about}")
    for name, value in layout.data.items():
        if finding is not None and "positive" in layout.data and name in ("classes", "findings"):
            continue
        if finding == ALL and name == "label" and value == PLACEHOLDER:
            value = _columns_of_findings(layout, folder, files)
        value = _filled(value, files, layout, None if finding == ALL else finding)
        if value is not None:
            why = layout.why.get(name, "")
            draft.set(f"data.{name}", value, why, guess=name in layout.guesses)
    if finding == ALL:
        label = draft.get("data.label")
        known = label if isinstance(label, list) else layout.outputs
        draft_all(draft, wanted, known, "the usual order of this set's findings")
    elif finding is not None and layout.named:
        draft.set("data.classes", [text.replace("{name}", finding) for text in layout.named])
    draft.set("report.images", layout.images)


def _columns_of_findings(layout: PublicLayout, folder: Path, files: Mapping[str, str]) -> list[str]:
    """The columns of all findings that the table has, in the usual order."""
    header = {
        name
        for table in map(str, files.values())
        if is_table(table)
        for name in TableFile(find_table_file(folder, table)).header
    }
    columns = [str(layout.findings[name]) for name in layout.outputs if name in layout.findings]
    return [name for name in columns if name in header]


def _filled(value: Any, files: Mapping[str, str], layout: PublicLayout, finding: str | None) -> Any:
    """A value of a layout with its files and its finding; None where it does not apply."""
    if isinstance(value, Mapping):
        return {name: _filled(one, files, layout, finding) for name, one in value.items()}
    if isinstance(value, list):
        parts: list[Any] = []
        for one in value:
            part = _filled(one, files, layout, finding)
            parts += part if isinstance(part, list) else [] if part is None else [part]
        return parts or None
    if value == PLACEHOLDER:
        return None if finding is None else layout.findings[finding]
    if isinstance(value, str) and value.startswith("file:"):
        return files.get(value.removeprefix("file:"))
    return value
