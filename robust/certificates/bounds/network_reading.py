"""Reads a classifier into a graph of affine maps, ReLUs and maxima, by way of torch's export.

It is exported in float64 and evaluation mode, from displayed pixels to logits at the operating
threshold; each operation becomes one or several nodes.
"""

from __future__ import annotations

import copy
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from robust.certificates.bounds.back_substitution import Rows
from robust.certificates.bounds.boxes import image_box, interval_boxes, rounding_slack
from robust.certificates.bounds.linear_maps import (
    LinearMap,
    convolution,
    identity,
    linear_layer,
    placed,
    resized,
    scaled,
    unsigned,
)
from robust.certificates.bounds.network_graph import (
    Affine,
    Maximum,
    NetworkGraph,
    Node,
    Pixels,
    ReLU,
)
from robust.errors import InputError, first_line
from robust.models.adapter import Adapter

BATCH = 2
"""Of the images that a network is exported with; torch takes a batch of one for a constant."""
SIDES = (28, 32, 64, 128, 224)
"""Tried where it is not known which images a network takes."""
READABLE = (
    "Linear, Conv2d, BatchNorm, ReLU, LeakyReLU, ReLU6, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, "
    "Flatten, Dropout, Identity, sums, concatenation and reshaping"
)
aten = torch.ops.aten
_kept: ContextVar[dict[tuple[Adapter, tuple[int, ...]], NetworkGraph] | None] = ContextVar(
    "_kept", default=None
)
"""Graphs that were read, by network and shape of its images; None outside of `reading_once`."""


@contextmanager
def reading_once() -> Iterator[None]:
    """Within it a network is read once for images of a shape, and must not be changed.

    To export one takes longer than many a bound.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def read_network(model: Adapter, shape: tuple[int, ...]) -> NetworkGraph:
    """The graph of a classifier on images of that shape (c, h, w).

    InputError, in one line, for what cannot be read: it names the layer, and what can be read.
    """
    if len(shape) != 3:
        raise InputError(
            "bounds of a network are computed for images, and the cases are volumes; take the "
            "certificate out of [[certificates]], or use RandomizedSmoothing"
        )
    if model.head == "probabilities":
        raise InputError(
            "bounds concern logits, and the network gives probabilities: have it return what comes "
            "before its softmax or sigmoid, and set head in [model] to softmax or sigmoid"
        )
    kept = _kept.get()
    if kept is not None and (model, shape) in kept:
        return kept[model, shape]
    kinds = {tensor.dtype for tensor in model.parameters()} or {torch.float32}
    unit = max(torch.finfo(kind).eps for kind in kinds) / 2
    graph = NetworkGraph(tuple(_Reading(_exported(model, shape), shape).nodes), unit)
    if kept is not None:
        kept[model, shape] = graph
    return graph


@dataclass(frozen=True)
class ReadNetwork:
    """A network's graph, cases, and the classes that the network itself predicts for them."""

    graph: NetworkGraph
    x: Tensor
    """`(n, c, h, w)` in float64, on the CPU."""
    predicted: Tensor
    """`(n,)` int64."""

    def __getitem__(self, rows: Tensor | slice) -> ReadNetwork:
        """Some of the cases."""
        return ReadNetwork(self.graph, self.x[rows], self.predicted[rows])

    def margins(self) -> tuple[Rows, Tensor]:
        """The predicted logit less each other one, `n * (k - 1)` rows; and their other classes."""
        classes, count = self.graph.classes, len(self.x)
        other = (self.predicted[:, None] + torch.arange(1, classes)).remainder(classes).flatten()
        case = torch.arange(count).repeat_interleave(classes - 1)
        eye = torch.eye(classes, dtype=torch.float64)
        return Rows(eye[self.predicted[case]] - eye[other], case), other

    def required(self, error: Tensor) -> Tensor:
        """What a margin of exact arithmetic must exceed, `n * (k - 1)`, from the logits' errors."""
        rows, _ = self.margins()
        both = (error[rows.case] * rows.coefficients.abs()).sum(1)
        return both + rounding_slack(self.graph, both)


