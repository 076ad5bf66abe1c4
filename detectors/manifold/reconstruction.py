"""Reconstruction error of an image (MagNet, Meng and Chen 2017, arXiv 1705.09064)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from detectors.contract import Detector, ExtraPasses, Learned, Reference
from detectors.features import Features
from detectors.manifold.autoencoder import Activation, fit_autoencoder, redraw
from detectors.manifold.principal_components import principal_axes, project
from detectors.manifold.thumbnails import shrink, thumbnails

SMALLEST = 1e-12
"""Mean squared residuals below this count as zero."""


@dataclass(frozen=True)
class Reconstruction(Detector):
    """How badly an image is redrawn by what has learned to redraw clean images.

    Score: the root mean square of the difference between an image and its reconstruction, in [0, 1]
    units. `pca` redraws it by the principal components of the reference images, in closed form;
    `autoencoder` by a small convolutional network that was trained on them, as Meng and Chen do. It
    reads the image and nothing of the classifier, learns from clean images alone, and has no head.
    Differentiable.

    Use it for images that are no images of this kind (another modality, an inverted scan), and
    beside a detector that reads features: small perturbations hardly change the residual.
    """

    has_head: ClassVar[bool] = False
    needs_head: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    needs_layers: ClassVar[bool] = False
    method: Literal["pca", "autoencoder"] = "pca"
    """What redraws the image."""
    components: int | float = 0.95
    """Numbers that an image is redrawn from: a whole number, or the share of variance, below 1,
    that as many principal components hold. The autoencoder's code has equally many."""
    size: int = 32
    """Images with more rows or columns are averaged down to as many, so that the reference fits in
    memory."""
    activation: Activation = "relu"
    """Of the autoencoder; `none` makes it linear, which learns what `pca` has in closed form."""
    steps: int = 1000
    """Batches that the autoencoder is trained on."""
    seed: int = 0
    """Of the autoencoder's first weights and of the order of images."""

    def __post_init__(self) -> None:
        if self.method not in ("pca", "autoencoder"):
            raise ValueError(f"method must be pca or autoencoder, not {self.method!r}")
        share = isinstance(self.components, float)
        if not (0 < self.components < 1 if share else self.components >= 1):
            raise ValueError(
                f"components must be a whole number from 1 or a share between 0 and 1, not "
                f"{self.components!r}"
            )
        if self.size < 4:
            raise ValueError(f"size must be at least 4 pixels, not {self.size}")
        if self.activation not in ("relu", "none"):
            raise ValueError(f"activation must be relu or none, not {self.activation!r}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, not {self.steps}")

    def learn(self, reference: Reference) -> Learned:
        """Mean image and principal axes, or the autoencoder's weights."""
        reference.classes()
        images = thumbnails(reference, self.size)
        mean, axes = principal_axes(images.flatten(1), self.components)
        if self.method == "pca":
            learned = {"mean": mean.reshape(images.shape[1:]), "axes": axes}
        else:
            learned = fit_autoencoder(
                images, len(axes), activation=self.activation, steps=self.steps, seed=self.seed
            )
        return {name: value.to(reference.labels.device) for name, value in learned.items()}

    def extras(self, passes: ExtraPasses, learned: Learned) -> Mapping[str, Tensor]:
        """The score `(n, 1)`: features do not hold the image."""
        name = repr(self)
        return {name: passes.once(name, lambda: self.residual(passes.x, learned)[:, None])}

    def residual(self, x: Tensor, learned: Learned) -> Tensor:
        """The score `(n,)` of images `(n, c, h, w)`; ValueError for another number of channels."""
        mean = learned["mean"]
        if x.shape[1] != len(mean):
            raise ValueError(
                f"it has learned from images with {len(mean)} channels, this one has {x.shape[1]}"
            )
        small = shrink(x, (mean.shape[1], mean.shape[2]))
        if self.method == "pca":
            flat, axes = small.flatten(1), learned["axes"].to(x)
            drawn = project(flat, mean.flatten().to(x), axes).reshape(small.shape)
        else:
            drawn = redraw(small, learned, self.activation)
        # A root whose gradient is finite at zero.
        return (small - drawn).square().flatten(1).mean(1).clamp_min(SMALLEST).sqrt()

    def statistics(self, features: Features, learned: Learned) -> Tensor:
        """The score as `(n, 1)`."""
        return features.extra(repr(self))

    def fit_head(self, clean: Tensor, adversarial: Tensor) -> Learned:
        """There is none: ValueError."""
        raise ValueError("Reconstruction has no head to fit on attacked images")

    def combine(self, statistics: Tensor, learned: Learned, head: Learned | None) -> Tensor:
        """The score as it is."""
        return statistics[:, 0]
