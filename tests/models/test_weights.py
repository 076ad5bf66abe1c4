"""State dicts from files: as people save them, and no code of a file runs."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from robust.errors import InputError
from robust.models import (
    load_classifier,
    weights_hash,
)
from tests.models.nets import TINY, Trap, _bytes, images, small, wrapped


@pytest.mark.parametrize("kind", ["plain", "parallel", "nested", "deep", "legacy", "safetensors"])
def test_weights_as_people_save_them(tmp_path: Path, tiny: nn.Module, kind: str) -> None:
    state = tiny.state_dict()
    path = tmp_path / "w.pth"
    if kind == "safetensors":
        path = tmp_path / "w.safetensors"
        safetensors.torch.save_file(wrapped(state, "module."), path)
    elif kind == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        content: dict[str, Any] = {
            "plain": state,
            "parallel": wrapped(state, "module."),
            "nested": {"epoch": 3, "state_dict": wrapped(state, "module.", "model.")},
            "deep": {"model": {"state_dict": wrapped(state, "_orig_mod.")}, "lr": 0.1},
        }[kind]
        torch.save(content, path)
    found = load_classifier(TINY, weights=path, head="softmax", fit="squash")
    assert weights_hash(found.network) == weights_hash(tiny)
    torch.testing.assert_close(found(images(2, 160)), tiny((images(2, 160) - 0.5) / 0.5))


def test_weights_that_do_not_fit_are_named(tmp_path: Path, tiny: nn.Module) -> None:
    state = tiny.state_dict()
    first = next(iter(state))
    head = [name for name in state if name.startswith("fc.")]
    for name, content, said in (
        ("short", {k: v for k, v in state.items() if k != first}, rf"lacks {first} \(1 missing"),
        ("long", state | {"extra.bias": torch.zeros(2)}, r"unknown to the network, extra\.bias"),
        ("bent", state | {first: torch.zeros(2, 2)}, rf"{first} has shape \(2, 2\), the network"),
        ("headless", {k: v for k, v in state.items() if k not in head}, r"lacks fc\.\w+ \(2"),
    ):
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(InputError, match=said):
            load_classifier(TINY, weights=tmp_path / f"{name}.pth")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"fc\.weight has shape \(3, .*number of outputs"):
        load_classifier(TINY, weights=tmp_path / "w.pth", outputs=4)


def test_old_checkpoints_may_lack_the_counter_of_batch_norm(
    tmp_path: Path, tiny: nn.Module
) -> None:
    state = {k: v for k, v in tiny.state_dict().items() if not k.endswith("batches_tracked")}
    assert len(state) < len(tiny.state_dict())
    torch.save(state, tmp_path / "w.pth")
    found = load_classifier(TINY, weights=tmp_path / "w.pth", head="softmax", fit="squash")
    torch.testing.assert_close(found(images(1, 160)), tiny((images(1, 160) - 0.5) / 0.5))


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["alone", "nested", "plain"])
def test_a_pickle_is_refused_and_runs_nothing(tmp_path: Path, legacy: bool, where: str) -> None:
    trap = Trap(tmp_path / "sprung")
    content: Any = trap if where == "alone" else {"state_dict": small().state_dict(), "x": trap}
    options = {"_use_new_zipfile_serialization": not legacy}
    raw = pickle.dumps(content) if where == "plain" else _bytes(content, **options)
    for name in ("a.pth", "a.ckpt"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=r"pickled .*refused; save the weights alone with"):
            load_classifier(TINY, weights=tmp_path / name)
        with pytest.raises(InputError, match=r"pickled .*refused; save the weights alone with"):
            load_classifier(file=tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    if where != "plain":  # the trap does work
        torch.load(io.BytesIO(raw), weights_only=False)
        assert (tmp_path / "sprung").exists()


def test_a_pickled_network_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save(small(), tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"holds a pickled torch\.nn\.[\w.]*Sequential, which"):
        load_classifier(TINY, weights=tmp_path / "net.pth")


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors", "pt2"])
def test_broken_files_are_refused_in_a_line(
    tmp_path: Path, programs: dict[str, Path], suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = {
        "pth": _bytes(small().state_dict(), _use_new_zipfile_serialization=False),
        "pt": programs["script.pt"].read_bytes(),
        "safetensors": safetensors.torch.save(small().state_dict()),
        "pt2": programs["any.pt2"].read_bytes(),
    }[suffix]
    path = tmp_path / f"broken.{suffix}"
    contents = [b"", b"\x00", b"text, not weights\n" * 30, b"\x80\x04\x95" + bytes(range(256))]
    contents += [np.random.default_rng(0).bytes(3000)]
    contents += [whole[: int(len(whole) * share)] for share in (0.01, 0.1, 0.3, 0.5, 0.9, 0.999)]
    for content in contents:
        path.write_bytes(content)
        for options in ({"architecture": TINY, "weights": path}, {"file": path}):
            if "weights" in options and suffix == "pt2":
                continue
            with pytest.raises(InputError, match=rf"broken\.{suffix} ") as caught:
                load_classifier(**options)  # type: ignore[arg-type]
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert capfd.readouterr() == ("", ""), "nothing is logged beside the error"


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    for content, said in (
        ({"epoch": 3}, "holds no tensors"),
        ({}, "holds no state dict but a dict"),
        ([torch.zeros(2)], "holds no state dict but a list"),
        (torch.zeros(2), "holds no state dict but a Tensor"),
    ):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(InputError, match=said):
            load_classifier(TINY, weights=tmp_path / "w.pth")


def test_the_hash_tells_networks_apart() -> None:
    one = small()
    two = copy.deepcopy(one)
    assert weights_hash(one) == weights_hash(two)
    two.norm.running_var[0] += 1e-6  # type: ignore[union-attr, operator, index]
    assert weights_hash(one) != weights_hash(two)
    assert weights_hash(one) != weights_hash(small(2))
    assert weights_hash(one.double()) != weights_hash(small())
