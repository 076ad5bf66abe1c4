"""Batch normalisation folded into the layer before is the same function."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from robust.models import Classifier, prepare
from robust.models.acceleration.accelerate import (
    float32_copy,
)
from robust.models.acceleration.batchnorm_folding import fold
from tests.models.acceleration.nets import lively

NETWORKS = {
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=3), 20),
    "torchvision mobilenet_v2": (lambda: torchvision.models.mobilenet_v2(num_classes=3), 52),
    "timm resnet18": (lambda: timm.create_model("resnet18", num_classes=3), 20),
    "timm efficientnet_b0": (lambda: timm.create_model("efficientnet_b0", num_classes=3), 49),
    "torchvision densenet": (
        lambda: torchvision.models.DenseNet(8, (2, 3), num_init_features=16, num_classes=3),
        6,
    ),
    "timm vit_tiny": (lambda: timm.create_model("vit_tiny_patch16_224", depth=2, num_classes=3), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_is_the_same_function(name: str) -> None:
    make, pairs = NETWORKS[name]
    classifier = prepare(Classifier(lively(make()), mean=0.5, std=0.5, head="softmax").double())
    side = 224 if "vit" in name else 64
    x = torch.rand(2, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        before = classifier(x)
        assert fold(classifier.network, classifier, x) == pairs
        torch.testing.assert_close(classifier(x), before, rtol=1e-9, atol=1e-9)


class Shared(nn.Module):
    """One convolution before two normalisations: neither may be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.conv(self.one(self.conv(x)))).mean((2, 3))


class Read(nn.Module):
    """Something else reads what the convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.head = nn.Linear(64, 2)

    def forward(self, x: Tensor) -> Tensor:
        found = self.conv(x)
        return self.head((self.norm(found).relu() + found).mean((2, 3)))


def test_what_cannot_be_folded_is_left() -> None:
    classifier = prepare(Classifier(lively(Shared()), head="softmax"))
    x = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        before = classifier(x)
        assert fold(classifier.network, classifier, x) == 0
        assert torch.equal(classifier(x), before)
    read = prepare(Classifier(lively(Read()), head="softmax"))
    found = float32_copy(read, torch.rand(2, 3, 160, 160))
    assert found is not None and found[1] == 0  # seen by comparing the outputs
