"""Code that a user names as `package.module:name`: imported, or refused in one line."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from robust.errors import InputError, did_you_mean, excerpt, first_line, type_and_line

OWN_PACKAGES = ("attacks", "detectors")
"""Packages of robust that lie beside it, under names that a folder of the user may have too."""
ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds `robust`, `attacks` and `detectors`."""
_LIBRARY = "foolbox:"
"""`foolbox:NAME` is an attack of that library, not code of the user."""


def names_code(name: object) -> bool:
    """Whether the name of an attack or a detector is `package.module:Class`."""
    return isinstance(name, str) and ":" in name and not name.startswith(_LIBRARY)


def load_named(name: str, what: str) -> Any:
    """The object that `package.module:name` stands for; `what` it is, for the message.

    The current folder is searched as well, as Python does for a script. Raises InputError.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute or not all(part.isidentifier() for part in module_name.split(".")):
        form = "package.module:function" if what == "factory" else "package.module:Class"
        raise InputError(f"{what} {name!r} must look like {form}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        reason = first_line(error)
        remedy = _import_remedy(module_name, error)
        raise InputError(f"{what} {name!r}: {reason}; {remedy}") from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (a script may even parse arguments)
        reason = type_and_line(error)
        raise InputError(f"{what} {name}: {module_name} cannot be imported: {reason}") from None
    try:
        found = getattr(module, attribute, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        raise InputError(f"{what} {name} failed: {type_and_line(error)}") from None
    if found is None:
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        raise InputError(f"{module_name} has no {attribute!r}; {did_you_mean(attribute, public)}")
    return found


def load_class(name: str, what: str) -> type[Any]:
    """The class that `package.module:Class` stands for; InputError as for `load_named`."""
    found = load_named(name, what)
    if not isinstance(found, type):
        raise InputError(f"{what} {name}: it is a {type(found).__name__}, not a class")
    return found


def _import_remedy(module_name: str, error: ImportError) -> str:
    top = module_name.split(".")[0]
    if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
        return f"{top} needs it: install it"
    if top in (*OWN_PACKAGES, "robust"):
        here = f"{excerpt(ROOT / top, 300)} is the package {top} of robust"
        own = Path(top).resolve()
        if own.is_dir() and own != ROOT / top:
            return f"{here} and comes before {excerpt(own, 300)}: rename that folder"
        return f"{here}; name a module of your own"
    return f"run from the folder that holds {top}"


class OwnPackages(MetaPathFinder):
    """Finds `attacks` and `detectors` beside `robust`, whatever else has these names."""

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where the package is; None for all other modules."""
        return PathFinder.find_spec(fullname, [str(ROOT)]) if fullname in OWN_PACKAGES else None


@contextmanager
def own_packages_first() -> Iterator[None]:
    """Until the block ends, no folder of the user can hide `attacks` and `detectors` of robust.

    For a process that is robust's own; in one of the user his packages keep their names.
    """
    finder = OwnPackages()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def require_own_packages() -> None:
    """InputError where a folder of the user hides `attacks` or `detectors` of robust.

    A script's own folder comes first on Python's path, so a package of that name beside it wins.
    """
    for name in OWN_PACKAGES:
        loaded = sys.modules.get(name)
        try:
            spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        place = Path(spec.origin) if spec is not None and spec.origin else None
        if place is not None and place.resolve() != ROOT / name / "__init__.py":
            raise InputError(
                f"{excerpt(place, 300)} hides the package {name} of robust in "
                f"{excerpt(ROOT / name, 300)}: rename yours"
            )
