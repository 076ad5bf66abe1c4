"""Masks as a channel, a loss on attention, a start from another set: what each adds, and no more."""

from __future__ import annotations

import copy
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from robust.cases import Cases, open_cases
from robust.cases.masks.stored import StoredMask
from robust.errors import InputError
from robust.models import Classifier, load_classifier
from robust.models.heads import Head
from robust.models.segmentation.mask_channel import (
    MaskedNetwork,
    foreground,
    with_mask_channel,
)
from robust.models.segmentation.segmenter import Segmenter
from robust.models.segmentation.trained import SegmenterFile, describe_segmenter
from robust.models.trained import describe, load_trained
from robust.training.data import Batches, Images
from robust.training.fit import fit
from robust.training.network import make_untrained
from robust.training.objectives.attention import outside_share
from robust.training.recipe import AugmentationSpec, Recipe, make_recipe
from robust.training.splits import open_training_splits
from robust.training.train import train_model
from tests.training import tiny

SIDE = 24


# --- the mask channel ---


def small_segmenter() -> tuple[Segmenter, SegmenterFile]:
    from robust.models.formats.named_segmenters import build_named_segmenter

    settings = {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [4, 8],
        "strides": [2],
        "norm": "batch",
    }
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = build_named_segmenter("monai:UNet", settings)
    segmenter = Segmenter(network.eval(), mean=0.5, std=0.25, channels=1, head="softmax")
    segmenter.output_names = ("background", "lesion")
    described = describe_segmenter("monai:UNet", settings, segmenter)
    return segmenter, SegmenterFile.model_validate(described)


def with_a_channel() -> tuple[Classifier, Classifier]:
    plain = tiny.classifier().eval()
    segmenter, described = small_segmenter()
    return plain, with_mask_channel(copy.deepcopy(plain), segmenter, described).eval()


def test_the_start_is_the_plain_network_to_the_bit() -> None:
    plain, masked = with_a_channel()
    x = torch.rand(5, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(x), masked(x)) and plain(x).std() > 0


def test_it_is_the_convolution_with_one_more_channel_and_the_mask_is_of_displayed_pixels() -> None:
    plain, masked = with_a_channel()
    network = masked.network
    assert isinstance(network, MaskedNetwork)
    place: Any = network.classifier
    first = place[0]
    torch.nn.init.normal_(first.mask.weight, generator=torch.Generator().manual_seed(1))
    x = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = foreground(network.segmenter, x)
    assert 0 <= mask.min() < mask.max() <= 1
    whole = nn.Conv2d(2, 8, 3, stride=2, padding=1)
    whole.weight = nn.Parameter(torch.cat([first.image.weight, first.mask.weight], 1))
    whole.bias = first.image.bias
    other = copy.deepcopy(plain)
    other.network[0] = whole  # type: ignore[index]
    expected = other.network(torch.cat([(x - 0.5) / 0.25, mask], 1))
    torch.testing.assert_close(masked(x), expected)
    assert not torch.allclose(masked(x), plain(x))


def test_gradients_pass_through_the_segmenter() -> None:
    _, masked = with_a_channel()
    network: Any = masked.network.double()
    masked.double()
    torch.nn.init.ones_(network.classifier[0].mask.weight)
    x = torch.rand(1, 1, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    way = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    (gradient,) = torch.autograd.grad(masked(x)[0, 0], x)
    step = 1e-6 * way
    with torch.no_grad():
        slope = (masked(x + step) - masked(x - step))[0, 0] / 2e-6
    assert float((gradient * way).sum()) == pytest.approx(float(slope), rel=1e-5)
    blind = foreground(network.segmenter, x).detach()  # a mask that the change does not move
    given = torch.cat([(x - 0.5) / 0.25, blind], 1)
    (frozen,) = torch.autograd.grad(network.classifier(given)[0, 0], x)
    assert not torch.allclose(frozen, gradient, rtol=1e-2)


def test_structures_that_overlap_count_as_independent() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(len(x), 2, *x.shape[2:])

    segmenter = Segmenter(Fixed(), head="multilabel", channels=1, spatial_dims=2)
    one = 1 / (1 + np.exp(-1))
    assert float(foreground(segmenter, torch.rand(1, 1, 4, 4))[0, 0, 0, 0]) == pytest.approx(
        1 - (1 - 0.5) * (1 - one)
    )


def test_training_learns_the_channel_and_leaves_the_segmenter_alone(tmp_path: Path) -> None:
    _, masked = with_a_channel()
    before = {k: v.clone() for k, v in masked.network.state_dict().items()}
    tiny.run(tmp_path, tiny.recipe(training={"epochs": 1}), classifier=masked)
    after = masked.network.state_dict()
    moved = {k for k in after if not torch.equal(after[k], before[k])}
    assert "classifier.0.mask.weight" in moved and "classifier.0.image.weight" in moved
    assert not any(name.startswith("segmenter.") for name in moved)


# --- the loss on attention ---


def smooth() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layers = [nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 3)]
        return nn.Sequential(*layers).double()


