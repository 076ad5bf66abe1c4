"""Windows' rules: no module needs what POSIX alone has."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

POSIX = {"fcntl", "resource", "pwd", "grp", "termios", "pty"}
CALLS = {
    ("os", "fork"),
    ("os", "sysconf"),
    ("os", "getuid"),
    ("os", "geteuid"),
    ("os", "uname"),
    ("os", "killpg"),
    ("signal", "SIGKILL"),
    ("signal", "SIGALRM"),
    ("signal", "SIGHUP"),
}

EVERYTHING = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
for name in %r:
    sys.modules[name] = None
import attacks, detectors, robust
for package in (attacks, detectors, robust):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
"""


@pytest.mark.slow
def test_every_module_is_imported_without_the_modules_of_posix() -> None:
    command = [sys.executable, "-c", EVERYTHING % sorted(POSIX)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_module_imports_or_calls_what_posix_alone_has() -> None:
    wrong = []
    words = re.compile(rf"\b({'|'.join([*POSIX, *(name for _, name in CALLS)])})\b")
    for folder in ("attacks", "detectors", "robust"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if words.search(text) else ():
                names: set[str] = set()
                if isinstance(node, ast.Import):
                    names = {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names = {node.module or ""}
                elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    if (node.value.id, node.attr) in CALLS:
                        wrong.append((path.name, node.attr))
                wrong += [(path.name, name) for name in names & POSIX]
    assert not wrong
