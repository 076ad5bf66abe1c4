"""Options of the pytest plugin that its two fixtures share; a leaf without heavy imports."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

TABLES = "robust_tables"
"""Attribute of a test's outcome: the tables of its audits. They are text, since with pytest-xdist
they travel from a worker to the process that prints the summary."""


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


def refuse(error: ValueError) -> NoReturn:
    """Fail the test with one line that says what is wrong with its input."""
    pytest.fail(f"robust: {' '.join(str(error).split())}", pytrace=False)
