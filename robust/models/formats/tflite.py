"""TFLite files (`.tflite`), run image by image by LiteRT: outputs alone, no gradients."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robust.errors import InputError, type_and_line
from robust.files import read_bytes
from robust.models.architectures import Preprocessing
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.process_state import ProcessState

MOST_BYTES = 2**31
"""Of a file: a flatbuffer is never larger."""


def load_tflite(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a TFLite file; InputError."""
    content = read_bytes(path, MOST_BYTES)
    try:
        network = TFLiteNetwork(content)
    except ImportError:
        raise InputError(
            f"{path} needs ai-edge-litert: pip install 'robust-audit[tflite]'"
        ) from None
    except Exception as error:  # noqa: BLE001  (the interpreter raises of every kind)
        raise InputError(
            f"{path} is not a TFLite file that LiteRT can run ({type_and_line(error)}); convert it "
            f"again without TensorFlow operators (Select TF ops)"
        ) from None
    shape, outputs = network.shape, network.output_shape
    if network.ends != (1, 1) or len(shape) != 4 or len(outputs) != 2:
        raise InputError(
            f"{path} has {network.ends[0]} inputs, the first of shape {shape}, and "
            f"{network.ends[1]} outputs, the first of shape {outputs}; an audit needs one image "
            f"(1, h, w, c) and one row of numbers (1, outputs)"
        )
    known = Preprocessing(size=network.size, channels=network.channels)
    if known.channels not in (1, 3):
        raise InputError(f"{path} takes images of {known.channels} channels; robust reads 1 or 3")
    origin = ModelOrigin(
        f"TFLite, {network.dtype} input, run by LiteRT",
        differentiable=False,
        notes=("TFLite has no gradients: only attacks that need none can run",),
    )
    return LoadedNetwork(network, origin, known)


class TFLiteNetwork(nn.Module):
    """A TFLite file on images `(n, c, h, w)`, one after another.

    Where its input is quantised, pixels are rounded to its levels, and outputs are scaled back.
    """

    digest: Tensor

    def __init__(self, content: bytes) -> None:
        """Raises ImportError without LiteRT, and whatever LiteRT raises for a bad file."""
        super().__init__()
        self._content = content
        self._lock = threading.Lock()
        self._interpreter = _interpreter(content)
        self._input, self._output = (
            self._interpreter.get_input_details()[0],
            self._interpreter.get_output_details()[0],
        )
        digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8).copy()
        self.register_buffer("digest", torch.from_numpy(digest))

    def __deepcopy__(self, memo: dict[int, Any]) -> TFLiteNetwork:
        return TFLiteNetwork(self._content)

    @property
    def ends(self) -> tuple[int, int]:
        """Numbers of inputs and outputs."""
        found = self._interpreter
        return len(found.get_input_details()), len(found.get_output_details())

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return tuple(int(n) for n in self._input["shape"])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of the output."""
        return tuple(int(n) for n in self._output["shape"])

    @property
    def dtype(self) -> str:
        """Of the input, such as `float32` or `int8`."""
        return str(np.dtype(self._input["dtype"]))

    @property
    def channels_last(self) -> bool:
        """Whether images are `(1, h, w, c)`."""
        return self.shape[3] in (1, 3) or self.shape[1] not in (1, 3)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        _, a, b, c = self.shape
        return (a, b) if self.channels_last else (b, c)

    @property
    def channels(self) -> int:
        """Of the input."""
        return self.shape[3 if self.channels_last else 1]

    def forward(self, x: Tensor) -> Tensor:
        """Outputs `(n, outputs)`, without a gradient."""
        images = x.detach().float().cpu()
        if self.channels_last:
            images = images.permute(0, 2, 3, 1)
        with self._lock:
            rows = [self._run(image.numpy()) for image in images.contiguous()]
        return torch.from_numpy(np.stack(rows)).to(x)

    def _run(self, image: Any) -> Any:
        """The outputs `(outputs,)` of one image."""
        runs, place = self._interpreter, self._input["index"]
        runs.set_tensor(place, _quantised(image, self._input)[None])
        runs.invoke()
        return _dequantised(runs.get_tensor(self._output["index"]), self._output)[0]


def _interpreter(content: bytes) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    with _without_messages():
        found = Interpreter(model_content=content, num_threads=1)
        found.allocate_tensors()
    return found


@contextmanager
def _set_without_messages() -> Iterator[None]:
    """Keep what LiteRT's C++ says of its delegates from the terminal."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_without_messages = ProcessState(_set_without_messages)


def _quantised(image: Any, details: Mapping[str, Any]) -> Any:
    """Pixels as the input takes them."""
    kind, (scale, zero) = np.dtype(details["dtype"]), details["quantization"]
    if kind.kind not in "iu":
        return image.astype(kind)
    limits = np.iinfo(kind)
    levels = np.round(image / scale + zero) if scale else np.round(image)
    return levels.clip(limits.min, limits.max).astype(kind)


def _dequantised(values: Any, details: Mapping[str, Any]) -> Any:
    """Outputs as float32."""
    scale, zero = details["quantization"]
    found = values.astype(np.float32)
    return (found - zero) * np.float32(scale) if scale else found
