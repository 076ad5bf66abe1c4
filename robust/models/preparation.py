"""Prepares an adapter for evaluation: a frozen copy on a device, at full precision."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from robust.errors import InputError, type_and_line
from robust.models.acceleration.memory import require_memory
from robust.models.adapter import Adapter, settle_head
from robust.models.classifier import Classifier
from robust.models.process_state import ProcessState

Kind = TypeVar("Kind", bound=Adapter)


def prepare(
    adapter: Kind,
    device: str | torch.device = "cpu",
    *,
    images: Tensor | None = None,
    head: str | None = None,
) -> Kind:
    """A copy on `device` in evaluation mode whose parameters require no gradient.

    The user's model keeps its mode, buffers, `.grad` and `requires_grad`; without parameter
    gradients a backward pass costs a third less. A head `auto` becomes `head`, where it was
    recognised before, or what the outputs on `images (n, c, *space)` show; without either it stays.
    InputError for what is no Adapter or cannot be copied, and where memory is limited too much.
    """
    require_memory()
    require_adapter(adapter)
    try:
        with torch.no_grad():  # else the copy of a scripted module has no leaves
            ready = copy.deepcopy(adapter)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (any foreign module, any error)
        raise InputError(
            f"the model cannot be copied ({type_and_line(error)}); give robust a factory that "
            f"builds it"
        ) from None
    try:
        evaluate(ready)
        for parameter in ready.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        ready = ready.to(device)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        raise InputError(f"the model cannot be prepared: {type_and_line(error)}") from None
    if ready.head == "auto" and head is not None:
        ready.head = head
    if images is not None:
        with torch.no_grad():
            settle_head(ready, images.to(image_template(ready)))
    return ready


def require_adapter(thing: object) -> None:
    """InputError for what is neither a Classifier nor a Segmenter."""
    if not isinstance(thing, Adapter):
        require_classifier(thing)


def require_classifier(thing: object) -> Classifier:
    """The thing itself; InputError for what is no Classifier."""
    if isinstance(thing, Adapter) and not isinstance(thing, Classifier):
        raise InputError("a Segmenter is no classifier, which this needs: it outlines structures")
    if not isinstance(thing, Classifier):
        raise InputError(
            f"a {type(thing).__name__} is no classifier: robust.load_classifier(...) loads one "
            f"from files, robust.Classifier(network, channels=3, mean=..., std=...) makes one of a "
            f"network, robust.BlackBox(function) of a function of images; robust.load_segmenter "
            f"and robust.Segmenter(network) are for networks that outline structures"
        )
    return thing


def evaluate(network: nn.Module) -> None:
    """Put a network and all its parts into evaluation mode."""
    for module in network.modules():
        try:
            module.train(False)
        except NotImplementedError:
            # An exported program has fixed its mode when it was exported.
            module.training = False


def choose_device(name: str = "auto") -> torch.device:
    """`auto` is the first GPU where there is one; raises InputError for a device not present."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise InputError(f"device {name!r} is not available here; use cpu, cuda or auto") from None
    return device


def full_precision() -> AbstractContextManager[None]:
    """Switch TF32 off and choose deterministic kernels; restore the global settings afterwards.

    They are switched on again once no thread is within it.
    """
    return _FULL_PRECISION()


@contextmanager
def _at_full_precision() -> Iterator[None]:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, conv.allow_tf32, conv.deterministic, conv.benchmark
    matmul.allow_tf32, conv.allow_tf32, conv.deterministic, conv.benchmark = (
        False,
        False,
        True,
        False,
    )
    try:
        yield
    finally:
        matmul.allow_tf32, conv.allow_tf32, conv.deterministic, conv.benchmark = before


_FULL_PRECISION = ProcessState(_at_full_precision)


def image_template(ready: Adapter) -> Tensor:
    """An empty tensor on the device of a prepared adapter and of the type of its images."""
    kinds = {parameter.dtype for parameter in ready.parameters()}
    kind = torch.float64 if torch.float64 in kinds else torch.float32
    return torch.empty(0, device=ready.mean.device, dtype=kind)
