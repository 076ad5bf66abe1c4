"""One pass forward and backward of a network in every form that an attack may run it in.

Run: `python -m experiments.gpu.passes NETWORK OUT.json [--rehearse]`. Times are the least of two
means over several passes, in milliseconds.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from robust.benchmark.contest import library_defaults
from robust.models import full_precision, prepare
from robust.models.acceleration.accelerate import float32_copy
from robust.models.acceleration.cuda_graphs import CALLS, Replayed
from robust.models.acceleration.low_precision import low_precision_copy
from robust.models.loading import random_classifier

Model = Callable[[Tensor], Tensor]


def forms(network: str, x: Tensor) -> Iterator[tuple[str, Model]]:
    """The network as it is, and the copies that attacks search on."""
    torch.manual_seed(0)
    classifier = prepare(random_classifier(network), x.device)
    yield "plain, float32", classifier
    yield "plain, as torch sets itself up", _with_defaults(classifier)
    copied = float32_copy(classifier, x[:2])
    assert copied is not None
    yield "folded, channels last, float32", copied[0]
    low = low_precision_copy(copied[0], x[:2])
    assert low is not None
    yield "bfloat16", low
    if x.is_cuda:
        yield "bfloat16, recorded", Replayed(low)
        yield "bfloat16, compiled and recorded", Replayed(copy.deepcopy(low), len(x))


def _with_defaults(model: Model) -> Model:
    def run(x: Tensor) -> Tensor:
        with library_defaults():
            return model(x)

    return run


def milliseconds(model: Model, x: Tensor, count: int) -> float:
    """A pass forward and one backward to the image."""

    def one() -> None:
        moving = x.detach().requires_grad_(True)
        torch.autograd.grad(model(moving).sum(), moving)

    for _ in range(CALLS + 1 if isinstance(model, Replayed) else 1):
        one()
    means = []
    for _ in range(2):
        _wait(x)
        began = time.perf_counter()
        for _ in range(count):
            one()
        _wait(x)
        means.append((time.perf_counter() - began) / count)
    return 1000 * min(means)


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


def main() -> None:
    """Measure one network and write its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, on the CPU")
    given = parser.parse_args()
    device, batches, count = ("cpu", (2,), 1) if given.rehearse else ("cuda", (64, 256), 6)
    found: dict[str, Any] = {"network": given.network, "torch": torch.__version__}
    if device == "cuda":
        found["card"] = torch.cuda.get_device_name()
    with full_precision():
        for images in batches:
            x = torch.rand(images, 3, 224, 224, device=device)
            for name, model in forms(given.network, x):
                found.setdefault(name, {})[str(images)] = milliseconds(model, x, count)
                given.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
