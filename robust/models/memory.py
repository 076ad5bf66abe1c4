"""How many images fit into memory at once: what a gradient keeps of one, against what is free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

SHARE = 0.6
"""Of the memory that is free now; the rest is left to others, and to what is not counted."""
BESIDE = 2.0
"""Working memory of layers and of the attack, as a multiple of what the gradient keeps."""


def at_once(model: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Images of the shape of `x (n, c, h, w)` whose gradient can be had in one pass, at least 1.

    An estimate, so that a large image does not end the process: on a CPU the system kills what
    takes too much, and nothing can be caught. Where nothing can be measured, a very large number.
    """
    free = free_memory(x.device)
    kept = _kept(model, x[:1])
    if free is None or not kept:
        return 1 << 30
    return max(1, int(SHARE * free / (BESIDE * kept)))


def _kept(model: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward one, those of the parameters left out."""
    storages: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        if saved.layout is torch.strided and not saved.is_leaf:
            storage = saved.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return saved

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            logits = model(x.detach().requires_grad_(True))
        del logits
    except Exception:  # noqa: BLE001  (a foreign network may fail in any way; the attack will tell)
        return 0
    return sum(storages.values()) + 4 * x.numel() * x.element_size()


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be taken on this device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = [size for size in (_available(), _left_to_group()) if size is not None]
    return min(found, default=None)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(s.split()[1]) for s in lines if s.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None


def _left_to_group() -> int | None:
    """What a container may still take, by its control group (version 2, or 1)."""
    root = Path("/sys/fs/cgroup")
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return int((root / limit).read_text()) - int((root / used).read_text())
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return None
