"""ONNX files read and checked: external data, image and outputs, batch, missing gradients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robust.errors import InputError, excerpt, first_line
from robust.files import open_regular, read_bytes

if TYPE_CHECKING:
    import onnx

MOST_BYTES = 2 << 30
"""Of a graph with its weights: protobuf holds no more."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operators that onnxruntime has itself."""
QUANTISED = ("QuantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
"""Operators of quantised graphs, beside those whose names begin with `QLinear`."""
WITHOUT_GRADIENT = (
    *("Round", "Floor", "Ceil", "Sign", "ArgMax", "ArgMin", "Hardmax", "OneHot"),
    *("NonMaxSuppression", "Bernoulli", "Multinomial", "BitShift"),
)
"""Operators whose derivative is zero or does not exist."""
_OF_SHAPES = ("Shape", "Size")
"""Operators whose result does not depend on the values of their input."""
EXPORT_AGAIN = "export it again: torch.onnx.export(model, images, 'model.onnx', opset_version=18)"


@dataclass(frozen=True)
class OnnxGraph:
    """A checked graph with its weights, and what is known of its image and its outputs."""

    model: onnx.ModelProto
    digest: bytes
    """SHA-256 over the file and those of its external data."""
    opset: int
    input: str
    shape: tuple[int | None, int | None, int | None, int | None]
    """Batch, channels, height and width; None where any will do."""
    channels_last: bool
    output: str
    outputs: int
    """Number of tensors that the graph returns."""

    @property
    def element(self) -> int:
        """The type of the image, as `onnx.TensorProto` numbers it."""
        return _find_input(self.model.graph, Path())[0].type.tensor_type.elem_type


def read_graph(path: Path, dense: bool = False) -> OnnxGraph:
    """The graph of an ONNX file; InputError, in one line, where it is none or cannot be trusted."""
    import onnx
    from google.protobuf.message import DecodeError

    content = read_bytes(path, MOST_BYTES)
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        raise InputError(f"{path} is broken or is no ONNX file; {EXPORT_AGAIN}") from None
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path} holds no ONNX graph; {EXPORT_AGAIN}")
    digest = hashlib.sha256(content)
    for name in _load_external_data(model, path):
        digest.update(name)
    if model.functions:
        import onnx.inliner

        model = onnx.inliner.inline_local_functions(model)
    _require_known_operators(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise InputError(
            f"{path} is no valid ONNX graph ({_line(error)}); {EXPORT_AGAIN}"
        ) from None
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path} cannot be checked: {_line(error)}; {EXPORT_AGAIN}") from None
    image, shape, channels_last = _find_input(model.graph, path)
    output = _find_output(model.graph, path, dense)
    count = len(model.graph.output)
    del model.graph.output[:]
    model.graph.output.append(output)
    _drop_unused(model.graph)
    opset = next((o.version for o in model.opset_import if o.domain in DOMAINS[:2]), 0)
    return OnnxGraph(
        *(model, digest.digest(), opset, image.name, shape, channels_last, output.name, count)
    )


def gradient_obstacle(graph: OnnxGraph) -> str:
    """Why no gradient leads from the outputs to the image; empty where one may."""
    depends = {graph.input}
    for node in graph.model.graph.node:
        if not depends & set(node.input):
            continue
        if node.op_type in QUANTISED or node.op_type.startswith("QLinear"):
            return f"the graph is quantised (operator {node.op_type})"
        if node.op_type in WITHOUT_GRADIENT:
            return f"operator {node.op_type} has no gradient"
        if node.op_type not in _OF_SHAPES:
            depends |= set(node.output)
    return ""


def tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in a form that converters know.

    Without identities, behind which torch's exporter hides weights that occur twice, and without an
    attribute that says what is the default.
    """
    import onnx

    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    nodes = plain.graph.node
    renamed: dict[str, str] = {}
    outputs = {one.name for one in plain.graph.output}
    kept = []
    for node in nodes:
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            renamed[node.output[0]] = node.input[0]
            continue
        if node.op_type == "BatchNormalization":
            attributes = [a for a in node.attribute if (a.name, a.i) != ("training_mode", 0)]
            del node.attribute[:]
            node.attribute.extend(attributes)
        kept.append(node)
    if any(_subgraphs(node) for node in kept):  # they name what is around them
        return model
    del nodes[:]
    nodes.extend(kept)
    return plain


def free_batch(graph: OnnxGraph) -> onnx.ModelProto:
    """The graph with a batch of any size; whether it then computes the same is for a test."""
    import onnx
    from onnx import numpy_helper

    free = onnx.ModelProto()
    free.CopyFrom(graph.model)
    for value in (*free.graph.input, *free.graph.output):
        if value.name in (graph.input, graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del free.graph.value_info[:]
    weights = {one.name: one for one in free.graph.initializer}
    constants = {n.output[0]: n for n in free.graph.node if n.op_type == "Constant"}
    for node in free.graph.node:
        if node.op_type != "Reshape":
            continue
        name = node.input[1]
        held = weights.get(name)
        if held is None and name in constants:
            held = next((a.t for a in constants[name].attribute if a.name == "value"), None)
        if held is None:
            continue
        shape = numpy_helper.to_array(held).copy()
        if len(shape) and shape[0] == graph.shape[0]:
            # 0 keeps the size of the input, where another entry is already left open.
            shape[0] = 0 if (shape == -1).any() else -1
            new = numpy_helper.from_array(shape, f"{name} for any batch {node.output[0]}")
            free.graph.initializer.append(new)
            node.input[1] = new.name
    return free


def _load_external_data(model: onnx.ModelProto, path: Path) -> Iterator[bytes]:
    """Take weights kept in other files into the graph; the digest of each file. InputError."""
    import onnx
    from onnx.external_data_helper import (
        ExternalDataInfo,
        load_external_data_for_tensor,
        uses_external_data,
    )

    outside = [one for one in _tensors(model) if uses_external_data(one)]
    folder = path.parent.resolve()
    digests: dict[Path, bytes] = {}
    for tensor in outside:
        info = ExternalDataInfo(tensor)
        name = str(info.location)
        place = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not name:
            raise InputError(
                f"{path} names data outside its own folder ({excerpt(name)}): refused; "
                f"{EXPORT_AGAIN}"
            )
        if not place.exists():
            raise InputError(
                f"{path} keeps its weights in {excerpt(name)}, which is not beside it; put it there"
            )
        if not place.resolve().is_relative_to(folder):
            raise InputError(
                f"{path} names {excerpt(name)}, a link that leads out of its folder: refused; put "
                f"the file itself there"
            )
        if place not in digests:
            with open_regular(place) as file:
                digests[place] = hashlib.file_digest(file, "sha256").digest()
        size, start = place.stat().st_size, info.offset or 0
        if start < 0 or (info.length or 0) < 0 or start + (info.length or 0) > size:
            raise InputError(
                f"{path} needs more data than {excerpt(name)} holds ({size} bytes): it is cut off "
                f"or belongs to another model; copy it again"
            )
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:  # noqa: BLE001  (of onnx, or of the disk)
            raise InputError(
                f"{path}: its data in {excerpt(name)} cannot be read: {_line(error)}"
            ) from None
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    yield from digests.values()


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of a model, also those within nodes and their subgraphs."""
    graphs: list[Any] = [model.graph]
    nodes: list[Any] = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
            continue
        node = nodes.pop()
        graphs += _subgraphs(node)
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            sparse_tensors = [*attribute.sparse_tensors]
            if attribute.HasField("sparse_tensor"):
                sparse_tensors.append(attribute.sparse_tensor)
            for sparse in sparse_tensors:
                yield from (sparse.values, sparse.indices)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    single = [a.g for a in node.attribute if a.HasField("g")]
    return [*single, *(graph for a in node.attribute for graph in a.graphs)]


def _require_known_operators(model: onnx.ModelProto, path: Path) -> None:
    graphs: list[Any] = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            if node.domain not in DOMAINS:
                raise InputError(
                    f"{path} needs the operator {excerpt(node.op_type)} of "
                    f"{excerpt(node.domain)}, which is code of its own: refused; export the model "
                    f"with ONNX's own operators"
                )
            graphs += _subgraphs(node)


Shape = tuple[int | None, int | None, int | None, int | None]


def _find_input(graph: onnx.GraphProto, path: Path) -> tuple[onnx.ValueInfoProto, Shape, bool]:
    """The image of a graph, its shape as channels first, and whether it is channels last."""
    weights = {one.name for one in graph.initializer}
    images = [one for one in graph.input if one.name not in weights]
    if len(images) != 1:
        names = ", ".join(excerpt(one.name, 30) for one in images[:6]) or "none"
        raise InputError(
            f"{path} takes {len(images)} inputs ({names}), and a classifier takes one, the images; "
            f"export the part from image to outputs"
        )
    kind = images[0].type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if len(sizes) != 4 or any(size is not None and size < 1 for size in sizes):
        shown = ", ".join("any" if size is None else str(size) for size in sizes)
        raise InputError(
            f"{path} takes inputs of shape ({shown}), and images are (batch, channels, height, "
            f"width) or channels last; export the part from image to outputs"
        )
    if kind.elem_type not in (1, 10, 11):  # float32, float16, float64
        raise InputError(
            f"{path} takes no floating-point images; export it with float32 inputs, quantised "
            f"inside"
        )
    batch, first, second, third = sizes
    channels_last = third in (1, 3) and first not in (1, 3)
    if channels_last:
        return images[0], (batch, third, first, second), True
    if first not in (1, 3, None):
        raise InputError(f"{path} takes images of {first} channels; 1 and 3 can be audited")
    return images[0], (batch, first, second, third), False


def _find_output(graph: onnx.GraphProto, path: Path, dense: bool) -> onnx.ValueInfoProto:
    """The outputs among all that the graph returns: the first `(n, outputs)`, or dense ones."""
    tensors = [one for one in graph.output if one.type.HasField("tensor_type")]
    floats = [one for one in tensors if one.type.tensor_type.elem_type in (1, 10, 11)]
    axes = (4,) if dense else (1, 2)
    fitting = [one for one in floats if len(one.type.tensor_type.shape.dim) in axes]
    found: list[onnx.ValueInfoProto] = fitting or floats
    if not found:
        raise InputError(f"{path} returns no floating-point tensor; export it with its logits")
    return found[0]


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Drop the nodes that the one output does not need."""
    if any(_subgraphs(node) for node in graph.node):
        return
    wanted = {one.name for one in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _line(error: BaseException) -> str:
    """What onnx says, without its places in source code."""
    return first_line(error).split("==>")[0].strip().rstrip(".")


def shape_text(sizes: Sequence[int | None]) -> str:
    """`3 x 224 x any`."""
    return " x ".join("any" if size is None else str(size) for size in sizes)
