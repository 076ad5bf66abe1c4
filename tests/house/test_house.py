"""The house itself: rooms, arrows, folders, names. Importing what is light loads nothing heavy."""

from __future__ import annotations

import ast
import collections
import functools
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

ORDER = (
    ("attacks", "detectors"),
    ("robust.printable",),
    ("robust.errors",),
    ("robust.units",),
    ("robust.files", "robust.progress"),
    ("robust.records",),
    ("robust.metrics", "robust.plan"),
    ("robust.cases", "robust.models"),
    ("robust.tasks",),
    ("robust.engine",),
    ("robust.detection",),
    ("robust.scenarios", "robust.storage", "robust.certificates", "robust.corruptions"),
    ("robust.maite",),
    ("robust.diagnostics", "robust.guard", "robust.ranking"),
    ("robust.benchmark", "robust.gallery", "robust.report"),
    ("robust.training", "robust.tracking"),
    ("robust.drafting",),
    ("robust.auditing", "robust.demo"),
    ("robust.sweeps",),
    ("robust.cli", "robust.pytest_plugin"),
    ("robust.__main__", "robust.__init__"),
)
"""Rooms from the ground up: each may import from the floors below it, and from itself."""

FLOOR = {room: number for number, rooms in enumerate(ORDER) for room in rooms}

MOST_FILES = 16
"""In one folder, `__init__.py` and `__main__.py` aside; `attacks/` and `detectors/` grow by a file with each idea."""


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found
    return found


FILES = files("attacks", "detectors", "robust")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "robust":
        return parts[0]
    return ".".join(parts[:2]) if len(parts) > 1 else "robust.__init__"


MODULES = {module_of(path).removesuffix(".__init__"): path for path in FILES}


