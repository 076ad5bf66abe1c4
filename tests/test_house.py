"""The arrows between the rooms point one way, and importing what is light loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def imports(path: Path, lazy: bool = True) -> Iterator[str]:
    """Modules imported by a file; without `lazy` those at its top level alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    assert found or folders == ("detectors",)
    return found


def starts(module: str, *packages: str) -> bool:
    return any(module == p or module.startswith(f"{p}.") for p in packages)


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("attacks", ("robust", "detectors", "timm", "sklearn", "pandas")),
        ("detectors", ("robust", "attacks", "timm")),
        (
            "robust/cases",
            ("attacks", "detectors", "robust.models", "robust.engine", "robust.report"),
        ),
        ("robust/models", ("attacks", "detectors", "robust.engine", "robust.report")),
        ("robust/models", ("robust.training",)),
        ("robust/training", ("detectors", "robust.cli.main", "timm")),
        ("robust/engine", ("robust.report", "robust.training", "robust.cli.main")),
        (
            "robust/report",
            ("torch", "attacks", "detectors", "robust.engine", "robust.models", "robust.training"),
        ),
    ],
)
def test_arrows(folder: str, forbidden: tuple[str, ...]) -> None:
    wrong = [(p.name, m) for p in files(folder) for m in imports(p) if starts(m, *forbidden)]
    assert not wrong


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("timm", {"robust/models/architectures.py"}),
        ("matplotlib", {"robust/report/figures/style.py"}),
        ("pyarrow", {"robust/engine/outcome_table.py"}),
        (
            "pydicom",
            {
                "robust/cases/dicom/frame.py",
                "robust/cases/dicom/parse.py",
                "robust/cases/dicom/header.py",
                "robust/cases/dicom/attributes.py",
                "robust/cases/dicom/grayscale.py",
                "robust/cases/dicom/write.py",
            },
        ),
        (
            "foolbox",
            {"attacks/from_foolbox.py", "attacks/__init__.py", "robust/benchmark/peers.py"},
        ),
    ],
)
def test_one_importer(package: str, home: set[str]) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in files("attacks", "robust")
        if any(starts(module, package) for module in imports(path))
    }
    assert found == home


@pytest.mark.parametrize("package", ["lightning", "torchmetrics", "tensorboard"])
def test_what_training_alone_needs_is_imported_there_alone(package: str) -> None:
    found = {
        path.relative_to(ROOT).parent.as_posix()
        for path in files("attacks", "detectors", "robust")
        if any(starts(module, package) for module in imports(path))
    }
    assert found <= {"robust/training"}


def test_training_knows_the_plan_and_the_scores_of_the_engine_and_draws_when_it_is_done() -> None:
    for path in files("robust/training"):
        known = {m for m in imports(path) if starts(m, "robust.engine")}
        assert known <= {"robust.plan.spec", "robust.metrics.scores"}, path.name
        early = [m for m in imports(path, lazy=False) if starts(m, "robust.report", "matplotlib")]
        assert not early, path.name


def test_records_need_the_standard_library_alone() -> None:
    modules = {m for path in files("robust/records") for m in imports(path)}
    known = set(sys.stdlib_module_names) | {"__future__"}
    assert {
        m for m in modules if m.split(".")[0] not in known and not starts(m, "robust.records")
    } == set()


@pytest.mark.parametrize(
    "file", ["robust/cli/main.py", "robust/cli/train.py", "robust/pytest_plugin/plugin.py"]
)
def test_what_starts_quickly_imports_what_is_heavy_inside_its_functions(file: str) -> None:
    heavy = (
        *("torch", "attacks", "timm", "pandas", "lightning"),
        *("robust.engine", "robust.models", "robust.cases", "robust.training"),
    )
    assert not [m for m in imports(ROOT / file, lazy=False) if starts(m, *heavy)]


def test_importing_robust_loads_no_torch() -> None:
    code = "import sys, robust, robust.cli.main, robust.records; print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_opening_cases_loads_no_pydicom_until_there_is_a_dicom_file() -> None:
    code = "import sys, robust.cases, robust.engine; print('pydicom' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_files_are_short_enough_to_read() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files("attacks", "detectors", "robust")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 340
    }
    assert not long
