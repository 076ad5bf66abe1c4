"""Folders of transformers and timm, and names on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import Classifier, load_classifier, prepare
from robust.models.class_order import match_classes
from tests.models.formats.shared import odd_images, require_sound
from tests.models.nets import TINY, Trap

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

NAMES = {0: "normal", 1: "benign", 2: "malignant"}


@pytest.fixture(autouse=True)
def quiet_library() -> Any:
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return logging


def labels(names: dict[int, str]) -> dict[str, Any]:
    return {"id2label": names, "label2id": {v: k for k, v in names.items()}}


def vit(folder: Path, processor: Any = None, **options: Any) -> Path:
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        initializer_range=0.2,
        **(labels(NAMES) | options),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTForImageClassification(config).save_pretrained(folder)
    processor = processor or transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    processor.save_pretrained(folder)
    return folder


def resnet(folder: Path, size: int = 32) -> Path:
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        **labels(NAMES),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = transformers.ResNetForImageClassification(config)
        for name, value in network.named_buffers():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
        network.save_pretrained(folder)
    transformers.ConvNextImageProcessor(
        size={"shortest_edge": size}, crop_pct=0.875, resample=2
    ).save_pretrained(folder)
    return folder


def own_pixels(folder: Path, x: Tensor) -> Tensor:
    """What the library's own processor makes of images: it rounds them to 8 bits."""
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    images = [(image * 255).round().to(torch.uint8) for image in x]
    found: Tensor = processor(images, return_tensors="pt")["pixel_values"]
    return found


def own_logits(folder: Path, pixels: Tensor) -> Tensor:
    network = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        found: Tensor = network(pixels).logits
    return found


def require_own_pixels_and_logits(found: Classifier, folder: Path, x: Tensor) -> None:
    """Pixels differ by the library's rounding alone; on its pixels the logits are its own."""
    network, seen = found.network, found.network_input(x)
    if isinstance(network, nn.Sequential):
        seen, network = network[:-1](seen), network[-1]
    pixels = own_pixels(folder, x)
    off = (seen - pixels).abs() * found.std * 255
    assert off.max() < 1.1
    assert off.mean() < 0.4
    with torch.no_grad():
        torch.testing.assert_close(network(pixels).logits, own_logits(folder, pixels))


@pytest.mark.parametrize("make", [vit, resnet])
def test_a_folder_gives_the_librarys_logits_labels_and_gradients(tmp_path: Path, make: Any) -> None:
    folder, x = make(tmp_path / "model"), odd_images()
    found = require_sound(lambda: load_classifier(folder=folder), x)
    assert found.head == "softmax"
    assert found.output_names == tuple(NAMES.values())
    require_own_pixels_and_logits(found, folder, x)


TRANSFORMS = {
    "CLIPImageProcessor": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    "DeiTImageProcessor": {
        "size": {"height": 37, "width": 37},
        "crop_size": {"height": 32, "width": 32},
    },
    "LevitImageProcessor": {
        "size": {"shortest_edge": 32},
        "crop_size": {"height": 32, "width": 32},
    },
    "EfficientNetImageProcessor": {"size": {"height": 32, "width": 32}, "rescale_offset": True},
    "MobileViTImageProcessor": {
        "size": {"shortest_edge": 36},
        "crop_size": {"height": 32, "width": 32},
    },
    "BitImageProcessor": {
        "size": {"shortest_edge": 35},
        "crop_size": {"height": 32, "width": 32},
        "do_normalize": False,
        "rescale_factor": 1 / 127.5,
    },
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_kind_of_preprocessing_is_rebuilt(tmp_path: Path, name: str) -> None:
    folder = vit(tmp_path / "model", getattr(transformers, name)(**TRANSFORMS[name]))
    for shape in ((45, 61), (67, 38)):
        require_own_pixels_and_logits(load_classifier(folder=folder), folder, odd_images(2, *shape))


def test_preprocessing_that_is_not_rebuilt_is_refused_with_the_difference(tmp_path: Path) -> None:
    odd = transformers.DonutImageProcessor(size={"height": 32, "width": 32})
    with pytest.raises(InputError, match=r"cannot be rebuilt: its pixels differ by 0\.\d+"):
        load_classifier(folder=vit(tmp_path / "a", odd))
    lanczos = transformers.ViTImageProcessor(size={"height": 32, "width": 32}, resample=1)
    with pytest.raises(InputError, match=r"does not have \(resample 1\)"):
        load_classifier(folder=vit(tmp_path / "b", lanczos))
    (tmp_path / "b" / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="size, mean and std are unknown"):
        load_classifier(folder=tmp_path / "b")


def test_the_problem_decides_the_head(tmp_path: Path) -> None:
    many = vit(tmp_path / "many", problem_type="multi_label_classification")
    found = load_classifier(folder=many, finding="benign")
    assert (found.head, found.finding) == ("multilabel", 1)
    with pytest.raises(InputError, match="set finding; there are: normal, benign, malignant"):
        load_classifier(folder=many)
    one = vit(tmp_path / "one", id2label={0: "finding"}, label2id={"finding": 0})
    found = load_classifier(folder=one)
    assert found.head == "sigmoid"
    assert "logit of the finding" in found.origin.notes[0]
    single = vit(tmp_path / "single")
    with pytest.raises(InputError, match="read as softmax, not as findings"):
        load_classifier(folder=single, finding="benign")
    with pytest.raises(InputError, match="has 3 outputs, not 2"):
        load_classifier(folder=single, outputs=2)
    number = vit(tmp_path / "number", problem_type="regression")
    with pytest.raises(InputError, match="predicts a number"):
        load_classifier(folder=number)


def rewrite(folder: Path, file: str = "config.json", **changes: Any) -> None:
    path = folder / file
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content), encoding="utf-8")


