"""Files and folders of other formats, given as weights: named, with the way to give them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.models import load_classifier
from tests.models.nets import TINY


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("m.onnx", b"\x08\x08", "an ONNX file, .*give it as file, without architecture"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file as Keras writes it.*give it as file"),
        ("m.pth", b"\x89HDF\r\n\x1a\n", "an HDF5 file as Keras writes it.*give it as file"),
        ("m.bin", b"\x1c\0\0\0TFL3", "a TensorFlow Lite file"),
        ("m.pb", b"\x0a", "a TensorFlow graph; convert it to ONNX"),
        ("m.npz", b"PK", "a numpy archive; save its arrays as a state dict"),
        ("m.engine", b"ftrt", "a TensorRT engine"),
        ("m.pth", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("m.ckpt", b"<!DOCTYPE html><html>", "a web page, not the file itself; download it"),
    ],
)
def test_files_of_other_formats(tmp_path: Path, name: str, start: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(start + bytes(300))
    with pytest.raises(InputError, match=rf"{name} is {said}"):
        load_classifier(TINY, weights=tmp_path / name)


@pytest.mark.parametrize(
    ("part", "said"), [("model.weights.h5", "a Keras file"), ("m/models/model.json", "an exported")]
)
def test_archives_of_other_formats(tmp_path: Path, part: str, said: str) -> None:
    with zipfile.ZipFile(tmp_path / "m.pth", "w") as archive:
        archive.writestr(part, b"x")
    with pytest.raises(InputError, match=rf"is {said}.*give it as file"):
        load_classifier(TINY, weights=tmp_path / "m.pth")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["config.json", "model.safetensors"], "as Hugging Face writes it; give it as folder"),
        (["saved_model.pb"], "but a TensorFlow SavedModel; convert it to ONNX"),
        (["model.json"], "as robust train writes it; give it as folder"),
        (["configs/metadata.json"], "a MONAI bundle; give it as folder"),
        (["epoch3.pth", "notes.txt"], r"give a file in it: epoch3\.pth"),
        (["notes.txt"], r"give a file that ends in \.pth"),
    ],
)
def test_folders(tmp_path: Path, files: list[str], said: str) -> None:
    for name in files:
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"x")
    with pytest.raises(InputError, match=rf"d is a folder, not a file, .*{said}"):
        load_classifier(TINY, weights=tmp_path / "d")
    with pytest.raises(InputError, match="is a folder, not a file, "):
        load_classifier(file=tmp_path / "d")
