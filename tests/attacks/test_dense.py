"""Pixel losses and Dice of dense logits against direct formulas, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from attacks.dense import (
    IGNORE,
    SMOOTHING,
    counted_pixels,
    hard_dice,
    mean_of_counted,
    overlapping,
    pixel_cross_entropy,
    pixel_margin,
    right_pixels,
    soft_dice,
)
from attacks.losses import DENSE_LOSSES, AttackLoss, climb, cross_entropy, dice, margin, saturated

FORMS = [
    ("exclusive", 2, (3, 4)),
    ("exclusive", 4, (3, 4)),
    ("exclusive", 3, (2, 3, 2)),
    ("overlapping", 1, (3, 4)),
    ("overlapping", 3, (2, 3, 2)),
]
every_form = pytest.mark.parametrize(("form", "k", "space"), FORMS)


def drawn(form: str, k: int, space: tuple[int, ...], n: int = 3) -> tuple[Tensor, Tensor]:
    """Logits in float64 and labels, a part of them ignored."""
    generator = torch.Generator().manual_seed(k)
    logits = 2 * torch.randn(n, k, *space, generator=generator, dtype=torch.float64)
    shape = (n, *space) if form == "exclusive" else (n, k, *space)
    most = k if form == "exclusive" else 2
    return logits, torch.randint(IGNORE, most, shape, generator=generator)


def by_hand(logits: Tensor, labels: Tensor) -> list[list[tuple[Tensor, int]]]:
    """For each case the pixels that count: their logits, of two classes or more, and labels."""
    if labels.shape != logits.shape:
        rows = zip(logits.flatten(2).transpose(1, 2), labels.flatten(1).tolist(), strict=True)
    else:
        pairs = torch.stack([torch.zeros_like(logits), logits], -1).flatten(1, -2)
        rows = zip(pairs, labels.flatten(1).tolist(), strict=True)
    return [
        [(z, label) for z, label in zip(pixels, numbers, strict=True) if label != IGNORE]
        for pixels, numbers in rows
    ]


@every_form
def test_pixels_against_the_definition(form: str, k: int, space: tuple[int, ...]) -> None:
    logits, labels = drawn(form, k, space)
    counted = counted_pixels(labels)
    for i, pixels in enumerate(by_hand(logits, labels)):
        entropy = torch.stack([-z.log_softmax(0)[label] for z, label in pixels])
        lead = torch.stack(
            [max(z[j] for j in range(len(z)) if j != label) - z[label] for z, label in pixels]
        )
        right = torch.tensor([int(z.argmax()) == label for z, label in pixels])
        own = counted[i]
        assert torch.allclose(pixel_cross_entropy(logits, labels)[i][own], entropy, rtol=1e-12)
        assert torch.allclose(pixel_margin(logits, labels)[i][own], lead, rtol=1e-12)
        assert torch.equal(right_pixels(logits, labels)[i][own], right)
        assert cross_entropy(logits, labels)[i] == pytest.approx(float(entropy.mean()), rel=1e-12)
        by_margin = AttackLoss("margin", labels)(logits)[i]
        assert by_margin == pytest.approx(float(lead.mean()), rel=1e-12)
        aimed = margin(logits, labels, labels)[i]
        assert aimed == pytest.approx(float(right.double().mean()) - 1, rel=1e-12, abs=1e-15)


@every_form
def test_dice_against_the_definition(form: str, k: int, space: tuple[int, ...]) -> None:
    logits, labels = drawn(form, k, space)
    soft, hard = soft_dice(logits, labels), hard_dice(logits, labels)
    for i, own in enumerate(labels):
        for place, structure in enumerate(range(form == "exclusive", k)):
            if form == "exclusive":
                p, found = logits[i].softmax(0)[structure], logits[i].argmax(0) == structure
                true, counts = own == structure, own != IGNORE
            else:
                p, found = logits[i, structure].sigmoid(), logits[i, structure] > 0
                true, counts = own[structure] == 1, own[structure] != IGNORE
            size = p[counts].sum() + true.sum()
            value = (2 * p[true].sum() + SMOOTHING) / (size + SMOOTHING)
            assert soft[i, place] == pytest.approx(float(value), rel=1e-12)
            size = int((found & counts).sum() + true.sum())
            exact = 2 * int((found & true).sum()) / size if size else 1.0
            assert hard[i, place] == pytest.approx(exact, rel=1e-12)
    assert torch.equal(margin(logits, labels), -hard.mean(1))
    assert torch.allclose(dice(logits, labels), 1 - soft.mean(1), rtol=1e-12)


def test_a_structure_that_is_absent() -> None:
    """It counts 1 while nothing of it is predicted, and 0 with the first pixel."""
    labels = torch.zeros(2, 4, 4, dtype=torch.int64)
    logits = torch.zeros(2, 2, 4, 4, dtype=torch.float64)
    logits[:, 0] = 50.0
    logits[1, 1, 0, 0] = 51.0
    assert hard_dice(logits, labels).tolist() == [[1.0], [0.0]]
    assert margin(logits, labels).tolist() == [-1.0, 0.0]
    soft = soft_dice(logits, labels)[:, 0]
    assert soft[0] == pytest.approx(1, abs=1e-12) and soft[1] < 0.6
    _, gradient = climb(lambda z: z, logits / 50, lambda z: dice(z, labels))
    assert bool((gradient[:, 1] > 0).all()), "to predict it anywhere is what the attacker wants"


@pytest.mark.parametrize("name", [name for name in DENSE_LOSSES if "masked" not in name])
@pytest.mark.parametrize("aimed", [False, True])
@every_form
def test_gradients_against_finite_differences(
    form: str, k: int, space: tuple[int, ...], aimed: bool, name: str
) -> None:
    """Masked losses apart, whose value is by design not that of their gradient."""
    logits, labels = drawn(form, k, space, n=2)
    loss = AttackLoss(name, labels, labels if aimed else None)
    value, gradient = climb(lambda z: z, logits, loss)
    assert torch.equal(value, logits)
    along = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits)
    step = 1e-6
    difference = (loss(logits + step * along) - loss(logits - step * along)) / (2 * step)
    assert torch.allclose((gradient * along).flatten(1).sum(1), difference, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", DENSE_LOSSES)
@every_form
def test_ignored_pixels_have_no_influence(
    form: str, k: int, space: tuple[int, ...], name: str
) -> None:
    """Neither on a value nor through a gradient, whatever the model says there."""
    logits, labels = drawn(form, k, space)
    loss = AttackLoss(name, labels)
    ignored = labels == IGNORE if form == "overlapping" else (labels == IGNORE)[:, None]
    _, gradient = climb(lambda z: z, logits, loss)
    other = torch.where(ignored, 7 - 3 * logits, logits)
    assert not bool(gradient.masked_select(ignored.expand_as(gradient)).any())
    assert torch.equal(loss(other), loss(logits))
    for target in (None, labels):
        assert torch.equal(margin(other, labels, target), margin(logits, labels, target))
    nothing = torch.full_like(labels, IGNORE)
    assert bool(cross_entropy(logits, nothing).eq(0).all())
    assert bool(margin(logits, labels, nothing).eq(0).all()), "no wish is fulfilled at once"


@pytest.mark.parametrize("name", DENSE_LOSSES)
@every_form
def test_no_order_matters(form: str, k: int, space: tuple[int, ...], name: str) -> None:
    """Of cases, of pixels, of axes, of structures."""
    logits, labels = drawn(form, k, space)
    first = 2 if form == "overlapping" else 1
    value, ahead = AttackLoss(name, labels)(logits), margin(logits, labels)
    classes = torch.arange(k)
    if form == "overlapping":
        classes, renamed = classes.flip(0), labels.flip(1)
    else:
        classes[1:] = classes[1:].flip(0)
        renamed = torch.where(labels > 0, k - labels, labels)
    for moved, own in (
        (logits.flip(2), labels.flip(first)),
        (logits.roll(1, -1), labels.roll(1, -1)),
        (logits.transpose(2, 3), labels.transpose(first, first + 1)),
        (logits[:, classes], renamed),
    ):
        assert torch.allclose(AttackLoss(name, own)(moved), value, rtol=1e-12)
        assert torch.allclose(margin(moved, own), ahead, rtol=1e-12)
    order = [2, 0, 1]
    assert torch.equal(AttackLoss(name, labels[order])(logits[order]), value[order])
    assert torch.equal(margin(logits[order], labels[order]), ahead[order])


def test_overlapping_is_two_classes_for_each_structure() -> None:
    """One structure with logit z: the exclusive classes with logits (0, z)."""
    logits, labels = drawn("overlapping", 1, (3, 4))
    pair, single = torch.cat([torch.zeros_like(logits), logits], 1), labels[:, 0]
    for name in DENSE_LOSSES:
        one, other = AttackLoss(name, labels)(logits), AttackLoss(name, single)(pair)
        assert torch.allclose(one, other, rtol=1e-12), name
    assert torch.equal(margin(logits, labels), margin(pair, single))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_keeps_its_digits_where_the_model_is_sure(dtype: torch.dtype) -> None:
    """1 - p of the label rounds to 0 long before; textbook code then has no gradient for it."""
    labels = torch.zeros(1, 2, dtype=torch.int64)
    lead = torch.tensor([-40.0, -3.0], dtype=dtype)
    logits = torch.stack([torch.zeros_like(lead), lead])[None]
    _, gradient = climb(lambda z: z, logits, AttackLoss("cross_entropy", labels))
    exact = lead.double().sigmoid().to(dtype) / 2
    assert torch.allclose(gradient[0, 1], exact, rtol=1e-5)
    assert torch.allclose(gradient[0, 0], -exact, rtol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "cross_entropy_dice"])
def test_the_margin_takes_over_where_the_gradient_underflows(name: str) -> None:
    """Case by case, and only where all pixels are right beyond doubt."""
    labels = torch.zeros(2, 1, 2, dtype=torch.int64)
    logits = torch.zeros(2, 2, 1, 2)
    logits[0, 1], logits[1, 1] = -1e4, torch.tensor([-1e4, 0.5])
    assert saturated(logits, labels).tolist() == [True, False]
    _, gradient = climb(lambda z: z, logits, AttackLoss(name, labels))
    assert gradient[0, 1].tolist() == [[0.5, 0.5]]
    _, plain = climb(lambda z: z, logits, AttackLoss(name, labels, margin_fallback=False))
    assert not plain[0].any() and torch.equal(plain[1], gradient[1])


def test_labels_that_fit_neither_form() -> None:
    logits = torch.zeros(2, 3, 4, 5)
    for shape in ((2, 4, 4), (2, 2, 4, 5), (2, 1, 4, 5)):
        with pytest.raises(ValueError, match="do not fit dense logits"):
            cross_entropy(logits, torch.zeros(shape, dtype=torch.int64))
    with pytest.raises(ValueError, match="two classes or more"):
        overlapping(logits[:, :1], torch.zeros(2, 4, 5))


@pytest.mark.parametrize(
    ("name", "shape", "kind"),
    [("dlr", (2, 3, 3), "dense logits"), ("dice", (2,), r"logits \(n, k\)")],
)
def test_losses_that_such_logits_do_not_have(name: str, shape: tuple[int, ...], kind: str) -> None:
    with pytest.raises(ValueError, match=f"there is no loss '{name}' of {kind}; choose cross_ent"):
        AttackLoss(name, torch.zeros(shape, dtype=torch.int64))


def test_the_mean_of_no_pixel_is_zero() -> None:
    labels = torch.tensor([[0, IGNORE], [IGNORE, IGNORE]])
    assert mean_of_counted(torch.tensor([[3.0, 9.0], [5.0, 7.0]]), labels).tolist() == [3.0, 0.0]
