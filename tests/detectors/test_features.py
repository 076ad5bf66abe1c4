"""Layers are found without help, read in one pass, and no hook stays behind."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from detectors.features import INPUT, Extractor, Features, find_layers, pool
from robust.models import Classifier


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@pytest.mark.parametrize(
    ("model", "size", "wanted"),
    [
        (
            lambda: torchvision.models.resnet18(num_classes=2),
            64,
            ("relu", "layer1", "layer2", "layer3", "layer4", "fc:input"),
        ),
        (
            lambda: timm.create_model("densenet121", num_classes=3),
            64,
            (
                *("features.norm0", "features.denseblock1", "features.denseblock2"),
                *("features.denseblock3", "features", "classifier:input"),
            ),
        ),
        (
            lambda: torchvision.models.squeezenet1_1(num_classes=2),
            64,
            ("features.1", "features.4", "features.7", "classifier.0", "classifier.1:input"),
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", num_classes=2, img_size=64),
            64,
            ("blocks.2", "blocks.5", "blocks.8", "blocks.11", "head:input"),
        ),
        (
            lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=2, img_size=64),
            64,
            ("layers.0", "layers.1", "layers.2", "norm", "head.fc:input"),
        ),
        (
            lambda: timm.create_model("mobilenetv2_100", num_classes=2),
            64,
            ("blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2", "classifier:input"),
        ),
    ],
    ids=["resnet18", "densenet121", "squeezenet", "vit", "swin", "mobilenetv2"],
)
def test_stages_and_the_penultimate_layer_are_found(
    model: object, size: int, wanted: tuple[str, ...]
) -> None:
    network = model().eval()  # type: ignore[operator]
    x = torch.rand(2, 3, size, size)
    names = find_layers(network, x)
    assert names == wanted
    with torch.no_grad():
        found = Extractor(network, names)(x)
        assert torch.equal(found.logits, network(x))
    assert list(found.layers) == list(names) and hooks(network) == 0
    assert all(v.shape[0] == 2 and v.ndim == 2 for v in found.layers.values())


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, 2),
    ).eval()


def test_what_is_read_is_what_a_pass_by_hand_gives() -> None:
    """Also of a layer whose output a later one writes over."""
    torch.manual_seed(0)
    model, x = small(), torch.rand(3, 1, 8, 8)
    found = Extractor(model, ["1", "5", f"10{INPUT}"])(x)
    normed = model[1](model[0](x)).clone()
    assert torch.allclose(found.layers["1"], normed.mean((2, 3)))
    later = model[5](model[4](model[3](normed.relu())))
    assert torch.allclose(found.layers["5"], later.mean((2, 3)))
    assert torch.allclose(found.deep, model[9](model[8](later.mean((2, 3)))))


def test_one_pass_serves_all_layers() -> None:
    model, calls = small(), []
    model.register_forward_hook(lambda *_: calls.append(1))
    Extractor(model, ["1", "5", f"10{INPUT}"])(torch.rand(3, 1, 8, 8))
    assert len(calls) == 1


def test_gradients_reach_the_image_from_every_layer() -> None:
    model = small()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    for values in Extractor(model, find_layers(model, x))(x).layers.values():
        (gradient,) = torch.autograd.grad(values.sum(), x, retain_graph=True)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    with torch.no_grad():
        assert not Extractor(model, ["1"])(x).deep.requires_grad


def test_no_hook_outlives_a_pass_that_fails() -> None:
    model = small()
    with pytest.raises(RuntimeError):
        Extractor(model, ["1", "5"])(torch.rand(1, 3, 8, 8))
    with pytest.raises(RuntimeError):
        find_layers(model, torch.rand(1, 3, 8, 8))
    assert hooks(model) == 0


def test_a_classifier_is_read_through_its_preprocessing() -> None:
    network = torchvision.models.resnet18(num_classes=2).eval()
    classifier = Classifier(network, channels=3, mean=0.5, std=0.25, head="softmax").eval()
    x = torch.rand(2, 1, 64, 64)
    names = find_layers(classifier, x)
    assert names[1:] == tuple(
        f"network.{n}" for n in ("layer1", "layer2", "layer3", "layer4", "fc:input")
    )
    found = Extractor(classifier, ["layer4", "fc:input"])(x)
    assert torch.equal(found.logits, classifier(x))
    assert list(found.layers) == ["network.layer4", "network.fc:input"]
    # After the last stage nothing but the mean over space comes before the head.
    assert torch.allclose(found.layers["network.layer4"], found.deep, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        (["layer9"], r"no layer 'layer9'; nearest: .*layer"),
        (["conv1"], r"'conv1' is the end of .*name one in full"),
        ([], "no layer is named"),
    ],
)
def test_layers_that_do_not_exist(layers: list[str], says: str) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torchvision.models.resnet18(num_classes=2)
            self.b = torchvision.models.resnet18(num_classes=2)

    with pytest.raises(ValueError, match=says):
        Extractor(Two(), layers)


def test_a_layer_that_never_runs_and_a_network_that_shows_none() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.idle = small(), nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)  # type: ignore[no-any-return]

    with pytest.raises(ValueError, match="'idle' gave no tensor"):
        Extractor(Idle(), ["idle"])(torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="no linear layer and no convolution"):
        find_layers(nn.Sequential(nn.Flatten()), torch.rand(1, 1, 2, 1))


@pytest.mark.parametrize(
    ("shape", "wanted"), [((2, 7, 4, 4), 7), ((2, 4, 4, 7), 7), ((2, 9, 5), 5), ((2, 6), 6)]
)
def test_pooling_over_space_whatever_its_place(shape: tuple[int, ...], wanted: int) -> None:
    assert pool(torch.rand(shape), torch.rand(2, 1, 8, 8)).shape == (2, wanted)


def test_cases_are_taken_and_put_together() -> None:
    values = torch.arange(6.0).reshape(3, 2)
    features = Features(values, {"a": values + 1}, {"b": values[:, :1]})
    back = Features.cat([features.take(torch.tensor([2])), features.take(torch.tensor([0, 1]))])
    order = torch.tensor([2, 0, 1])
    assert torch.equal(back.logits, values[order]) and torch.equal(back.deep, values[order] + 1)
    assert torch.equal(back.extra("b"), values[order, :1])
    assert len(back) == 3
