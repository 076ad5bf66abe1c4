"""Networks that a function of the user's own code builds: `package.module:function`."""

from __future__ import annotations

from torch import nn

from robust.errors import InputError, type_and_line
from robust.models.blackbox.network import Ask
from robust.models.formats.contract import LoadedNetwork, LoaderOptions, ModelOrigin
from robust.models.weights import load_strictly, read_weights
from robust.plan.code import load_named


def call_factory(name: str) -> nn.Module | Ask:
    """What a factory returns: a network, or a function of images; InputError."""
    build = load_named(name, "factory")
    try:
        made = build()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        raise InputError(f"factory {name} failed: {type_and_line(error)}") from None
    if not isinstance(made, nn.Module) and not callable(made):
        raise InputError(
            f"factory {name} returns a {type(made).__name__}, neither an nn.Module nor a function "
            f"of images"
        )
    found: nn.Module | Ask = made
    return found


def with_weights(network: nn.Module, options: LoaderOptions) -> LoadedNetwork:
    """A network of a factory with the weights that the options name, if any; InputError."""
    notes = tuple[str, ...]()
    if options.weights is not None:
        found = read_weights(options.weights, network.state_dict(), options.weights_key)
        notes = (*found.notes, *load_strictly(network, found.state, options.weights))
    return LoadedNetwork(network, ModelOrigin("factory", notes=notes))