def test_the_share_is_that_of_a_linear_model() -> None:
    weight = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 0.0, 3.0]]).view(2, 1, 2, 2)
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    logits = (x[:, None] * weight).flatten(2).sum(2)
    masks = torch.tensor([[[1, 1], [0, 0]], [[1, 255], [0, 0]], [[0, 0], [0, 0]]]).byte()
    found = outside_share(logits, x, torch.tensor([0, 1, 1]), masks)
    # Squares 1, 4, 0, 9; of the second case 4 does not count; the third mask says nothing.
    assert found.tolist() == pytest.approx([9 / 14, 9 / 10, 0.0])


def test_layers_of_a_mask_are_joined_and_a_flat_network_has_no_share() -> None:
    x = torch.rand(1, 1, 2, 2, requires_grad=True)
    weight = torch.tensor([1.0, 2.0, 0.0, 3.0]).view(1, 1, 2, 2)
    logits = torch.stack([(x * weight).sum((1, 2, 3)), torch.zeros(1)], 1)
    layers = torch.tensor([[[[1, 0], [0, 0]], [[0, 0], [0, 1]]]]).byte()
    assert outside_share(logits, x, torch.tensor([0]), layers).tolist() == pytest.approx([4 / 14])
    flat = outside_share(0 * logits, x, torch.tensor([0]), layers)
    assert flat.tolist() == [0.0]


