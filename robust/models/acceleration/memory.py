"""Memory: the batch that a fixed budget allows; freed memory kept between passes (glibc)."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from robust.errors import InputError
from robust.models.process_state import ProcessState

BATCH_MEMORY = 4 << 30
"""Bytes that one pass may take on a CPU; on a GPU it is half of the card's memory. Either is fixed:
batches that followed what happens to be free would change the last digits of a result from run to
run."""
MEMORY_SHARE = 0.6
"""Share of the free memory that a batch may take; the estimate does not count everything."""
WORKING_MEMORY = 2.0
"""Memory that layers and the attack need, as a multiple of what the gradient keeps."""
DENSE_COPIES = 4
"""How often a loss on dense logits holds tensors of their size."""

NEEDED_MEMORY = 1 << 30
"""Bytes that a limited process must be allowed to take, beyond what it has."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
"""Settings of glibc's malloc, by their numbers in malloc.h."""


@dataclass(frozen=True)
class BatchSize:
    """How many images of one shape go through the network at once."""

    settled: int
    """What `BATCH_MEMORY` allows."""
    used: int
    """What the memory of this machine allowed as well."""

    @property
    def is_short(self) -> bool:
        """Whether the memory of this machine allowed fewer."""
        return self.used < self.settled

    def halved(self, count: int) -> BatchSize:
        """After memory ran out on a batch of `count`."""
        return BatchSize(self.settled, max(1, min(self.used, count) // 2))


def find_batch_size(model: Callable[[Tensor], Tensor], x: Tensor, most: int) -> BatchSize:
    """For images of the shape of `x (n, c, h, w)`, at most `most`, at least 1.

    It is halved until it fits into what is free: on a CPU the system kills what takes too much, and
    nothing can be caught.
    """
    per_image = WORKING_MEMORY * bytes_for_gradient(model, x[:1])
    settled = max(1, min(most, int(batch_memory(x.device) // per_image))) if per_image else most
    free, used = free_memory(x.device), settled
    while free is not None and used > 1 and used * per_image > MEMORY_SHARE * free:
        used //= 2
    return BatchSize(settled, used)


def batch_memory(device: torch.device) -> int:
    """Bytes that one pass may take on a device of this kind."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory // 2)
    return BATCH_MEMORY


def bytes_for_gradient(model: Callable[[Tensor], Tensor], x: Tensor) -> int:
    """Bytes that a forward pass on `x` keeps for the backward one, without the parameters.

    0 where that cannot be measured.
    """
    storages: dict[int, int] = {}

    def keep(saved: Tensor) -> Tensor:
        if saved.layout is torch.strided and not saved.is_leaf:
            storage = saved.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return saved

    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
            logits = model(x.detach().requires_grad_(True))
        of_losses = DENSE_COPIES * logits.numel() * logits.element_size() if logits.ndim > 2 else 0
        del logits
    except Exception:  # noqa: BLE001  (a foreign network may fail in any way; the attack reports it)
        return 0
    return sum(storages.values()) + of_losses + 4 * x.numel() * x.element_size()


@contextmanager
def keep_freed_memory(device: torch.device) -> Iterator[None]:
    """On a CPU with glibc, keep freed memory for the next pass and return it at the end.

    Elsewhere (macOS, Windows, musl) it does nothing.

    By default every tensor above 32 MiB is allocated from the system again and cleared page by
    page, pass after pass: a third of the time of a MobileNetV2 at 224 px, in float32.
    """
    if device.type != "cpu":
        yield
        return
    with _KEPT():
        yield


@contextmanager
def _kept() -> Iterator[None]:
    malloc = _glibc()
    if malloc is None:
        yield
        return
    malloc.mallopt(_MMAP_MAX, 0)
    malloc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        malloc.mallopt(_MMAP_MAX, 65536)
        malloc.mallopt(_TRIM_THRESHOLD, 64 << 20)
        malloc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # where the default ends after some use
        malloc.malloc_trim(0)


_KEPT = ProcessState(_kept)


def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallopt, library.malloc_trim  # noqa: B018  (another libc may lack them)
    except (OSError, AttributeError):
        return None
    return library


def free_memory(device: torch.device) -> int | None:
    """Bytes that may still be taken on this device; None where the system does not say."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    sizes = (_available(), _left_to_group(), _left_to_process())
    return min((size for size in sizes if size is not None), default=None)


def require_memory() -> None:
    """InputError where a limit of this process (ulimit -v, -d) leaves it too little to work in.

    OpenBLAS tries for ever, or ends the process with the exit code of a failed gate, where it
    cannot allocate its buffers; nothing can be caught then.
    """
    left = _left_to_process()
    if left is not None and left < NEEDED_MEMORY:
        raise InputError(
            f"this process may take {max(0, left) >> 20} MiB more memory and needs "
            f"{NEEDED_MEMORY >> 20}; raise its limits (ulimit -v, ulimit -d)"
        )


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


def _left_to_process() -> int | None:
    """What the limits of this process (ulimit -v, -d) still allow; None where there are none."""
    try:
        limits = Path("/proc/self/limits").read_text()
        status = Path("/proc/self/status").read_text()
    except OSError:  # another system than Linux
        return None
    left = []
    for limit, used in (("Max address space", "VmSize"), ("Max data size", "VmData")):
        most = re.search(rf"^{limit} +(\d+)", limits, re.MULTILINE)
        taken = re.search(rf"^{used}:\s+(\d+) kB", status, re.MULTILINE)
        if most and taken:
            left.append(int(most[1]) - 1024 * int(taken[1]))
    return min(left, default=None)


class OutOfMemory(InputError):
    """Memory ran out on a batch."""

    def __init__(self, images: int) -> None:
        super().__init__(
            f"memory ran out on a batch of {images}; use smaller images or another device"
        )


def memory_ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of a GPU or of a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
