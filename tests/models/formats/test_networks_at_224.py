"""ResNet-18, DenseNet-121 and a ViT at 224 pixels in timm folders, TorchScript and .pt2, proven."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from robust.models import load_classifier, prepare
from robust.models.proof import output_deviation, prove

NETWORKS = ("resnet18", "densenet121", "vit_small_patch16_224")


def make(name: str) -> nn.Module:
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=3).eval()


def write_timm_folder(network: nn.Module, place: Path) -> dict[str, str]:
    from timm.models import save_for_hf

    save_for_hf(network, str(place / "hub"), model_config={"num_classes": 3})
    return {"folder": str(place / "hub")}


def write_torchscript(network: nn.Module, place: Path) -> dict[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.rand(2, 3, 224, 224)).save(place / "network.pt")
    return {"file": str(place / "network.pt")}


def write_exported(network: nn.Module, place: Path) -> dict[str, str]:
    example = (torch.rand(2, 3, 224, 224),)
    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(torch.export.export(network, example, dynamic_shapes=free), place / "n.pt2")
    return {"file": str(place / "n.pt2")}


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_timm_folder, write_torchscript, write_exported])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_what_its_library_runs(name: str, write: object, tmp_path: Path) -> None:
    network = make(name)
    given = write(network, tmp_path)  # type: ignore[operator]
    classifier = load_classifier(
        **given, size=224, mean=0.5, std=0.25, head="softmax", fit="squash"
    )
    x = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, expected = classifier(x), network((x - 0.5) / 0.25)
    assert output_deviation(found, expected) < 1e-4
    proof = prove(prepare(classifier), [x])
    assert proof.gradients < (1e-3 if proof.precision == "float64" else 2e-2)
