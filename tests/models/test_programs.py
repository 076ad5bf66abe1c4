"""TorchScript and exported programs: the logits of the original, and no code of a file runs."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

from robust.errors import InputError
from robust.models import (
    load_classifier,
    weights_hash,
)
from tests.models.nets import TINY, Trap, _bytes, images, small


@pytest.mark.parametrize("name", ["script.pt", "any.pt2"])
def test_programs_answer_as_the_original_does(programs: dict[str, Path], name: str) -> None:
    classifier = load_classifier(file=programs[name], mean=0.2, std=0.7, head="softmax")
    for n in (1, 4):
        x = images(n).requires_grad_()
        wanted = small()((x - 0.2) / 0.7)
        found = classifier(x)
        torch.testing.assert_close(found, wanted)
        one, two = (torch.autograd.grad(out[:, 1].sum(), x)[0] for out in (found, wanted))
        torch.testing.assert_close(one, two)
    assert weights_hash(classifier.network) == weights_hash(small())


def test_a_program_for_one_size_of_batch_is_refused(programs: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"batches of exactly 5; .*Dim\.DYNAMIC"):
        load_classifier(file=programs["five.pt2"])


def test_weights_are_no_program_and_a_program_is_no_weights(
    tmp_path: Path, programs: dict[str, Path]
) -> None:
    torch.save(small().state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match="weights without an architecture; name the architecture"):
        load_classifier(file=tmp_path / "w.pt")
    with pytest.raises(InputError, match="is a TorchScript program; give it as file"):
        load_classifier(TINY, weights=programs["script.pt"])


def _with_part(source: Path, target: Path, part: str, content: bytes) -> Path:
    """An archive with one part replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = old.namelist()
        for name in names:
            new.writestr(name, content if name.endswith(part) else old.read(name))
        if not any(name.endswith(part) for name in names):
            new.writestr(f"{names[0].split('/')[0]}/{part}", content)
    return target


@pytest.mark.parametrize(
    "part",
    [
        "data/sample_inputs/model.pt",
        "data/weights/model.pt",
        "data/constants/model.pt",
        "data/constants/opaque_obj_0",
        "data/aotinductor/model/wrapper.so",
    ],
)
def test_an_exported_program_runs_no_code_when_it_is_opened(
    tmp_path: Path, programs: dict[str, Path], part: str
) -> None:
    raw = _bytes({"x": Trap(tmp_path / "sprung")})
    path = _with_part(programs["any.pt2"], tmp_path / "evil.pt2", part, raw)
    with pytest.raises(InputError, match=r"evil\.pt2 .*could run (any )?code when (it is )?opened"):
        load_classifier(file=path)
    assert not (tmp_path / "sprung").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
