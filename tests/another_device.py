"""A second device without a card: CPU tensors that report another device and refuse to mix.

Real numbers are computed, so that results can be compared; FakeTensor has none, and refuses boolean
masks. As on a GPU, a 0-dimensional CPU tensor may join in, and CPU indices may select.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

DEVICE = torch.device("meta")
"""The name of the device; on a real meta device nothing can be computed."""

_INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
_COPYING = ("aten::copy_", "aten::_to_copy")


class There(Tensor):
    """A tensor on the other device, which holds a CPU tensor."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor, requires_grad: bool = False) -> There:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
            requires_grad=requires_grad,
        )
        made.held = held
        return made

    def __repr__(self, **options: Any) -> str:
        return f"There({self.held!r})"

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, **options: Any) -> Any:
        raise TypeError(f"a tensor on {DEVICE} has no NumPy array; move it to the CPU first")

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """Sends what is made on the other device there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Makes tensors of Python values on the CPU first: on a meta device they would be lost."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        wanted = kwargs.get("device")
        if func in (torch.tensor, torch.as_tensor) and wanted is not None:
            return func(*args, **{**kwargs, "device": None}).to(wanted)
        return func(*args, **kwargs)


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    name = func._schema.name
    flat, spec = tree_flatten((args, kwargs))
    on_it = any(isinstance(one, There) for one in flat)
    if on_it and name not in _COPYING:
        _require_together(name, args, flat)
    plain = [one.held if isinstance(one, There) else one for one in flat]
    args, kwargs = tree_unflatten(plain, spec)
    wanted = kwargs.get("device")
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
        on_it = torch.device(wanted) == DEVICE
    out = func(*args, **kwargs)
    if name == "aten::copy_":
        return flat[0]
    if not on_it:
        return out
    # What was changed in place keeps its identity.
    known = {id(one.held): one for one in flat if isinstance(one, There)}
    return tree_map_only(
        Tensor, lambda one: known[id(one)] if id(one) in known else There(one), out
    )


def _require_together(name: str, args: Any, flat: list[Any]) -> None:
    """As CUDA has it: numbers and the indices of an index may come from the CPU, nothing else."""
    here = [one for one in flat if isinstance(one, Tensor) and not isinstance(one, There)]
    if name in _INDEXING:
        if not isinstance(args[0], There):
            raise RuntimeError(f"{name}: indices on {DEVICE}, the indexed tensor is on the CPU")
        here = [one for one in here if one.dtype not in (torch.bool, torch.int64)]
    for one in here:
        if one.ndim:
            raise RuntimeError(f"{name}: tensors on two devices, {DEVICE} and {one.device}")


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Within the block, tensors can be made on, and moved to, a device that refuses to mix."""
    with _Literals(), _Factories():
        yield DEVICE


def there(value: Tensor) -> Tensor:
    """A copy on the other device."""
    with another_device():
        return value.to(DEVICE)
