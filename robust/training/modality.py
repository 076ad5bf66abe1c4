"""Augmentation with what nature does: corruptions of the images' modality, as MedMNIST-C trains.

Di Salvo, Doerrich and Ledig 2024 (arXiv 2406.17536), targeted augmentations: one random corruption
of the modality at a random severity.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from attacks.streams import Streams
from robust.corruptions.contract import Corruption
from robust.corruptions.registry import corruptions_of
from robust.errors import InputError
from robust.training.recipe import AugmentationSpec

DISPLACING = frozenset({"motion_blur", "zoom_blur"})
"""Kinds that move structures: MedMNIST-C's motion blur has a path to one side, its zoom magnifies.
A mask would no longer fit its image."""


def corrupted(
    x: Tensor, spec: AugmentationSpec, generator: torch.Generator, *, has_mask: bool
) -> Tensor:
    """With the probability of the recipe a corrupted image, else the same one.

    `x` is `(c, h, w)` or `(c, d, h, w)` in [0, 1]. Kind and severity are uniform. An image with a
    mask is spared from kinds that move structures. InputError where none is left.
    """
    assert spec.modality is not None  # a recipe is checked
    kinds = _kinds(spec.modality, spec.corruption_kinds, has_mask)
    u = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    if u[0] >= spec.corruption_share:
        return x
    kind = kinds[int(u[1] * len(kinds))]
    severity = 1 + int(u[2] * spec.corruption_severity)
    return kind(x[None], severity, Streams([generator]))[0]


def kinds_applied(modality: str, kinds: tuple[str, ...], *, has_masks: bool) -> tuple[str, ...]:
    """Names of the corruptions that training images get; InputError where there is none."""
    return tuple(kind.name for kind in _kinds(modality, kinds, has_masks))


@lru_cache(maxsize=64)
def _kinds(modality: str, kinds: tuple[str, ...], has_masks: bool) -> tuple[Corruption, ...]:
    named = corruptions_of(modality, kinds)
    left = tuple(kind for kind in named if not (has_masks and kind.name in DISPLACING))
    if not left:
        raise InputError(
            f"[augmentation] corruption_kinds names only kinds that move structures away from "
            f"their masks: {', '.join(kind.name for kind in named)}; name others"
        )
    return left
