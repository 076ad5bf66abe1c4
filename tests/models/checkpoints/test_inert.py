"""Checkpoints with objects in them: opened for their tensors, and nothing of a file ever runs."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import io
import os
import pathlib
import pickle
import subprocess
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robust.errors import InputError
from robust.models import load_classifier, weights_hash
from robust.models.checkpoints.inert import Inert, open_inert
from tests.models.nets import TINY, small


class Phase(enum.Enum):
    FIT = "fit"


class Settings(dict[str, Any]):
    """As people's own classes of settings are: entries and attributes."""

    def __init__(self, **values: Any) -> None:
        super().__init__(values)
        self.note = "kept"


class Schedule:
    def __init__(self) -> None:
        self.step_size, self.best = 3, torch.ones(2)


HARMLESS: dict[str, Any] = {
    "args": argparse.Namespace(lr=0.1, when=datetime.date(2026, 1, 2), out=pathlib.Path("runs")),
    "best": np.float64(0.9),
    "counts": np.arange(3),
    "kind": np.dtype("float32"),
    "history": collections.defaultdict(list, loss=[0.5]),
    "recent": collections.deque([1, 2]),
    "simple": types.SimpleNamespace(a=1),
    "when": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    "size": torch.Size([1, 2]),
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "set": {1, 2},
    "frozen": frozenset({1}),
    "phase": Phase.FIT,
    "settings": Settings(model="resnet18"),
    "scheduler": Schedule(),
    "complex": 1j,
    "slice": slice(1, 2),
    "bytes": b"abc",
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", [*HARMLESS, "all"])
def test_harmless_values_beside_the_weights(tmp_path: Path, name: str, legacy: bool) -> None:
    state = small().state_dict()
    content = {"state_dict": state, **(HARMLESS if name == "all" else {name: HARMLESS[name]})}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    found = load_classifier(factory="tests.models.nets:small", weights=tmp_path / "c.pth")
    assert weights_hash(found.network) == weights_hash(small())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle(tmp_path: Path, protocol: int) -> None:
    content = {**HARMLESS, "state_dict": small().state_dict()}
    torch.save(content, tmp_path / "c.pth", pickle_protocol=protocol)
    found = load_classifier(factory="tests.models.nets:small", weights=tmp_path / "c.pth")
    assert weights_hash(found.network) == weights_hash(small())


def test_state_dicts_in_classes_of_people(tmp_path: Path) -> None:
    torch.save(Settings(**small().state_dict()), tmp_path / "c.pth")
    found = load_classifier(factory="tests.models.nets:small", weights=tmp_path / "c.pth")
    assert weights_hash(found.network) == weights_hash(small())
    assert any("tests.models.checkpoints" in note for note in found.origin.notes)


class Calls:
    """Is pickled as a call of any function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


def mark(path: str) -> str:
    """What a file of an attacker may name: a function of any module."""
    Path(path).mkdir()
    return path


def traps(place: Path) -> dict[str, Any]:
    text = f"import os; os.mkdir({str(place)!r})"
    return {
        "os.mkdir": Calls(os.mkdir, str(place)),
        "os.system": Calls(os.system, f"mkdir {place}"),
        "subprocess": Calls(subprocess.call, ["mkdir", str(place)]),
        "exec": Calls(exec, text),
        "eval": Calls(eval, f"__import__('os').mkdir({str(place)!r})"),
        "partial": functools.partial(os.mkdir, str(place)),
        "getattr": Calls(getattr, Path(place), "mkdir"),
        "own function": Calls(mark, str(place)),
        "torch.load": Calls(torch.load, str(place)),
        "storage": Calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.mkdir, str(place)))),
        "numpy": Calls(np.testing.assert_, Calls(mark, str(place))),
    }


REFUSED = ("os.mkdir", "os.system", "subprocess", "exec", "eval", "partial", "getattr")
"""Python's own functions: a file that calls them was made to run code."""


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", traps(Path("x")))
def test_no_code_of_a_file_runs(tmp_path: Path, name: str, legacy: bool) -> None:
    place = tmp_path / "sprung"
    content = {"state_dict": small().state_dict(), "epoch": traps(place)[name]}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=not legacy)
    options: dict[str, Any] = {"factory": "tests.models.nets:small", "weights": tmp_path / "c.pth"}
    if name in REFUSED:
        with pytest.raises(InputError, match=r"holds a pickled \S+, which could run any code"):
            load_classifier(**options)
    else:
        assert weights_hash(load_classifier(**options).network) == weights_hash(small())
    assert not place.exists()


