"""TFLite files: the outputs of LiteRT, image by image, and no gradients."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from robust.cases import open_cases
from robust.errors import InputError
from robust.models import load_classifier, prepare, weights_hash
from tests.models.formats.tflite_files import OUTPUT_SCALE, SIDE, logits, write


def images(n: int = 5) -> torch.Tensor:
    levels = torch.randint(0, 256, (n, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1))
    return levels / 255


def test_the_outputs_are_those_of_the_layer(tmp_path: Path) -> None:
    classifier = load_classifier(file=write(tmp_path / "m.tflite"))
    assert (classifier.size, classifier.channels) == ((SIDE, SIDE), 3)
    assert not classifier.origin.differentiable and "LiteRT" in classifier.origin.format
    x = images().requires_grad_()
    found = classifier.outputs(x)
    np.testing.assert_allclose(found.numpy(), logits(x.detach().numpy()), atol=1e-5)
    assert not found.requires_grad


def test_a_quantised_file_is_scaled_in_and_out(tmp_path: Path) -> None:
    classifier = load_classifier(file=write(tmp_path / "q.tflite", int8=True))
    assert "int8" in classifier.origin.format
    x = images()
    wanted = np.clip(logits(x.numpy()) / OUTPUT_SCALE, -128, 127) * OUTPUT_SCALE
    found = classifier.outputs(x).numpy()
    assert np.abs(found - wanted).max() <= 0.51 * OUTPUT_SCALE
    np.testing.assert_allclose(found / OUTPUT_SCALE, np.round(found / OUTPUT_SCALE))


def test_copies_answer_alike_and_other_files_have_another_hash(tmp_path: Path) -> None:
    one = load_classifier(file=write(tmp_path / "m.tflite"))
    two = load_classifier(file=write(tmp_path / "q.tflite", int8=True))
    x = images()
    ready = prepare(one, images=x)
    assert ready.head == "softmax"
    assert torch.equal(copy.deepcopy(ready).outputs(x), one.outputs(x))
    assert weights_hash(ready) == weights_hash(one) != weights_hash(two)


def refused(path: Path, *said: str) -> None:
    with pytest.raises(InputError) as error:
        load_classifier(file=path)
    assert "\n" not in str(error.value)
    for text in said:
        assert text in str(error.value)


def test_files_that_are_no_classifier_of_images_are_refused(tmp_path: Path) -> None:
    refused(write(tmp_path / "two.tflite", inputs=2), "has 2 inputs", "an audit needs one image")
    refused(write(tmp_path / "four.tflite", channels=4), "images of 4 channels")
    content = write(tmp_path / "m.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "cut.tflite", "is not a TFLite file that LiteRT can run")


def test_without_the_runtime_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "m.tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    refused(path, "needs ai-edge-litert: pip install 'robust-audit[tflite]'")


def pneumonia(data: Path, every: int) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    """Logits of a third party's network on every so many-th test image, and who is ill."""
    file = data / "models_more" / "classifiers" / "chest_xray_cnn.tflite"
    classifier = load_classifier(file=file, interpolation="bicubic")
    cases = open_cases(data / "chest_xray", split="test")
    chosen = range(0, len(cases), every)
    shown = [torch.as_tensor(case.image) for case in cases.stream(chosen)]  # type: ignore[union-attr]
    x = torch.stack(shown).float()
    ready = prepare(classifier, images=x[:32])
    assert ready.head == "probabilities"
    return ready(x), np.array([cases.entries[n].label for n in chosen]) == 1


def test_a_pneumonia_network_of_a_third_party_tells_the_ill(data: Path) -> None:
    z, ill = pneumonia(data, 10)
    assert len(ill) > 40
    # Its makers' 0.960 less three standard errors of so few images.
    assert roc_auc_score(ill, z[:, 1] - z[:, 0]) > 0.87


@pytest.mark.slow
def test_a_pneumonia_network_of_a_third_party_reaches_its_scores(data: Path) -> None:
    z, ill = pneumonia(data, 1)
    said = (z[:, 1] > z[:, 0]).numpy()
    assert (said == ill).mean() == pytest.approx(0.908, abs=0.001)
    assert roc_auc_score(ill, z[:, 1] - z[:, 0]) == pytest.approx(0.960, abs=0.001)
