"""Corruptions as augmentation: one kind, a mild severity, training images only, masks untouched."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robust.corruptions.registry import MODALITIES, corruptions_of
from robust.errors import InputError
from robust.training.augmentation import Sample, augment
from robust.training.data import Batches, Images
from robust.training.modality import DISPLACING, corrupted, kinds_applied
from robust.training.recipe import AugmentationSpec, make_recipe
from tests.training.tiny import chests, classifier

ON: dict[str, Any] = {"augment": "modality", "modality": "chest X-ray"}


def textured(channels: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.2 + 0.6 * torch.rand(channels, 20, 24, generator=generator)


def drawn(x: Tensor, seed: int, has_mask: bool = False, **spec: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return corrupted(x, AugmentationSpec(**ON | spec), generator, has_mask=has_mask)


def test_the_share_of_the_recipe_is_corrupted() -> None:
    x = textured()
    changed = sum(
        not torch.equal(drawn(x, seed, corruption_share=0.3, corruption_kinds=("low_dose",)), x)
        for seed in range(400)
    )
    assert 90 <= changed <= 150  # 120 are expected, with a standard deviation of 9


def test_an_image_is_one_kind_at_one_severity_up_to_the_highest() -> None:
    """Deterministic kinds: every result is one of theirs, and all of these occur."""
    x = textured()
    kinds = corruptions_of("chest X-ray", ("resolution", "jpeg2000"))
    possible = {
        (kind.name, severity): kind(x[None], severity, None)[0]  # type: ignore[arg-type]
        for kind in kinds
        for severity in range(1, 6)
    }
    seen = set()
    for seed in range(80):
        y = drawn(
            x,
            seed,
            corruption_share=1,
            corruption_severity=2,
            corruption_kinds=("resolution", "jpeg2000"),
        )
        found = [name for name, image in possible.items() if torch.equal(image, y)]
        assert found
        seen.update(found)
    assert {name for name in seen if name[1] <= 2} == seen
    assert len({kind for kind, _ in seen}) == 2 and len({severity for _, severity in seen}) == 2


def test_it_depends_on_its_generator_alone_and_shifts_no_other_switch() -> None:
    image = (textured(3) * 255).round().to(torch.uint8)
    spec = AugmentationSpec(flip_horizontal=0.5, rotation=10, **ON)
    alone = AugmentationSpec(flip_horizontal=0.5, rotation=10)
    for seed in range(6):
        first, again = (
            augment(Sample(image), spec, torch.Generator().manual_seed(seed)) for _ in "ab"
        )
        assert torch.equal(first.image, again.image)
    # Where the draw leaves an image uncorrupted, it is that of the recipe without corruptions.
    same = [
        torch.equal(
            augment(Sample(image), spec, torch.Generator().manual_seed(seed)).image,
            augment(Sample(image), alone, torch.Generator().manual_seed(seed)).image,
        )
        for seed in range(40)
    ]
    assert 8 <= sum(same) <= 32


def test_batches_of_train_are_corrupted_and_those_of_val_are_not() -> None:
    images = Images(chests(count=8), classifier())
    spec = AugmentationSpec(**ON, corruption_share=1.0)
    plain = {int(row): x for batch in Batches(images, 4) for row, x in zip(batch.rows, batch.x)}
    epochs = [
        {
            int(row): x
            for batch in Batches(images, size, epoch=epoch, augmentation=spec, shuffle=True)
            for row, x in zip(batch.rows, batch.x)
        }
        for epoch, size in ((0, 4), (0, 8), (1, 4))
    ]
    first, larger, later = epochs
    assert all(torch.equal(first[row], larger[row]) for row in first)
    assert any(not torch.equal(first[row], later[row]) for row in first)
    assert sum(not torch.equal(first[row], plain[row]) for row in first) >= 7


def test_masks_stay_and_kinds_that_move_structures_are_left_out() -> None:
    image = (textured() * 255).round().to(torch.uint8)
    mask = (image[0] > 128).to(torch.uint8)
    spec = AugmentationSpec(**ON, corruption_share=1.0)
    for seed in range(20):
        sample = augment(Sample(image, mask), spec, torch.Generator().manual_seed(seed))
        assert sample.mask is not None and torch.equal(sample.mask, mask)
    for modality in MODALITIES:
        assert not DISPLACING & set(kinds_applied(modality, (), has_masks=True))


@pytest.mark.parametrize("modality", list(MODALITIES))
def test_every_modality_keeps_the_shape_of_images_and_volumes(modality: str) -> None:
    spec = AugmentationSpec(augment="modality", modality=modality, corruption_share=1.0)
    for shape in ((1, 28, 32), (3, 28, 32), (1, 4, 16, 12)):
        image = torch.randint(0, 256, shape, dtype=torch.uint8)
        for seed in range(4):
            y = augment(Sample(image), spec, torch.Generator().manual_seed(seed)).image
            assert y.shape == image.shape and y.dtype == torch.uint8


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"augment": "modality"}, "needs modality; name one of chest X-ray, "),
        (
            {**ON, "modality": "chest xray"},
            "unknown modality 'chest xray'; nearest of",
        ),
        (
            {**ON, "corruption_kinds": ("low_dos",)},
            "has no corruption 'low_dos'; nearest of",
        ),
        ({"augment": "modalities"}, "augmentation.augment"),
        ({**ON, "corruption_severity": 6}, "augmentation.corruption_severity"),
        ({**ON, "corruption_share": 0}, "augmentation.corruption_share"),
    ],
)
def test_a_recipe_says_in_one_line_what_is_wrong(table: dict[str, Any], said: str) -> None:
    network = {"architecture": "torchvision:squeezenet1_1"}
    with pytest.raises(InputError) as caught:
        make_recipe({"network": network, "augmentation": table})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_kinds_that_only_move_structures_are_an_error_with_masks() -> None:
    moving = [kind.name for kind in corruptions_of("dermoscopy") if kind.name in DISPLACING]
    if not moving:
        pytest.skip("no kind of dermoscopy moves structures")
    assert kinds_applied("dermoscopy", tuple(moving), has_masks=False) == tuple(moving)
    with pytest.raises(InputError, match="away from their masks"):
        kinds_applied("dermoscopy", tuple(moving), has_masks=True)
