"""Proof of a model format before an audit: its outputs and gradients against its own runtime.

A converter can swap a layer or lose a gradient, and nothing shows it: the attacks would be weak and
the model look robust.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attacks import Model
from attacks.losses import climb
from attacks.threat import per_case
from robust.errors import InputError, type_and_line
from robust.models.acceleration.memory import memory_ran_out
from robust.models.adapter import Adapter
from robust.models.formats.contract import ModelOrigin, NativeRuntime
from robust.models.preparation import image_template
from robust.records import FormatProof

CASES = 8
"""Images on which the outputs are compared."""
DIRECTIONS = 16
"""Random directions, over all images together, along which gradients are compared."""
OUTPUT_TOLERANCE = 1e-4
"""Largest deviation of an output, as a share of the spread of outputs."""
ROUNDING = 1e-6
"""Deviation of an output, as a share of the largest, that float32 may cause: where the outputs of
all images are nearly the same, their spread is less."""
INSIDE = 0.02
"""How far inside the box gradients are compared. Black areas lie on the kinks of clipping and of
maxima between equal pixels, where no gradient is right."""
PLAIN = ("module", "factory", "TorchScript", "exported program")
"""Formats that are the network itself, as torch runs it."""
PLAIN_LIBRARIES = ("timm", "torchvision")
REMEDY = (
    "export the model again, or give the network itself: architecture with weights, or a factory"
)


@dataclass(frozen=True)
class _Precision:
    """How gradients are compared at one floating-point type."""

    dtype: torch.dtype
    step: float
    points: int
    """Number of points between both ends of a central difference at which the gradient is taken: of
    a long step the mean, so that what kinks change on the way counts on both sides."""
    tolerance: float
    """Largest median of the relative errors; a median, since one direction may be nearly level."""

    @property
    def name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


FLOAT64 = _Precision(torch.float64, step=1e-8, points=1, tolerance=1e-3)
FLOAT32 = _Precision(torch.float32, step=1e-3, points=32, tolerance=2e-2)
FEW_POINTS = 2
"""Points that are tried first."""


def needs_proof(origin: ModelOrigin) -> bool:
    """Whether a network comes from a format that is more than torch's own.

    Not where no gradient leads through it: then it is the format's own runtime that is asked.
    """
    if not origin.differentiable:
        return False
    if origin.native is not None:
        return True
    library, _, name = origin.format.partition(":")
    hub = name.startswith(("hf-hub:", "hf_hub:"))
    return origin.format not in PLAIN and (library not in PLAIN_LIBRARIES or hub)


def prove(classifier: Adapter, images: Sequence[Tensor]) -> FormatProof:
    """Compare a prepared adapter, its head settled, with its origin, on images of any shapes.

    `images` are batches `(n, c, *space)`. InputError, with the number, where outputs are not those
    of the native runtime, or gradients not those of central differences.
    """
    if classifier.straight_through:  # replaced gradients are none of the format's
        classifier = copy.copy(classifier)
        classifier.straight_through = ()
    template = image_template(classifier)
    batches = [x.to(template) for x in images]
    count = sum(map(len, batches))
    if not count:
        raise InputError(
            "none of the images could be read, so the model's format cannot be proven; check [data]"
        )
    native = classifier.origin.native
    outputs = None if native is None else _prove_outputs(classifier, native, batches)
    error, precision, directions = _prove_gradients(classifier, batches)
    return FormatProof(count, outputs, error, directions, precision.name)


def output_deviation(found: Tensor, expected: Tensor) -> float:
    """The largest difference of outputs `(n, outputs)`, in units of the spread of those expected.

    Infinite where they have other shapes or are no numbers.
    """
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    if found.shape != expected.shape or not bool(
        found.isfinite().all() & expected.isfinite().all()
    ):
        return math.inf
    floor = ROUNDING / OUTPUT_TOLERANCE * float(expected.abs().max())
    spread = max(float(span(expected)), floor)
    return float((found - expected).abs().max()) / spread


def span(logits: Tensor) -> Tensor:
    """The spread between the largest and the smallest logit of a batch, never zero."""
    return (logits.max() - logits.min()).clamp_min(torch.finfo(logits.dtype).tiny)


@torch.no_grad()
def _prove_outputs(classifier: Adapter, native: NativeRuntime, batches: Iterable[Tensor]) -> float:
    """The largest deviation from the native runtime; InputError where it is too large."""
    own, expected = list[Tensor](), list[Tensor]()
    for x in batches:
        shown = classifier.network_input(x)
        own.append(classifier.network_outputs(shown))
        shown = shown.float().cpu()
        try:
            given = native(shown)
        except Exception as error:  # noqa: BLE001  (a foreign runtime may raise anything)
            raise InputError(
                f"the model's own runtime fails on images of shape {tuple(shown.shape[1:])}: "
                f"{type_and_line(error)}; set channels and size to what it was trained on"
            ) from None
        expected.append(given[:, None] if given.ndim == 1 else given)
    alike = [out.shape for out in own] == [out.shape for out in expected]
    deviation = output_deviation(_joined(own), _joined(expected)) if alike else math.inf
    if not deviation <= OUTPUT_TOLERANCE:
        raise InputError(
            f"the network made of the model ({classifier.origin.format}) gives other outputs than "
            f"its own runtime: they differ by {deviation:.2g} of their spread, and at most "
            f"{OUTPUT_TOLERANCE:g} is rounding; {REMEDY}"
        )
    return deviation


def _joined(outputs: Sequence[Tensor]) -> Tensor:
    """All outputs in a row: those of images of other sizes have other shapes."""
    return torch.cat([out.flatten() for out in outputs])


def _prove_gradients(
    classifier: Adapter, batches: Sequence[Tensor]
) -> tuple[float, _Precision, int]:
    """The median relative error, at which precision, of how many directions; InputError."""
    errors, precision = _in_float64(classifier, batches), FLOAT64
    if errors is None:
        precision = FLOAT32
        try:
            # A smooth network needs few points; where few do not do, kinks may be the reason.
            errors = _relative_errors(classifier, batches, replace(precision, points=FEW_POINTS))
            if not _median(errors) <= precision.tolerance:
                errors = _relative_errors(classifier, batches, precision)
        except InputError:
            raise
        except Exception as error:
            if memory_ran_out(error):
                raise
            raise InputError(
                f"no gradient leads through the network made of the model "
                f"({classifier.origin.format}): {type_and_line(error)}; {REMEDY}"
            ) from None
    median = _median(errors)
    if not median <= precision.tolerance:
        raise InputError(
            f"the gradients of the network made of the model ({classifier.origin.format}) are not "
            f"those of central differences: the median relative error of {len(errors)} directions "
            f"is {median:.2g} at {precision.name}, and at most {precision.tolerance:g} is allowed; "
            f"{REMEDY}"
        )
    return median, precision, len(errors)


def _median(errors: Tensor) -> float:
    return float(errors.nan_to_num(math.inf, math.inf).median())


def _in_float64(classifier: Adapter, batches: Sequence[Tensor]) -> Tensor | None:
    """The relative errors of a copy at float64; None where the model does not allow it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exact = copy.deepcopy(classifier).double()
            images = [x.double() for x in batches]
            with torch.no_grad(), _Narrowing() as found:
                exact(images[0][:1])
            return None if found.narrowed else _relative_errors(exact, images, FLOAT64)
    except Exception as error:  # constants at float32, a device without float64
        if memory_ran_out(error):
            raise
        return None