def test_its_gradient_is_that_of_finite_differences() -> None:
    model = smooth()
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(4, 2, 6, 6, dtype=torch.float64, generator=generator)
    masks = (torch.rand(4, 6, 6, generator=generator) < 0.4).byte()
    y = torch.tensor([0, 1, 2, 0])

    def share() -> Tensor:
        given = x.clone().requires_grad_()
        return outside_share(model(given), given, y, masks).mean()

    weights = list(model.parameters())
    gradients = torch.autograd.grad(share(), weights, allow_unused=True)
    for weight, gradient in zip(weights, gradients, strict=True):
        way = torch.randn(weight.shape, dtype=torch.float64, generator=generator)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.add_(way, alpha=sign * 1e-5)
            ends.append(float(share().detach()))
            with torch.no_grad():
                weight.add_(way, alpha=-sign * 1e-5)
        slope = (ends[0] - ends[1]) / 2e-5
        expected = 0.0 if gradient is None else float((gradient * way).sum())
        assert expected == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_share_is_free_of_the_size_of_the_logits() -> None:
    x = torch.rand(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    masks, y = torch.ones(2, 6, 6).byte(), torch.tensor([0, 1])
    masks[:, 3:] = 0
    logits = smooth()(x)[:, :2]
    one, other = (outside_share(size * logits, x, y, masks) for size in (1.0, 50.0))
    torch.testing.assert_close(one, other)


def marked(count: int, seed: int, mark: str) -> tuple[Tensor, Tensor, Tensor]:
    """A faint disc in the middle is class 1; a bright mark in a corner goes with it, or does not.

    `mark`: `label` where the label is 1, `other` where it is 0, `none` nowhere. The mask is the
    middle.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 2
    x = 0.4 + 0.06 * torch.randn(count, 1, SIDE, SIDE, generator=generator)
    x[y == 1, :, 8:16, 8:16] += 0.06
    where = {"label": y == 1, "other": y == 0, "none": y < 0}[mark]
    x[where, :, :3, :3] += 0.4
    mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[6:18, 6:18] = 1
    return x.clamp(0, 1), y, mask.expand(count, SIDE, SIDE)


def with_masks(cases: Cases, masks: Tensor) -> Cases:
    def read(place: Any, space: tuple[int, ...]) -> StoredMask:
        return StoredMask(masks[place].numpy())

    entries = tuple(replace(one, mask=place) for place, one in enumerate(cases.entries))
    return replace(cases, entries=entries, read_mask=read)


def shortcut_network(folder: Path, weight: float) -> Classifier:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(1, 6, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.AvgPool2d(3),
            nn.Flatten(),
            nn.Linear(6 * 16, 2),
        )
    learner = Classifier(network, mean=0.4, std=0.2, channels=1, size=SIDE, head="softmax")
    x, y, masks = marked(96, 0, "label")
    train, val = (
        with_masks(tiny.cases_of(x[part], y[part], name), masks[part])
        for name, part in (("train", slice(0, 64)), ("val", slice(64, 96)))
    )
    spec = tiny.recipe(training={"epochs": 8, "lr": 1e-2, "attention_weight": weight})
    fit(learner, train, val, spec, folder, device="cpu", progress=False)
    return learner


def test_a_network_told_where_to_look_leaves_a_shortcut_outside(tmp_path: Path) -> None:
    networks = {w: shortcut_network(tmp_path / str(w), w) for w in (0.0, 2.0)}

    def accuracy(weight: float, mark: str) -> float:
        x, y, _ = marked(200, 1, mark)
        return float((networks[weight](x).argmax(1) == y).float().mean())

    def share(weight: float) -> float:
        x, y, masks = marked(200, 1, "label")
        x.requires_grad_()
        return float(outside_share(networks[weight](x), x, y, masks).detach().mean())

    assert accuracy(0.0, "label") > 0.95 and accuracy(2.0, "label") > 0.85
    assert share(2.0) < 0.5 * share(0.0)
    assert accuracy(2.0, "other") > accuracy(0.0, "other") + 0.3
    assert accuracy(2.0, "none") > accuracy(0.0, "none") + 0.1


def test_masks_of_classes_move_with_their_images() -> None:
    """The image is its mask: whatever is drawn, the two agree, but where nothing is known."""
    mask = torch.zeros(6, SIDE, SIDE, dtype=torch.uint8)
    mask[:, 3:12, 9:20] = 1
    cases = with_masks(tiny.cases_of(mask[:, None].float(), torch.arange(6) % 2), mask)
    shift = AugmentationSpec(flip_horizontal=0.5, flip_vertical=0.5, rotation=90, translate=0.2)
    images = Images(cases, Classifier(nn.Identity(), channels=1, size=SIDE, head="softmax"))
    (batch,) = list(Batches(images, 6, augmentation=shift, shuffle=True))
    assert batch.masks is not None and batch.y.tolist() == (batch.rows % 2).tolist()
    known = batch.masks != 255
    assert known.float().mean() > 0.6
    agree = (batch.x[:, 0] >= 128) == (batch.masks == 1)
    assert agree[known].float().mean() > 0.97
    assert not torch.equal(batch.masks[0], batch.masks[1])


# --- a start from a trained folder ---

NETWORK = {"architecture": "timm:test_efficientnet", "pretrained": False, "size": 32}
DATA = {"path": "phantom:dermoscopy", "count": 24, "pixels": 32}
TRAINING = {"epochs": 1, "batch": 16}


def recipe(**over: dict[str, Any]) -> Recipe:
    tables: dict[str, Any] = {"data": DATA, "network": NETWORK, "training": TRAINING}
    return make_recipe({**tables, **{k: {**tables.get(k, {}), **v} for k, v in over.items()}})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`chest`, a classifier; `lungs`, a segmenter."""
    home = tmp_path_factory.mktemp("folders")
    chest = {"path": "phantom:chest_xray"}
    given = {"mean": 0.4, "std": 0.3}
    train_model(recipe(data=chest, network=given), home / "chest", device="cpu", progress=False)
    lungs = make_recipe(
        {
            "data": {"path": "phantom:lungs", "count": 12, "pixels": 32},
            "network": {
                "architecture": "monai:UNet",
                "pretrained": False,
                "channels": 1,
                "settings": {"channels": [4, 8], "strides": [2]},
            },
            "training": TRAINING,
        }
    )
    train_model(lungs, home / "lungs", device="cpu", progress=False)
    return home


def test_a_start_takes_every_tensor_but_the_head_and_says_which(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = recipe(network={"start_from": str(folders / "chest")})
    with caplog.at_level(logging.WARNING):
        made = make_untrained(asked, open_cases("phantom:dermoscopy", count=8, pixels=32))
    old = load_trained(folders / "chest").network.state_dict()
    new = made.network.state_dict()
    assert old.keys() == new.keys()
    differ = {name for name in new if not torch.equal(old[name], new[name])}
    assert differ == {"classifier.weight", "classifier.bias"}
    assert "the head is new: classifier.weight, classifier.bias" in caplog.text
    assert f"{len(new) - 2} of {len(new)} tensors" in caplog.text
    assert made.mean.flatten()[0] == pytest.approx(0.4)


def test_both_together_make_a_folder_that_stands_alone(folders: Path, tmp_path: Path) -> None:
    both = {"start_from": str(folders / "chest"), "mask_channel": str(folders / "lungs")}
    three = {"mean": (0.4, 0.4, 0.4), "std": (0.3, 0.3, 0.3)}
    asked = recipe(network={**both, **three}, training={"average": 0.9})
    done = train_model(asked, tmp_path / "both", device="cpu", progress=False)
    again = load_classifier(folder=done.folder)
    assert isinstance(again.network, MaskedNetwork)
    assert any("mask" in note for note in again.origin.notes)
    card = (done.folder / "card.md").read_text(encoding="utf-8")
    assert "From a trained model of the classes" in card and "frozen segmenter" in card
    told = (done.folder / "recipe.toml").read_text(encoding="utf-8")
    assert str(folders) not in told + card
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(again(x).sum(), x)
    assert gradient.abs().sum() > 0
    with pytest.raises(InputError, match="was trained with a mask channel"):
        start = {"start_from": str(done.folder)}
        make_untrained(recipe(network=start), open_cases("phantom:dermoscopy", count=8))


# --- wrong inputs ---


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"training": {"attention_weight": 1.0}}, "attention_weight needs a mask of each"),
        ({"training": {"attention_weight": -1.0}}, "attention_weight"),
        (
            {"network": {"start_from": "a", "weights": "b.pth"}},
            "weights and start_from both name a start",
        ),
        (
            {
                "data": {"region": "lesion"},
                "training": {"attention_weight": 1.0},
                "adversarial": {"method": "pgd-at", "eps": "1/255"},
            },
            "attention_weight is for training on unmodified images",
        ),
        (
            {
                "data": {"region": "lesion"},
                "training": {"attention_weight": 1.0, "precision": "float16"},
            },
            "gradients that float16 rounds to 0",
        ),
    ],
)
def test_recipes_that_contradict_themselves_are_one_line(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recipe(**tables)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"start_from": "lungs"}, "start_from: .* holds a model for segmentation"),
        ({"mask_channel": "chest"}, "mask_channel: .* holds a model for classification"),
        ({"mask_channel": "nothing"}, "holds no model.json"),
        (
            {"start_from": "chest", "architecture": "torchvision:squeezenet1_1"},
            "holds a timm:test_efficientnet, the recipe asks for torchvision:squeezenet1_1",
        ),
    ],
)
def test_folders_that_do_not_fit_are_one_line(
    folders: Path, network: dict[str, str], said: str
) -> None:
    given = {k: v if k == "architecture" else str(folders / v) for k, v in network.items()}
    with pytest.raises(InputError, match=said) as caught:
        make_untrained(recipe(network=given), open_cases("phantom:dermoscopy", count=8))
    assert "\n" not in str(caught.value)


