"""CUDA graphs: the passes of a network recorded once and replayed as a whole; `torch.compile`.

A small network, or a small batch, keeps a GPU busy for less time than the CPU takes to send it one
kernel after another; a replay sends all of them at once. It runs the very kernels that were
recorded, so every result is the same bit for bit, and a graph that cannot be made changes nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out", Tensor, tuple[Tensor, ...])

ROWS = 16
"""Batches are filled up to a multiple of this, so that few sizes come again and again."""
SIZES_PER_DOUBLING = 4
"""Above 64 images the steps grow: 64, 80, 96, 112, 128, 160, 192, 224, 256 ..."""
CALLS = 6
"""A size is recorded when it has come so often: recording costs about as many passes."""
MOST_GRAPHS = 12
"""Sizes that are recorded, with a gradient and without; all of a kind share the memory of one."""

RECORDING = threading.Lock()
"""Held while a graph is recorded: memory that another thread takes meanwhile would break it."""


class Replayed(Generic[Out]):
    """A network on a GPU, replayed: `(n, c, h, w)` to `(n, k)`, or to a tuple of `(n, ...)`."""

    def __init__(self, network: Callable[[Tensor], Out], compiled_rows: int = 0) -> None:
        """Batches of `compiled_rows`, once filled up, run compiled; 0: none do.

        Which form a batch takes follows from its size alone: a run that goes on repeats it.
        """
        self.network: Callable[[Tensor], Out] = network
        self.most_filled: int | None = None
        """Batches are filled up to at most so many images; None: memory is not short."""
        self._compiled_rows = filled(compiled_rows) if compiled_rows else 0
        self._compiled: Callable[[Tensor], Out] = network
        if compiled_rows:
            self._compiled = torch.compile(network, dynamic=False)
        self._calls: Counter[Any] = Counter()
        self._graphs: dict[Any, Callable[[Tensor], Out]] = {}
        self._pools: dict[bool, Any] = {}
        self._latest = _Latest()
        self._failed = False

    def __call__(self, x: Tensor) -> Out:
        """The logits, or whatever else the network gives."""
        n, climbs = len(x), torch.is_grad_enabled()
        if not self._on_gpu(x) or not n or (climbs and not x.requires_grad):
            return self.network(x)
        size = filled(n)
        if self.most_filled is not None:
            size = max(n, min(size, self.most_filled))
        if size > n:
            x = torch.cat([x, x[-1:].detach().expand(size - n, *x.shape[1:])])
        return _each(self._run(x, climbs), lambda values: values[:n])

    def release(self) -> None:
        """Give the memory of all graphs back."""
        self._graphs.clear()
        self._calls.clear()
        self._pools.clear()

    def _run(self, x: Tensor, climbs: bool) -> Out:
        network = self._compiled if len(x) == self._compiled_rows else self.network
        key = (climbs, tuple(x.shape), x.dtype)
        if key not in self._graphs and not self._failed:
            self._calls[key] += 1
            recorded = sum(one[0] == climbs for one in self._graphs)
            if self._calls[key] >= CALLS and recorded < MOST_GRAPHS:
                self._record(key, x, network)
        if key not in self._graphs:
            return network(x)
        replay = self._graphs[key]
        if not climbs:
            # A replay overwrites what the one before returned.
            return _each(replay(x), torch.clone)
        out: Out = _Pass.apply(x, replay, self._latest)  # type: ignore[no-untyped-call]
        return out

    @staticmethod
    def _on_gpu(x: Tensor) -> bool:
        return x.is_cuda

    def _record(self, key: Any, x: Tensor, network: Callable[[Tensor], Out]) -> None:
        climbs = key[0]
        try:
            with RECORDING, warnings.catch_warnings():
                # torch warns of its own recording on a side stream.
                warnings.simplefilter("ignore")
                if climbs not in self._pools:
                    self._pools[climbs] = torch.cuda.graph_pool_handle()
                record = _with_gradient if climbs else _without_gradient
                self._graphs[key] = record(network, x.detach().clone(), self._pools[climbs])
        except Exception:  # noqa: BLE001  (what a network does may not be recordable)
            self._failed = True
            torch.cuda.synchronize(x.device)


def filled(n: int) -> int:
    """The number of images that a batch of `n` is filled up to."""
    step = max(ROWS, (1 << (n - 1).bit_length()) // (2 * SIZES_PER_DOUBLING))
    return n + -n % step


def _with_gradient(network: Callable[[Tensor], Out], sample: Tensor, pool: Any) -> Any:
    # What is in fact a method of a module would be taken for the module itself.
    return torch.cuda.make_graphed_callables(
        lambda images: network(images), (sample.requires_grad_(True),), pool=pool
    )


@torch.no_grad()
def _without_gradient(network: Callable[[Tensor], Out], sample: Tensor, pool: Any) -> Any:
    aside = torch.cuda.Stream(sample.device)  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream(sample.device))
    with torch.cuda.stream(aside):
        for _ in range(2):  # what libraries set up at their first calls cannot be recorded
            network(sample)
    torch.cuda.current_stream(sample.device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        out = network(sample)

    def replay(x: Tensor) -> Out:
        sample.copy_(x)
        graph.replay()
        return out

    return replay


def _each(values: Out, change: Callable[[Tensor], Tensor]) -> Out:
    return change(values) if isinstance(values, Tensor) else tuple(map(change, values))


@dataclass
class _Latest:
    """The pass that the shared memory holds; None once it was differentiated."""

    token: object = None


class _Pass(torch.autograd.Function):
    """A recorded pass that may be differentiated at any time and as often as one likes.

    All passes share their memory, and going backward overwrites what a pass has kept: where that is
    lost, the pass is replayed once more.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, replay: Callable[[Tensor], Out], latest: _Latest) -> Out:
        ctx.x = x.detach().clone().requires_grad_(True)  # an attack may write to its images
        ctx.replay, ctx.latest = replay, latest
        out: Out = _Pass._replay(ctx)
        return _each(out, lambda values: values.detach().clone())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        out = ctx.out if ctx.latest.token is ctx.token else _Pass._replay(ctx)
        ctx.latest.token = None
        (gradient,) = torch.autograd.grad(out, ctx.x, slopes)
        return gradient.clone(), None, None

    @staticmethod
    def _replay(ctx: Any) -> Any:
        with torch.enable_grad():
            ctx.out = ctx.replay(ctx.x)
        ctx.token = ctx.latest.token = object()
        return ctx.out


def compiles(network: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether a network runs compiled on `x (n, c, h, w)` and is differentiated; takes a minute."""
    try:
        moving = x.detach().requires_grad_(True)
        logits = network(moving)
        (gradient,) = torch.autograd.grad(logits.sum(), moving)
        return bool(torch.isfinite(gradient).all())
    except Exception:  # noqa: BLE001  (a foreign network, or a machine without a compiler)
        return False
