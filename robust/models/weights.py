"""Reads state dicts from files without running code in them; SHA-256 of weights."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, excerpt, first_line, type_and_line
from robust.files import open_regular
from robust.models.checkpoints.archives import check_archive
from robust.models.checkpoints.foreign import refuse_foreign
from robust.models.checkpoints.inert import Inert, Opened, open_inert
from robust.models.checkpoints.names import Fitted, fits
from robust.models.checkpoints.sets import (
    WeightSet,
    choose_set,
    entries_of,
    find_sets,
    is_averaged,
    unnamed_note,
)
from robust.models.checkpoints.settings import settings_note
from robust.models.process_state import quiet
from robust.plan.paths import require_weights


@dataclass(frozen=True)
class Weights:
    """A state dict from a file, and what the user should know of it."""

    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a file, as `read_weights` finds it; names stand as in the file."""
    return read_weights(path).state


def read_weights(
    path: str | Path, network: Mapping[str, Tensor] | None = None, key: str | None = None
) -> Weights:
    """The state dict of a `.safetensors` or a `.pth`/`.pt`/`.ckpt`/`.bin` file, on the CPU.

    Checkpoints of trainers are opened: a state dict under any key, the averaged one of two. With
    the state dict of a `network`, names become those of the network: those behind a wrapper's,
    heads of training left out. `key` chooses among several sets of weights. The notes say what was
    chosen, left out or read otherwise. Raises InputError, also where nothing decides which weights
    are meant; code inside a file is never run.
    """
    path = Path(path)
    content, notes = _open(path)
    sets = _sets(content, path)
    if network is None:
        alone = choose_set(sets, path, lambda state: True, key)
        return Weights(alone.state, (*alone.notes, *notes))
    chosen = choose_set(sets, path, lambda state: _holds(network, state), key)
    fitted, way = only_way(fits(network, chosen.state), path)
    return Weights(fitted.renamed(chosen.state), (*chosen.notes, *fitted.notes, *way, *notes))


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], source: object
) -> tuple[str, ...]:
    """Load every tensor into its place; InputError that names the first that does not fit.

    Returns what the user should know, such as heads of training that were left out.
    """
    expected = network.state_dict()
    fitted, way = only_way(fits(expected, state), source)
    renamed = fitted.renamed(state)
    for name, value in expected.items():
        if name in renamed and renamed[name].shape != value.shape:
            raise InputError(
                f"{source}: {name} has shape {tuple(renamed[name].shape)}, the network needs "
                f"{tuple(value.shape)}; choose the architecture and number of outputs it was "
                f"trained with"
            )
    extra = [name for name in renamed if name not in expected]
    if fitted.missing or extra:
        name = (fitted.missing or extra)[0]
        verb = "lacks" if fitted.missing else "holds, unknown to the network,"
        others = extra if fitted.missing else list(expected)
        hint = did_you_mean(name, others, limit=4) if others else "choose the architecture"
        raise InputError(
            f"{source} does not fit the architecture: it {verb} {excerpt(name)} "
            f"({len(fitted.missing)} missing, {len(extra)} unknown); {hint}"
        )
    try:
        network.load_state_dict(renamed, strict=False)
    except Exception as error:  # noqa: BLE001  (of foreign code, or a type that is no number)
        raise InputError(f"{source} cannot be loaded: {type_and_line(error)}") from None
    return (*fitted.notes, *way)


def only_way(ways: list[Fitted], source: object) -> tuple[Fitted, tuple[str, ...]]:
    """The only way, or that of the averaged weights; InputError where several may be meant."""
    if len(ways) == 1:
        return ways[0], ()
    titles = [way.beginning.rstrip(".") or "no beginning" for way in ways]
    averaged = [way for way, title in zip(ways, titles, strict=True) if is_averaged(title)]
    if len(averaged) == 1 and len(ways) == 2:
        other = next(way for way in ways if way is not averaged[0])
        note = (
            f"the weights are the averaged ones, whose names begin with "
            f"{excerpt(averaged[0].beginning)}; those of {excerpt(other.beginning or 'the others')}"
            f" are not used (weights_key in [model] chooses)"
        )
        return averaged[0], (note,)
    raise InputError(
        f"{source} holds {len(ways)} networks whose names begin with "
        f"{', '.join(excerpt(title) for title in titles[:8])}; choose one: "
        f"weights_key = {excerpt(titles[0])!r} in [model]"
    )


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


