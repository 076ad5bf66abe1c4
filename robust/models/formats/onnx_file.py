"""ONNX as a model format: a torch network by onnx2pytorch or onnx2torch, else onnxruntime itself.

The first conversion whose outputs are those of onnxruntime is taken. Where none is, or no gradient
leads through the graph, onnxruntime computes the network and attacks without gradients remain.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from robust.errors import InputError, type_and_line
from robust.models.architectures import Preprocessing
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.onnx_graph import (
    EXPORT_AGAIN,
    OnnxGraph,
    free_batch,
    gradient_obstacle,
    read_graph,
    shape_text,
    tidied,
)
from robust.models.formats.onnx_runtime import (
    OnnxSession,
    RuntimeNetwork,
    flat_outputs,
    plain_reason,
)
from robust.models.process_state import quiet
from robust.models.proof import OUTPUT_TOLERANCE, output_deviation
from robust.plan.paths import require_program

if TYPE_CHECKING:
    import onnx

LIBRARIES = ("onnx", "onnxruntime", "onnx2pytorch", "onnx2torch")
CONVERTER_VERSIONS = (18, 17, 13)
"""Opsets that a graph is brought to, in turn, where no converter takes it as it is."""
SIZE = (224, 224)
"""Of the images that a conversion is tried on, where neither graph nor user name one."""
TRIED = 3
"""Images that a conversion is tried on."""


def load_onnx(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in an ONNX file, with its external data beside it; InputError."""
    require_program(path)
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"reading ONNX files needs {' and '.join(missing)}; pip install 'robust-audit[onnx]'"
        )
    graph = read_graph(path, options.dense)
    _, channels, height, width = graph.shape
    size = (height, width) if height is not None and width is not None else None
    x = _trial_images(graph, options)
    notes = []
    if graph.outputs > 1:
        notes.append(f"The graph returns {graph.outputs} tensors; {graph.output} is audited.")
    native, model, batch = _runtime(graph, x, path, options.dense)
    if batch is not None:
        notes.append(
            f"The graph is fixed to batches of {batch}, so that images go through it one batch "
            f"after another."
        )
    elif graph.shape[0] is not None:
        notes.append(f"The graph was fixed to batches of {graph.shape[0]} and was made free.")
    words = f"ONNX, opset {graph.opset}"
    expected = native(x)
    if options.outputs not in (None, expected.shape[1]):
        raise InputError(
            f"{path} has {expected.shape[1]} outputs, not {options.outputs}; correct "
            f"outputs in [model]"
        )
    obstacle = gradient_obstacle(graph)
    converted = None
    if not obstacle:
        converted, obstacle = _convert(graph, model, batch, x, expected)
    if converted is not None:
        network, how = converted
        origin = ModelOrigin(f"{words}, converted by {how}", native, notes=tuple(notes))
    else:
        network = RuntimeNetwork(native, graph.digest)
        notes.append(
            f"Only attacks without gradients can run: {obstacle}. onnxruntime computes the network."
        )
        origin = ModelOrigin(
            f"{words}, run by onnxruntime", native, differentiable=False, notes=tuple(notes)
        )
    return LoadedNetwork(network, origin, Preprocessing(size=size, channels=channels))


def _trial_images(graph: OnnxGraph, options: LoaderOptions) -> Tensor:
    """Images `(n, c, h, w)` of the graph's shape, and where it leaves that open of the user's."""
    _, channels, *sides = graph.shape
    wanted = options.size or SIZE
    height, width = (side or other for side, other in zip(sides, wanted, strict=True))
    draw = torch.Generator().manual_seed(0)
    shape = (TRIED, channels or options.channels or 3, height, width)
    return 2 * torch.rand(shape, generator=draw) - 1


