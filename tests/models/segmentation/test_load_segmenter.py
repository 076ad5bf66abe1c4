"""Every source of a segmenter gives back the network that was saved."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robust import Classifier, InputError, Segmenter, load_classifier, load_segmenter
from robust.models import prepare
from robust.models.acceleration.accelerate import make_fast_models
from robust.models.class_order import match_classes
from robust.models.formats.named_segmenters import build_named_segmenter
from robust.models.proof import needs_proof, prove
from robust.models.segmentation.trained import describe_segmenter
from tests.models.segmentation.nets import Convolved

NETS = "tests.models.segmentation.nets"
UNET = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8, 8],
    "strides": [2, 2],
}
Named = tuple[str, dict[str, Any], dict[str, Any], tuple[int, ...]]
NAMED: list[Named] = [
    ("monai:UNet", UNET, {"strides": [2, 2]}, (32, 32)),
    ("monai:UNet", {**UNET, "num_res_units": 2}, {"strides": [2, 2]}, (32, 32)),
    ("monai:UNet", {**UNET, "spatial_dims": 3}, {"strides": [2, 2]}, (16, 16, 16)),
    ("monai:BasicUNet", {"spatial_dims": 2, "features": [4, 4, 8, 8, 8, 4]}, {}, (32, 32)),
    (
        "monai:SegResNet",
        {"spatial_dims": 3, "out_channels": 4, "blocks_down": [1, 2, 1], "blocks_up": [1, 1]},
        {},
        (16, 16, 16),
    ),
    (
        "smp:Unet",
        {"encoder_name": "resnet18", "classes": 2},
        {"encoder_name": "resnet18"},
        (64, 64),
    ),
]

LARGE: list[Named] = [
    (
        "monai:UNETR",
        {
            "in_channels": 1,
            "out_channels": 2,
            "img_size": 32,
            "feature_size": 4,
            "hidden_size": 24,
            "mlp_dim": 32,
            "spatial_dims": 2,
        },
        {"img_size": 32},
        (32, 32),
    ),
    (
        "monai:SwinUNETR",
        {"in_channels": 1, "out_channels": 2, "feature_size": 12, "spatial_dims": 2},
        {},
        (64, 64),
    ),
]


def saved(network: nn.Module, path: Path) -> Path:
    torch.save({"model_state_dict": network.state_dict(), "epoch": 3}, path)
    return path


def built(architecture: str, settings: dict[str, Any]) -> nn.Module:
    torch.manual_seed(0)
    return build_named_segmenter(architecture, settings).eval()


@pytest.mark.parametrize(
    "architecture,built_with,said,space",
    [*NAMED, *(pytest.param(*large, marks=pytest.mark.slow) for large in LARGE)],
)
def test_a_network_by_name_is_read_from_its_weights(
    tmp_path: Path,
    architecture: str,
    built_with: dict[str, Any],
    said: dict[str, Any],
    space: tuple[int, ...],
) -> None:
    network = built(architecture, built_with)
    weights = saved(network, tmp_path / "w.pth")
    segmenter = load_segmenter(architecture, weights=weights, settings=said, head="softmax")
    assert segmenter.spatial_dims == len(space)
    x = torch.rand(1, 1, *space)
    with torch.no_grad():
        found = segmenter(x)
        assert torch.equal(found, network(segmenter.network_input(x)))
    assert found.shape[2:] == space
    if architecture.startswith("smp"):
        assert segmenter.channels == 3
        assert segmenter.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_what_no_weights_show_is_asked_for(tmp_path: Path) -> None:
    weights = saved(built("monai:UNet", UNET), tmp_path / "w.pth")
    for options, said in (
        ({"architecture": "monai:UNet"}, "needs a weights file"),
        ({"architecture": "monai:UNet", "weights": weights}, r"needs its strides.*settings = "),
        ({"architecture": "monai:Unet", "weights": weights}, "UNet"),
        ({"architecture": "resnet18", "weights": weights}, "no segmenter is called 'resnet18'"),
        ({"architecture": "monai:SegResNet", "weights": weights}, "not those of monai:SegResNet"),
        (
            {"architecture": "monai:UNet", "weights": weights, "settings": {"stride": [2]}},
            "has no setting 'stride'; .*strides",
        ),
        (
            {
                "architecture": "monai:UNet",
                "weights": weights,
                "settings": {**UNET, "spatial_dims": 7},
            },
            "cannot be built with these settings",
        ),
        ({"factory": f"{NETS}:a_function"}, "returns a function; a segmenter needs the network"),
        ({"factory": f"{NETS}:convolved", "overlap": 0.5}, "set window"),
        ({"factory": f"{NETS}:convolved", "settings": {"a": 1}}, "settings belongs to architec"),
        ({}, "exactly one of"),
    ):
        with pytest.raises(InputError, match=said):
            load_segmenter(**options)  # type: ignore[arg-type]


def test_a_factory_with_the_weights_of_a_trainer(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = Convolved(2)
    nn.init.normal_(network.first.weight)
    weights = tmp_path / "old.pth"
    torch.save(network.state_dict(), weights, _use_new_zipfile_serialization=False)
    segmenter = load_segmenter(factory=f"{NETS}:convolved", weights=weights, head="softmax")
    x = torch.rand(1, 1, 7, 9)
    assert torch.equal(segmenter(x), network(x))


def exported(network: nn.Module, folder: Path, suffix: str) -> Path:
    path, x = folder / f"model{suffix}", torch.rand(2, 1, 12, 12)
    if suffix == ".pt":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch has deprecated TorchScript
            torch.jit.trace(network, x).save(path)  # type: ignore[no-untyped-call]
    elif suffix == ".pt2":
        free = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
        torch.export.save(torch.export.export(network, (x,), dynamic_shapes=(free,)), path)
    else:
        pytest.importorskip("onnxruntime")
        free = {0: torch.export.Dim.DYNAMIC}
        torch.onnx.export(network, (x,), path, dynamic_shapes=(free,), dynamo=True, verbose=False)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pt2", pytest.param(".onnx", marks=pytest.mark.slow)])
def test_a_file_holds_the_whole_network(tmp_path: Path, suffix: str) -> None:
    network = Convolved(2).eval()
    loaded = load_segmenter(file=exported(network, tmp_path, suffix), head="softmax")
    x = torch.rand(3, 1, 12, 12)
    torch.testing.assert_close(loaded(x), network(x), rtol=1e-5, atol=1e-5)
    assert needs_proof(loaded.origin) == (suffix == ".onnx")
    if suffix == ".onnx":
        proof = prove(prepare(loaded), [x[:2], x[2:]])
        assert proof.outputs is not None
        assert proof.outputs < 1e-4


def trained(folder: Path) -> Segmenter:
    """A segmenter, and the folder that a training would write."""
    settings = {**UNET, "out_channels": 2}
    segmenter = Segmenter(
        built("monai:UNet", settings),
        head="softmax",
        channels=1,
        mean=0.3,
        std=0.2,
        window=16,
        output_names=("background", "lung"),
        spatial_dims=2,
    )
    folder.mkdir()
    content = describe_segmenter("monai:UNet", settings, segmenter)
    (folder / "model.json").write_text(json.dumps(content))
    save_file(segmenter.network.state_dict(), folder / "model.safetensors")
    return segmenter


def test_a_trained_folder_is_the_segmenter(tmp_path: Path) -> None:
    segmenter = trained(tmp_path / "m")
    again = load_segmenter(folder=tmp_path / "m", threshold=0.25)
    assert again.threshold == 0.25
    again.threshold = 0.5
    assert again.describe() == segmenter.describe()
    assert again.output_names == ("background", "lung")
    x = torch.rand(1, 1, 20, 24)
    assert torch.equal(again(x), segmenter(x))
    with pytest.raises(InputError, match=r"for segmentation.*set task = 'segmentation'"):
        load_classifier(folder=tmp_path / "m")
    with pytest.raises(InputError, match="folder sets mean itself"):
        load_segmenter(folder=tmp_path / "m", mean=0.5)


def test_a_changed_folder_is_refused(tmp_path: Path) -> None:
    segmenter = trained(tmp_path / "m")
    state: dict[str, Tensor] = segmenter.network.state_dict()
    save_file({name: value + 1 for name, value in state.items()}, tmp_path / "m/model.safetensors")
    with pytest.raises(InputError, match="its weights have another hash"):
        load_segmenter(folder=tmp_path / "m")
    content = json.loads((tmp_path / "m" / "model.json").read_text())
    content["settings"]["channels"] = [1024, 2048, 2048]
    (tmp_path / "m" / "model.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"names monai:UNet with \d+ weights"):
        load_segmenter(folder=tmp_path / "m")


def test_a_classifier_of_volumes_by_name(tmp_path: Path) -> None:
    """MONAI's DenseNet121 at three dimensions, as a Classifier."""
    from monai.networks.nets.densenet import DenseNet121

    network = DenseNet121(3, 1, 2, init_features=8, growth_rate=4, block_config=(1, 1, 1, 1)).eval()
    x = torch.rand(2, 1, 32, 32, 32, requires_grad=True)
    classifier = Classifier(network, channels=1, mean=0.5, head="softmax")
    assert torch.equal(classifier(x), network(x - 0.5))
    assert torch.autograd.grad(classifier(x).sum(), x)[0].abs().sum() > 0
    with pytest.raises(InputError, match="size, fit and crop_pct are for images"):
        Classifier(network, size=16, head="softmax")(x)
    with pytest.raises(InputError, match="takes volumes, and the cases are images"):
        classifier(x[:, :, 0])


