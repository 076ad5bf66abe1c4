"""What networks return and raise: the logits among several tensors, and why a network failed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import Classifier
from robust.models.forward import checked_logits

Z, DEEP, MAP = torch.rand(3, 2), torch.rand(3, 7), torch.rand(3, 4, 8, 8)
X = torch.rand(3, 3, 8, 8)


class Pair(NamedTuple):
    features: Tensor
    logits: Tensor


@dataclass
class Output:
    hidden: Tensor
    out: Tensor
    attentions: None = None


def output_of_transformers(**values: Any) -> Any:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    return outputs.ImageClassifierOutput(**values)


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: {"logits": Z, "features": DEEP}, None),
        (lambda: OrderedDict(out=Z, aux=DEEP), None),
        (lambda: {"embedding": DEEP, "output": Z}, None),
        (lambda: {"whatever": Z, "map": MAP}, None),
        (lambda: {"whatever": Z}, None),
        (lambda: {"features": DEEP, "heart": Z}, "heart"),
        (lambda: [Z], None),
        (lambda: (Z, MAP), None),
        (lambda: (Z, None), None),
        (lambda: (DEEP, Z), 1),
        (lambda: Pair(DEEP, Z), None),
        (lambda: Output(MAP, Z), None),
        (lambda: output_of_transformers(logits=Z, hidden_states=(MAP,)), None),
    ],
)
def test_the_logits_among_what_is_returned(make: Callable[[], Any], key: str | int | None) -> None:
    assert checked_logits(make(), X, key) is Z


@pytest.mark.parametrize(
    ("out", "key", "said"),
    [
        (
            (Z, DEEP),
            None,
            r"several tensors: 0 \(3, 2\), 1 \(3, 7\); .*output_key = 0 in \[model\]",
        ),
        ({"a": Z, "b": DEEP}, None, r"'a' \(3, 2\), 'b' \(3, 7\).*output_key = 'a'"),
        ({"a": None}, None, "a dict without a tensor"),
        ({"a": Z}, "b", "nothing under output_key = 'b'; .*there are: a"),
        (Z, "logits", "one Tensor, so that output_key = 'logits' chooses nothing; remove it"),
        ((), None, "a tuple without a tensor"),
        ({"logits": MAP}, None, r"a tensor of shape \(3, 4, 8, 8\)"),
    ],
)
def test_what_is_not_plain_is_asked_for(out: Any, key: str | int | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        checked_logits(out, X, key)


class Net(nn.Module):
    def __init__(self, act: Callable[..., Tensor]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class TwoInputs(nn.Module):
    def forward(self, x: Tensor, age: Tensor, sex: Tensor) -> Tensor:
        return x.mean((2, 3)) + age


def raising(error: BaseException) -> nn.Module:
    def act(x: Tensor) -> Tensor:
        raise error

    return Net(act)


def fixed(count: int) -> nn.Module:
    return Net(lambda x: x.reshape(count, 3, 64).mean(2))


@pytest.mark.parametrize(
    ("network", "said", "unsaid"),
    [
        (TwoInputs(), "more than images: 'age' and 'sex'; give a factory", "channels"),
        (
            raising(RuntimeError("Found no NVIDIA driver on your system.")),
            r"of its own \(\.cuda\(\)",
            "channels",
        ),
        (raising(AssertionError("Torch not compiled with CUDA enabled")), "a fixed device", "size"),
        (fixed(4), "it takes batches of 4 images and not of 3: its forward fixes", "channels and"),
        (fixed(1), "it takes batches of 1 images and not of 3", "channels and size"),
        (nn.Conv2d(1, 2, 3), "set its channels and size to what it was trained on", "batch"),
        (raising(KeyError("x")), "its own code raises this", "channels"),
    ],
)
def test_a_failure_names_its_cause(network: nn.Module, said: str, unsaid: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        Classifier(network, head="softmax")(X)
    assert unsaid not in str(caught.value)