def test_a_segmenter_takes_neither() -> None:
    cases = open_cases("phantom:lungs", count=8, pixels=32)
    for name in ("start_from", "mask_channel"):
        with pytest.raises(InputError, match=f"{name} does not apply, since the data have masks"):
            make_untrained(recipe(network={name: "somewhere"}), cases)


def test_a_network_without_a_first_convolution_takes_no_mask() -> None:
    flat = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), head="softmax")
    segmenter, described = small_segmenter()
    with pytest.raises(InputError, match="does not begin with a convolution"):
        with_mask_channel(flat, segmenter, described)


def written(folder: Path, mask_side: int) -> dict[str, Any]:
    """A folder of images of two classes; train has masks in column `lesion`, the rest none."""
    folder.mkdir()
    rows = ["file,label,group,split,lesion"]
    for split, count in (("train", 12), ("val", 8), ("test", 8)):
        for i in range(count):
            pixels = np.random.default_rng(len(rows)).integers(0, 255, (20, 20), np.uint8)
            Image.fromarray(pixels).save(folder / f"{split}{i}.png")
            name = f"{split}{i}-mask.png" if split == "train" else ""
            if name:
                mask = np.zeros((mask_side, mask_side), np.uint8)
                mask[5:15, 5:15] = 255
                Image.fromarray(mask).save(folder / name)
            rows.append(f"{split}{i}.png,{i % 2},{split}{i},{split},{name}")
    (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {"path": str(folder), "region": "lesion"}


def test_masks_are_needed_in_training_alone(tmp_path: Path) -> None:
    data = written(tmp_path / "images", 20)
    asked = make_recipe(
        {
            "data": data,
            "network": NETWORK,
            "training": {**TRAINING, "batch": 4, "attention_weight": 1.0},
        }
    )
    splits = open_training_splits(asked)
    assert all(one.mask is not None for one in splits.train.entries)
    assert not any(one.mask is not None for one in (*splits.val.entries, *splits.test.entries))  # type: ignore[union-attr]
    done = train_model(asked, tmp_path / "model", device="cpu", progress=False)
    assert "region" not in (done.folder / "plan.toml").read_text(encoding="utf-8")
    card = (done.folder / "card.md").read_text(encoding="utf-8")
    assert "share of the input gradient outside a mask" in card
    plain = asked.model_copy(update={"training": recipe().training})
    assert not any(one.mask is not None for one in open_training_splits(plain).train.entries)


def test_masks_of_another_size_and_no_masks_are_one_line(tmp_path: Path) -> None:
    spec = {"network": NETWORK, "training": {**TRAINING, "batch": 4, "attention_weight": 1.0}}
    asked = make_recipe({"data": written(tmp_path / "images", 18), **spec})
    with pytest.raises(InputError, match="18") as caught:
        train_model(asked, tmp_path / "model", device="cpu", progress=False)
    assert "\n" not in str(caught.value)
    told = tiny.recipe(training={"attention_weight": 1.0})
    with pytest.raises(InputError, match="attention_weight needs a mask of each training image"):
        tiny.run(tmp_path / "none", told)
    with pytest.raises(InputError, match="attention_weight is for classes"):
        lungs = {
            name: open_cases("phantom:lungs", split=name, count=12) for name in ("train", "val")
        }
        tiny.run(tmp_path / "outlines", told, **lungs)


def test_what_model_json_says_of_the_channel_rebuilds_it() -> None:
    _, masked = with_a_channel()
    content = describe("tiny", Head(2), masked)
    segmenter = content["mask_channel"]
    assert segmenter["architecture"] == "monai:UNet" and len(segmenter["weights_sha256"]) == 64
    assert "mask_channel" not in describe("tiny", Head(2), tiny.classifier())