@functools.cache
def parsed(path: Path) -> tuple[tuple[ast.AST, ...], tuple[ast.stmt, ...]]:
    """Every node of a file, and the statements at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(ast.walk(tree)), tuple(tree.body)


@functools.cache
def imports(path: Path, lazy: bool = True) -> tuple[str, ...]:
    """Modules imported by a file; without `lazy` those at its top level alone."""
    return tuple(_imports(path, lazy))


def _imports(path: Path, lazy: bool) -> Iterator[str]:
    every, top = parsed(path)
    for node in every if lazy else top:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name for name in inside if name in MODULES]
            yield from found
            if len(found) < len(inside):
                yield node.module


def starts(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


# --- arrows ---


def test_every_room_has_a_floor() -> None:
    assert {room_of(module_of(path)) for path in FILES} <= set(FLOOR)


@pytest.mark.parametrize("room", [room for rooms in ORDER for room in rooms])
def test_no_arrow_points_upwards(room: str) -> None:
    wrong = [
        (path.name, module)
        for path in FILES
        if room_of(module_of(path)) == room
        for module in imports(path)
        if starts(module, "attacks", "detectors", "robust")
        and (other := room_of(module)) != room
        and FLOOR[other] >= FLOOR[room]
    ]
    assert not wrong


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = {
        module: {other for other in imports(path) if other in MODULES and other != module}
        for module, path in MODULES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names them


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("attacks", ("timm", "sklearn", "pandas")),
        ("detectors", ("timm",)),
        ("robust/plan", ("torch", "numpy")),
        ("robust/metrics", ("torch",)),
        ("robust/report", ("torch", "attacks", "detectors", "robust.engine", "robust.models")),
        ("robust/training", ("detectors", "timm", "robust.engine")),
    ],
)
def test_what_a_room_does_not_know(folder: str, forbidden: tuple[str, ...]) -> None:
    wrong = [(p.name, m) for p in files(folder) for m in imports(p) if starts(m, *forbidden)]
    assert not wrong


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("timm", "robust/models/architectures.py"),
        ("matplotlib", "robust/report/figures/style.py"),
        ("pyarrow", "robust/engine/outcome_table/"),
        ("pydicom", "robust/cases/dicom/"),
        ("jinja2", "robust/report/formats/html.py"),
        ("filelock", "robust/engine/database/connection.py"),
        ("submitit", "robust/auditing/slurm.py"),
        ("lightning", "robust/training/"),
        ("torchmetrics", "robust/training/"),
        ("tensorboard", "robust/training/"),
        ("httpx", "robust/models/blackbox/transport.py"),
        ("mlflow", "robust/tracking/server.py"),
    ],
)
def test_what_is_heavy_is_imported_in_one_place(package: str, home: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in FILES
        if any(starts(module, package) for module in imports(path))
    }
    assert all(path.startswith(home) for path in found)


def test_records_need_the_standard_library_alone() -> None:
    known = set(sys.stdlib_module_names) | {"__future__"}
    below = ("robust.printable", "robust.errors", "robust.units", "robust.files")
    rooms = ("robust.records", *below)
    own = [p for p in FILES if room_of(module_of(p)) in rooms]
    modules = {m for path in own for m in imports(path)}
    assert not [m for m in modules if m.split(".")[0] not in known and room_of(m) not in rooms]


# --- what is light ---


@pytest.mark.parametrize("folder", ["robust/cli", "robust/pytest_plugin"])
def test_what_starts_quickly_imports_what_is_heavy_inside_its_functions(folder: str) -> None:
    heavy = (
        *("torch", "attacks", "detectors", "timm", "pandas", "lightning", "robust.auditing"),
        *("robust.engine", "robust.models", "robust.cases", "robust.training", "robust.guard"),
    )
    light = "robust.training.recipe"  # a schema, as robust.plan: help shows its defaults
    wrong = [
        (path.name, module)
        for path in files(folder)
        for module in imports(path, lazy=False)
        if starts(module, *heavy) and module != light
    ]
    assert not wrong


def loaded(imported: str, package: str) -> bool:
    code = f"import sys, {imported}; print({package!r} in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return out.stdout.strip() == "True"


def test_what_is_light_loads_no_torch() -> None:
    """In one process, which holds what any of them loads."""
    light = "robust, robust.plan, robust.records, robust.cli.app, robust.pytest_plugin.plugin"
    assert not loaded(light, "torch")


def test_opening_cases_loads_no_pydicom_until_there_is_a_dicom_file() -> None:
    """By our own modules: those that the two import as they are loaded, at any depth."""
    found, waiting = set(), ["robust.cases", "robust.auditing"]
    while waiting:
        module = waiting.pop()
        parts = module.split(".")
        for whole in (".".join(parts[: n + 1]) for n in range(len(parts))):
            if whole not in found:
                found.add(whole)
                waiting += imports(MODULES[whole], lazy=False) if whole in MODULES else ()
    assert "robust.engine.runner" in found and "robust.cases.dicom" not in found
    assert "pydicom" not in found


@pytest.mark.slow
def test_opening_cases_loads_no_pydicom_by_way_of_other_packages() -> None:
    assert not loaded("robust.cases, robust.auditing", "pydicom")


# --- folders and names ---


def test_a_folder_holds_what_one_can_overlook() -> None:
    counts = collections.Counter(p.parent for p in FILES if not p.name.startswith("__"))
    full = {f.relative_to(ROOT).as_posix(): n for f, n in counts.items() if n > MOST_FILES}
    full = {folder: n for folder, n in full.items() if folder not in ("attacks", "detectors")}
    assert not full


def test_a_public_name_has_one_meaning() -> None:
    homes: dict[str, list[str]] = collections.defaultdict(list)
    for path in FILES:
        for node in parsed(path)[1]:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
                homes[node.name].append(module_of(path))
    # A command of the command line bears the name of the function that it calls.
    twice = {n: own for n, own in homes.items() if len([m for m in own if "cli" not in m]) > 1}
    assert not twice


def test_no_package_has_a_module_of_the_name_that_it_exports() -> None:
    for path in FILES:
        if path.name == "__init__.py":
            siblings = {p.stem for p in path.parent.iterdir()}
            exported = {
                alias.asname or alias.name
                for node in parsed(path)[0]
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
                if f"{node.module}.{alias.name}" not in MODULES
            }
            assert not siblings & exported, path
