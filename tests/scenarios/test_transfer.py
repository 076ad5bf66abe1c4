"""Transfer from a surrogate: its best case, and surrogates that are refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import Classifier
from tests.engine.nets import trained
from tests.scenarios.play import run


class _Wide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3))] * 5, 1)


class _Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).repeat(1, 2) * torch.nan


@pytest.mark.parametrize(
    ("model", "channels", "said"),
    [
        (_Wide(), 1, "has 5 outputs, the data 2 classes"),
        (_Blind(), 1, "NaN or infinite logits"),
        (trained(28), 3, "the surrogate does not fit: the network fails on images of shape"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(10, 2)),
            1,
            "the surrogate does not fit: the network fails on images",
        ),
    ],
)
def test_a_surrogate_that_does_not_fit_is_refused_in_one_line(
    model: nn.Module, channels: int, said: str
) -> None:
    with pytest.raises(InputError, match=said) as error:
        run(surrogate=Classifier(model.eval(), channels=channels), scenarios={"cases": 10})
    assert "\n" not in str(error.value)


def test_a_model_is_its_own_best_surrogate() -> None:
    (found,) = run(surrogate=Classifier(trained(28), channels=1), scenarios={"cases": 20}).scenarios
    assert found.surrogate_fooled is not None
    assert found.fooled.value == found.surrogate_fooled.value
