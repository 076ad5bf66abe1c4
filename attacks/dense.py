"""Dense logits (segmentation): cross-entropy and margin of each pixel, Dice of each structure.

Logits are `(n, k, *space)`, space `(h, w)` or `(d, h, w)`. Labels have one of two forms:

- exclusive, `(n, *space)`: the class of each pixel, 0 the background, which is no structure;
- overlapping, `(n, k, *space)`: 0 or 1; each channel is a structure of its own and its logit that
  of a sigmoid, so a pixel counts once for each structure.

`IGNORE` in either form marks pixels that do not count. What is said of pixels comes as `(n,
pixels)`, flattened: `pixels` is the size of the space, times k where structures overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORE = -1
"""In a mask: this pixel does not count; in a target: the attacker has no wish here."""

SMOOTHING = 1.0
"""Pixels added to both sides of the fraction of a soft Dice. A structure that is absent from the
labels so has a gradient: it begins at 1 and falls with what is predicted of it."""


def is_dense(logits: Tensor) -> bool:
    """Whether these are logits of pixels, not `(n, k)`."""
    return logits.ndim > 2


def counted_pixels(labels: Tensor) -> Tensor:
    """Which pixels count: `(n, pixels)` bool."""
    return labels.flatten(1) != IGNORE


def mean_of_counted(values: Tensor, labels: Tensor) -> Tensor:
    """The mean over the pixels that count of `values (n, pixels)`: `(n,)`, 0 where none counts."""
    counted = counted_pixels(labels)
    return torch.where(counted, values, 0.0).sum(1) / counted.sum(1).clamp_min(1)


def pixel_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """The best other logit minus that of the label: `(n, pixels)`, 0 where a pixel does not count.

    Above 0 where the pixel is wrong. Of an overlapping structure the other logit is 0.
    """
    return _lead(logits, labels, lambda others: others.amax(1))


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropy of each pixel: `(n, pixels)`, 0 where it does not count.

    It is softplus(log of the sum of the other exponentials - logit of the label), whose gradient
    keeps its digits where the probability of the label rounds to 1.
    """
    value = F.softplus(_lead(logits, labels, lambda others: others.logsumexp(1)))
    return torch.where(counted_pixels(labels), value, 0.0)


def right_pixels(logits: Tensor, labels: Tensor) -> Tensor:
    """Where the prediction is the label: `(n, pixels)` bool, False where a pixel does not count."""
    found = logits > 0 if overlapping(logits, labels) else logits.argmax(1)
    return found.flatten(1) == labels.flatten(1)


def soft_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice of the probabilities with each structure: `(n, structures)`, in (0, 1]."""
    share = logits.sigmoid() if overlapping(logits, labels) else logits.softmax(1)
    share = share.flatten(2)
    values = []
    for structure, true, counts in _structures(logits, labels):
        found = share[:, structure]
        size = (found * counts).sum(1) + true.sum(1)
        values.append((2 * (found * true).sum(1) + SMOOTHING) / (size + SMOOTHING))
    return torch.stack(values, 1)


def hard_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice of the prediction with each structure: `(n, structures)`, in [0, 1], no gradient.

    A structure that is absent from the labels has 1 if nothing of it is predicted, else 0.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    found = (logits > 0).flatten(2) if overlapping(logits, labels) else logits.argmax(1).flatten(1)
    values = []
    for structure, true, counts in _structures(logits, labels):
        own = found[:, structure] if found.ndim == 3 else found == structure
        both, size = (own & true).sum(1), (own & counts).sum(1) + true.sum(1)
        values.append(torch.where(size == 0, 1.0, 2 * both.to(dtype) / size.clamp_min(1)))
    return torch.stack(values, 1)


def overlapping(logits: Tensor, labels: Tensor) -> bool:
    """Whether the labels have the overlapping form; ValueError where they fit neither form."""
    if labels.shape == logits.shape:
        return True
    if labels.shape == logits.shape[:1] + logits.shape[2:] and logits.shape[1] > 1:
        return False
    raise ValueError(
        f"labels {tuple(labels.shape)} do not fit dense logits {tuple(logits.shape)}: give the "
        f"class of each pixel (two classes or more), or 0 and 1 in the shape of the logits"
    )


def _structures(logits: Tensor, labels: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Each structure's channel, where it is, and which pixels count: `(n, pixels of space)` bool.

    One at a time: a one-hot copy of the labels would be as large as the logits.
    """
    if overlapping(logits, labels):
        for structure, own in enumerate(labels.flatten(2).unbind(1)):
            yield structure, own == 1, own != IGNORE
        return
    numbers = labels.flatten(1)
    counts = numbers != IGNORE
    for structure in range(1, logits.shape[1]):
        yield structure, numbers == structure, counts


def _lead(logits: Tensor, labels: Tensor, joined: Callable[[Tensor], Tensor]) -> Tensor:
    """The other logits, joined over the classes, minus that of the label; 0 where ignored.

    `(n, pixels)`. With two logits, or the sigmoid's one against 0, there is one other.
    """
    numbers = labels.flatten(1)
    if overlapping(logits, labels):
        lead = torch.where(numbers == 1, -1.0, 1.0).to(logits.dtype) * logits.flatten(1)
    else:
        flat, index = logits.flatten(2), numbers.clamp_min(0)[:, None]
        if flat.shape[1] == 2:
            others = flat.gather(1, 1 - index).squeeze(1)
        else:
            others = joined(flat.scatter(1, index, -torch.inf))
        lead = others - flat.gather(1, index).squeeze(1)
    return torch.where(numbers != IGNORE, lead, 0.0)
