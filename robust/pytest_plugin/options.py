"""Options of the pytest plugin that its two fixtures share; a leaf without heavy imports."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

TABLES = "robust_tables"
"""Attribute of a test's outcome: the tables of its audits. They are text, since with pytest-xdist
they travel from a worker to the process that prints the summary."""


LIBRARIES = (
    *("robust", "torch", "torchvision", "timm", "numpy", "scipy", "sklearn", "pandas", "pyarrow"),
    *("PIL", "pydicom", "openjpeg", "imagecodecs", "cv2", "matplotlib", "foolbox", "eagerpy"),
    *("lightning", "torchmetrics", "triton", "joblib", "safetensors", "pydantic"),
)
"""Modules whose warnings are not the user's."""


def default_plan(config: pytest.Config) -> Path | None:
    """The plan of the command line, else of the ini file."""
    if given := config.getoption("--robust-plan"):
        return Path(config.invocation_params.dir, given)
    if given := config.getini("robust_plan"):
        return Path(config.inipath.parent if config.inipath else config.rootpath, given)
    return None


def default_device(config: pytest.Config) -> str:
    """The device of the command line, else of the ini file, else the best there is."""
    return str(config.getoption("--robust-device") or config.getini("robust_device") or "auto")


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within the block, ignore what the libraries of robust warn of while it works.

    Nobody who reads a summary of tests can act on them. Warnings of the user's own modules, of a
    network or an attack, are shown as ever.
    """
    with warnings.catch_warnings():
        for library in LIBRARIES:
            warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
        yield


def refuse(error: ValueError) -> NoReturn:
    """Fail the test with one line that says what is wrong with its input."""
    pytest.fail(f"robust: {' '.join(str(error).split())}", pytrace=False)
