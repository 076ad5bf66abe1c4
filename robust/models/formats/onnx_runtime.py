"""onnxruntime for ONNX graphs: one thread, deterministic, no libraries of operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from robust.errors import InputError, first_line

if TYPE_CHECKING:
    import onnx

_TYPES = {1: np.float32, 10: np.float16, 11: np.float64}
"""Of numpy, by the number that ONNX gives them."""


class OnnxSession:
    """A graph that onnxruntime runs: images `(n, c, h, w)` to outputs `(n, outputs)` at float32.

    It belongs to the graph and not to a copy of the network: copies share it.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        channels_last: bool,
        element: int = 1,
        batch: int | None = None,
    ) -> None:
        """`batch` images at a time, the last repeated; None: as many as there are. InputError."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001  (it raises of every kind)
            raise InputError(plain_reason(error)) from None
        self._input = next(
            one.name
            for one in model.graph.input
            if one.name not in {weight.name for weight in model.graph.initializer}
        )
        self._channels_last, self._type, self._batch = channels_last, _TYPES[element], batch

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxSession:
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs, on the CPU. Raises what onnxruntime raises."""
        images = x.detach().float().cpu()
        if self._channels_last:
            images = images.permute(0, 2, 3, 1)
        given = np.ascontiguousarray(images.numpy(), dtype=self._type)
        if self._batch is None:
            return self._run(given)
        parts = []
        for start in range(0, len(given), self._batch):
            part = given[start : start + self._batch]
            missing = self._batch - len(part)
            whole = np.concatenate([part, np.repeat(part[-1:], missing, 0)]) if missing else part
            parts.append(self._run(whole)[: len(part)])
        return torch.cat(parts)

    def _run(self, given: Any) -> Tensor:
        (found,) = self._session.run(None, {self._input: given})
        out = torch.from_numpy(np.array(found, dtype=np.float32))
        return flat_outputs(out)


class RuntimeNetwork(nn.Module):
    """A network that a foreign runtime computes: no gradient leads through it.

    The digest of its file stands for its weights.
    """

    file_sha256: Tensor

    def __init__(self, runtime: OnnxSession, digest: bytes) -> None:
        super().__init__()
        self.runtime = runtime
        self.register_buffer("file_sha256", torch.tensor(list(digest), dtype=torch.uint8))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """The outputs `(n, outputs)` for images `(n, c, h, w)`."""
        return self.runtime(x).to(x)


def flat_outputs(out: Tensor) -> Tensor:
    """Outputs `(n, outputs)`, also where they come as maps of one pixel."""
    return out.flatten(1) if out.ndim > 2 and out[0].numel() == out.shape[1] else out


def plain_reason(error: BaseException) -> str:
    """What onnxruntime says, without its numbers."""
    return first_line(error).rpartition(" : ")[2].strip().rstrip(".") or first_line(error)