class _Narrowing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes whether a network at float64 computes a part of itself at less.

    There a step that float64 shows is lost, and so would be its central difference.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.narrowed = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor) and out.dtype in (torch.float32, torch.float16, torch.bfloat16):
            given = args[0] if args else None
            self.narrowed |= isinstance(given, Tensor) and given.dtype == torch.float64
        return out


def _relative_errors(model: Model, batches: Sequence[Tensor], precision: _Precision) -> Tensor:
    """Of the derivative along each direction, `(directions,)`; 0 where rounding explains it.

    What is derived is a random sum of the logits, so that every one of them counts.
    """
    each = math.ceil(DIRECTIONS / sum(map(len, batches)))
    draw = torch.Generator().manual_seed(0)
    errors = []
    for images in batches:
        with torch.no_grad():
            shape = model(images[:1]).shape[1:]
        for one in images[:, None]:
            noise = torch.rand(one.shape, generator=draw, dtype=one.dtype).to(one)
            x = INSIDE + (1 - 2 * INSIDE) * one + INSIDE * (2 * noise - 1)
            for _ in range(each):
                direction = (torch.rand(x.shape, generator=draw) < 0.5).to(x) * 2 - 1
                weights = torch.randn(shape, generator=draw).to(x)
                errors.append(_relative_error(model, x, direction, weights, precision))
    return torch.stack(errors).cpu()


def _relative_error(
    model: Model, x: Tensor, direction: Tensor, weights: Tensor, precision: _Precision
) -> Tensor:
    """The relative error of the derivative along a direction at the image `x (1, c, *space)`."""
    step, points = precision.step, precision.points
    places = torch.arange(1 - points, points, 2, dtype=x.dtype, device=x.device) / points
    slopes = []
    for part in torch.split(places, CASES):  # type: ignore[no-untyped-call]
        between = x + step * per_case(part, x) * direction
        _, gradient = climb(model, between, lambda logits: (weights * logits).flatten(1).sum(1))
        slopes.append((gradient * direction).flatten(1).sum(1))
    predicted = torch.cat(slopes).mean()
    with torch.no_grad():
        logits = model(torch.cat([x + step * direction, x - step * direction]))
        ends = (weights * logits).flatten(1).sum(1)
    measured = (ends[0] - ends[1]) / (2 * step)
    rounding = 4 * torch.finfo(x.dtype).eps * ends.abs().max() / step
    wrong = (measured - predicted).abs()
    error = wrong / torch.maximum(measured.abs(), predicted.abs())
    return torch.where(wrong <= rounding, 0.0, error)
