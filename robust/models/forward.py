"""What a network's forward pass returns or raises: the logits in it, the reason of a failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from robust.errors import InputError, did_you_mean, excerpt, first_line, type_and_line

NAMES = ("logits", "logit", "out", "output", "outputs", "pred", "preds", "prediction", "y_hat")
"""Under which a network returns its logits beside other tensors; the first that is there counts."""
_OF_SHAPE = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)
"""What a network raises on images of another shape than its own."""
_SIGNATURE = re.compile(
    r"forward\(\) (?:missing \d+ required positional arguments?:|is missing value for argument)"
    r" (.*)"
)
_GPU = re.compile(
    r"NVIDIA driver|not compiled with CUDA|No CUDA GPUs|on the same device"
    r"|input type .* weight type",
    re.IGNORECASE,
)
_BATCHES = (1, 2, 4, 8, 16, 32)
"""Tried after a failure, to tell a fixed batch from a wrong shape."""


def checked_logits(out: object, x: Tensor, key: str | int | None = None) -> Tensor:
    """The outputs `(n, outputs)` in what a network returns on `x`; InputError for anything else.

    Of several tensors those under `key`, else under a name in `NAMES`, else the only one `(n, k)`.
    """
    found = _plain(_chosen(out, x, key, _is_row_for_each))
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2 or not found.shape[1]:
        hint = "; a network that outlines structures is a segmenter: task = 'segmentation'"
        raise InputError(
            f"the network returns a tensor of shape {tuple(found.shape)}; (n, outputs) is needed"
            + (hint if found.shape[2:] == x.shape[2:] else "")
        )
    _require_fitting(found, x)
    return found


def checked_dense(out: object, x: Tensor, key: str | int | None = None) -> Tensor:
    """The outputs `(n, outputs, *space)` in what a network returns on `x (n, c, *space)`.

    Of several tensors those under `key`, else under a name in `NAMES`, else the first at the size
    of `x`: with deep supervision the others are for training. InputError for anything else.
    """
    found = _plain(_chosen(out, x, key, _is_dense, take_first=True))
    if found.ndim != x.ndim or not found.shape[1]:
        hint = "; a network with an output for each image is a classifier: task = 'classification'"
        raise InputError(
            f"the network returns a tensor of shape {tuple(found.shape)} for an input of shape "
            f"{tuple(x.shape)}; an output for each pixel is needed"
            + (hint if found.ndim == 2 else "")
        )
    if found.shape[2:] != x.shape[2:]:
        raise InputError(
            f"the network returns {_sides(found)} pixels for an input of {_sides(x)}; it must "
            f"return an output for each pixel of its input: set size, multiple_of or window to "
            f"what it was trained on, or enlarge the logits in a factory"
        )
    _require_fitting(found, x)
    return found


def dimensions_of(network: nn.Module) -> int | None:
    """2 for a network of images and 3 of volumes, as its convolutions show it; None: not shown."""
    names = {getattr(m, "original_name", type(m).__name__) for m in network.modules()}
    found = [dims for dims in (2, 3) if f"Conv{dims}d" in names]
    return found[0] if len(found) == 1 else None


def _sides(x: Tensor) -> str:
    return " x ".join(map(str, x.shape[2:]))


def _plain(out: object) -> Tensor:
    """A tensor of floats; InputError for anything else."""
    if not isinstance(out, Tensor):
        raise InputError(
            f"the network returns a {type(out).__name__}, not a tensor of outputs; wrap it in "
            f"a module that returns the logits alone"
        )
    if not out.is_floating_point() or out.layout is not torch.strided:
        kind = str(out.dtype).removeprefix("torch.")
        kind = kind if out.layout is torch.strided else str(out.layout)
        raise InputError(
            f"the network returns {kind} values; wrap it in a module that returns the logits as "
            f"plain float32"
        )
    return out


def _require_fitting(out: Tensor, x: Tensor) -> None:
    """InputError where outputs are not those of each image, on the device of the images."""
    if len(out) != len(x):
        raise InputError(
            f"the network returns {len(out)} rows for {len(x)} images; it must give one row for "
            f"each image of a batch"
        )
    if out.device != x.device:
        raise InputError(
            f"the network returns a tensor on {out.device}, its images are on {x.device}; let it "
            f"stay on the device of its input"
        )


def failure_reason(error: BaseException, network: nn.Module, x: Tensor) -> str:
    """Why a network failed on its input `x`, and what to do."""
    line = first_line(error)
    needed = _SIGNATURE.search(line)
    if needed:
        return (
            f"its forward needs more than images: {needed[1]}; give a factory whose module takes "
            f"images alone and sets the rest"
        )
    if isinstance(error, RuntimeError | AssertionError) and _GPU.search(line):
        return (
            f"{line}; its forward moves tensors to a device of its own (.cuda() or a fixed "
            f"device): let them follow its input"
        )
    if type(error) not in _OF_SHAPE:
        return f"{type_and_line(error)}; its own code raises this: fix it there"
    works = [count for count in _BATCHES if count != len(x) and _runs(network, x, count)]
    if works:
        counts = ", ".join(map(str, works))
        return (
            f"{line}; it takes batches of {counts} images and not of {len(x)}: its forward fixes "
            f"the batch, let it take any"
        )
    return f"{line}; set its channels and size to what it was trained on"


@torch.no_grad()
def _runs(network: nn.Module, x: Tensor, count: int) -> bool:
    """Whether a network takes a batch of so many images."""
    try:
        network(x[:1].expand(count, *x.shape[1:]).contiguous())
    except Exception:  # noqa: BLE001  (foreign code; it has failed once already)
        return False
    return True


def _is_row_for_each(tensor: Tensor, x: Tensor) -> bool:
    return tensor.ndim in (1, 2) and tensor.shape[:1] == x.shape[:1]


def _is_dense(tensor: Tensor, x: Tensor) -> bool:
    same = tensor.shape[:1] == x.shape[:1] and tensor.shape[2:] == x.shape[2:]
    return tensor.ndim == x.ndim and same


def _chosen(
    out: object,
    x: Tensor,
    key: str | int | None,
    fits: Callable[[Tensor, Tensor], bool],
    take_first: bool = False,
) -> object:
    """The tensor that is meant among several; InputError that names them where none is plain.

    Of several that fit, the first is meant with `take_first`, else none.
    """
    named = _named(out)
    if named is None:
        if key is not None:
            raise InputError(
                f"the network returns one {type(out).__name__}, so that output_key = {key!r} "
                f"chooses nothing; remove it"
            )
        return out
    if key is not None:
        if key not in named:
            names = [str(name) for name in named]
            raise InputError(
                f"the network returns nothing under output_key = {key!r}; "
                f"{did_you_mean(str(key), names)}"
            )
        return named[key]
    for name in NAMES:
        if isinstance(named.get(name), Tensor):
            return named[name]
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    fitting = [name for name, tensor in tensors.items() if fits(tensor, x)]
    if len(fitting) == 1 or (fitting and take_first):
        return named[fitting[0]]
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    shown = ", ".join(
        f"{excerpt(repr(name), 40)} {tuple(value.shape)}" for name, value in tensors.items()
    )
    what = f"several tensors: {shown}" if tensors else f"a {type(out).__name__} without a tensor"
    first = next(iter(tensors), "logits")
    raise InputError(
        f"the network returns {what}; say which are the logits: output_key = {first!r} in [model]"
    )


def _named(out: object) -> Mapping[str | int, object] | None:
    """What a network returns by name or place; None for a tensor or anything else."""
    if isinstance(out, Mapping):
        return dict(out)
    if isinstance(out, tuple) and hasattr(out, "_asdict"):
        return dict(out._asdict())
    if isinstance(out, Sequence) and not isinstance(out, str):
        return dict(enumerate(out))
    fields = getattr(type(out), "__dataclass_fields__", None)
    return None if fields is None else {name: getattr(out, name) for name in fields}
