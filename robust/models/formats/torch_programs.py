"""TorchScript files and exported programs (`.pt2`) as a model format."""

from __future__ import annotations

from pathlib import Path

from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.formats.tensorflow import refuse_tensorflow
from robust.models.programs import load_program
from robust.plan.paths import require_program


def load(path: Path, options: LoaderOptions) -> LoadedNetwork:
    """The network in a TorchScript file or a `.pt2`; InputError."""
    require_program(path)
    refuse_tensorflow(path)
    exported = path.suffix == ".pt2"
    origin = ModelOrigin("exported program" if exported else "TorchScript")
    return LoadedNetwork(load_program(path), origin)