def read_cases(model: Adapter, x: Tensor) -> ReadNetwork:
    """Read a classifier, and predict with it; InputError where it cannot be read.

    The logits of the graph must be the network's own, up to rounding, on each of these images.
    """
    graph = read_network(model, tuple(x.shape[1:]))
    with torch.no_grad():
        logits = model(x).detach().cpu()
    x = x.detach().cpu().double()
    box = interval_boxes(graph, image_box(x, x.new_zeros(len(x))))[-1]
    apart = (
        (graph.forward(x) - logits.double()).abs() - box.error - rounding_slack(graph, box.error)
    )
    if not bool((apart <= 0).all()):
        raise InputError(
            f"bounds cannot be computed: the network's outputs differ from those of its layers, "
            f"computed in float64, by {float(apart.max()):.2g} more than rounding explains; is it "
            f"random, or does it depend on other images of its batch?"
        )
    return ReadNetwork(graph, x, logits.argmax(1))


def check_network(model: Adapter) -> None:
    """InputError for a classifier that cannot be read, as far as it shows before any image.

    Where its input size is not known, usual ones are tried.
    """
    if model.spatial_dims == 3:
        read_network(model, (1, 1, 1, 1))  # raises
    if model.head == "auto":
        return
    known = model.size if model.size is not None and len(model.size) == 2 else None
    for side in (known,) if known else ((side, side) for side in SIDES):
        for channels in (model.channels,) if model.channels else (1, 3):
            try:
                read_network(model, (channels, *side))
                return
            except _NotExportedError:
                continue  # perhaps another size; else the first image will show it


class _NotExportedError(InputError):
    """Torch's export fails: for reasons of the network, or of the size of the image."""


