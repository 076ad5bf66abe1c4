"""Files of TensorFlow are recognised by what they hold and refused with a route."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robust.errors import InputError
from robust.models import load_classifier
from robust.plan.paths import check_model_paths
from robust.plan.spec import ModelSpec


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


NODE = _field(1, b"input") + _field(2, b"Placeholder")
GRAPH = _field(1, NODE) + _field(1, _field(1, b"conv") + _field(2, b"Conv2D"))
META = _field(1, _field(2, GRAPH) + _field(5, b"1.15.0")) + _field(2, GRAPH)
TABLE = b"\x00" * 40 + bytes.fromhex("57fb808b247547db")
NIFTYNET = {
    "checkpoint": b'model_checkpoint_path: "model.ckpt-100"\n',
    "model.ckpt-100.index": TABLE,
    "model.ckpt-100.meta": META,
    "model.ckpt-100.data-00000-of-00001": b"\x01\x02" * 50,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in NIFTYNET.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def refused(said: str, **source: Path) -> None:
    with pytest.raises(InputError) as error:
        load_classifier(**source)  # type: ignore[arg-type]
    line = str(error.value)
    assert said in line and "refused" in line and "tf2onnx.convert" in line and "\n" not in line


@pytest.mark.parametrize("name", NIFTYNET)
def test_every_file_of_a_checkpoint_is_refused(folder: Path, name: str) -> None:
    refused("TensorFlow checkpoint, as NiftyNet and DLTK write them", file=folder / name)
    with pytest.raises(InputError, match="TensorFlow checkpoint"):
        load_classifier("resnet18", weights=folder / name)


def test_other_names_change_nothing(folder: Path) -> None:
    for name, other in (("model.ckpt-100.index", "a.pth"), ("checkpoint", "a.pt")):
        (folder / name).rename(folder / other)
        refused("TensorFlow checkpoint", file=folder / other)


def test_frozen_graphs_and_saved_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "frozen.pb").write_bytes(GRAPH)
    refused("TensorFlow frozen graph", file=tmp_path / "frozen.pb")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01" + _field(2, META))
    refused("a SavedModel of TensorFlow", file=tmp_path / "saved_model.pb")


def test_folders_are_refused_by_what_they_hold(folder: Path, tmp_path: Path) -> None:
    check_model_paths(ModelSpec(folder=str(folder)))
    refused("TensorFlow checkpoint", folder=folder)
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"\x08\x01" + _field(2, META))
    refused("a SavedModel of TensorFlow", folder=saved)


def test_a_file_of_torch_is_none_of_them(tmp_path: Path) -> None:
    torch.save({"checkpoint": torch.zeros(3)}, tmp_path / "weights.data-00000-of-00001")
    with pytest.raises(InputError, match="holds weights without an architecture"):
        load_classifier(file=tmp_path / "weights.data-00000-of-00001")
