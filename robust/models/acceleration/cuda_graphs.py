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
from typing import Any

import torch
from torch import Tensor

ROWS = 16
"""Batches are filled up to a multiple of this, so that few sizes come again and again."""
CALLS = 6
"""A size is recorded when it has come so often: recording costs about as many passes."""
MOST_GRAPHS = 4
"""Sizes that are recorded; all share the memory of one."""

RECORDING = threading.Lock()
"""Held while a graph is recorded: memory that another thread takes meanwhile would break it."""


class Replayed:
    """A network on a GPU, `(n, c, h, w)` to `(n, k)`, replayed where it is differentiated."""

    def __init__(self, network: Callable[[Tensor], Tensor], compiled_rows: int = 0) -> None:
        """Batches of `compiled_rows`, once filled up, run compiled; 0: none do.

        Which form a batch takes follows from its size alone: a run that goes on repeats it.
        """
        self.network = network
        self._compiled_rows = compiled_rows + -compiled_rows % ROWS
        self._compiled: Callable[[Tensor], Tensor] = network
        if compiled_rows:
            self._compiled = torch.compile(network, dynamic=False)
        self._calls: Counter[Any] = Counter()
        self._graphs: dict[Any, Callable[[Tensor], Tensor]] = {}
        self._pool: Any = None
        self._failed = False

    def __call__(self, x: Tensor) -> Tensor:
        """The logits; passes that no gradient is asked of run as they are."""
        if not (x.is_cuda and x.requires_grad and torch.is_grad_enabled()):
            return self.network(x)
        n = len(x)
        if more := -n % ROWS:
            x = torch.cat([x, x[-1:].detach().expand(more, *x.shape[1:])])
        return self._run(x)[:n]

    def release(self) -> None:
        """Give the memory of all graphs back."""
        self._graphs.clear()
        self._calls.clear()
        self._pool = None

    def _run(self, x: Tensor) -> Tensor:
        network = self._compiled if len(x) == self._compiled_rows else self.network
        shape = (tuple(x.shape), x.dtype)
        if shape not in self._graphs and not self._failed:
            self._calls[shape] += 1
            if self._calls[shape] >= CALLS and len(self._graphs) < MOST_GRAPHS:
                self._record(shape, x, network)
        if shape not in self._graphs:
            return network(x)
        # A replay overwrites what the one before returned, gradients as well.
        out: Tensor = self._graphs[shape](_OwnGradient.apply(x))  # type: ignore[no-untyped-call]
        return out.clone()

    def _record(self, shape: Any, x: Tensor, network: Callable[[Tensor], Tensor]) -> None:
        sample = x.detach().clone().requires_grad_(True)
        try:
            with RECORDING, warnings.catch_warnings():
                # torch warns of its own recording on a side stream.
                warnings.simplefilter("ignore")
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                made: Any = torch.cuda.make_graphed_callables(
                    lambda images: network(images), (sample,), pool=self._pool
                )
            self._graphs[shape] = made
        except Exception:  # noqa: BLE001  (what a network does may not be recordable)
            self._failed = True
            torch.cuda.synchronize(x.device)


class _OwnGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].clone()


def compiles(network: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether a network runs compiled on `x (n, c, h, w)` and is differentiated; takes a minute."""
    try:
        moving = x.detach().requires_grad_(True)
        logits = network(moving)
        (gradient,) = torch.autograd.grad(logits.sum(), moving)
        return bool(torch.isfinite(gradient).all())
    except Exception:  # noqa: BLE001  (a foreign network, or a machine without a compiler)
        return False
