"""The copy at bfloat16: near to the network, and small changes of an image are not rounded away."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from robust.models import Classifier, prepare
from robust.models.acceleration.accelerate import float32_copy
from robust.models.acceleration.low_precision import low_precision_copy
from tests.models.acceleration.nets import lively


def gradient(model: Any, x: Tensor) -> Tensor:
    moving = x.detach().requires_grad_(True)
    (found,) = torch.autograd.grad(model(moving)[:, 0].sum(), moving)
    return found.flatten(1)


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_near_to_the_network(name: str) -> None:
    torch.manual_seed(0)
    if name == "resnet18":
        net = lively(torchvision.models.resnet18(num_classes=2))
    else:
        options = {"img_size": 64} if name.startswith("vit") else {}
        net = timm.create_model(name, num_classes=2, **options)
    classifier = prepare(Classifier(net, head="softmax"))
    x = torch.rand(4, 3, 64, 64)
    copied = float32_copy(classifier, x)
    assert copied is not None
    low = low_precision_copy(copied[0], x)
    assert low is not None
    kinds = {parameter.dtype for parameter in low.parameters()}  # type: ignore[attr-defined]
    assert torch.bfloat16 in kinds
    with torch.no_grad():
        wanted, found = classifier(x), low(x)
    assert found.dtype == torch.float32
    assert float((found - wanted).abs().max()) < 0.05 * float(wanted.abs().max().clamp_min(1))
    alike = torch.cosine_similarity(gradient(low, x), gradient(classifier, x))
    assert float(alike.min()) > 0.9


class Linear(nn.Module):
    """A single layer before the last: what it loses of an image is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 4, 8), nn.Linear(4, 2)
        with torch.no_grad():
            self.first.weight.fill_(1 / 64)
            self.first.bias.fill_(-0.75)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).flatten(1))


def test_small_changes_of_an_image_are_seen() -> None:
    """At 0.75 bfloat16 counts in steps of 1/256; the change is an eighth of that."""
    torch.manual_seed(0)
    classifier = prepare(Classifier(Linear(), head="softmax"))
    x = torch.full((2, 1, 8, 8), 0.75)
    copied = float32_copy(classifier, x)
    assert copied is not None
    low = low_precision_copy(copied[0], x)
    assert low is not None
    step = torch.full_like(x, 1 / 2048)
    with torch.no_grad():
        wanted = classifier(x + step) - classifier(x)
        found = low(x + step) - low(x)
    assert float(wanted.abs().min()) > 0
    assert torch.allclose(found, wanted, rtol=0.05)


class Mixed(nn.Module):
    """Its own code makes float32 values on the way, which layers at bfloat16 refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Linear(8, 2)
        self.middle = nn.Conv2d(8, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        z = self.middle(z * torch.linspace(0.5, 1, z.shape[3]))
        return self.last(z.mean((2, 3)))


def test_a_network_with_float32_inside_runs_under_autocast() -> None:
    torch.manual_seed(0)
    classifier = prepare(Classifier(Mixed(), head="softmax"))
    x = torch.rand(2, 3, 16, 16)
    copied = float32_copy(classifier, x)
    assert copied is not None
    low = low_precision_copy(copied[0], x)
    assert low is not None
    with torch.no_grad():
        assert torch.allclose(low(x), classifier(x), rtol=0.1, atol=0.05)
