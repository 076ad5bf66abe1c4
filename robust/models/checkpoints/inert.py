"""Reads torch files with an inert object in place of all that is neither a tensor nor plain."""

from __future__ import annotations

import _compat_pickle
import pickle
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

_HARMLESS_MODULES = ("datetime", "enum", "pathlib", "typing", "zoneinfo", "decimal", "fractions")
_HARMLESS = {
    "argparse.Namespace",
    "types.SimpleNamespace",
    "uuid.UUID",
    "copyreg._reconstructor",
    "_codecs.encode",
    "_pydatetime.datetime",
    *(f"collections.{name}" for name in ("Counter", "OrderedDict", "defaultdict", "deque")),
    *(
        f"builtins.{name}"
        for name in (
            *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int"),
            *("list", "object", "range", "set", "slice", "str", "tuple", "type", "NoneType"),
        )
    ),
}
"""Of Python's own names, those of values. Any other, such as functools.partial, is refused: such a
file holds a network as a pickle, or was made to run code."""
_REAL: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    **{
        f"torch._utils.{name}": getattr(torch._utils, name)
        for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
    },
    **{str(one): one for one in vars(torch).values() if isinstance(one, torch.dtype)},
}
"""All that a file can have called: tensors are rebuilt from their values, and ordered dicts."""


class Inert:
    """Stands for an object of a class that is not imported: it keeps what it is filled with."""

    named: ClassVar[str] = ""
    """Module and name of the class that it stands for."""
    entries: dict[object, object]
    """Filled in as in a dict."""
    attributes: dict[object, object]

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        """An object that forgets its arguments."""
        one = super().__new__(cls)
        one.entries, one.attributes = {}, {}
        return one

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __call__(self, *args: object, **kwargs: object) -> Inert:
        """Another one."""
        return Inert()

    def __setstate__(self, state: object) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, Mapping):
                self.attributes.update(part)

    def __setitem__(self, key: object, value: object) -> None:
        self.entries[key] = value

    def append(self, value: object) -> None:
        """Nothing."""

    def extend(self, values: object) -> None:
        """Nothing."""

    def add(self, value: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Opened:
    """The content of a file, and what in it was not loaded."""

    content: Any
    stand_ins: tuple[str, ...] = ()
    """Names of the classes that inert objects stand for, in the order of the file."""


def open_inert(path: Path) -> Opened:
    """The content of a torch file, on the CPU, with inert objects for what it pickles.

    Nothing that the file names is imported or called but the functions that rebuild a tensor.
    Raises whatever torch raises, and UnpicklingError for what only a program needs. Not for
    TorchScript archives, which torch would run.
    """
    names: dict[str, None] = {}

    class Reader(_Reader):
        found = names

    class PickleModule:
        """What torch.load asks of a pickle module."""

        __name__ = "inert"
        Unpickler = Reader

        @staticmethod
        def load(file: Any, **options: Any) -> Any:
            return Reader(file, **options).load()

    content = torch.load(path, map_location="cpu", pickle_module=PickleModule, weights_only=False)
    return Opened(content, tuple(names))


class _Reader(pickle._Unpickler):  # type: ignore[misc,name-defined]
    """The unpickler in Python: that in C takes memory by an index in the file."""

    found: ClassVar[dict[str, None]]
    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined]

    def find_class(self, module: str, name: str) -> Any:
        """What a file may call, or a class that does nothing; UnpicklingError for a program."""
        module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
        module = _compat_pickle.IMPORT_MAPPING.get(module, module)  # names of Python 2
        full = f"{module}.{name}"
        if full in _REAL:
            return _REAL[full]
        known = full in _HARMLESS or module in _HARMLESS_MODULES
        if module.partition(".")[0] in sys.stdlib_module_names and not known:
            raise pickle.UnpicklingError(f"GLOBAL {full}")
        if not known:
            self.found[full] = None
        return type(name.rpartition(".")[2] or "_", (Inert,), {"named": full})

    def load_build(self) -> None:
        """Fill inert objects; everything else stays as it is, functions and classes above all."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build
