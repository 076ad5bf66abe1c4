"""Loads TorchScript files and exported programs (`.pt2`), which contain their architecture."""

from __future__ import annotations

import logging
import os
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from robust.errors import InputError, first_line
from robust.models.checkpoints.archives import check_archive
from robust.models.process_state import ProcessState, quiet
from robust.models.weights import read_state_dict
from robust.plan.paths import require_program

NATIVE = ("aotinductor", "custom_obj", "opaque_obj")
"""Parts of a `.pt2` archive that are machine code or pickles of any kind."""


def load_program(path: Path) -> nn.Module:
    """The module in a TorchScript file or, by its suffix `.pt2`, in an exported program.

    Raises InputError, also where a file holds machine code or pickles of any kind. Both can run
    code all the same: the symbolic sizes of an exported program are parsed by sympy, which
    evaluates text, and a TorchScript file may write files. Take them from people you trust.
    """
    require_program(path)
    archive = check_archive(path, "save it again from the network that it was made of")
    if path.suffix == ".pt2":
        return _load_exported(path)
    if not archive:
        read_state_dict(path)  # says so where it is a pickle or broken
        raise _weights_alone(path)
    try:
        with quiet():
            script: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
        return script
    except Exception as error:  # noqa: BLE001  (torch raises of every kind here)
        reason = first_line(error)
    try:
        read_state_dict(path)
    except InputError as error:
        if "TorchScript" not in str(error):
            raise
        raise InputError(
            f"{path} is not a TorchScript file that this torch can read: {reason}; save it again"
        ) from None
    raise _weights_alone(path)


def _weights_alone(path: Path) -> InputError:
    return InputError(
        f"{path} holds weights without an architecture; name the architecture (or a factory) and "
        f"give this file as weights"
    )


def _load_exported(path: Path) -> nn.Module:
    try:
        with zipfile.ZipFile(path) as archive:
            foreign = [n for n in archive.namelist() if any(kind in n for kind in NATIVE)]
        if foreign:
            raise InputError(
                f"{path} holds {foreign[0]}, which could run code when it is opened: refused; "
                f"export the network alone with torch.export.export and torch.export.save"
            )
        with _plain_tensors_only(), _silent():
            program = torch.export.load(path)
            module: nn.Module = program.module()
        images = next(
            n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs
        )
        if isinstance(batch := images.meta["val"].shape[0], int):
            raise InputError(
                f"{path} was exported for batches of exactly {batch}; export it for any: "
                f"torch.export.export(..., dynamic_shapes=({{0: torch.export.Dim.DYNAMIC}},))"
            )
        return module
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001  (torch raises of every kind here)
        reason = first_line(error)
        if "Weights only load failed" in reason or "Unsupported global" in reason:
            reason = "it holds pickled objects, which could run any code when opened"
        raise InputError(
            f"{path} is not an exported program that this torch can read: {reason}; "
            f"save it again with torch.export.save, or give a TorchScript file or a factory"
        ) from None


@contextmanager
def _set_plain_tensors_only() -> Iterator[None]:
    """Forbid pickles of any kind in torch.export.load, by a switch of torch."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _set_silent() -> Iterator[None]:
    """Silence the tracebacks that torch logs beside the errors that it raises."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


_plain_tensors_only, _silent = ProcessState(_set_plain_tensors_only), ProcessState(_set_silent)
