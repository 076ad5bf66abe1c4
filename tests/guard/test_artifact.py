"""A saved detector scores as before to the last bit, and a spoilt folder is refused in one line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from detectors import DETECTORS, LID, Detector, Mahalanobis, QuantizedFeatures, Reconstruction
from robust.errors import InputError
from robust.guard import Guard, GuardArtifact, fit_detector
from robust.guard.artifact import RECORD, TENSORS
from tests.guard.fits import BITS, STRONG, classifier, phantoms, plan

EVERY: list[Detector] = [kind() for kind in DETECTORS.values() if kind is not QuantizedFeatures]
EVERY += [BITS, Mahalanobis(step="auto"), Reconstruction("autoencoder", components=4, steps=10)]
MORE: list[Detector] = [Mahalanobis(step=0.002), LID(k=10, estimator="tle")]
"""What stores the same tensors as one of the others."""


@pytest.mark.parametrize(
    "detector", [*EVERY, *(pytest.param(one, marks=pytest.mark.slow) for one in MORE)], ids=repr
)
def test_a_stored_detector_scores_to_the_last_bit_as_before(
    weights: Path, tmp_path: Path, detector: Detector
) -> None:
    stored = fit_detector(
        plan(weights), detector, attack="FGSM", eps=STRONG, out=tmp_path / "guard", device="cpu"
    )
    assert stored.record.training_attack is not None
    assert (stored.record.training_attack.fitted_on > 0) == detector.has_head
    assert sorted(p.name for p in tmp_path.rglob("*")) == [RECORD, TENSORS, "guard"]
    net, (x, _) = classifier(weights), phantoms()
    before = Guard(net, stored, device="cpu")(x)
    after = Guard(net, tmp_path / "guard", device="cpu")(x)
    assert torch.equal(before.score, after.score)
    assert len(before.score.unique()) > 3, "a score that says something"
    assert torch.equal(before.flagged, after.flagged)
    assert torch.equal(after.flagged, after.score > stored.record.threshold)
    with torch.no_grad():
        assert torch.equal(after.prediction, net.eval()(x).argmax(1))


def _rewrite(**changes: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        body = json.loads((folder / RECORD).read_text())
        (folder / RECORD).write_text(json.dumps(body | changes))

    return change


def _swap_tensors(folder: Path) -> None:
    tensors = load_file(folder / TENSORS)
    save_file({name: value + 1 for name, value in tensors.items()}, folder / TENSORS)


def _flip(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-3] ^= 1
    (folder / TENSORS).write_bytes(content)


SPOILT: list[tuple[str, Callable[[Path], object], str]] = [
    ("threshold", _rewrite(threshold=99.0), "detector.json was changed after it was stored"),
    (
        "newer",
        _rewrite(version=5),
        r"a newer version of robust \(its format is 5, this one reads 4\)",
    ),
    (
        "older",
        _rewrite(version=1),
        r"an older version of robust \(its format is 1.*fit the detector again",
    ),
    ("foreign", _rewrite(format="x"), "detector.json is not the record of a detector"),
    ("list", lambda f: (f / RECORD).write_text("[1, 2]"), "is not the record of a detector"),
    ("deep", lambda f: (f / RECORD).write_text("[" * 99999), "is not the record of a detector"),
    ("empty", lambda f: (f / RECORD).write_text(""), "is not the record of a detector"),
    ("pickle", lambda f: (f / RECORD).write_bytes(pickle.dumps({})), "is not the record"),
    ("no record", lambda f: (f / RECORD).unlink(), "holds no detector.json; name the folder"),
    ("swapped", _swap_tensors, "safetensors is not the file that was stored beside detector.json"),
    ("flipped", _flip, "is not the file that was stored"),
    ("torch", lambda f: torch.save({}, f / TENSORS), "is not the file that was stored"),
    ("no tensors", lambda f: (f / TENSORS).unlink(), "detector.safetensors cannot be read"),
]


@pytest.mark.parametrize(("spoil", "said"), [s[1:] for s in SPOILT], ids=[s[0] for s in SPOILT])
def test_a_spoilt_folder_is_refused_in_one_line(
    lid: GuardArtifact, tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "guard"
    lid.save(folder)
    GuardArtifact.load(folder)
    spoil(folder)
    with pytest.raises(InputError, match=said) as refused:
        GuardArtifact.load(folder)
    assert "\n" not in str(refused.value)


def test_consistent_files_with_the_wrong_tensors_are_refused(
    weights: Path, lid: GuardArtifact, tmp_path: Path
) -> None:
    """Hashes that fit show that nothing slipped, not that somebody knew what he wrote."""
    good = lid.fitted.learned
    spoilt: list[tuple[dict[str, Tensor], str]] = [
        ({k: v for k, v in good.items() if k != "scale"}, "scale"),
        ({k: v[..., :-1] if v.ndim == 2 else v for k, v in good.items()}, "size of tensor"),
    ]
    for number, (learned, said) in enumerate(spoilt):
        wrong = replace(lid.fitted, learned={k: v.contiguous() for k, v in learned.items()})
        replace(lid, fitted=wrong).save(tmp_path / str(number))
        with pytest.raises(InputError, match=f"the detector LID fails on images .*{said}"):
            Guard(classifier(weights, "small"), tmp_path / str(number), "cpu")


def test_a_folder_in_use_is_left_alone_and_a_failure_leaves_nothing(
    weights: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="mine exists and is not empty"):
        fit_detector(plan(weights), "LID", device="cpu", out=tmp_path / "mine")
    with pytest.raises(InputError, match="cannot be written"):
        fit_detector(
            plan(weights), "LID", device="cpu", out=tmp_path / "mine" / "notes.txt" / "guard"
        )
    with pytest.raises(InputError, match="nothing to learn from"):
        fit_detector(plan(weights), "LID", attack="FGSM", eps=0, device="cpu", out=tmp_path / "new")
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "notes.txt"]
