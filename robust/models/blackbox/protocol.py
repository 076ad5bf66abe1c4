"""Open Inference Protocol v2 (KServe, Triton): metadata, requests and answers, JSON and binary."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from robust.errors import InputError, did_you_mean, excerpt

NUMBERS: dict[str, str] = {
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BOOL": "?",
    "UINT8": "u1",
    "INT8": "i1",
    "UINT16": "<u2",
    "INT16": "<i2",
    "UINT32": "<u4",
    "INT32": "<i4",
    "UINT64": "<u8",
    "INT64": "<i8",
}
"""numpy's type of each type of the protocol that holds numbers."""
FLOATS = ("FP16", "FP32", "FP64")
TEXTS = "BYTES"
IMAGES = ("FP32", "FP16", "UINT8")
"""Types of an input that images can be sent as."""
LENGTH = "Inference-Header-Content-Length"
"""Header that tells where JSON ends and binary tensors begin."""
_WHOLE_BYTES = {"Content-Type": "application/octet-stream"}

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorForm:
    """Name, type and shape of an input or an output; -1 in a shape is any number."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ServedModel:
    """What a server says of a model."""

    name: str
    version: str
    """The versions that it serves; empty where it names none."""
    input: TensorForm
    output: TensorForm
    text: str
    """All that it says, for the identity of a run."""


class ProtocolError(ValueError):
    """An answer that is not one of the protocol; the message says what is wrong with it."""


def read_metadata(raw: object, output: str | None) -> ServedModel:
    """The model, its image input and the output of that name (None: the only one); InputError."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("inputs"), list):
        raise InputError(
            "the endpoint's server does not describe the model's inputs; check the address, and "
            "that the server speaks the Open Inference Protocol v2"
        )
    inputs, outputs = (_forms(raw.get(key), key) for key in ("inputs", "outputs"))
    if len(inputs) != 1:
        raise InputError(
            f"the model of the endpoint has {len(inputs)} inputs "
            f"({', '.join(excerpt(one.name) for one in inputs)}); only one image is sent: serve a "
            f"model with one"
        )
    by_name = {one.name: one for one in outputs}
    if output is None and len(outputs) != 1:
        raise InputError(
            f"the model of the endpoint has {len(outputs)} outputs; choose one with "
            f"endpoint_output: {', '.join(excerpt(name) for name in by_name)}"
        )
    if output is not None and output not in by_name:
        raise InputError(
            f"the model of the endpoint has no output {excerpt(output)!r}; "
            f"{did_you_mean(output, by_name)}"
        )
    return ServedModel(
        name=str(raw.get("name", "")),
        version=", ".join(map(str, raw.get("versions") or ())),
        input=inputs[0],
        output=outputs[0] if output is None else by_name[output],
        text=json.dumps(raw, sort_keys=True),
    )


def _forms(raw: object, what: str) -> list[TensorForm]:
    try:
        assert isinstance(raw, list)
        return [
            TensorForm(str(one["name"]), str(one["datatype"]), tuple(map(int, one["shape"])))
            for one in raw
        ]
    except (AssertionError, KeyError, TypeError, ValueError):
        raise InputError(
            f"the endpoint's server does not describe the model's {what} by name, datatype and "
            f"shape, as the Open Inference Protocol v2 wants it"
        ) from None


def encode(images: AnyArray, model: ServedModel, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request for `images`, in the input's type and layout already."""
    tensor: dict[str, Any] = {
        "name": model.input.name,
        "datatype": model.input.datatype,
        "shape": list(images.shape),
    }
    wanted: dict[str, Any] = {"name": model.output.name}
    if not binary:
        tensor["data"] = images.ravel().tolist()
        body = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
        return body, {"Content-Type": "application/json"}
    plain = np.ascontiguousarray(images, NUMBERS[model.input.datatype]).tobytes()
    tensor["parameters"] = {"binary_data_size": len(plain)}
    wanted["parameters"] = {"binary_data": model.output.datatype in NUMBERS}
    header = json.dumps({"inputs": [tensor], "outputs": [wanted]}).encode()
    return header + plain, {**_WHOLE_BYTES, LENGTH: str(len(header))}


def decode(body: bytes, headers: Mapping[str, str], model: ServedModel) -> AnyArray:
    """The chosen output of an answer, in its own shape; ProtocolError."""
    length = headers.get(LENGTH.lower())
    try:
        end = len(body) if length is None else int(length)
        answer = json.loads(body[:end])
    except (ValueError, RecursionError):
        raise ProtocolError("it is no JSON") from None
    if not isinstance(answer, dict) or not isinstance(answer.get("outputs"), list):
        reason = answer.get("error") if isinstance(answer, dict) else None
        raise ProtocolError(str(reason) if reason else "it has no outputs")
    offset = end
    for one in answer["outputs"]:
        if not isinstance(one, dict):
            raise ProtocolError("an output is no object")
        parameters = one.get("parameters")
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is not None and not (isinstance(size, int) and 0 <= size <= len(body) - offset):
            raise ProtocolError("its binary data end too early")
        if one.get("name") == model.output.name:
            return _tensor(one, None if size is None else body[offset : offset + size])
        offset += size or 0
    raise ProtocolError(f"it has no output {excerpt(model.output.name)!r}")


def _tensor(one: Mapping[str, Any], plain: bytes | None) -> AnyArray:
    kind, shape = str(one.get("datatype")), one.get("shape")
    if kind not in NUMBERS and kind != TEXTS:
        raise ProtocolError(f"its datatype {excerpt(kind)!r} is unknown")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ProtocolError("its shape is no list of whole numbers")
    try:
        if plain is None:
            values = np.asarray(one.get("data"), dtype=None if kind == TEXTS else NUMBERS[kind])
        elif kind == TEXTS:
            values = np.asarray(_texts(plain))
        else:
            values = np.frombuffer(plain, NUMBERS[kind])
    except (ValueError, TypeError, OverflowError, struct.error):
        raise ProtocolError(f"its data are no {kind} values") from None
    if values.size != math.prod(shape):
        raise ProtocolError(f"it holds {values.size} values for the shape {shape}")
    return values.reshape(shape)


def _texts(plain: bytes) -> list[str]:
    """Texts, each behind its length as four bytes."""
    found, at = [], 0
    while at < len(plain):
        (size,) = struct.unpack_from("<I", plain, at)
        if at + 4 + size > len(plain):
            raise ValueError
        found.append(plain[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found