def _runtime(
    graph: OnnxGraph, x: Tensor, path: Path, dense: bool
) -> tuple[OnnxSession, onnx.ModelProto, int | None]:
    """The graph in onnxruntime, as it takes any number of images; else the batch it is fixed to.

    A graph may say that any batch will do and reshape to one all the same.
    """
    kind: dict[str, Any] = {"channels_last": graph.channels_last, "element": graph.element}
    fixed = graph.shape[0]
    try:
        one_by_one = OnnxSession(graph.model, batch=fixed or 1, **kind)
        expected = one_by_one(x)
    except InputError as error:
        raise InputError(f"onnxruntime refuses {path}: {error}; {EXPORT_AGAIN}") from None
    except Exception as error:  # noqa: BLE001  (onnxruntime raises of every kind)
        raise InputError(
            f"onnxruntime fails on {path} with images of {shape_text(x.shape[1:])}: "
            f"{plain_reason(error)}; set channels and size to what it was trained on"
        ) from None
    right = expected.ndim == 2 if not dense else expected.shape[2:] == x.shape[2:]
    if not right or len(expected) != len(x):
        needed = (
            f"(n, outputs, {x.shape[2]}, {x.shape[3]}) is needed, so export the segmenter's"
            if dense
            else "(n, outputs) is needed, so export the classifier's"
        )
        raise InputError(
            f"{path} returns outputs of shape {tuple(expected.shape)} for {len(x)} images; "
            f"{needed} own outputs"
        )
    free = graph.model if fixed is None else free_batch(graph)
    try:
        session = OnnxSession(free, **kind)
        if output_deviation(session(x), expected) <= OUTPUT_TOLERANCE:
            return session, free, None
    except Exception:  # noqa: BLE001  (a batch of another size may fail in any way)
        pass
    return one_by_one, graph.model, fixed or 1


def _convert(
    graph: OnnxGraph, model: onnx.ModelProto, batch: int | None, x: Tensor, expected: Tensor
) -> tuple[tuple[nn.Module, str] | None, str]:
    """The first torch network with the outputs `expected` on `x`, and how; else why not."""
    reasons: dict[str, str] = {}
    for how, make in _conversions(tidied(model)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                network = ConvertedGraph(make(), graph.channels_last, batch)
                moving = x.clone().requires_grad_()
                out = network.eval()(moving)
                deviation = output_deviation(out, expected)
                if not deviation <= OUTPUT_TOLERANCE:
                    reason = f"the outputs change by {deviation:.2g} of their spread"
                    reasons.setdefault(how.split()[0], reason)
                    continue
                torch.autograd.grad(out.sum(), moving)
            return (network, how), ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (converters raise of every kind)
            reasons.setdefault(how.split()[0], type_and_line(error))
    why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return None, f"no converter takes the graph ({why})"


def _conversions(model: onnx.ModelProto) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Every way to a torch network, the best kept converter first."""
    for name, convert in (("onnx2pytorch", _by_onnx2pytorch), ("onnx2torch", _by_onnx2torch)):
        yield name, lambda convert=convert: convert(model)  # type: ignore[misc]
        for version in CONVERTER_VERSIONS:
            how = f"{name} at opset {version}"
            yield how, lambda convert=convert, v=version: convert(_at_opset(model, v))  # type: ignore[misc]


def _at_opset(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
    from onnx import version_converter

    return version_converter.convert_version(model, version)


def _by_onnx2pytorch(model: onnx.ModelProto) -> nn.Module:
    from onnx2pytorch import ConvertModel

    network: nn.Module = ConvertModel(model)
    return network


def _by_onnx2torch(model: onnx.ModelProto) -> nn.Module:
    from onnx2torch import convert

    network: nn.Module = convert(model)
    return network


class ConvertedGraph(nn.Module):
    """A converted graph with the layout and the batch that it wants."""

    def __init__(self, graph: nn.Module, channels_last: bool, batch: int | None) -> None:
        super().__init__()
        self.graph, self.channels_last, self.batch = graph, channels_last, batch

    def forward(self, x: Tensor) -> Tensor:
        """The outputs `(n, outputs)` for images `(n, c, h, w)`."""
        if self.channels_last:
            x = x.permute(0, 2, 3, 1)
        with quiet():  # of the converters, each time a slice is taken
            return self._outputs(x)

    def _outputs(self, x: Tensor) -> Tensor:
        if self.batch is None:
            return flat_outputs(self.graph(x))
        parts = []
        for part in x.split(self.batch):  # type: ignore[no-untyped-call]
            missing = self.batch - len(part)
            whole = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])
            parts.append(flat_outputs(self.graph(whole))[: len(part)])
        return torch.cat(parts)