def test_foreign_code_and_other_tasks_are_refused(tmp_path: Path) -> None:
    folder = vit(tmp_path / "model")
    code = {"AutoModelForImageClassification": "modeling_mine.Mine"}
    for changes, said in (
        ({"auto_map": code}, r"asks for code of its author \(auto_map: modeling_mine.Mine\)"),
        ({"architectures": ["ViTForMaskedImageModeling"]}, "holds a ViTForMaskedImageModeling"),
        ({"architectures": [], "model_type": "bert"}, "is of type 'bert'"),
        ({"quantization_config": {"bits": 4}}, "quantised weights"),
        ({"model_type": None, "architectures": []}, "which is no image classifier"),
    ):
        before = (folder / "config.json").read_bytes()
        rewrite(folder, **changes)
        with pytest.raises(InputError, match=said):
            load_classifier(folder=folder)
        (folder / "config.json").write_bytes(before)
    rewrite(folder, "preprocessor_config.json", auto_map={"AutoImageProcessor": "mine.Mine"})
    with pytest.raises(InputError, match=r"code of its author \(auto_map: mine.Mine\)"):
        load_classifier(folder=folder)


def test_weights_that_leave_the_head_untrained_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = vit(tmp_path / "model")
    weights = folder / "model.safetensors"
    state = load_file(weights)
    del state["classifier.weight"]
    save_file(state, weights, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"classifier.weight is missing"):
        load_classifier(folder=folder)
    weights.unlink()
    with pytest.raises(InputError, match=r"none of model.safetensors, pytorch_model.bin"):
        load_classifier(folder=folder)


