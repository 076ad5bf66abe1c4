"""The weights and losses of SegPGD, CosPGD and SEA by the formulas of their papers, pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from attacks import CosPGD, SegPGD
from attacks.dense import IGNORE
from attacks.losses import climb
from attacks.segmentation.sea_losses import (
    jensen_shannon,
    masked_cross_entropy,
    masked_spherical,
)


def drawn(classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits `(2, k, 3, 4)` and labels, some of which do not count."""
    generator = torch.Generator().manual_seed(classes)
    logits = 2 * torch.randn(2, classes, 3, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (2, 3, 4), generator=generator)
    labels[:, 0, 0] = IGNORE
    return logits, labels


def test_weights_of_segpgd() -> None:
    """(t - 1) / 2T for wrong pixels, 1 minus that for right ones; swapped towards a target."""
    logits, labels = drawn()
    right = logits.argmax(1) == labels
    for step in (1, 7, 20):
        share = (step - 1) / (2 * 20)
        found = SegPGD().weights(logits, labels, None, (step - 1) / 20).view_as(labels)
        aimed = SegPGD().weights(logits, labels, labels, (step - 1) / 20).view_as(labels)
        for index in (labels != IGNORE).nonzero().tolist():
            at = tuple(index)
            assert float(found[at]) == pytest.approx(1 - share if right[at] else share)
            assert float(aimed[at]) == pytest.approx(share if right[at] else 1 - share)


def test_weights_of_cospgd() -> None:
    """The cosine between softmax and one-hot vector; of one structure, between two-vectors."""
    logits, labels = drawn()
    known = labels.clamp_min(0)
    one_hot = torch.nn.functional.one_hot(known, 4).movedim(-1, 1).double()
    cosine = torch.nn.functional.cosine_similarity(logits.softmax(1), one_hot)
    counts = (labels != IGNORE).flatten(1)
    found = CosPGD().weights(logits, labels, None, 0.5)
    assert torch.allclose(found[counts], cosine.flatten(1)[counts])
    aimed = CosPGD().weights(logits, labels, labels, 0.5)
    assert torch.allclose(aimed[counts], 1 - cosine.flatten(1)[counts])
    structures, inside = logits[:, :2], (known[:, None] > torch.arange(2).view(1, 2, 1, 1)).long()
    both = torch.stack([1 - structures.sigmoid(), structures.sigmoid()], 1)
    true = torch.stack([1 - inside, inside], 1).double()
    expected = torch.nn.functional.cosine_similarity(both, true).flatten(1)
    assert torch.allclose(CosPGD().weights(structures, inside, None, 0.5), expected)


def test_jensen_shannon() -> None:
    """By its definition from two Kullback-Leibler divergences."""
    logits, labels = drawn()
    p = logits.softmax(1)
    one_hot = torch.nn.functional.one_hot(labels.clamp_min(0), 4).movedim(-1, 1).double()
    middle = (p + one_hot) / 2
    to_label = (torch.special.xlogy(one_hot, one_hot / middle)).sum(1)
    to_found = (p * (p / middle).log()).sum(1)
    counts = labels != IGNORE
    value = torch.where(counts, (to_label + to_found) / 2, 0.0).flatten(1).sum(1)
    expected = value / counts.flatten(1).sum(1)
    assert torch.allclose(jensen_shannon(logits, labels), expected)
    assert torch.allclose(jensen_shannon(logits, labels, labels), -expected)
    assert float(expected.max()) < math.log(2)


@pytest.mark.parametrize("aimed", [False, True])
def test_masked_losses(aimed: bool) -> None:
    """A gradient at the pixels that are still to be won, and the value of cross-entropy."""
    logits, labels = drawn()
    target = labels if aimed else None
    counts, right = labels != IGNORE, logits.argmax(1) == labels
    still = counts & (~right if aimed else right)
    sign = -1 if aimed else 1
    pixels = counts.flatten(1).sum(1).view(-1, 1, 1)
    known = labels.clamp_min(0)[:, None]

    def by_hand(kind: str, z: Tensor) -> Tensor:
        own = z.gather(1, known).squeeze(1)
        values = z.logsumexp(1) - own if kind == "entropy" else -own / z.norm(dim=1)
        return sign * (values * still / pixels).flatten(1).sum(1)

    for loss, kind in ((masked_cross_entropy, "entropy"), (masked_spherical, "spherical")):
        _, gradient = climb(lambda z: z, logits, lambda z, f=loss: f(z, labels, target))  # type: ignore[misc]
        _, expected = climb(lambda z: z, logits, lambda z, k=kind: by_hand(k, z))  # type: ignore[misc]
        assert torch.allclose(gradient, expected)
        assert bool((gradient.movedim(1, -1)[~still] == 0).all())
        entropy = torch.nn.functional.cross_entropy(
            logits, labels, ignore_index=IGNORE, reduction="none"
        )
        mean = entropy.flatten(1).sum(1) / counts.flatten(1).sum(1)
        assert torch.allclose(loss(logits, labels, target), sign * mean)


def test_a_sphere_of_two_classes_is_no_loss() -> None:
    """The direction of (0, z) is a sign: the margin takes its place."""
    logits, labels = drawn(2)
    logits[:, 0] = 0
    _, gradient = climb(lambda z: z, logits, lambda z: masked_spherical(z, labels))
    still = (labels != IGNORE) & (logits.argmax(1) == labels)
    assert bool((gradient.abs().sum(1) > 0).eq(still).all())
