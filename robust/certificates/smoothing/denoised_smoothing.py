"""Denoised smoothing, a certificate in L2: Salman et al. 2020 (arXiv 2003.01908)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from torch import Tensor, nn

from attacks.contract import Model
from attacks.streams import Streams
from robust.certificates.contract import Certified
from robust.certificates.smoothing.randomized_smoothing import (
    RandomizedSmoothing,
    certify_smoothed,
    require_smoothing,
    smoothed_votes,
)
from robust.errors import InputError
from robust.models.adapter import Adapter
from robust.models.formats.factory import call_factory
from robust.models.preparation import evaluate
from robust.models.weights import weights_hash

KINDS = ("direct", "residual")


@dataclass(frozen=True)
class DenoisedSmoothing:
    """Randomized smoothing of a classifier behind a denoiser; neither is trained for the other.

    Use it where the classifier was not trained with noise. The denoiser is shown noisy displayed
    images `(n, c, h, w)`, not clipped, and returns images of that shape. It is part of the function
    that is proven and attacked.
    """

    __pydantic_config__: ClassVar = {"arbitrary_types_allowed": True}
    norm: ClassVar[str] = "L2"
    function: ClassVar[Literal["network", "smoothed"]] = "smoothed"

    denoiser: str | nn.Module = ""
    """The denoiser, trained for this sigma: `package.module:function`, called without arguments,
    returns it, and runs code; in Python also the module itself."""
    kind: str = "direct"
    """`direct`: the denoiser returns the image. `residual`: it returns the noise, which is
    subtracted."""
    sigma: float = 0.25
    """As in RandomizedSmoothing."""
    n0: int = 100
    """As in RandomizedSmoothing."""
    n: int = 10_000
    """As in RandomizedSmoothing."""
    alpha: float = 0.001
    """As in RandomizedSmoothing."""
    batch: int | None = None
    """As in RandomizedSmoothing."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be {' or '.join(KINDS)}, not {self.kind!r}")
        require_smoothing(self.sigma, self.n0, self.n, self.alpha, self.batch)

    @cached_property
    def smoothing(self) -> RandomizedSmoothing:
        """How the denoised classifier is smoothed."""
        return RandomizedSmoothing(self.sigma, self.n0, self.n, self.alpha, self.batch)

    @property
    def cap(self) -> float:
        """That of its smoothing."""
        return self.smoothing.cap

    @property
    def passes(self) -> int:
        """Of the classifier; as many go through the denoiser."""
        return self.smoothing.passes

    @property
    def weights(self) -> str:
        """Hash of the denoiser's weights."""
        return weights_hash(self._ready)

    def check(self, model: Adapter) -> None:
        """InputError where there is no denoiser."""
        self.base(model)

    def base(self, model: Adapter) -> Model:
        """The classifier behind the denoiser."""
        return Denoised(self._ready.to(model.mean.device), model, self.kind == "residual")

    def votes(self, model: Adapter, x: Tensor, streams: Streams, n: int) -> Tensor:
        """How often each class is predicted under `n` draws of noise: `(cases, k)` int64."""
        return smoothed_votes(self.base(model), x, streams, self.smoothing, n)

    def __call__(self, model: Adapter, x: Tensor, streams: Streams) -> Certified:
        """As `RandomizedSmoothing`, of the classifier behind the denoiser."""
        return certify_smoothed(self.base(model), x, streams, self.smoothing)

    @cached_property
    def _ready(self) -> nn.Module:
        """The denoiser in evaluation mode, a copy without gradients of its own."""
        if not self.denoiser:
            raise InputError(
                "DenoisedSmoothing needs a denoiser: denoiser = 'package.module:function', which "
                "returns it; without one, RandomizedSmoothing smooths the classifier itself"
            )
        found = self.denoiser
        if isinstance(found, str):
            made = call_factory(found)
            if not isinstance(made, nn.Module):
                raise InputError(f"denoiser {found} returns a function; it must be an nn.Module")
            found = made
        ready = copy.deepcopy(found)
        evaluate(ready)
        return ready.requires_grad_(False)


class Denoised(nn.Module):
    """A classifier that is shown denoised images."""

    def __init__(self, denoiser: nn.Module, model: nn.Module, residual: bool) -> None:
        super().__init__()
        self.denoiser, self.model, self.residual = denoiser, model, residual
        kinds = {parameter.dtype for parameter in denoiser.parameters()}
        self.dtype = kinds.pop() if len(kinds) == 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(n, k)` of noisy displayed images `(n, c, h, w)`; InputError."""
        cleaned = self.denoiser(x if self.dtype is None else x.to(self.dtype))
        if not isinstance(cleaned, Tensor) or cleaned.shape != x.shape:
            found = tuple(cleaned.shape) if isinstance(cleaned, Tensor) else type(cleaned).__name__
            raise InputError(
                f"the denoiser returns {found} for images of shape {tuple(x.shape)}; it must "
                f"return images of that shape"
            )
        cleaned = cleaned.to(x.dtype)
        logits: Tensor = self.model(x - cleaned if self.residual else cleaned)
        return logits
