"""open_clip: prompts as weights, the library's own transform and logits."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robust.errors import InputError
from robust.models import load_classifier, weights_hash
from robust.models.formats.libraries import in_silence
from tests.models.formats.shared import odd_images, require_sound
from tests.models.nets import Trap

if importlib.util.find_spec("open_clip") is None:
    pytest.skip("open_clip is not installed", allow_module_level=True)
with in_silence():
    import open_clip

PROMPTS = ("a photo of a harmless mole", "a photo of a melanoma")
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 1,
    },
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small CLIP that open_clip knows by name, and its weights."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-test-clip.json").write_text(json.dumps(TINY), encoding="utf-8")
    open_clip.add_model_config(folder / "tiny-test-clip.json")
    with torch.random.fork_rng(), in_silence():
        torch.manual_seed(0)
        network = open_clip.create_model("tiny-test-clip").eval()
    torch.save(network.state_dict(), folder / "clip.pt")
    return network, folder / "clip.pt"


def own_logits(network: Any, pixels: Tensor, classes: list[tuple[str, ...]]) -> Tensor:
    """As the library classifies: features of texts and images, scaled cosines."""
    tokens = open_clip.get_tokenizer("tiny-test-clip")
    with torch.no_grad():
        texts = [network.encode_text(tokens(list(c)), normalize=True).mean(0) for c in classes]
        features = torch.nn.functional.normalize(torch.stack(texts), dim=-1)
        images = network.encode_image(pixels, normalize=True)
        logits: Tensor = network.logit_scale.exp() * images @ features.T
    return logits


def test_logits_are_scaled_cosines_with_the_prompts(tiny: tuple[Any, Path]) -> None:
    network, weights = tiny
    x = odd_images()
    several: tuple[Any, ...] = (PROMPTS[0], (PROMPTS[1], "melanoma"))
    for prompts in (PROMPTS, several):
        found = require_sound(
            lambda p=prompts: load_classifier(  # type: ignore[misc]
                "open_clip:tiny-test-clip", weights=weights, prompts=p
            ),
            x,
        )
        classes = [(p,) if isinstance(p, str) else p for p in prompts]
        pixels = found.network_input(x)
        wanted = own_logits(network, pixels, classes)
        with torch.no_grad():
            torch.testing.assert_close(found(x), wanted, rtol=1e-4, atol=1e-4)
        assert found.head == "softmax"
        native = found.origin.native
        assert native is not None
        torch.testing.assert_close(native(pixels), wanted, rtol=1e-4, atol=1e-4)


def test_pixels_are_those_of_the_librarys_transform(tiny: tuple[Any, Path]) -> None:
    from torchvision.transforms.functional import to_pil_image

    network, weights = tiny
    own = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**open_clip.get_model_preprocess_cfg(network)),
        is_train=False,
    )
    found = load_classifier("open_clip:tiny-test-clip", weights=weights, prompts=PROMPTS)
    for shape in ((45, 61), (67, 39), (32, 35), (70, 32)):
        x = odd_images(1, *shape)
        seen = found.network_input(x)
        wanted = own(to_pil_image((x[0] * 255).round().to(torch.uint8)))[None]
        assert ((seen - wanted).abs() * found.std * 255).max() < 1.6, shape


def test_prompts_belong_to_the_weights(tiny: tuple[Any, Path]) -> None:
    _, weights = tiny
    load = lambda *p: load_classifier(  # noqa: E731
        "open_clip:tiny-test-clip", weights=weights, prompts=p
    )
    first = load(*PROMPTS)
    assert weights_hash(first) == weights_hash(load(*PROMPTS))
    assert weights_hash(first) != weights_hash(load(*reversed(PROMPTS)))
    assert not any(name.startswith("text.") for name in first.network.state_dict())
    long = "a " * 30
    for prompts, said in (
        ((), "needs a text for each class: set prompts"),
        (("one",), "needs a text for each class"),
        (("one", " "), "a prompt is empty"),
        ((long + "mole", long + "melanoma"), "read alike once they are cut to 16 tokens"),
    ):
        with pytest.raises(InputError, match=said):
            load(*prompts)
    with pytest.raises(InputError, match="2 prompts for 3 outputs"):
        load_classifier("open_clip:tiny-test-clip", weights=weights, prompts=PROMPTS, outputs=3)


def test_a_folder_with_its_config(tiny: tuple[Any, Path], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network, weights = tiny
    mean = (0.5, 0.5, 0.5)
    asked = {"mean": mean, "std": mean, "interpolation": "bilinear", "resize_mode": "squash"}
    config = {"model_cfg": TINY, "preprocess_cfg": asked}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(network.state_dict(), tmp_path / "open_clip_model.safetensors")
    found = load_classifier(folder=tmp_path, prompts=PROMPTS)
    plain = load_classifier("open_clip:tiny-test-clip", weights=weights, prompts=PROMPTS)
    assert (found.size, found.interpolation) == ((32, 32), "bilinear")
    assert found.mean.flatten().tolist() == list(mean)
    x = odd_images(2, 32, 32)
    with torch.no_grad():
        seen = plain.network_input(x)
        torch.testing.assert_close(found.network(seen), plain(x))


def test_weights_that_cannot_be_had_or_read(tiny: tuple[Any, Path], tmp_path: Path) -> None:
    load = lambda name, **more: load_classifier(name, prompts=PROMPTS, **more)  # noqa: E731
    torch.save({"trap": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    torch.save({"visual.proj": torch.zeros(3)}, tmp_path / "other.pt")
    for name, more, said in (
        ("open_clip:ViT-B-33", {"weights": "w.pt"}, "no model 'ViT-B-33'; nearest of"),
        ("open_clip:ViT-B-32/laion", {"pretrained": True}, "no weights 'laion' of ViT-B-32"),
        ("open_clip:ViT-B-32", {"pretrained": True}, "pretrained = true and a tag"),
        ("open_clip:tiny-test-clip", {"weights": tmp_path / "no.pt"}, "no such weights file"),
        ("open_clip:tiny-test-clip", {"weights": tmp_path / "trap.pt"}, "could run any code"),
        ("open_clip:tiny-test-clip", {"weights": tmp_path / "other.pt"}, "does not fit open_clip"),
    ):
        with pytest.raises(InputError, match=said):
            load(name, **more)
    assert not (tmp_path / "sprung").exists()


def test_published_weights_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"run: python -c .*'laion2b_s34b_b79k'\).state_dict"):
        load_classifier("open_clip:ViT-B-32/laion2b_s34b_b79k", pretrained=True, prompts=PROMPTS)
    with pytest.raises(InputError, match="run: hf download clinic/clip --local-dir"):
        load_classifier("open_clip:hf-hub:clinic/clip", pretrained=True, prompts=PROMPTS)


@pytest.mark.slow
def test_a_vit_of_its_usual_size(tmp_path: Path) -> None:
    with torch.random.fork_rng(), in_silence():
        torch.manual_seed(0)
        network = open_clip.create_model("ViT-B-32").eval()
    torch.save(network.state_dict(), tmp_path / "clip.pt")
    found = require_sound(
        lambda: load_classifier(
            "open_clip:ViT-B-32", weights=tmp_path / "clip.pt", prompts=PROMPTS
        ),
        odd_images(2, 301, 448),
    )
    assert (found.size, found.fit, found.interpolation) == ((224, 224), "crop", "bicubic")
