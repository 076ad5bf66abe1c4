"""MONAI: networks by name, and bundles with their transforms; code only where it is allowed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import load_classifier
from robust.models.formats.libraries import in_silence
from tests.models.formats.shared import odd_images, require_sound
from tests.models.nets import Trap

if importlib.util.find_spec("monai") is None:
    pytest.skip("monai is not installed", allow_module_level=True)
with in_silence():
    import monai.transforms
    from monai.networks import nets

NETWORK: dict[str, Any] = {
    "_target_": "DenseNet",
    "spatial_dims": 2,
    "in_channels": "@channels",
    "out_channels": 3,
    "init_features": 4,
    "growth_rate": 4,
    "block_config": [1, 1],
}
TRANSFORMS: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "@image_key"},
    {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
    {"_target_": "Resized", "keys": "@image_key", "spatial_size": [32, 40]},
    {"_target_": "ScaleIntensityRanged", "keys": "@image_key", "a_min": 0, "a_max": 255}
    | {"b_min": -1, "b_max": 1, "clip": True},
    {"_target_": "NormalizeIntensityd", "keys": "@image_key", "subtrahend": 0.1, "divisor": 0.5},
]
METADATA: dict[str, Any] = {
    "name": "moles",
    "task": "classification",
    "network_data_format": {
        "inputs": {"image": {"num_channels": 3, "spatial_shape": [32, 40]}},
        "outputs": {
            "pred": {
                "format": "classes",
                "channel_def": {"0": "normal", "1": "benign", "2": "malignant"},
            }
        },
    },
}


def seeded(build: Any) -> nn.Module:
    with torch.random.fork_rng(), in_silence():
        torch.manual_seed(0)
        network: nn.Module = build()
    return network.eval()


def own_network() -> nn.Module:
    options = {k: v for k, v in NETWORK.items() if k != "_target_"} | {"in_channels": 3}
    return seeded(lambda: nets.DenseNet(**options))


def bundle(
    folder: Path,
    network: Any = NETWORK,
    transforms: Any = TRANSFORMS,
    metadata: Any = METADATA,
    **more: Any,
) -> Path:
    config = {
        "imports": ["$import glob"],
        "device": "$torch.device('cpu')",
        "image_key": "image",
        "channels": 3,
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        **more,
    }
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "inference.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    torch.save({"model": own_network().state_dict()}, folder / "models" / "model.pt")
    return folder


def own_pixels(x: Tensor, transforms: list[dict[str, Any]], file: Path) -> Tensor:
    """What the library's own transforms make of an image that it reads from a file."""
    pixels = (x[0] * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(file)
    data: Any = {"image": str(file)}
    with in_silence():
        for one in transforms:
            arguments = {k: v for k, v in one.items() if k not in ("_target_", "keys")}
            data = getattr(monai.transforms, one["_target_"])(keys="image", **arguments)(data)
    return torch.as_tensor(np.asarray(data["image"]))[None]


def test_a_bundle_gives_the_librarys_pixels_logits_and_names(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    found = require_sound(lambda: load_classifier(folder=folder, head="softmax"), odd_images())
    assert found.output_names == ("normal", "benign", "malignant")
    assert found.channels == 3
    x = odd_images(1)
    seen = found.network[:-1](found.network_input(x))
    wanted = own_pixels(x, TRANSFORMS, tmp_path / "x.png")
    torch.testing.assert_close(seen, wanted, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        torch.testing.assert_close(found(x), own_network()(wanted), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "transforms",
    [
        [{"_target_": "ScaleIntensityd"}],
        [{"_target_": "ScaleIntensityd", "minv": -1.0, "maxv": 2.0, "channel_wise": True}],
        [{"_target_": "Transposed", "indices": [0, 2, 1]}],
        [{"_target_": "Resized", "spatial_size": [20, 24], "mode": "bilinear"}],
        [{"_target_": "Resized", "spatial_size": [90, 70], "mode": "bicubic"}],
        [{"_target_": "ScaleIntensityRanged", "a_min": 10, "a_max": 200}],
    ],
)
def test_transforms_are_rebuilt(tmp_path: Path, transforms: list[dict[str, Any]]) -> None:
    both = [*TRANSFORMS[:2], *transforms]
    found = load_classifier(folder=bundle(tmp_path / "bundle", transforms=both), head="softmax")
    x = odd_images(1)
    seen = found.network[:-1](found.network_input(x))
    wanted = own_pixels(x, both, tmp_path / "x.png")
    torch.testing.assert_close(seen, wanted, rtol=1e-3, atol=1e-3)


def test_yaml_and_the_activation_that_decides_the_head(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    many = [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}]
    folder = bundle(tmp_path / "a", postprocessing={"_target_": "Compose", "transforms": many})
    path = folder / "configs" / "inference.json"
    path.with_suffix(".yaml").write_text(yaml.safe_dump(json.loads(path.read_text())), "utf-8")
    path.unlink()
    assert load_classifier(folder=folder, finding="malignant").finding == 2
    with pytest.raises(InputError, match="set finding; there are: normal, benign"):
        load_classifier(folder=folder)
    one = [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]
    assert load_classifier(folder=bundle(tmp_path / "b", postprocessing=one)).head == "softmax"


def test_code_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    code = NETWORK | {"out_channels": f"$__import__('os').mkdir({str(tmp_path / 'sprung')!r}) or 3"}
    folder = bundle(tmp_path / "code", network=code)
    with pytest.raises(InputError, match=r"but code: if you trust .*allow_code = true"):
        load_classifier(folder=folder)
    assert not (tmp_path / "sprung").exists()
    assert load_classifier(folder=folder, allow_code=True).output_names
    assert (tmp_path / "sprung").exists()
    for i, target in enumerate(
        (
            "os.system",
            "torch.nn.functional.relu",
            "torch.load",
            "monai.networks.nets.densenet.torch.load",
            "monai.networks.utils.convert_to_torchscript",
            "scripts.mine.Network",
        )
    ):
        foreign = bundle(tmp_path / str(i), network={"_target_": target})
        with pytest.raises(InputError, match="no network of MONAI or"):
            load_classifier(folder=foreign)
    own = bundle(tmp_path / "own", network={"_target_": "scripts_of_mine.build"})
    (own / "scripts_of_mine.py").write_text(
        "from tests.models.formats.test_monai import own_network as build\n", "utf-8"
    )
    load_classifier(folder=own, allow_code=True)
    macro = bundle(tmp_path / "macro", network="%other.json#network_def")
    with pytest.raises(InputError, match="but code"):
        load_classifier(folder=macro)
    circle = bundle(tmp_path / "circle", network="@network_def")
    with pytest.raises(InputError, match="round in a circle"):
        load_classifier(folder=circle)


def test_torchscript_in_a_bundle_is_code(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle")
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match=r"holds no models/model.pt"):
        load_classifier(folder=folder)
    with in_silence():
        torch.jit.trace(own_network(), torch.rand(1, 3, 32, 40)).save(folder / "models/model.ts")
    with pytest.raises(InputError, match="is TorchScript, which can run code"):
        load_classifier(folder=folder)
    found = load_classifier(folder=folder, allow_code=True, head="softmax")
    plain = load_classifier(folder=bundle(tmp_path / "plain"), head="softmax")
    with torch.no_grad():
        torch.testing.assert_close(found(odd_images()), plain(odd_images()))


def test_other_bundles_are_refused_by_name(tmp_path: Path) -> None:
    made = METADATA["network_data_format"]["outputs"]["pred"]
    flat = METADATA["network_data_format"]["inputs"]["image"]

    def described(inputs: Any, outputs: Any, **more: Any) -> Any:
        tables = {"inputs": {"image": inputs}, "outputs": {"pred": outputs}}
        return METADATA | {"network_data_format": tables} | more

    odd = {"_target_": "RandFlipd", "keys": "@image_key"}
    for i, (options, said) in enumerate(
        (
            ({"network": NETWORK | {"spatial_dims": 3}}, "a bundle for 3-D volumes"),
            ({"metadata": described(flat | {"spatial_shape": [8, 8, 8]}, made)}, "3-D volumes"),
            (
                {"metadata": described(flat, made | {"format": "segmentation"}, task="skin masks")},
                "is a bundle for skin masks",
            ),
            ({"transforms": [*TRANSFORMS, odd]}, "preprocessing uses RandFlip, which robust"),
            ({"transforms": [{"_target_": "NormalizeIntensityd"}]}, "by each image's own values"),
            ({"transforms": []}, "has no preprocessing"),
            ({"network": NETWORK | {"out_channels": 5}}, r"classifier|class_layers.*shape"),
        )
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(folder=bundle(tmp_path / str(i), **options))
    trap = bundle(tmp_path / "trap")
    torch.save({"trap": Trap(tmp_path / "sprung")}, trap / "models" / "model.pt")
    with pytest.raises(InputError, match="could run any code"):
        load_classifier(folder=trap)
    assert not (tmp_path / "sprung").exists()


BY_NAME = {
    "resnet10": lambda: nets.resnet10(spatial_dims=2, n_input_channels=1, num_classes=3),
    "ViT": lambda: nets.ViT(
        in_channels=1,
        img_size=(32, 32),
        patch_size=(8, 8),
        hidden_size=24,
        mlp_dim=16,
        num_layers=2,
        classification=True,
        num_classes=3,
        spatial_dims=2,
        post_activation="none",
    ),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_network_by_name_reads_its_shape_from_the_weights(tmp_path: Path, name: str) -> None:
    own = seeded(BY_NAME[name])
    torch.save(own.state_dict(), tmp_path / "w.pt")
    found = require_sound(
        lambda: load_classifier(
            f"monai:{name}", weights=tmp_path / "w.pt", size=32, head="softmax"
        ),
        odd_images(2),
    )
    assert found.channels == 1
    with torch.no_grad():
        wanted = own(found.network_input(odd_images(2)))
        wanted = wanted[0] if isinstance(wanted, tuple) else wanted
        torch.testing.assert_close(found(odd_images(2)), wanted)


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    torch.save({"a.weight": torch.zeros(3, 3)}, tmp_path / "w.pt")
    for name, options, said in (
        ("monai:DenseNet122", {}, "did you mean DenseNet121|nearest of"),
        ("monai:UNet", {}, "builds no network 'UNet' of MONAI"),
        ("monai:DenseNet121", {"pretrained": True}, "come as bundles"),
        ("monai:ViT", {"weights": tmp_path / "w.pt"}, "set size in"),
        ("monai:DenseNet121", {"weights": tmp_path / "w.pt"}, "does not fit"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(name, **options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["DenseNet121", "resnet18", "ViT", "SEResNet50", "efficientnet-b0"]
)
def test_networks_of_the_usual_size(tmp_path: Path, name: str) -> None:
    build: Any = {
        "DenseNet121": lambda: nets.DenseNet121(spatial_dims=2, in_channels=3, out_channels=2),
        "resnet18": lambda: nets.resnet18(spatial_dims=2, n_input_channels=3, num_classes=2),
        "SEResNet50": lambda: nets.SEResNet50(spatial_dims=2, in_channels=3, num_classes=2),
        "efficientnet-b0": lambda: nets.EfficientNetBN(
            "efficientnet-b0", pretrained=False, spatial_dims=2, in_channels=3, num_classes=2
        ),
        "ViT": lambda: nets.ViT(
            in_channels=3,
            img_size=(224, 224),
            patch_size=(16, 16),
            hidden_size=192,
            mlp_dim=384,
            classification=True,
            num_classes=2,
            spatial_dims=2,
            qkv_bias=True,
        ),
    }[name]
    torch.save(seeded(build).state_dict(), tmp_path / "w.pt")
    require_sound(
        lambda: load_classifier(
            f"monai:{name}", weights=tmp_path / "w.pt", size=224, head="softmax"
        ),
        odd_images(2, 260, 301),
    )
