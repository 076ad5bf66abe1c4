"""A network whose backward pass raises: one line, never exit code 0; a fault of ours stays one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust.auditing import audit
from robust.cases import open_cases
from robust.errors import InputError
from robust.models import Classifier
from robust.models.gradients.backward import backward_errors


class _Raising(torch.autograd.Function):
    error: BaseException = KeyError("k")

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        raise _Raising.error


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(28 * 28, 2)

    def forward(self, x: Tensor) -> Tensor:
        return _Raising.apply(self.layer(x.flatten(1)))  # type: ignore[no-any-return,no-untyped-call]


@pytest.mark.parametrize("error", [KeyError("k"), SystemExit(0), RuntimeError("boom")])
def test_what_a_backward_pass_raises_is_one_line(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Raising, "error", error)
    x = torch.zeros(2, 1, 28, 28, requires_grad=True)
    with pytest.raises(InputError, match="the network's backward pass fails"), backward_errors():
        torch.autograd.grad(_Network()(x).sum(), x)


@pytest.mark.parametrize("scenario", [{"universal": [1]}, {"patch": [0.1]}])
def test_an_audit_ends_in_a_line(scenario: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Raising, "error", SystemExit(0))
    torch.manual_seed(0)
    cases = open_cases("phantom:chest_xray", count=40, pixels=28)
    with pytest.raises(InputError, match="backward pass fails"):
        audit(
            Classifier(_Network(), channels=1),
            cases,
            attacks=["Noise"],
            eps=["2/255"],
            scenarios={"cases": 20, **scenario},
            doubts={"probe": False},
            gallery=0,
        )


def test_a_fault_of_ours_stays_one() -> None:
    with pytest.raises(ZeroDivisionError), backward_errors():
        1 / 0  # noqa: B018
