"""TorchScript files and exported programs (`.pt2`) as a model format."""

from __future__ import annotations

from pathlib import Path

from robust.models.checkpoints.foreign import refuse_unreadable
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.programs import load_program
from robust.plan.paths import require_program

DEPRECATED = (
    "PyTorch has deprecated TorchScript; save the network with torch.export as a .pt2 file and "
    "give that"
)


def load_torch_program(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a TorchScript file or a `.pt2`; InputError."""
    require_program(path)
    refuse_unreadable(path)
    exported = path.suffix == ".pt2"
    network = load_program(path)
    if exported:
        return LoadedNetwork(network, ModelOrigin("exported program"))
    return LoadedNetwork(network, ModelOrigin("TorchScript", notes=(DEPRECATED,)))
