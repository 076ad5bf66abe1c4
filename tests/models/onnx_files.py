"""Small ONNX files for tests: written by torch's exporters, or node by node."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

OPSET = 18


def small(outputs: int = 3, channels: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        net = nn.Sequential(
            *(nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 8, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            nn.Linear(8, outputs),
        )
    return net.eval()


def images(n: int = 4, channels: int = 1, size: int = 32) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(7))


def export(
    net: nn.Module,
    path: Path,
    x: torch.Tensor,
    *,
    dynamo: bool,
    opset: int = OPSET,
    free: bool = True,
) -> Path:
    """By one of torch's exporters, for any batch or for that of `x`."""
    options: dict[str, Any] = {"input_names": ["image"], "output_names": ["logits"]}
    if free and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif free:
        options["dynamic_axes"] = {"image": {0: "batch"}, "logits": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (x,), path, dynamo=dynamo, opset_version=opset, verbose=False, **options
        )
    return path


def by_hand(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]],
    weights: dict[str, Any] | None = None,
    *,
    shape: Sequence[int | str] = ("n", 1, 8, 8),
    out: Sequence[int | str] = ("n", 2),
    inputs: Sequence[str] = ("image",),
    domain: str = "",
) -> Path:
    """A graph from `image` to `logits`, node by node: operator, inputs, outputs, attributes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    made = [helper.make_node(op, list(ins), list(outs), **more) for op, ins, outs, more in nodes]
    held = [numpy_helper.from_array(np.asarray(v), k) for k, v in (weights or {}).items()]
    values = [helper.make_tensor_value_info(i, TensorProto.FLOAT, list(shape)) for i in inputs]
    outs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, list(out))]
    imports = [helper.make_opsetid("", OPSET)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    graph = helper.make_graph(made, "graph", values, outs, held)
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)
    return path


def linear(seed: int = 0, pixels: int = 64) -> dict[str, Any]:
    """Weights of a linear layer to two logits."""
    draw = np.random.default_rng(seed)
    return {
        "weight": draw.normal(size=(pixels, 2)).astype(np.float32),
        "shape": np.array([-1, pixels], np.int64),
    }


LINEAR = [
    ("Reshape", ["image", "shape"], ["flat"], {}),
    ("MatMul", ["flat", "weight"], ["logits"], {}),
]
"""The graph that `linear` are the weights of."""


def outside(path: Path, location: str) -> Path:
    """A graph whose weights lie at `location`."""
    import onnx

    by_hand(path, LINEAR, linear())
    model = onnx.load(path)
    tensor = next(one for one in model.graph.initializer if one.name == "weight")
    raw = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(raw)))):
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    (path.parent / "weights.bin").write_bytes(raw)
    return path