def test_pickled_weights_are_read_without_their_code(tmp_path: Path) -> None:
    folder = vit(tmp_path / "model")
    from safetensors.torch import load_file

    state, x = load_file(folder / "model.safetensors"), odd_images()
    wanted = load_classifier(folder=folder)(x)
    torch.save({"trap": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    torch.testing.assert_close(load_classifier(folder=folder)(x), wanted)  # safetensors first
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="could run any code"):
        load_classifier(folder=folder)
    assert not (tmp_path / "sprung").exists()
    torch.save(state, folder / "pytorch_model.bin")
    torch.testing.assert_close(load_classifier(folder=folder)(x), wanted)


def test_classes_are_matched_by_name(tmp_path: Path) -> None:
    folder, x = vit(tmp_path / "model"), odd_images()
    found = load_classifier(folder=folder)
    plain = found(x)
    match_classes(found, ["normal", "benign", "malignant"])
    assert found.class_order is None
    assert found.origin.notes == ()
    match_classes(found, ["Malignant", "normal", "benign"])
    assert found.class_order == (2, 0, 1)
    assert found.describe()["class_order"] == [2, 0, 1]
    torch.testing.assert_close(prepare(found)(x), plain[:, [2, 0, 1]])
    assert "taken by name" in found.origin.notes[-1]
    others = load_classifier(folder=folder)
    match_classes(others, ["a", "b", "c"])
    assert others.class_order is None
    assert "taken in order: normal, benign, malignant; the classes" in others.origin.notes[-1]
    with pytest.raises(InputError, match="at another place"):
        match_classes(load_classifier(folder=folder), ["benign", "other", "malignant"])


def test_prompts_are_refused_where_no_model_takes_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prompts are for zero-shot models"):
        load_classifier(folder=vit(tmp_path / "model"), prompts=["a", "b", "c"])


# --- names on the hub ---


def in_cache(cache: Path, name: str, folder: Path) -> None:
    """What a download would have left: a snapshot of `folder`, the main branch of `name`."""
    place = cache / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40, encoding="utf-8")
    (place / "snapshots").mkdir()
    folder.rename(place / "snapshots" / ("a" * 40))


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    import huggingface_hub.file_download as client

    monkeypatch.setattr(client.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def timm_folder(folder: Path, **options: Any) -> Path:
    import timm
    from timm.models import save_for_hf

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(TINY, num_classes=3, **options)
    config = {"label_names": ["normal", "benign", "malignant"]}
    save_for_hf(network.eval(), str(folder), model_config=config, safe_serialization=True)
    return folder


def test_names_come_from_the_local_cache(tmp_path: Path, hub_cache: Path) -> None:
    folder, x = vit(tmp_path / "model"), odd_images()
    wanted = load_classifier(folder=folder)(x)
    in_cache(hub_cache, "clinic/vit", folder)
    found = load_classifier("hf:clinic/vit", pretrained=True)
    torch.testing.assert_close(found(x), wanted)
    own = timm_folder(tmp_path / "timm")
    wanted = load_classifier(folder=own, head="softmax")(x)
    in_cache(hub_cache, "clinic/timm", own)
    for name in ("timm:hf-hub:clinic/timm", "hf_hub:clinic/timm@main", "hf:clinic/timm"):
        found = load_classifier(name, pretrained=True, head="softmax")
        torch.testing.assert_close(found(x), wanted)


def test_a_name_that_cannot_be_had_names_the_remedy(hub_cache: Path) -> None:
    said = r"run: hf download clinic/vit --local-dir vit, bring the folder here, and set folder"
    with pytest.raises(InputError, match=said):
        load_classifier("hf:clinic/vit", pretrained=True)
    with pytest.raises(InputError, match="set pretrained = true"):
        load_classifier("hf:clinic/vit")
    with pytest.raises(InputError, match="looks like owner/name"):
        load_classifier("hf:vit", pretrained=True)


def test_a_timm_folder_has_its_labels_and_its_preprocessing(tmp_path: Path) -> None:
    import timm

    folder, x = timm_folder(tmp_path / "timm"), odd_images()
    found = require_sound(lambda: load_classifier(folder=folder, head="softmax"), x)
    assert found.output_names == ("normal", "benign", "malignant")
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    seen = found.network_input(x)
    torch.testing.assert_close(found(x), network(seen))
    config = timm.data.resolve_model_data_config(network)
    assert found.mean.flatten().tolist() == pytest.approx(config["mean"])
    rewrite(folder, architecture="no_such_network")
    with pytest.raises(InputError, match="timm cannot build"):
        load_classifier(folder=folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ResNet-18", "ViT"])
def test_networks_at_their_usual_size(tmp_path: Path, kind: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "ViT":
            config = transformers.ViTConfig(hidden_size=192, num_attention_heads=3, num_labels=3)
            transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
            transformers.ViTImageProcessor().save_pretrained(tmp_path)
        else:
            config = transformers.ResNetConfig(
                hidden_sizes=[64, 128, 256, 512],
                depths=[2, 2, 2, 2],
                layer_type="basic",
                num_labels=3,
            )
            transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
            transformers.ConvNextImageProcessor(
                size={"shortest_edge": 224}, crop_pct=0.875, resample=3
            ).save_pretrained(tmp_path)
    x = odd_images(2, 301, 448)
    found = require_sound(lambda: load_classifier(folder=tmp_path), x)
    wanted = own_logits(tmp_path, own_pixels(tmp_path, x))
    with torch.no_grad():
        assert (found(x) - wanted).abs().max() < 0.01 * wanted.std()
