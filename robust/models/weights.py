"""Reads state dicts from files without running code in them; SHA-256 of weights."""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, first_line, type_and_line
from robust.files import open_regular
from robust.models.archives import check_archive
from robust.models.process_state import ProcessState
from robust.plan.paths import require_weights

NESTED = ("state_dict", "model_state_dict", "model", "net", "network")
PREFIXES = ("module.", "model.", "network.", "net.", "_orig_mod.")


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a `.safetensors` or a `.pth`/`.pt`/`.ckpt`/`.bin` file, on the CPU.

    Checkpoints that hold it under `state_dict` or the like are opened, and a prefix that all names
    share (`module.` of data-parallel training) is taken off. Raises InputError; code inside a file
    is never run.
    """
    path = Path(path)
    require_weights(path)
    check_archive(path, "save it again with torch.save or safetensors")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            content: Any = load_file(path)
        except Exception as error:  # noqa: BLE001  (a broken file makes it raise of every kind)
            raise InputError(f"{path} is not a safetensors file: {first_line(error)}") from None
        return _unwrap(content, path)
    try:
        with quiet():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  (a broken file makes torch raise of every kind)
        raise InputError(f"{path} {_refusal(path, error)}") from None
    return _unwrap(content, path)


@contextmanager
def _set_quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


quiet = ProcessState(_set_quiet)
"""Silences Python's warnings, whose filters are those of all threads."""


def _refusal(path: Path, error: Exception) -> str:
    """Why torch would not open a file: a pickle, a program, or broken."""
    if "TorchScript" in str(error):
        return "is a TorchScript program; give it as file, not as weights"
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        with open_regular(path) as file:
            pickled = file.read(1) == b"\x80"
        if named or pickled:
            what = f"a pickled {named[1]}" if named else "a pickled Python object"
            return (
                f"holds {what}, which could run any code when opened: refused; save the weights "
                f"alone with torch.save(model.state_dict(), ...) or safetensors"
            )
    reason = "" if isinstance(error, pickle.UnpicklingError) else f" ({first_line(error)})"
    return (
        f"is broken or is not a weights file{reason}; save it again with torch.save or safetensors"
    )


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: object) -> None:
    """Load every tensor into its place; InputError that names the first that does not fit."""
    expected = network.state_dict()
    # The state has lost what wrappers put before its names; the network may be a wrapper itself.
    prefix = _shared_prefix(expected)
    if prefix and not any(name.startswith(prefix) for name in state):
        state = {prefix + name: value for name, value in state.items()}
    for name, value in expected.items():
        if name in state and state[name].shape != value.shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(state[name].shape)}, the network needs "
                f"{tuple(value.shape)}; choose the architecture and number of outputs it was "
                f"trained with"
            )
    # Checkpoints from before batch-norm counted its batches lack that counter; it decides nothing.
    missing = [n for n in expected if n not in state and not n.endswith("num_batches_tracked")]
    extra = [n for n in state if n not in expected]
    if missing or extra:
        name = (missing or extra)[0]
        verb = "lacks" if missing else "holds, unknown to the network,"
        hint = did_you_mean(name, extra if missing else list(expected), limit=4)
        raise InputError(
            f"{source} does not fit the architecture: it {verb} {name} "
            f"({len(missing)} missing, {len(extra)} unknown); {hint}"
        )
    try:
        network.load_state_dict(dict(state), strict=False)
    except Exception as error:  # noqa: BLE001  (of foreign code, or a type that is no number)
        raise InputError(f"{source} cannot be loaded: {type_and_line(error)}") from None


def weights_hash(network: nn.Module) -> str:
    """SHA-256 over names, shapes and values of all parameters and buffers."""
    digest = hashlib.sha256()
    try:
        for name, value in sorted(network.state_dict().items()):
            if isinstance(value, Tensor):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                plain = value.detach().cpu().contiguous()
                digest.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    except Exception as error:  # noqa: BLE001  (a foreign network may name its weights as it likes)
        raise InputError(f"the weights cannot be read: {type_and_line(error)}") from None
    return digest.hexdigest()


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        key = next((k for k in NESTED if isinstance(content.get(k), Mapping)), None)
        if key is None:
            break
        content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds no state dict but a {type(content).__name__}")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise InputError(f"{path} holds no tensors; save model.state_dict()")
    prefix = _shared_prefix(state)
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _shared_prefix(names: Collection[str]) -> str:
    """What wrappers have put before all names, such as `module.model.`."""
    prefix = ""
    while names:
        more = next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in names)), None)
        if more is None:
            break
        prefix += more
    return prefix
