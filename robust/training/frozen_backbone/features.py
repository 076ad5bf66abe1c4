"""Frozen backbone with a trained head (Bar et al. 2015): its features, computed once and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models.adapter import Adapter
from robust.models.classifier import Classifier
from robust.models.heads import layers_of_head
from robust.training.data import Images
from robust.training.recipe import AugmentationSpec, Recipe

MOST_BYTES = 1 << 30
"""Of kept features; more are computed anew in every step."""
BATCH = 32
"""Images whose features are computed at once: always the same ones, so that a training that goes on
has the same features."""


def freeze_backbone(adapter: Adapter) -> nn.Sequential:
    """Let the head's layers alone learn; they are returned. InputError where there is no head."""
    if not isinstance(adapter, Classifier):
        raise InputError("[training] freeze is for classifiers, and the data have masks; remove it")
    head = nn.Sequential(*layers_of_head(adapter.network))
    for parameter in adapter.parameters():
        parameter.requires_grad_(False)
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    return head


def train_head_alone(adapter: Adapter, head: nn.Sequential) -> None:
    """Training mode of the head; batch statistics and dropout of the backbone stand still."""
    adapter.eval()
    for layer in head:
        layer.train()


def keeps_features(recipe: Recipe) -> bool:
    """Whether the network sees each image in one form alone, so that features can be kept."""
    return (
        recipe.training.freeze
        and recipe.adversarial is None
        and recipe.augmentation == AugmentationSpec()
    )


@torch.no_grad()
def kept_features(adapter: Adapter, images: Images, head: nn.Sequential) -> Tensor | None:
    """What the head is given of each image, `(n, width)` on the adapter's device.

    None where they are too large, or where the network does more with them than its head. The
    adapter is in evaluation mode.
    """
    found: list[Tensor] = []
    given: list[Tensor] = []
    hook = head[0].register_forward_pre_hook(lambda _, args: given.append(args[0]))
    try:
        for rows in torch.arange(len(images)).split(BATCH):  # type: ignore[no-untyped-call]
            if len(images.of_one_size(rows)) > 1:
                return None
            x = images.batch(rows)[0].to(adapter.mean.device).float().div_(255)
            given.clear()
            logits = adapter(x)
            if len(given) != 1 or len(given[0]) != len(x):
                return None
            kept = given[0].flatten(1).clone()
            size = kept[0].numel() * kept.element_size() * len(images)
            again = adapter.from_outputs(head(given[0]).flatten(1))
            if size > MOST_BYTES or not torch.allclose(again, logits, rtol=1e-4, atol=1e-5):
                return None
            found.append(kept)
    finally:
        hook.remove()
    return torch.cat(found)