def _exported(model: Adapter, shape: tuple[int, ...]) -> torch.export.ExportedProgram:
    """The operations of an adapter, none of which works in place."""
    log = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            ready = copy.deepcopy(model).double().cpu().eval()
            for parameter in ready.parameters():
                parameter.requires_grad_(False)
            x = torch.zeros(BATCH, *shape, dtype=torch.float64)
            program = torch.export.export(ready, (x,), strict=False)
            found: torch.export.ExportedProgram = program.run_decompositions({})
            return found
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (foreign code, and torch's export of it)
        raise _NotExportedError(
            f"bounds cannot be computed for this network: torch does not export it "
            f"({first_line(error)})"
        ) from None
    finally:
        log.setLevel(level)


@dataclass(frozen=True)
class _Value:
    """What depends on the image: a node of the graph."""

    index: int


class _UnreadableError(Exception):
    """Why an operation cannot be read; empty where it is not known at all."""


class _Reading:
    """Operations in their order to nodes."""

    def __init__(self, program: torch.export.ExportedProgram, shape: tuple[int, ...]) -> None:
        self.nodes: list[Node] = [Pixels(shape)]
        self.values: dict[fx.Node, Any] = {}
        constants = _constants(program)
        for node in program.graph.nodes:
            if node.op == "placeholder":
                self.values[node] = constants.get(node.name, _Value(0))
            elif node.op == "output":
                self._finish(self._argument(node.args[0][0]))
            elif node.target is not aten._assert_tensor_metadata.default:
                self.values[node] = self._read(node)

    def _argument(self, argument: Any) -> Any:
        return fx.node.map_arg(argument, lambda node: self.values[node])

    def _finish(self, value: Any) -> None:
        if not isinstance(value, _Value):
            raise InputError("bounds cannot be computed: the logits do not depend on the image")
        if value.index != len(self.nodes) - 1:
            self.affine([(value.index, identity())], self.nodes[value.index].shape)

    def _read(self, node: fx.Node) -> Any:
        """The value of one operation; InputError."""
        arguments = self._argument(node.args)
        options = self._argument(node.kwargs)
        rule = RULES.get(node.target)
        if not any(isinstance(a, _Value) for a in _flat((arguments, options))):
            target: Any = node.target
            return target(*arguments, **options)
        try:
            if rule is None:
                raise _UnreadableError
            found = node.meta["val"]
            found = found[0] if isinstance(found, Sequence) else found
            if found.dtype not in (torch.float64, torch.float32):
                raise _UnreadableError(f"it gives {found.dtype}")
            if found.shape[:1] != (BATCH,):
                raise _UnreadableError("it mixes the images of a batch")
            return rule(self, _Call(node.target, arguments, options, tuple(found.shape[1:])))
        except _UnreadableError as error:
            reason = f": {error}" if str(error) else ""
            raise InputError(
                f"bounds cannot be computed through {_place(node)}{reason}; they can through "
                f"{READABLE}"
            ) from None

    def shape(self, value: _Value) -> tuple[int, ...]:
        """Of one case."""
        return self.nodes[value.index].shape

    def append(self, node: Node) -> _Value:
        """One node more."""
        self.nodes.append(node)
        return _Value(len(self.nodes) - 1)

    def affine(
        self,
        terms: Sequence[tuple[int, LinearMap]],
        shape: tuple[int, ...],
        shift: Tensor | None = None,
        shift_size: Tensor | None = None,
    ) -> _Value:
        """A sum of maps and a shift; refuses maps that mix the images of a batch."""
        shift = torch.zeros((), dtype=torch.float64) if shift is None else shift.double()
        size = shift.abs() if shift_size is None else shift_size
        for parent, one in terms:
            sides = torch.Size((BATCH, *self.nodes[parent].shape))
            x = torch.linspace(0, 1, sides.numel(), dtype=torch.float64).view(sides)
            whole, last = one.forward(x), one.forward(x[1:])
            same = tuple(whole.shape[1:]) == shape and last.shape == (1, *shape)
            if not same or not torch.allclose(whole[1:], last):
                raise _UnreadableError("it mixes the images of a batch")
        parents, maps = zip(*terms, strict=True)
        inputs = tuple(self.nodes[parent].shape for parent in parents)
        return self.append(Affine(shape, parents, maps, inputs, shift, size))

    def relu(self, value: _Value) -> _Value:
        """max(0, value)."""
        return self.append(ReLU(self.shape(value), (value.index,)))

    def spread(self, value: _Value, shape: tuple[int, ...]) -> _Value:
        """A value broadcast to a shape."""
        if self.shape(value) == shape:
            return value
        if len(self.shape(value)) != len(shape):
            raise _UnreadableError("it broadcasts over new axes")
        one = unsigned(lambda x: x.expand(len(x), *shape), self.shape(value))
        return self.affine([(value.index, one)], shape)


@dataclass(frozen=True)
class _Call:
    """One operation with its arguments, and the shape of its value for one case."""

    target: Any
    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    shape: tuple[int, ...]

    @property
    def value(self) -> _Value:
        """The first argument, which has to depend on the image, and no other."""
        first, *rest = self.arguments
        others = _flat((rest, self.options))
        if not isinstance(first, _Value) or any(isinstance(a, _Value) for a in others):
            raise _UnreadableError("it combines images in a way that is not affine")
        return first

    def get(self, place: int, default: Any = None) -> Any:
        """An argument by its place."""
        return self.arguments[place] if place < len(self.arguments) else default

    def constant(self, value: Any) -> Tensor:
        """A number or constant tensor, to be broadcast against `(n, *shape)`."""
        found = torch.as_tensor(value, dtype=torch.float64)
        if found.ndim > len(self.shape) + 1:
            raise _UnreadableError("it broadcasts over new axes")
        if found.ndim == len(self.shape) + 1 and len(found) == BATCH:
            if not torch.equal(found[0], found[1]):
                raise _UnreadableError("it treats the images of a batch differently")
            found = found[:1]
        return found


Rule = Callable[[_Reading, _Call], Any]


def _add(reading: _Reading, call: _Call) -> _Value:
    sign = -1.0 if call.target is aten.sub.Tensor else 1.0
    sign *= float(call.options.get("alpha", 1))
    terms, shift = [], None
    for factor, part in zip((1.0, sign), call.arguments, strict=True):
        if isinstance(part, _Value):
            terms.append((reading.spread(part, call.shape).index, identity(factor)))
        else:
            shift = factor * call.constant(part)
    return reading.affine(terms, call.shape, shift)


def _negated(reading: _Reading, call: _Call) -> _Value:
    return reading.affine([(call.value.index, identity(-1.0))], call.shape)


def _subtracted_from(reading: _Reading, call: _Call) -> _Value:
    number, factor = call.constant(call.arguments[1]), -float(call.get(2, 1))
    return reading.affine([(call.value.index, identity(factor))], call.shape, number)


def _multiplied(reading: _Reading, call: _Call) -> _Value:
    first, second = call.arguments
    if isinstance(second, _Value) and call.target is aten.mul.Tensor:
        first, second = second, first
    if not isinstance(first, _Value) or isinstance(second, _Value):
        raise _UnreadableError("it combines images in a way that is not affine")
    by = call.constant(second)
    by = by if call.target is aten.mul.Tensor else 1 / by
    source = reading.spread(first, call.shape)
    return reading.affine([(source.index, scaled(by, call.shape))], call.shape)


def _convolved(reading: _Reading, call: _Call) -> _Value:
    value, weight, bias = call.value, call.arguments[1], call.get(2)
    settings = list(call.arguments[3:])
    if call.target is aten.convolution.default:
        transposed = settings[3]
        del settings[3:5]
        if transposed:
            raise _UnreadableError("it is transposed")
    if weight.ndim != 4:
        raise _UnreadableError("it is not two-dimensional")
    full = [*settings, *([1, 1], [0, 0], [1, 1], 1)[len(settings) :]]
    stride, padding, dilation, groups = full
    one = convolution(weight, reading.shape(value), stride, padding, dilation, groups)
    shift = None if bias is None else bias.view(-1, 1, 1)
    return reading.affine([(value.index, one)], call.shape, shift)


def _linear(reading: _Reading, call: _Call) -> _Value:
    one = linear_layer(call.arguments[1], reading.shape(call.value))
    return reading.affine([(call.value.index, one)], call.shape, call.get(2))


def _product(reading: _Reading, call: _Call) -> _Value:
    """An image's row times a constant matrix, with a bias before it in `addmm`."""
    bias = None
    if call.target is aten.addmm.default:
        bias, *factors = call.arguments
        call = _Call(call.target, tuple(factors), call.options, call.shape)
    weight = call.arguments[1]
    if not isinstance(weight, Tensor) or weight.ndim != 2 or call.options:
        raise _UnreadableError("it is not a constant matrix that is applied to the image")
    one = linear_layer(weight.T, reading.shape(call.value))
    shift = None if bias is None else call.constant(bias)
    return reading.affine([(call.value.index, one)], call.shape, shift)


def _normalised(reading: _Reading, call: _Call) -> _Value:
    """Batch normalisation with the statistics of training."""
    _, weight, bias, mean, variance, _, eps = call.arguments
    scale = (variance.double() + eps).rsqrt() * (1.0 if weight is None else weight)
    moved = mean * scale
    bias = torch.zeros_like(moved) if bias is None else bias
    axes = [-1, *[1] * (len(call.shape) - 1)]
    one = scaled(scale.view(axes), call.shape, terms=8)
    shift, size = (bias - moved).view(axes), (bias.abs() + moved.abs()).view(axes)
    return reading.affine([(call.value.index, one)], call.shape, shift, size)


def _rectified(reading: _Reading, call: _Call) -> _Value:
    return reading.relu(call.value)


def _clamped(reading: _Reading, call: _Call) -> _Value:
    """Between two limits: low + relu(x - low), then high - relu(high - x)."""
    if call.target is aten.relu6.default:
        low, high = 0.0, 6.0
    else:
        low = call.get(1, call.options.get("min"))
        high = call.get(2, call.options.get("max"))
        if call.target is aten.hardtanh.default:
            low, high = call.get(1, -1.0), call.get(2, 1.0)
    value = call.value
    for limit, sign in ((low, 1.0), (high, -1.0)):
        if limit is None:
            continue
        shift = torch.tensor(float(limit), dtype=torch.float64)
        above = reading.affine([(value.index, identity(sign))], call.shape, -sign * shift)
        above = reading.relu(above)
        value = reading.affine([(above.index, identity(sign))], call.shape, shift)
    return value


def _leaky(reading: _Reading, call: _Call) -> _Value:
    """Slope x + (1 - slope) relu(x)."""
    value, slope = call.value, float(call.get(1, 0.01))
    above = reading.relu(value)
    terms = [(value.index, identity(slope)), (above.index, identity(1 - slope))]
    return reading.affine(terms, call.shape)


def _max_pooled(reading: _Reading, call: _Call) -> _Value:
    value = call.value
    channels, height, width = reading.shape(value)
    kernel = _pair(call.arguments[1])
    stride, padding, dilation = (
        _pair(call.get(place) or default)
        for place, default in ((2, kernel), (3, [0, 0]), (4, [1, 1]))
    )
    numbers = torch.arange(1, height * width + 1, dtype=torch.float64).view(1, 1, height, width)
    ends = [
        (outputs - 1) * step + apart * (size - 1) + 1 - length - before
        for outputs, step, apart, size, length, before in zip(
            call.shape[1:], stride, dilation, kernel, (height, width), padding, strict=True
        )
    ]
    padded = F.pad(numbers, (padding[1], ends[1], padding[0], ends[0]))
    places = F.unfold(padded, kernel, dilation, 0, stride)[0].T.long() - 1
    offsets = torch.arange(channels)[:, None, None] * height * width
    outside = channels * height * width
    windows = torch.where(places < 0, outside, places + offsets).flatten(0, 1)
    return reading.append(Maximum(call.shape, (value.index,), windows))


def _unsigned(terms: Callable[[_Reading, _Call], int], elementwise: bool = False) -> Rule:
    """The rule of an operation whose weights are all at least 0 and which is applied as it is."""

    def rule(reading: _Reading, call: _Call) -> _Value:
        value, rest = call.value, call.arguments[1:]
        one = unsigned(
            lambda x: call.target(x, *rest, **call.options),
            reading.shape(value),
            terms(reading, call),
            elementwise=elementwise,
        )
        return reading.affine([(value.index, one)], call.shape)

    return rule


def _reshaped(reading: _Reading, call: _Call) -> _Value:
    one = unsigned(
        lambda x: x.reshape(len(x), *call.shape), reading.shape(call.value), elementwise=True
    )
    return reading.affine([(call.value.index, one)], call.shape)


def _padded(reading: _Reading, call: _Call) -> _Value:
    by_mode = call.target is aten.pad.default
    mode = call.get(2, "constant") if by_mode else "constant"
    if mode != "constant" or call.get(3 if by_mode else 2):
        raise _UnreadableError("it pads with something else than zeros")
    one = unsigned(
        lambda x: F.pad(x, call.arguments[1]), reading.shape(call.value), elementwise=True
    )
    return reading.affine([(call.value.index, one)], call.shape)


def _expanded(reading: _Reading, call: _Call) -> _Value:
    return reading.spread(call.value, call.shape)


def _same(reading: _Reading, call: _Call) -> _Value:
    return call.value


def _undropped(reading: _Reading, call: _Call) -> _Value:
    if call.get(2):
        raise _UnreadableError("it drops at random, in evaluation mode, too")
    return call.value


def _chosen(reading: _Reading, call: _Call) -> _Value:
    """The first of the tensors of batch normalisation."""
    return call.value


def _joined(reading: _Reading, call: _Call) -> _Value:
    """A concatenation, or a stack: its parts with zeros around them, and its constants."""
    parts, axis = call.arguments[0], call.get(1, 0)
    stacked = call.target is aten.stack.default
    axis = axis % (len(call.shape) + 1)
    if axis == 0:
        raise _UnreadableError("it mixes the images of a batch")
    whole = call.shape[axis - 1]
    terms, shift, before = [], torch.zeros(1, *call.shape, dtype=torch.float64), 0
    for part in parts:
        if isinstance(part, _Value) and stacked:
            one = unsigned(lambda x: x.unsqueeze(axis), reading.shape(part), elementwise=True)
            shape = list(reading.shape(part))
            shape.insert(axis - 1, 1)
            part = reading.affine([(part.index, one)], tuple(shape))
        elif stacked:
            part = part.unsqueeze(axis)
        length = reading.shape(part)[axis - 1] if isinstance(part, _Value) else part.shape[axis]
        if isinstance(part, _Value):
            after = whole - before - length
            terms.append((part.index, placed(before, after, axis, reading.shape(part))))
        else:
            shift.narrow(axis, before, length).copy_(call.constant(part))
        before += length
    return reading.affine(terms, call.shape, shift)


def _resized(reading: _Reading, call: _Call) -> _Value:
    if call.shape[1:] != tuple(call.arguments[1] or ()):
        raise _UnreadableError("it is told a factor in place of a size")
    rest = call.arguments[2:]
    one = resized(
        lambda x, size: call.target(x, size, *rest), reading.shape(call.value), call.arguments[1]
    )
    return reading.affine([(call.value.index, one)], call.shape)


def _filled(reading: _Reading, call: _Call) -> Tensor:
    """A constant of the shape of an image."""
    value = {aten.zeros_like.default: 0.0, aten.ones_like.default: 1.0}.get(call.target)
    value = float(call.get(1)) if value is None else value
    return torch.full((BATCH, *call.shape), value, dtype=torch.float64)


def _share(reading: _Reading, call: _Call) -> int:
    """How many entries are added up for one of a mean or a sum."""
    before = torch.Size(reading.shape(call.value)).numel()
    return before // torch.Size(call.shape).numel() + 1


def _window(reading: _Reading, call: _Call) -> int:
    """How many entries an average pool adds up."""
    if call.target is aten.avg_pool2d.default:
        down, right = _pair(call.arguments[1])
        return down * right + 1
    return torch.Size(reading.shape(call.value)[1:]).numel() + 1


def _nothing(reading: _Reading, call: _Call) -> int:
    """A copy or a choice adds nothing up."""
    return 0


_moves = _unsigned(_nothing, elementwise=True)
RULES: dict[Any, Rule] = {
    operator.getitem: _chosen,
    **dict.fromkeys((aten.add.Tensor, aten.sub.Tensor), _add),
    aten.rsub.Scalar: _subtracted_from,
    aten.neg.default: _negated,
    **dict.fromkeys((aten.mul.Tensor, aten.div.Tensor), _multiplied),
    **dict.fromkeys(
        (aten.conv2d.default, aten.conv2d.padding, aten.convolution.default), _convolved
    ),
    aten.linear.default: _linear,
    **dict.fromkeys((aten.mm.default, aten.matmul.default, aten.addmm.default), _product),
    aten._native_batch_norm_legit_no_training.default: _normalised,
    aten.relu.default: _rectified,
    **dict.fromkeys(
        (aten.clamp.default, aten.clamp_min.default, aten.hardtanh.default, aten.relu6.default),
        _clamped,
    ),
    aten.leaky_relu.default: _leaky,
    aten.max_pool2d.default: _max_pooled,
    **dict.fromkeys(
        (aten.avg_pool2d.default, aten.adaptive_avg_pool2d.default), _unsigned(_window)
    ),
    **dict.fromkeys((aten.mean.dim, aten.sum.dim_IntList), _unsigned(_share)),
    **dict.fromkeys(
        (
            *(aten.permute.default, aten.transpose.int, aten.slice.Tensor, aten.select.int),
            *(aten.unsqueeze.default, aten.squeeze.dim, aten.squeeze.dims),
        ),
        _moves,
    ),
    **dict.fromkeys(
        (
            *(aten.view.default, aten.reshape.default, aten._unsafe_view.default),
            aten.flatten.using_ints,
        ),
        _reshaped,
    ),
    **dict.fromkeys((aten.pad.default, aten.constant_pad_nd.default), _padded),
    aten.expand.default: _expanded,
    aten.dropout.default: _undropped,
    **dict.fromkeys(
        (aten.clone.default, aten.detach.default, aten.alias.default, aten._to_copy.default), _same
    ),
    **dict.fromkeys((aten.cat.default, aten.stack.default), _joined),
    **dict.fromkeys(
        (
            *(aten._upsample_bilinear2d_aa.vec, aten._upsample_bicubic2d_aa.vec),
            *(aten.upsample_nearest2d.vec, aten.upsample_bilinear2d.vec),
        ),
        _resized,
    ),
    **dict.fromkeys(
        (aten.zeros_like.default, aten.ones_like.default, aten.full_like.default), _filled
    ),
}


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    both = [value] if isinstance(value, int) else list(value)
    return (both[0], both[-1])


def _flat(arguments: Any) -> list[Any]:
    if isinstance(arguments, Mapping):
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return [inner for outer in arguments for inner in _flat(outer)]
    return [arguments]


def _constants(program: torch.export.ExportedProgram) -> dict[str, Tensor]:
    """Parameters, buffers and constant tensors, by the name of their placeholder."""
    signature = program.graph_signature
    places = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    known = {**program.state_dict, **program.constants}
    return {name: known[place].detach() for name, place in places.items()}


def _place(node: fx.Node) -> str:
    """The layer that an operation belongs to, with its type, and the operation."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    name, kind = stack[-1] if stack else ("", "")
    kind = kind if isinstance(kind, str) else kind.__name__
    operation = str(node.target).removeprefix("aten.").partition(".")[0]
    layer = name.removeprefix("network").removeprefix(".")
    if not name:
        return f"the operation {operation} on images"
    where = f"layer {layer}" if layer else "the network"
    return f"{where} ({kind.rpartition('.')[2]}, operation {operation})"
