"""Networks built as their weights need them: channels, image size, heads of training."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import timm
import torch
import torchvision.models
from torch import nn

from robust.errors import InputError
from robust.models import Classifier, load_classifier
from tests.models.nets import TINY, images


def saved(network: nn.Module, folder: Path) -> Path:
    torch.save(network.state_dict(), folder / "w.pth")
    return folder / "w.pth"


@pytest.mark.parametrize("told", [None, 1])
def test_weights_of_one_channel_are_found(tmp_path: Path, told: int | None) -> None:
    network = timm.create_model(TINY, num_classes=3, in_chans=1).eval()
    found = load_classifier(
        TINY, weights=saved(network, tmp_path), channels=told, fit="squash", head="softmax"
    )
    assert found.channels == 1 and found.network.state_dict()["conv1.0.weight"].shape[1] == 1
    grey = images(2, 160)[:, :1]
    wanted = network((grey - found.mean) / found.std)
    assert torch.equal(found(grey), wanted) and found.mean.numel() == found.std.numel() == 1
    assert "averages of the architecture's own three" in "; ".join(found.origin.notes)
    with pytest.raises(InputError, match="the weights take 1 channel, channels = 3 cannot be"):
        load_classifier(TINY, weights=tmp_path / "w.pth", channels=3)


@pytest.mark.parametrize(
    "name", ["resnet18", pytest.param("densenet121", marks=pytest.mark.slow), "squeezenet1_1"]
)
def test_torchvision_with_another_first_convolution(tmp_path: Path, name: str) -> None:
    network = torchvision.models.get_model(name, num_classes=2)
    place, old = next((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d))
    above, _, last = place.rpartition(".")
    new = nn.Conv2d(1, old.out_channels, old.kernel_size, old.stride, old.padding,  # type: ignore[arg-type]
                    bias=old.bias is not None)  # fmt: skip
    setattr(network.get_submodule(above), last, new)
    network.eval()
    found = load_classifier(
        f"torchvision:{name}", weights=saved(network, tmp_path), size=64, fit="squash",
        mean=0.5, std=0.25, head="softmax",
    )  # fmt: skip
    x = images(2, 64)[:, :1]
    assert torch.equal(found(x), network((x - 0.5) / 0.25)) and found.channels == 1


def test_channels_that_cannot_be(tmp_path: Path) -> None:
    three = saved(timm.create_model(TINY, num_classes=3), tmp_path)
    with pytest.raises(
        InputError, match=r"take 3 channels, channels = 1 cannot be; leave channels"
    ):
        load_classifier(TINY, weights=three, channels=1)
    with pytest.raises(InputError, match="take 3 channels; leave channels out"):
        load_classifier(TINY, pretrained=True, channels=1)
    four = saved(timm.create_model(TINY, num_classes=3, in_chans=4), tmp_path)
    with pytest.raises(InputError, match="a network with 4 input channels; images have 1 or 3"):
        load_classifier(TINY, weights=four)


@pytest.mark.parametrize(
    ("trained", "fed"), [(160, 96), (96, None), (96, 160), (96, 96), (160, None)]
)
def test_a_transformer_at_another_size(tmp_path: Path, trained: int, fed: int | None) -> None:
    """Built for the size of its weights; at another its position embeddings are interpolated."""
    network = timm.create_model("test_vit", num_classes=2, img_size=trained, dynamic_img_size=True)
    network.eval()
    found = load_classifier(
        "test_vit", weights=saved(network, tmp_path), size=fed, fit="squash", head="softmax"
    )
    side = fed or trained
    assert found.size == (side, side)
    x = images(2, side)
    assert torch.equal(found(x), network((x - found.mean) / found.std))


def test_torchvisions_transformer_at_another_size(tmp_path: Path) -> None:
    from robust.models.architectures import find_construction, initial_state

    initial = initial_state("torchvision", "vit_b_16")
    with torch.device("meta"):
        made = torchvision.models.vit_b_16(image_size=96, num_classes=2).state_dict()
    built = find_construction("torchvision", "vit_b_16", initial, made, None)
    assert built.size == (96, 96)


@pytest.mark.parametrize(
    "name", [pytest.param("inception_v3", marks=pytest.mark.slow), "googlenet"]
)
def test_heads_of_training_are_dropped(tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torchvision.models.get_model(name, num_classes=2, init_weights=False).eval()
    found = load_classifier(
        f"torchvision:{name}", weights=saved(network, tmp_path), size=96, fit="squash",
        head="softmax",
    )  # fmt: skip
    x = images(1, 96)
    wanted = network((x - found.mean) / found.std)
    assert torch.equal(found(x), wanted)
    notes = "; ".join(found.origin.notes)
    assert "training alone: " in notes and "transform_input" in notes


@pytest.mark.parametrize(
    ("name", "fit", "crop_pct", "resized"),
    [
        ("torchvision:resnet18", "crop", 224 / 256, 256),
        ("torchvision:inception_v3", "crop", 299 / 342, 342),
        ("timm:resnet18", "crop", 0.95, 235),
        ("timm:densenet121", "crop", 0.875, 256),
        ("timm:deit_tiny_patch16_224", "crop", 0.9, 248),
        ("timm:tf_efficientnetv2_b3", "squash", 0.9, 266),
    ],
)
def test_preprocessing_of_an_architecture(
    name: str, fit: str, crop_pct: float, resized: int
) -> None:
    from robust.models.architectures import build_network, configuration
    from robust.models.classifier import resized_side

    library, _, rest = name.partition(":")
    known = configuration(library, rest, build_network(library, rest, 2, pretrained=False))
    assert known.fit == fit and known.crop_pct == pytest.approx(crop_pct)
    assert known.size is not None and resized_side(known.size[0], known.crop_pct) == resized


SHAPES = ((300, 450), (450, 300), (224, 224), (180, 260), (333, 1000), (299, 400), (61, 47))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("crop_pct", [224 / 256, 0.9, 0.95, 1.0])
def test_crops_are_those_of_torchvision(interpolation: str, crop_pct: float) -> None:
    """Pixel by pixel; Pillow rounds to grey levels between its two passes, tensors do not."""
    import math

    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import v2 as transforms

    class Seen(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.x = x
            return x.mean((2, 3))

    resize = transforms.Resize(
        math.floor(224 / crop_pct + 1e-9), InterpolationMode(interpolation), antialias=True
    )
    for height, width in SHAPES:
        x = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
        seen = Seen()
        Classifier(
            seen, size=224, fit="crop", crop_pct=crop_pct, interpolation=interpolation,
            head="softmax",
        )(x)  # fmt: skip
        wanted = transforms.CenterCrop(224)(resize(x))
        # torchvision clips what bicubic weights bring beyond the range.
        torch.testing.assert_close(seen.x.clamp(0, 1), wanted.clamp(0, 1), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("torchvision:resnet18", "torchvision:densenet121", "torchvision:inception_v3"),
        *("timm:resnet18", "timm:densenet121", "timm:vit_base_patch16_224", "timm:inception_v3"),
    ],
)
def test_logits_are_those_after_the_librarys_own_transform(tmp_path: Path, name: str) -> None:
    """Of Pillow images of every aspect, within 0.01 spreads of the logits.

    Pillow rounds to grey levels after each of two passes. A transformer with random weights feels
    that more than a convolutional network does.
    """
    limit = 0.02 if "vit" in name else 0.01
    import numpy as np
    from PIL import Image
    from scipy.ndimage import gaussian_filter
    from timm.data import create_transform, resolve_model_data_config

    library, _, rest = name.partition(":")
    extra = {"aux_logits": False, "init_weights": True} if rest == "inception_v3" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if library == "timm":
            network = timm.create_model(rest, num_classes=5).eval()
            transform = create_transform(**resolve_model_data_config(network))
        else:
            network = torchvision.models.get_model(rest, num_classes=5, **extra).eval()
            transform = torchvision.models.get_model_weights(rest).DEFAULT.transforms()
    found = load_classifier(name, weights=saved(network, tmp_path), head="softmax")
    rng = np.random.default_rng(0)
    for height, width in SHAPES[:-1]:
        noise = gaussian_filter(rng.random((height, width, 3)), (3, 3, 0))
        grey = np.ptp(noise)
        pixels = np.round(255 * (noise - noise.min()) / grey).astype(np.uint8)
        x = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            wanted = network(transform(Image.fromarray(pixels))[None])
            assert (found(x) - wanted).abs().max() < limit * wanted.std()
