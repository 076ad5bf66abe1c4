"""TFLite files that tests write: one fully connected layer on an image, float32 or int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
SIDE, CLASSES = 8, 3
INPUT_SCALE, WEIGHT_SCALE, OUTPUT_SCALE = 1 / 255, 1 / 127, 1 / 8
ZERO = -128
"""The level that stands for black in an int8 input."""


def weights() -> tuple[Any, Any]:
    """`(classes, side * side * 3)` in [-1, 1] on a grid of int8, and a bias."""
    draw = np.random.default_rng(2)
    shape = (CLASSES, SIDE * SIDE * 3)
    return draw.integers(-127, 128, shape) / 127, np.array([-0.5, 0.25, 1.0])


def logits(x: Any) -> Any:
    """What the layer answers for images `(n, c, h, w)`."""
    weight, bias = weights()
    return x.transpose(0, 2, 3, 1).reshape(len(x), -1) @ weight.T + bias


def write(path: Path, int8: bool = False, inputs: int = 1, channels: int = 3) -> Path:
    """The layer as a file; its input is `(1, side, side, channels)`."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    weight, bias = weights()
    weight = np.resize(weight, (CLASSES, SIDE * SIDE * channels))
    if int8:
        stored = [
            np.round(weight / WEIGHT_SCALE).astype(np.int8),
            np.round(bias / (INPUT_SCALE * WEIGHT_SCALE)).astype(np.int32),
        ]
        kinds = [schema.TensorType.INT8, schema.TensorType.INT32]
    else:
        stored = [weight.astype(np.float32), bias.astype(np.float32)]
        kinds = [schema.TensorType.FLOAT32] * 2
    end = schema.TensorType.INT8 if int8 else schema.TensorType.FLOAT32
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.description = 3, "tiny"
    model.buffers = [schema.BufferT() for _ in range(3)]
    for buffer, values in zip(model.buffers[1:], stored):
        buffer.data = list(values.tobytes())
    image = (1, SIDE, SIDE, channels)
    scales: Any = [(INPUT_SCALE, ZERO), (WEIGHT_SCALE, 0), (INPUT_SCALE * WEIGHT_SCALE, 0)]
    graph.tensors = [
        _tensor(schema, "image", image, end, 0, scales[0] if int8 else None),
        _tensor(schema, "weight", weight.shape, kinds[0], 1, scales[1] if int8 else None),
        _tensor(schema, "bias", bias.shape, kinds[1], 2, scales[2] if int8 else None),
        _tensor(schema, "out", (1, CLASSES), end, 0, (OUTPUT_SCALE, 0) if int8 else None),
        _tensor(schema, "more", image, end, 0, None),
    ]
    layer = schema.OperatorT()
    layer.inputs, layer.outputs = [0, 1, 2], [3]
    layer.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    layer.builtinOptions = schema.FullyConnectedOptionsT()
    graph.inputs, graph.outputs, graph.operators = [0, 4][:inputs], [3], [layer]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.version = 4 if int8 else 1
    model.subgraphs, model.operatorCodes = [graph], [code]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(
    schema: Any, name: str, shape: Any, kind: int, buffer: int, scale: tuple[float, int] | None
) -> Any:
    made = schema.TensorT()
    made.name, made.shape, made.type, made.buffer = name.encode(), list(shape), kind, buffer
    if scale is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale, made.quantization.zeroPoint = [scale[0]], [scale[1]]
    return made
