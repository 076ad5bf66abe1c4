"""Dependencies of the project, direct and transitive, with their bounds and licences."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
GROUPS = (
    *("endpoint", "foolbox", "huggingface", "keras", "maite", "mlflow", "monai", "onnx"),
    *("open-clip", "pdf", "pytest", "ray", "segmentation", "slurm", "sweep", "tflite"),
    *("torchxrayvision", "train", "xlsx", "docs"),
)
"""Extras that users install."""
DEV = "dev"
"""What those who work on the project install beside them."""
CHOSEN = {"pyphen": "MPL 1.1"}
"""Of packages under several licences, of which anyone may choose: the one under which we use it."""


@dataclass(frozen=True)
class Dependency:
    """One package, as it is installed here."""

    name: str
    needed_by: str
    """`robust`, or the extra without which it is not installed."""
    bound: str
    """Empty where another package asks for it."""
    licence: str


def project() -> dict[str, Any]:
    """The table `[project]` of pyproject.toml."""
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def dependencies() -> list[Dependency]:
    """Of the project, of each extra, and of `dev`, by name; what is not installed is left out.

    Those packages are for other systems or accelerators.
    """
    table = project()
    extras, own = table["optional-dependencies"], canonicalize_name(table["name"])
    found: dict[str, Dependency] = {}
    for group, listed in [
        ("robust", table["dependencies"]),
        *((g, extras[g]) for g in (*GROUPS, DEV)),
    ]:
        wanted = [Requirement(line) for line in listed]
        bounds = {canonicalize_name(one.name): str(one.specifier) for one in wanted}
        names: dict[str, None] = {}
        while wanted:
            one = wanted.pop()
            name = canonicalize_name(one.name)
            if name in names or name in found or name == own or not _applies(one):
                continue
            try:
                package = distribution(name)
            except PackageNotFoundError:
                continue
            names[name] = None
            found[name] = Dependency(name, group, bounds.get(name, ""), licence(package.metadata))
            for line in package.requires or ():
                inner = Requirement(line)
                if any(_applies(inner, extra) for extra in ("", *one.extras)):
                    wanted.append(Requirement(str(inner).split(";")[0]))
    order = ("robust", *GROUPS, DEV)
    return sorted(found.values(), key=lambda one: (order.index(one.needed_by), one.name))


def licence(metadata: Any) -> str:
    """A package's licence: its expression, else classifiers, else the first line of its text.

    Of several that anyone may choose from, the one in `CHOSEN`.
    """
    name = canonicalize_name(str(metadata.get("Name") or ""))
    if name in CHOSEN:
        return f"{CHOSEN[name]}, chosen of several"
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    classifiers = [c for c in metadata.get_all("Classifier") or () if c.startswith("License ::")]
    names = [c.split(" :: ")[-1] for c in classifiers if c != "License :: OSI Approved"]
    if names:
        return ", ".join(names)
    return str(metadata.get("License") or "see its files").strip().splitlines()[0][:60]


def _applies(one: Requirement, extra: str = "") -> bool:
    return one.marker is None or one.marker.evaluate({"extra": extra})
