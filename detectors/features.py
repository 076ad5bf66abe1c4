"""Features: pooled activations of named layers, and the logits, from one forward pass."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from detectors._hooks import Hook, hooked

INPUT = ":input"
"""Suffix of a layer's name that means the input of the layer."""

LOGITS = ":logits"
"""In place of a layer's name: the logits, for a network that shows no layer (a program)."""

Pass = Callable[[Tensor], tuple[Tensor, ...]]
"""Images `(n, c, h, w)` to the logits and the features of each layer, `(n, d)` each."""

STAGES = 4
"""Number of blocks read where all have one resolution, as in a vision transformer."""


@dataclass(frozen=True)
class Features:
    """What detectors read of a batch of n images."""

    logits: Tensor
    """`(n, k)`."""
    layers: Mapping[str, Tensor]
    """Each layer's activations `(n, d)`, averaged over space, from input to output."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """`(n, m)` each: what one forward pass does not give, by name (`Detector.extras`)."""

    @property
    def deep(self) -> Tensor:
        """The deep feature `(n, d)`: the last layer named, by default the input of the head."""
        return self.layers[list(self.layers)[-1]]

    def __len__(self) -> int:
        return len(self.logits)

    def take(self, rows: Tensor) -> Features:
        """These cases, in this order; `rows` is an index or `(n,)` bool."""
        layers = {name: values[rows] for name, values in self.layers.items()}
        extras = {name: values[rows] for name, values in self.extras.items()}
        return Features(self.logits[rows], layers, extras)

    def to(self, device: torch.device | str) -> Features:
        """The same features on a device."""
        layers = {name: values.to(device) for name, values in self.layers.items()}
        extras = {name: values.to(device) for name, values in self.extras.items()}
        return Features(self.logits.to(device), layers, extras)

    def extra(self, name: str) -> Tensor:
        """One of `extras`; ValueError where it was not read."""
        if name not in self.extras:
            raise ValueError(f"these features have no {name!r}; read them with a FeatureReader")
        return self.extras[name]

    @staticmethod
    def cat(parts: Sequence[Features]) -> Features:
        """The images of all parts in order; all parts have the same layers."""
        layers = {k: torch.cat([part.layers[k] for part in parts]) for k in parts[0].layers}
        extras = {k: torch.cat([part.extras[k] for part in parts]) for k in parts[0].extras}
        return Features(torch.cat([part.logits for part in parts]), layers, extras)


class Extractor:
    """Reads named layers of a model. Call it with images `(n, c, h, w)`.

    A name is that of a module, or its end where that is unique (`layer4` for `network.layer4`);
    with `:input` it means the input of the module. Gradients flow where asked for. The model should
    be in evaluation mode, at float32 and without folded layers. Several threads may call it at
    once. No hook is left after a call, also after one that raises. ValueError for an unknown name,
    with the nearest ones.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        faster: Callable[[Pass], Pass] | None = None,
    ) -> None:
        """`faster` may replace the pass by one that gives the same, as by a recorded one."""
        if not layers:
            raise ValueError("no layer is named; take those of find_layers(model, x)")
        self.model = model
        self.layers = tuple(_resolve(model, name) for name in layers)
        self._pass = faster(self._read) if faster else self._read

    def __call__(self, x: Tensor) -> Features:
        """One forward pass over images; ValueError for a layer that gives no tensor."""
        logits, *layers = self._pass(x)
        return Features(logits, dict(zip(self.layers, layers, strict=True)))

    def _read(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits, and each layer's activations."""
        pooled: dict[str, Tensor] = {}

        def keep(name: str, value: object) -> None:
            if isinstance(value, Tensor):
                # Pooled at once: a later layer may overwrite its input in place.
                pooled[name] = pool(value, x)

        def keep_input(name: str) -> Hook:
            return lambda module, args: keep(name, args[0] if args else None)

        def keep_output(name: str) -> Hook:
            return lambda module, args, out: keep(name, out)

        modules = dict(self.model.named_modules())
        _require_visible(modules, self.layers)
        inputs = [name for name in self.layers if name.endswith(INPUT)]
        with hooked(
            before=[(modules[name.removesuffix(INPUT)], keep_input(name)) for name in inputs],
            after=[(modules[name], keep_output(name)) for name in self.layers if name in modules],
        ):
            logits = self.model(x)
        if LOGITS in self.layers:
            pooled[LOGITS] = logits
        missing = [name for name in self.layers if name not in pooled]
        if missing:
            raise ValueError(
                f"layer {missing[0]!r} gave no tensor in a forward pass; name one that does"
            )
        return logits, *(pooled[name] for name in self.layers)


def find_layers(model: nn.Module, x: Tensor) -> tuple[str, ...]:
    """The end of each stage, and the input of the head, found by one pass over `x (n, c, h, w)`.

    The head is the last linear layer, or the last convolution where there is none. A stage ends
    where the resolution falls; where it never does (a vision transformer), each quarter of the
    repeated blocks counts as one. ValueError for a network that shows no such layer.
    """
    trace = _trace(model, x)
    head = _head(trace)
    before = trace[: next(i for i, call in enumerate(trace) if call is head)]
    stages = _stages(_outside_reductions(trace, before, head, x), x)
    if len(stages) < 2:
        stages = _blocks(before) or _stages(before, x)
    names = [name for name in dict.fromkeys(stages) if name != head.name]
    return (*names, head.name + INPUT)


def dropout_layers(model: nn.Module) -> list[nn.Dropout]:
    """The layers that drop units; ValueError for a network without any."""
    found = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
    if not found:
        raise ValueError("dropout uncertainty needs a network with dropout; this one has none")
    return found


def pool(value: Tensor, x: Tensor) -> Tensor:
    """Activations as `(n, d)`: the mean over space (`(n, d, h, w)` or `(n, h, w, d)`) or tokens."""
    if value.ndim == 4:
        return value.mean((1, 2)) if _channels_last(value.shape, x) else value.mean((2, 3))
    return value.mean(1) if value.ndim == 3 else value.flatten(1)


@dataclass(frozen=True)
class _Call:
    """A module that ran, in the order in which modules finished."""

    name: str
    module: nn.Module
    shape: torch.Size


def _trace(model: nn.Module, x: Tensor) -> list[_Call]:
    trace: list[_Call] = []

    def record(name: str) -> Hook:
        def after(module: nn.Module, args: object, out: object) -> None:
            if isinstance(out, Tensor):
                trace.append(_Call(name, module, out.shape))

        return after

    named = [
        (module, record(name))
        for name, module in model.named_modules()
        if name and not isinstance(module, torch.jit.ScriptModule)
    ]
    with hooked(after=named), torch.no_grad():
        model(x[:2])
    return trace


def _head(trace: Sequence[_Call]) -> _Call:
    for kind in (nn.Linear, (nn.Conv2d, nn.LazyConv2d)):
        for call in reversed(trace):
            if isinstance(call.module, kind):
                return call
    raise ValueError(
        "no linear layer and no convolution was seen in a forward pass (a scripted or exported "
        "network shows none); detectors need the network as an nn.Module, or named layers"
    )


def _stages(trace: Sequence[_Call], x: Tensor) -> list[str]:
    """For each resolution above a single pixel the last module that had it, in order."""
    grids: dict[tuple[int, int], str] = {}
    for call in trace:
        if (grid := _grid(call.shape, x)) is not None and min(grid) > 1:
            grids.pop(grid, None)
            grids[grid] = call.name
    return list(grids.values())


def _outside_reductions(
    trace: Sequence[_Call], before: Sequence[_Call], head: _Call, x: Tensor
) -> list[_Call]:
    """The modules that are not inside a block that itself ends at another resolution.

    The parts of a block that reduces the resolution end no stage. Plain sequences do not count as
    blocks, nor does a module that holds the head.
    """
    ends = {
        call.name: _grid(call.shape, x)
        for call in trace
        if type(call.module) is not nn.Sequential and not head.name.startswith(f"{call.name}.")
    }

    def same_resolution(call: _Call) -> bool:
        parts = call.name.split(".")
        above = [".".join(parts[:i]) for i in range(1, len(parts))]
        return all(ends.get(a, grid) == grid for grid in [_grid(call.shape, x)] for a in above)

    return [call for call in before if same_resolution(call)]


def _grid(shape: torch.Size, x: Tensor) -> tuple[int, int] | None:
    if len(shape) != 4:
        return None
    return (shape[1], shape[2]) if _channels_last(shape, x) else (shape[2], shape[3])


def _channels_last(shape: torch.Size, x: Tensor) -> bool:
    """Whether a shape is `(n, h, w, d)`: its first two sides have the proportions of the image."""
    first = shape[1] * x.shape[3] == shape[2] * x.shape[2]
    last = shape[2] * x.shape[3] == shape[3] * x.shape[2]
    return first and not last


def _blocks(trace: Sequence[_Call]) -> list[str]:
    """The end of each quarter of the longest row of equal blocks with tokens `(n, t, d)`."""
    rows: dict[tuple[str, type[nn.Module], torch.Size], list[str]] = {}
    for call in trace:
        parent, _, place = call.name.rpartition(".")
        if len(call.shape) == 3 and (place.isdigit() or place.split("_")[-1].isdigit()):
            rows.setdefault((parent, type(call.module), call.shape), []).append(call.name)
    longest = max(rows.values(), key=len, default=[])
    quarter = max(1, len(longest) / STAGES)
    return [
        longest[round(quarter * i) - 1] for i in range(1, STAGES + 1) if quarter * i <= len(longest)
    ]


def _require_visible(modules: Mapping[str, nn.Module], layers: Sequence[str]) -> None:
    """ValueError for a layer inside a program, which torch lets nobody look into."""
    for name in layers:
        if isinstance(modules.get(name.removesuffix(INPUT)), torch.jit.ScriptModule):
            raise ValueError(
                f"layer {name!r} lies in a TorchScript program, which shows none; detectors need "
                f"the network as an nn.Module"
            )


def _resolve(model: nn.Module, layer: str) -> str:
    if layer == LOGITS:
        return layer
    name, is_input = layer.removesuffix(INPUT), layer.endswith(INPUT)
    names: list[str] = [path for path, _ in model.named_modules() if path]
    matches = [k for k in names if k == name] or [k for k in names if k.endswith(f".{name}")]
    if len(matches) == 1:
        return matches[0] + (INPUT if is_input else "")
    if matches:
        raise ValueError(f"layer {name!r} is the end of {', '.join(matches[:4])}; name one in full")
    near = difflib.get_close_matches(name, [*names, *(k.rpartition(".")[2] for k in names)], 3, 0.4)
    raise ValueError(f"no layer {name!r}; nearest: {', '.join(near or names[:3])}")
