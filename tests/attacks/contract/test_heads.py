"""Heads of every size: two classes and more, one output, many labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from attacks import FGSM, ThreatModel
from robust.models import Classifier
from tests.attacks.cases import streams
from tests.attacks.contract.test_scale_of_logits import SEARCHES, won
from tests.toys import Then, fooled, patterns, predicted


@pytest.mark.parametrize(
    ("classes", "channels"),
    [
        pytest.param(classes, channels, marks=[] if i % 2 == (channels == 3) else pytest.mark.slow)
        for i, classes in enumerate((2, 3, 7, 10, 14))
        for channels in (1, 3)
    ],
)
def test_heads_of_every_size(classes: int, channels: int) -> None:
    """DLR needs four logits, the AutoAttack of other libraries ten; an audit meets them all."""
    model, x, y = patterns(classes, channels)
    assert len(x) >= 30
    for norm, attack, eps in SEARCHES:
        wide = 5 * eps
        part = won(attack, model, x, y, norm, wide)
        assert float(part.double().mean()) > (0.6 if isinstance(attack, FGSM) else 0.95)


def as_sigmoid(model: nn.Module) -> Classifier:
    return Classifier(Then(model, lambda z: z[:, 1:] - z[:, :1]), head="sigmoid")


def as_multilabel(model: nn.Module) -> Classifier:
    def outputs(z: Tensor) -> Tensor:
        other = z.flip(1) * 3
        return torch.cat([other, z[:, 1:] - z[:, :1], other], 1)

    return Classifier(Then(model, outputs), head="multilabel", finding=2)


@pytest.mark.parametrize("wrap", [as_sigmoid, as_multilabel])
def test_one_output_and_many_labels_are_two_classes(
    wrap: Callable[[nn.Module], Classifier],
) -> None:
    """A sigmoid z is the pair (0, z): the same network as softmax gives the same images."""
    model, x, y = patterns(2)
    model, x = model.double().eval(), x[:16].double()
    y = y[:16]
    wrapped = wrap(model).double().eval()
    assert wrapped(x).shape == (16, 2)
    assert torch.equal(predicted(wrapped, x), y)
    for norm, attack, eps in SEARCHES:
        threat = ThreatModel(norm, eps)
        one = attack(model, x, y, threat, streams(x))
        other = attack(wrapped, x, y, threat, streams(x))
        assert torch.allclose(one, other, rtol=0, atol=1e-9)
        if not isinstance(attack, FGSM) and norm == "L2":
            assert bool(fooled(wrapped, other, y).any())
