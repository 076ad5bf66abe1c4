"""Networks of timm and torchvision by name."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import nn

from robust.errors import InputError
from robust.models import (
    list_models,
    load_classifier,
)
from tests.models.nets import TINY, images


@pytest.mark.parametrize(
    ("name", "options"),
    [("squeezenet1_1", {}), ("mobilenet_v2", {"mean": 0.5, "std": 0.5})],
)
def test_torchvision_by_name(data: Path, name: str, options: dict[str, Any]) -> None:
    weights = data / "weights" / f"{name}_imagenet.pth"
    classifier = load_classifier(name, weights=weights, head="softmax", fit="squash", **options)
    original = torchvision.models.get_model(name, weights=None)
    original.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    mean, std = classifier.mean, classifier.std
    assert classifier.describe()["size"] == [224, 224] and classifier.channels == 3
    x = images(2, 224)
    wanted = original.eval()((x - mean) / std)
    assert wanted.shape == (2, 1000)
    torch.testing.assert_close(classifier(x), wanted)
    if not options:
        assert classifier.describe()["mean"] == [0.485, 0.456, 0.406]
        assert classifier.describe()["std"] == [0.229, 0.224, 0.225]


def test_timm_by_name_takes_all_but_the_weights_from_its_configuration(
    tmp_path: Path, tiny: nn.Module
) -> None:
    torch.save(tiny.state_dict(), tmp_path / "w.pth")
    classifier = load_classifier(TINY, weights=tmp_path / "w.pth", head="softmax")
    told = classifier.describe()
    assert (told["size"], told["channels"]) == ([160, 160], 3)
    assert (told["fit"], told["crop_pct"]) == ("crop", 0.95)
    assert "resized to 168 pixels on the short side" in classifier.origin.notes[-1]
    assert (told["mean"], told["std"]) == ([0.5] * 3, [0.5] * 3)
    assert told["interpolation"] == "bilinear"
    classifier = load_classifier(TINY, weights=tmp_path / "w.pth", head="softmax", fit="squash")
    assert classifier.crop_pct == 1 and not classifier.origin.notes
    x = images(2, 160)
    wanted = tiny((x - 0.5) / 0.5)
    assert wanted.shape == (2, 3), "three outputs, read from the weights"
    torch.testing.assert_close(classifier(x), wanted)
    assert load_classifier("timm:test_vit.r160_in1k", weights=_saved(tmp_path)).interpolation == (
        "bicubic"
    )
    other = load_classifier(
        TINY, weights=tmp_path / "w.pth", mean=0.1, std=(0.2, 0.3, 0.4), size=[64, 48], fit="pad"
    )
    assert other.size == (64, 48) and (other.fit, other.crop_pct) == ("pad", 1)
    assert load_classifier(TINY, weights=tmp_path / "w.pth", crop_pct=0.5).crop_pct == 0.5
    torch.testing.assert_close(other.mean.flatten(), torch.tensor([0.1]))
    torch.testing.assert_close(other.std.flatten(), torch.tensor([0.2, 0.3, 0.4]))


def _saved(folder: Path) -> Path:
    torch.save(timm.create_model("test_vit", num_classes=2).state_dict(), folder / "vit.pth")
    return folder / "vit.pth"


def test_names_that_are_not_known() -> None:
    for name, said in (
        ("resnet5o", "unknown architecture 'resnet5o'; nearest of .*resnet50"),
        ("keras:resnet50", "unknown library 'keras'"),
        ("torchvision:test_resnet", "unknown architecture 'test_resnet'"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(name, weights="w.pth")
    found = list_models("*mobilenet_v3*")
    assert found["torchvision"] == ["mobilenet_v3_large", "mobilenet_v3_small"]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No name resolves and no cache helps."""
    import huggingface_hub.constants as hub

    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    before = hub.HF_HUB_OFFLINE
    yield
    assert before == hub.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("name", "library", "build"),
    [
        (f"{TINY}.r160_in1k", "timm", f"timm.create_model('{TINY}.r160_in1k', pretrained=True)"),
        ("torchvision:squeezenet1_1", "torchvision", "get_model('squeezenet1_1', weights='DEFAU"),
    ],
)
def test_pretrained_without_a_network_says_how_to_get_it(
    offline: None, name: str, library: str, build: str
) -> None:
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_classifier(name, pretrained=True)
    said = str(caught.value)
    assert build in said and f"import torch, {library}" in said
    assert "weights = '" in said and "in place of pretrained = true" in said


def test_any_failure_of_the_library_says_how_to_get_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("proxy says no")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        InputError, match=r"could not be downloaded \(ConnectionError\).*weights = "
    ):
        load_classifier(TINY, pretrained=True)
