"""Damaged model files, bombs and odd files are one line before torch reads them."""

from __future__ import annotations

import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from robust.errors import InputError
from robust.models import load_classifier, weights_hash
from robust.models.checkpoints.archives import check_archive
from robust.models.weights import load_strictly, read_state_dict
from tests.models.nets import small


def changed(source: Path, change: Callable[[str, bytes], bytes], packed: bool = False) -> bytes:
    """The archive with other contents under right checksums."""
    written = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(written, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return written.getvalue()


def test_a_flipped_bit_of_the_weights_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(small().state_dict(), path)
    assert check_archive(path, "")
    content = bytearray(path.read_bytes())
    values = next(iter(small().state_dict().values())).numpy().tobytes()
    content[content.index(values) + 1] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"w.pth is damaged \(BadZipFile: Bad CRC-32.*save it"):
        read_state_dict(path)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
def test_tensors_longer_than_the_file_are_refused(
    tmp_path: Path, suffix: str, programs: dict[str, Path]
) -> None:
    """The reader of TorchScript would read beyond its memory and end the process."""
    source = programs["script.pt"]
    if suffix == ".pth":
        torch.save(small().state_dict(), source := tmp_path / "w.pth")

    def cut(name: str, content: bytes) -> bytes:
        return content[:4] if "/data/" in name else content

    path = tmp_path / f"cut{suffix}"
    path.write_bytes(changed(source, cut))
    with pytest.raises(InputError, match=r"is damaged .*the values of a tensor are missing"):
        load_classifier(file=path) if suffix == ".pt" else read_state_dict(path)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "w.pth")
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        tensors = sum("/data/" in name for name in archive.namelist())
    zeros = bytes((64 << 20) // tensors + 1024)
    bomb = changed(
        tmp_path / "w.pth", lambda name, old: zeros if "/data/" in name else old, packed=True
    )
    path.write_bytes(bomb)
    assert len(bomb) < 1 << 20
    with pytest.raises(InputError, match="its compressed parts hold more than 64 MiB"):
        read_state_dict(path)


def test_no_regular_file_is_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    for path, said in (
        (tmp_path / "pipe.pth", "is a pipe or a device"),
        (tmp_path, "is a folder, not a file"),
        (tmp_path / ("x" * 300), "the name is too long"),
        (tmp_path / "none.pth", "no such (weights|model) file"),
    ):
        for read in (read_state_dict, lambda p: load_classifier(file=p)):
            with pytest.raises(InputError, match=said):
                read(path)


@pytest.mark.parametrize("kind", ["pth", "safetensors", "pt", "pt2"])
def test_mutants_end_in_one_line_or_are_read(
    tmp_path: Path, kind: str, programs: dict[str, Path]
) -> None:
    """The first mutants of each; `make fuzz` tries many more."""
    source = tmp_path / "source"
    state = small().state_dict()
    if kind == "pth":
        torch.save(state, source)
    elif kind == "safetensors":
        safetensors.torch.save_file(state, source)
    else:
        source = programs["script.pt" if kind == "pt" else "any.pt2"]
    content, path, refused = source.read_bytes(), tmp_path / f"m.{kind}", 0
    for seed in range(40 if kind == "pt2" else 100):
        draw = random.Random(seed)
        mutant = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(256) if draw.random() < 0.5 else draw.randrange(len(mutant))
            mutant[at : at + draw.choice([0, 1, 4])] = draw.randbytes(draw.choice([0, 1, 4]))
        path.write_bytes(mutant[: draw.randrange(len(mutant))] if seed % 5 == 0 else mutant)
        try:
            if kind in ("pth", "safetensors"):
                load_strictly(network := small(), read_state_dict(path), path)
                weights_hash(network)
            else:
                load_classifier(file=path)
        except InputError as error:
            refused += 1
            assert str(error) and "\n" not in str(error)
    assert refused > 20
