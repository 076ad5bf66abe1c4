"""Recorded passes where there is no GPU: what fills batches up, and when memory is taken over.

What a recording holds is played by tensors on the CPU that are overwritten as a GPU's would be; real
recordings run in tests/gpu/test_replay.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from detectors import Extractor
from robust.models.acceleration import cuda_graphs
from robust.models.acceleration.cuda_graphs import CALLS, MOST_GRAPHS, ROWS, Replayed, filled

Network = Callable[[Tensor], Any]


def test_few_sizes_come_again_and_again() -> None:
    sizes = [filled(n) for n in range(1, 257)]
    assert sorted(set(sizes)) == [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256]
    assert len(set(sizes)) <= MOST_GRAPHS
    for n, size in enumerate(sizes, 1):
        assert n <= size and (size <= 1.25 * n or size < n + ROWS)
        assert filled(size) == size


class Shared:
    """The one memory of all recordings: each pass makes what the others hold useless."""

    def __init__(self) -> None:
        self.holds: list[Tensor] = []

    def take(self, own: Tensor, x: Tensor) -> None:
        for held in self.holds:
            held.fill_(torch.nan)
        own.copy_(x)

    def recording(self, network: Network, sample: Tensor, pool: Any) -> Network:
        x = sample.detach().clone()
        self.holds.append(x)
        outputs = [one.detach().clone() for one in as_tuple(network(x))]

        class Graphed(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, given: Tensor) -> tuple[Tensor, ...]:
                self.take(x, given)
                for own, value in zip(outputs, as_tuple(network(x)), strict=True):
                    own.copy_(value)
                return tuple(one.detach() for one in outputs)

            @staticmethod
            def backward(ctx: Any, *slopes: Tensor) -> Tensor:
                with torch.enable_grad():
                    z = x.detach().clone().requires_grad_(True)
                    (gradient,) = torch.autograd.grad(as_tuple(network(z)), z, slopes)
                x.fill_(torch.nan)
                return gradient

        def replay(given: Tensor) -> Any:
            found = Graphed.apply(given)  # type: ignore[no-untyped-call]
            return found if isinstance(network(given), tuple) else found[0]

        return replay


def as_tuple(values: Any) -> tuple[Tensor, ...]:
    return values if isinstance(values, tuple) else (values,)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings on the CPU, those with a gradient in a memory of their own."""
    monkeypatch.setattr(Replayed, "_on_gpu", staticmethod(lambda x: True))
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    for kind in ("_with_gradient", "_without_gradient"):
        monkeypatch.setattr(cuda_graphs, kind, Shared().recording)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def images(n: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(100 * n + seed)
    return torch.rand(n, 2, 2, 2, generator=draw, dtype=torch.float64)


def slope(values: Tensor, x: Tensor) -> Tensor:
    (found,) = torch.autograd.grad(values.square().sum(), x, retain_graph=True)
    return found


def warmed(replayed: Replayed[Any], sizes: tuple[int, ...]) -> None:
    """Both kinds of pass of these sizes are recorded."""
    for n in sizes:
        for _ in range(CALLS):
            replayed(images(n).requires_grad_(True))
            with torch.no_grad():
                replayed(images(n))
    assert len(replayed._graphs) == 2 * len({filled(n) for n in sizes}) and not replayed._failed


def test_passes_are_differentiated_in_any_order_and_again(gpu: None) -> None:
    plain = network()
    replayed: Replayed[Tensor] = Replayed(plain)
    warmed(replayed, (16, 30))
    own = [images(n, i).requires_grad_(True) for i, n in enumerate((16, 30, 5, 16))]
    found = [replayed(x) for x in own]
    expected = [plain(x) for x in own]
    for i in (3, 1, 0, 2, 2, 1, 3):
        with torch.no_grad():
            assert torch.allclose(replayed(images(30, i)), plain(images(30, i)))
        assert torch.allclose(found[i], expected[i])
        assert torch.allclose(slope(found[i], own[i]), slope(expected[i], own[i]))


def test_an_attack_may_write_to_its_images(gpu: None) -> None:
    plain = network()
    replayed: Replayed[Tensor] = Replayed(plain)
    warmed(replayed, (16,))
    x = images(16).requires_grad_(True)
    found, expected = replayed(x), slope(plain(x), x)
    slope(found, x)
    with torch.no_grad():
        x.add_(1)
    assert torch.allclose(slope(found, x), expected)


def test_several_outputs_are_differentiated_one_by_one(gpu: None) -> None:
    """As a detector and the classifier are, of one pass over both."""
    plain = Extractor(network(), ["1", "2"])
    recorded: list[Replayed[tuple[Tensor, ...]]] = []

    def record(read: Callable[[Tensor], tuple[Tensor, ...]]) -> Replayed[tuple[Tensor, ...]]:
        recorded.append(Replayed(read))
        return recorded[0]

    extract = Extractor(plain.model, plain.layers, record)
    warmed(recorded[0], (16,))
    x = images(9).requires_grad_(True)
    found, expected = extract(x), plain(x)
    for read in (lambda f: f.deep, lambda f: f.logits, lambda f: f.layers["1"] + f.logits.sum()):
        assert torch.allclose(read(found), read(expected))
        assert torch.allclose(slope(read(found), x), slope(read(expected), x))


def test_memory_limits_what_is_filled_up(gpu: None) -> None:
    seen: list[int] = []

    def count(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x.flatten(1)

    replayed: Replayed[Tensor] = Replayed(count)
    for limit, expected in ((None, 16), (5, 5), (2, 3), (64, 16)):
        replayed.most_filled = limit
        assert torch.equal(replayed(images(3).requires_grad_(True)), images(3).flatten(1))
        assert seen[-1] == expected


def test_a_processor_runs_the_network_itself() -> None:
    seen: list[int] = []

    def count(x: Tensor) -> Tensor:
        seen.append(len(x))
        return x.flatten(1)

    for _ in range(CALLS + 1):
        Replayed(count)(images(3).requires_grad_(True))
    assert set(seen) == {3}
