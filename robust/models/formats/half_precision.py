"""A network with its weights, and all that it computes, at float16 or bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from robust.errors import InputError, type_and_line


class LowPrecisionNetwork(nn.Module):
    """From float32 to float32: images are rounded before the network, outputs are widened."""

    def __init__(self, network: nn.Module, kind: torch.dtype) -> None:
        """InputError where the network cannot be turned."""
        super().__init__()
        if not any(p.is_floating_point() for p in network.parameters()):
            raise InputError(
                f"the network has no weights that torch can turn to {_name(kind)}; give a file "
                f"that was exported at that precision"
            )
        try:
            self.network = network.to(kind)
        except Exception as error:  # noqa: BLE001  (foreign code may refuse in any way)
            raise InputError(
                f"the network cannot be turned to {_name(kind)}: {type_and_line(error)}"
            ) from None
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """Outputs `(n, outputs)`."""
        out: Tensor = self.network(x.to(self.kind)).to(x.dtype)
        return out


def _name(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
