"""A Keras model as a torch module: channels first, inference mode, any floating-point type."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from robust.models.process_state import ProcessState

NAMES = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
"""What Keras calls the types that a network may compute in."""


class KerasNetwork(nn.Module):
    """A Keras model of one input and one output, on images `(n, c, h, w)`.

    Batch normalisation and dropout always run as in inference.
    """

    def __init__(self, model: Any, channels_last: bool) -> None:
        super().__init__()
        # Not a module of this one: Keras gives its seeds names and values that no run repeats.
        self._held = (model,)
        self.channels_last = channels_last
        for number, weight in enumerate(model.weights):
            self.register_parameter(f"{number:04}_{weight.name}", weight.value)

    def __deepcopy__(self, memo: dict[int, Any]) -> KerasNetwork:
        import keras

        with keras.device(str(next(self.parameters()).device)):  # where Keras makes the new weights
            found = KerasNetwork(copy.deepcopy(self.model), self.channels_last)
        for one, mine in zip(found.parameters(), self.parameters()):
            one.requires_grad_(mine.requires_grad)
        set_precision(found.model, self.model.dtype_policy.name)
        return found.train(self.training)

    @property
    def model(self) -> Any:
        """The Keras model, whose weights are the parameters of this module."""
        return self._held[0]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs `(n, outputs)`."""
        import keras

        images = x.permute(0, 2, 3, 1) if self.channels_last else x
        exact = _float64() if x.dtype == torch.float64 else nullcontext()
        with exact, keras.device(str(x.device)):  # else Keras moves all tensors to the first GPU
            out: Tensor = _only(self.model(images, training=False))
        if out.dtype != x.dtype:
            raise TypeError(f"a layer of Keras computes in {out.dtype}, not in {x.dtype}")
        return out

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> KerasNetwork:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        kinds = {p.dtype for p in self.parameters() if p.is_floating_point()}
        if len(kinds) == 1:
            set_precision(self.model, NAMES[kinds.pop()])
        return self


def set_precision(model: Any, name: str) -> None:
    """Let every layer take and compute values of one type; the weights must be of it already."""
    import keras

    for layer in all_layers(model):
        if layer.dtype_policy.name != name:
            layer.dtype_policy = name
        expected = [layer] if isinstance(layer, keras.layers.InputLayer) else []
        for place in (*expected, *(getattr(layer, "_inputs", None) or ())):
            if "float" in place.dtype:
                place._dtype = name


@contextmanager
def _set_float64() -> Iterator[None]:
    """Let Keras compute in float64; by itself it turns parts into float32 without a word."""
    from keras.src.backend.common.dtypes import BIT64_TO_BIT32_DTYPE as turned

    before = turned["float64"]
    turned["float64"] = "float64"
    try:
        yield
    finally:
        turned["float64"] = before


_float64 = ProcessState(_set_float64)


def all_layers(model: Any) -> Iterator[Any]:
    """The model, its layers, and those of models within it."""
    for layer in model._flatten_layers():
        yield layer
        inner = getattr(layer, "_functional", None)  # what a Sequential runs
        if inner is not None:
            yield inner


def run_native(model: Any, x: Tensor, channels_last: bool) -> Tensor:
    """What Keras itself predicts for images `(n, c, h, w)` on the CPU."""
    import keras

    images = x.detach().float().cpu()
    with keras.device("cpu"):
        out = model.predict_on_batch(images.permute(0, 2, 3, 1) if channels_last else images)
    return torch.from_numpy(_only(out).copy())


def _only(out: Any) -> Any:
    """The output of a model that answers with a list or dict of one."""
    values = list(out.values()) if isinstance(out, dict) else out
    return values[0] if isinstance(values, (list, tuple)) and len(values) == 1 else values