@pytest.mark.slow
def test_densenet121_of_volumes_is_read_from_its_weights(tmp_path: Path) -> None:
    from monai.networks.nets.densenet import DenseNet121

    network = DenseNet121(3, 1, 2).eval()
    weights = saved(network, tmp_path / "w.pth")
    classifier = load_classifier("monai:DenseNet121", weights=weights, head="softmax")
    assert (classifier.spatial_dims, classifier.channels) == (3, 1)
    x = torch.rand(1, 1, 32, 32, 32)
    assert torch.equal(classifier(x), network(x))


def test_the_data_say_whether_structures_overlap() -> None:
    segmenter = Segmenter(Convolved(2, outputs=2))
    match_classes(segmenter, ("lung", "heart"), "overlapping")
    assert segmenter.overlapping
    exclusive = Segmenter(Convolved(2, outputs=2), head="softmax")
    with pytest.raises(InputError, match="the masks of the data may overlap"):
        match_classes(exclusive, ("lung", "heart"), "overlapping")
    named = Segmenter(Convolved(2, outputs=2), head="multilabel", output_names=("heart", "lung"))
    match_classes(named, ("lung", "heart"), "overlapping")
    x = torch.rand(1, 1, 8, 8)
    assert torch.equal(named(x), named.network(x)[:, [1, 0]])


def test_acceleration_keeps_the_logits_or_stands_aside() -> None:
    network = built("smp:Unet", {"encoder_name": "resnet18", "classes": 2, "in_channels": 1})
    whole = prepare(Segmenter(network, head="softmax"))
    x = torch.rand(1, 1, 64, 64)
    fast = make_fast_models(whole, x, "bfloat16")
    assert fast.low_precision is None
    assert fast.acceleration.folded > 0
    torch.testing.assert_close(fast.float32(x), whole(x), rtol=1e-3, atol=1e-4)
    windows = prepare(Segmenter(network, head="softmax", window=32))
    assert make_fast_models(windows, x).float32 is windows


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".tflite"])
def test_formats_whose_outlines_are_not_read_are_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"m{suffix}").write_bytes(b"anything")
    with pytest.raises(InputError, match="reads classifiers alone"):
        load_segmenter(file=tmp_path / f"m{suffix}")