def _open(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content of a file of weights, and notes on what it says of the training."""
    require_weights(path)
    refuse_foreign(path)
    check_archive(path, "save it again with torch.save or safetensors")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return load_file(path), ()
        except Exception as error:  # noqa: BLE001  (a broken file makes it raise of every kind)
            raise InputError(f"{path} is not a safetensors file: {first_line(error)}") from None
    try:
        with quiet():
            return _noted(Opened(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:  # noqa: BLE001  (a broken file makes torch raise of every kind)
        refused = error
    if not (isinstance(refused, pickle.UnpicklingError) and _is_checkpoint(path)):
        raise InputError(f"{path} {_refusal(path, refused)}") from None
    try:
        with quiet():
            opened = open_inert(path)
    except Exception as error:  # noqa: BLE001
        named = error if isinstance(error, pickle.UnpicklingError) else refused
        raise InputError(f"{path} {_refusal(path, named)}") from None
    if isinstance(opened.content, Inert) and not opened.content.entries:
        raise InputError(f"{path} holds {_pickled(opened.content.named)}")
    if opened.stand_ins and not any(one.state for one in find_sets(opened.content)):
        raise InputError(f"{path} holds {_pickled(opened.stand_ins[0])}")
    return _noted(opened)


def _noted(opened: Opened) -> tuple[Any, tuple[str, ...]]:
    """The content, and what it says of weights without names, of classes and of the training."""
    notes = [unnamed_note(opened.content), settings_note(opened.content)]
    if opened.stand_ins:
        more = f" and {len(opened.stand_ins) - 3} more" if len(opened.stand_ins) > 3 else ""
        named = ", ".join(excerpt(name, 60) for name in opened.stand_ins[:3])
        notes.append(f"pickled objects in the weights file were not loaded: {named}{more}")
    return opened.content, tuple(note for note in notes if note)


def _is_checkpoint(path: Path) -> bool:
    """Whether torch.save wrote the file and not torch.jit.save, whose files torch.load runs."""
    with open_regular(path) as file:
        start = file.read(2)
        if start != b"PK":
            return start[:1] == b"\x80"
        with zipfile.ZipFile(file) as archive:
            return not any("constants.pkl" in name for name in archive.namelist())


def _refusal(path: Path, error: Exception) -> str:
    """Why torch would not open a file: a pickle, a program, or broken."""
    if "TorchScript" in str(error):
        return "is a TorchScript program; give it as file, not as weights"
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        with open_regular(path) as file:
            pickled = file.read(1) == b"\x80"
        if named or pickled:
            return f"holds {_pickled(named[1] if named else 'Python object')}"
    reason = "" if isinstance(error, pickle.UnpicklingError) else f" ({first_line(error)})"
    return (
        f"is broken or is not a weights file{reason}; save it again with torch.save or safetensors"
    )


def _pickled(what: str) -> str:
    return (
        f"a pickled {excerpt(what)}, which could run any code when opened: refused; save the "
        f"weights alone with torch.save(model.state_dict(), ...) or safetensors"
    )


def _sets(content: Any, path: Path) -> list[WeightSet]:
    """The sets of weights in the content of a file; InputError where there is none."""
    entries = entries_of(content)
    if not entries:
        raise InputError(f"{path} holds no state dict but a {type(content).__name__}")
    sets = find_sets(content)
    if not sets:
        keys = ", ".join(excerpt(key, 40) for key in list(entries)[:8])
        raise InputError(f"{path} holds no tensors under {keys}; save model.state_dict()")
    return sets


def _holds(network: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> bool:
    return any(way.complete for way in fits(network, state))