def test_a_trap_would_spring_elsewhere(tmp_path: Path) -> None:
    torch.save(traps(tmp_path / "sprung")["own function"], tmp_path / "c.pth")
    torch.load(tmp_path / "c.pth", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_a_file_changes_no_function_that_rebuilds_tensors(tmp_path: Path) -> None:
    """A pickle may set attributes of whatever it names: here the defaults of torch's functions."""
    named = b"ctorch._utils\n_rebuild_tensor_v2\n}X\x0c\x00\x00\x00__defaults__K\x01su"
    payload = b"\x80\x02" + named.replace(b"su", b"sb") + b"."
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, buffer)
    before = torch._utils._rebuild_tensor_v2.__defaults__, dict(torch.nn.Parameter.__dict__)
    path = tmp_path / "c.pth"
    _replace_pickle(buffer.getvalue(), payload, path)
    open_inert(path)
    after = torch._utils._rebuild_tensor_v2.__defaults__, dict(torch.nn.Parameter.__dict__)
    assert after == before and not vars(torch._utils._rebuild_tensor_v2)


def _replace_pickle(archive: bytes, payload: bytes, path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(path, "w") as new:
        for part in old.infolist():
            content = payload if part.filename.endswith("data.pkl") else old.read(part)
            new.writestr(part.filename, content)


@pytest.mark.parametrize("where", ["alone", "model", "listed"])
def test_whole_networks_are_refused_by_name(tmp_path: Path, where: str) -> None:
    content: Any = {"alone": small(), "model": {"model": small()}, "listed": [small()]}[where]
    torch.save(content, tmp_path / "net.pth")
    said = r"pickled torch\.nn\.[\w.]*Sequential.*refused; save the weights alone with torch\.save"
    with pytest.raises(InputError, match=said):
        load_classifier(TINY, weights=tmp_path / "net.pth")


def test_the_weights_beside_a_whole_network_are_read(tmp_path: Path) -> None:
    state = {k: v + 1 for k, v in small().state_dict().items()}
    torch.save({"state_dict": state, "network": small()}, tmp_path / "c.pth")
    found = load_classifier(factory="tests.models.nets:small", weights=tmp_path / "c.pth")
    wanted = nn.Module.state_dict(found.network)
    assert all(torch.equal(wanted[k], v) for k, v in state.items())
    assert any("torch.nn" in note for note in found.origin.notes), "it says that it was left out"


def test_an_inert_object_keeps_what_it_is_filled_with(tmp_path: Path) -> None:
    torch.save({"s": Settings(lr=0.5), "a": argparse.Namespace(lr=0.1)}, tmp_path / "c.pth")
    found = open_inert(tmp_path / "c.pth").content
    assert isinstance(found["s"], Inert) and found["s"].entries == {"lr": 0.5}
    assert found["s"].attributes == {"note": "kept"} and found["a"].attributes == {"lr": 0.1}


def test_a_refused_module_of_a_real_training(data: Path) -> None:
    path = data / "models_more" / "refused" / "pneumoniamnist_module.pth"
    with pytest.raises(InputError, match=r"pickled .*refused; save the weights alone with torch"):
        load_classifier(TINY, weights=path)


@pytest.mark.parametrize("name", ["lwnet_wnet_drive.pth", "m2unet_drive.pth"])
def test_old_files_of_torch_are_read(data: Path, name: str) -> None:
    from robust.models.weights import read_state_dict

    path = data / "models_more" / "segmentation" / name
    wanted = torch.load(path, map_location="cpu", weights_only=False)
    wanted = wanted.get("model_state_dict", wanted)
    found = read_state_dict(path)
    assert found and all(torch.equal(found[k], v) for k, v in wanted.items())
