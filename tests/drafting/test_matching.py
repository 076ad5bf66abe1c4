"""State dicts are recognised by the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn

from robust.drafting.architecture_index import INDEX, digest_of_names, last_layer, make_index
from robust.drafting.matching import Match, find_matches
from robust.models.architectures import shapes_of


def shapes(build: Callable[[], nn.Module]) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in build().state_dict().items()}


def with_own_head() -> nn.Module:
    network = torchvision.models.resnet18()
    network.fc = nn.Sequential(nn.Dropout(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 5))
    return network


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: torchvision.models.resnet18(num_classes=7), Match("torchvision:resnet18")),
        (lambda: torchvision.models.densenet121(num_classes=1), Match("torchvision:densenet121")),
        (lambda: torchvision.models.vgg11(num_classes=2), Match("torchvision:vgg11")),
        (lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3), Match("timm:vit_tiny_patch16_224")),
        (lambda: timm.create_model("efficientnet_b0", num_classes=2, in_chans=1), Match("timm:efficientnet_b0")),
        (with_own_head, Match("torchvision:resnet18", "fc")),
    ],
)  # fmt: skip
def test_the_architecture_is_found(build: Callable[[], nn.Module], expected: Match) -> None:
    assert find_matches(shapes(build))[0] == expected


def test_networks_of_the_same_names_differ_by_shape() -> None:
    names = {
        match.name for match in find_matches(shapes(lambda: timm.create_model("wide_resnet50_2")))
    }
    assert "torchvision:wide_resnet50_2" in names and "torchvision:resnet50" not in names


def test_another_network_is_not_recognised() -> None:
    assert find_matches(shapes(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)))) == []


@pytest.mark.parametrize(
    "name", ["torchvision:mobilenet_v2", "timm:convnext_tiny", "timm:resnet26"]
)
def test_the_index_is_that_of_the_libraries(name: str) -> None:
    found = shapes_of(name)
    assert found is not None
    head = last_layer(found)
    line = next(line for line in INDEX.read_text().splitlines() if name in line.split())
    assert line.split()[:2] == [digest_of_names(found, head), head]


@pytest.mark.slow
def test_the_whole_index_is_that_of_the_libraries() -> None:
    assert make_index() == INDEX.read_text(encoding="utf-8")
