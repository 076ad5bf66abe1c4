"""MedMNIST files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from robust.cases import open_cases, open_findings
from robust.errors import InputError
from tests.cases.tables import labels


def write_npz(path: Path, deflated: bool = True, **arrays: npt.NDArray[Any]) -> Path:
    (np.savez_compressed if deflated else np.savez)(path, **arrays)
    return path


def medmnist(n: int = 6, channels: int | None = None) -> dict[str, npt.NDArray[Any]]:
    shape = (n, 7, 5) if channels is None else (n, 7, 5, channels)
    pixels = np.random.default_rng(3).integers(0, 256, shape).astype(np.uint8)
    return {"test_images": pixels, "test_labels": (np.arange(n) % 3)[:, None]}


@pytest.mark.parametrize("deflated", [True, False])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_medmnist_files(tmp_path: Path, deflated: bool, channels: int | None) -> None:
    arrays = medmnist(channels=channels)
    path = write_npz(tmp_path / "toy.npz", deflated, **arrays)
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    assert {i.compress_type for i in zipfile.ZipFile(path).infolist()} == {kind}
    cases = open_cases(path, group="none")
    assert (cases.classes, labels(cases)) == (("0", "1", "2"), [0, 1, 2, 0, 1, 2])
    assert not cases.grouped and cases.source == "a file in the form of MedMNIST"
    for i, case in enumerate(cases):
        wanted = torch.from_numpy(arrays["test_images"][i].reshape(7, 5, -1)).permute(2, 0, 1)
        assert torch.equal(case.image, wanted / 255)
        assert case.id == case.group == f"test-{i}"


def test_medmnist_order_of_memory_and_label_columns(tmp_path: Path) -> None:
    arrays = medmnist()
    plain = open_cases(write_npz(tmp_path / "a.npz", **arrays), group="none")
    arrays["test_images"] = np.asfortranarray(arrays["test_images"])
    arrays["test_labels"] = np.array([[0, 1]] * 6)
    turned = open_cases(write_npz(tmp_path / "b.npz", **arrays), group="none", label="1")
    assert labels(turned) == [1] * 6
    assert all(torch.equal(a.image, b.image) for a, b in zip(plain, turned))
    with pytest.raises(InputError, match="label columns 0 to 1; '2' is not among them"):
        open_cases(tmp_path / "b.npz", group="none", label="2")


def test_the_content_of_a_row(tmp_path: Path) -> None:
    arrays = medmnist()
    first = open_cases(write_npz(tmp_path / "a.npz", **arrays), group="none")
    arrays["test_images"][4, 0, 0] ^= 1
    second = open_cases(write_npz(tmp_path / "a.npz", **arrays), group="none")
    same = [first.content(i) == second.content(i) for i in range(6)]
    assert same == [True, True, True, True, False, True]


def test_medmnist_with_two_classes_or_names(tmp_path: Path) -> None:
    arrays = medmnist()
    arrays["test_labels"] = np.zeros(6, np.int64)
    path = write_npz(tmp_path / "a.npz", **arrays)
    assert open_cases(path, group="none").classes == ("0", "1")
    assert open_cases(path, group="none", classes=("x", "y", "z")).classes == ("x", "y", "z")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_labels": np.array([0, 1, -1, 0, 0, 0])}, "label -1 is out of range"),
        ({"test_labels": np.array([0, 1, 10**9, 0, 0, 0])}, "label 1000000000 is out of range"),
        ({"test_labels": np.array([0, 0.5, 1, 0, 0, 0])}, "must be whole numbers"),
        ({"test_labels": np.array(1)}, "must be whole numbers"),
        ({"test_labels": np.array([None] * 6)}, "holds Python objects"),
        ({"test_labels": np.array([0, 1])}, "with 2 labels"),
        ({"test_images": np.zeros((6, 7, 5), np.float32)}, "must be uint8"),
        ({"test_images": np.zeros((6, 7, 5, 7), np.uint8)}, "must be uint8"),
        ({"test_images": np.zeros((0, 7, 5)), "test_labels": np.zeros((0, 1), int)}, "npz"),
    ],
)
def test_medmnist_files_that_do_not_fit(
    tmp_path: Path, change: dict[str, npt.NDArray[Any]], said: str
) -> None:
    path = write_npz(tmp_path / "toy.npz", **(medmnist() | change))
    with pytest.raises(InputError, match=said):
        open_cases(path, group="none")


def test_medmnist_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "toy.npz", **medmnist(400))
    whole = path.read_bytes()
    with pytest.raises(InputError, match=r'does not name patients; set group = "none"'):
        open_cases(path)
    with pytest.raises(InputError, match=r"no array 'val_images'; did you mean test_images"):
        open_cases(path, group="none", split="val")
    start = whole.index(b"test_images.npy") + len("test_images.npy") + 20
    bent = bytearray(whole)
    bent[start : start + 2000] = b"\xff" * 2000
    with pytest.raises(zlib.error):  # the damage is where it should be
        np.load(_written(tmp_path / "bent.npz", bytes(bent)))["test_images"]
    for content in (b"", b"garbage" * 99, whole[: len(whole) // 2], bytes(bent)):
        broken = _written(tmp_path / "broken.npz", content)
        with pytest.raises(InputError, match=r"broken\.npz is not an npz file that can be read"):
            open_cases(broken, group="none")


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "sizes", "classes", "channels"),
    [("pneumoniamnist", (4708, 524, 624), 2, 1), ("retinamnist", (1080, 120, 400), 5, 3)],
)
def test_medmnist_as_published(
    data: Path, name: str, sizes: tuple[int, ...], classes: int, channels: int
) -> None:
    path = data / "medmnist" / f"{name}.npz"
    for split, size in zip(("train", "val", "test"), sizes):
        cases = open_cases(path, split=split, group="none")
        assert (len(cases), len(cases.classes)) == (size, classes)
        assert cases[size - 1].image.shape == (channels, 28, 28)
    with np.load(path) as arrays:
        wanted, numbers = arrays["test_images"][5], arrays["test_labels"]
    case = open_cases(path, group="none")[5]
    np.testing.assert_array_equal(case.stored.pixels(case.image), wanted)
    assert labels(open_cases(path, group="none")) == numbers[:, 0].tolist()


def test_a_file_of_several_labels_asks_which(tmp_path: Path) -> None:
    numbers = np.eye(14, dtype=np.uint8)[[6, 0, 6, 2]]
    arrays = {f"{s}_images": np.zeros((4, 9, 9), np.uint8) for s in ("val", "test")}
    arrays |= {f"{s}_labels": numbers for s in ("val", "test")}
    path = write_npz(tmp_path / "chestmnist.npz", **arrays)
    with pytest.raises(
        InputError, match=r"has 14 label columns; name the one to audit: --label .*pneumonia"
    ):
        open_cases(path, group="none")
    for name in ("6", "pneumonia"):
        cases = open_cases(path, group="none", label=name, split="valid")
        assert cases.classes == ("no pneumonia", "pneumonia") and cases.split == "val"
        assert labels(cases) == [1, 0, 1, 0]
    found = open_findings(path, group="none")
    assert len(found) == 14 and labels(found["effusion"]) == [0, 0, 0, 1]
    with pytest.raises(InputError, match="names one finding"):
        open_findings(path, group="none", label="6")
