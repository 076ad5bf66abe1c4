"""A surrogate ranks images as the detector does, with a gradient that the detector lacks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from detectors import Features
from robust.detection.adaptive.surrogate_detector import fit_surrogate, rank_agreement


def test_a_surrogate_ranks_images_as_the_detector_does() -> None:
    generator = torch.Generator().manual_seed(0)

    def features(shift: float) -> Features:
        deep = torch.randn(200, 6, generator=generator) + shift
        return Features(deep[:, :2], {"deep": deep})

    def score(seen: Features) -> Tensor:
        return (seen.deep.sum(1) > 3).double()  # without a gradient

    surrogate = fit_surrogate(score, features(0.0), features(1.0))
    unseen = Features.cat([features(0.0), features(1.0)])
    assert rank_agreement(surrogate, score, unseen) > 0.7
    other = fit_surrogate(lambda seen: torch.rand(len(seen), generator=generator), unseen, unseen)
    assert abs(rank_agreement(other, score, unseen)) < 0.4
    deep = unseen.deep.clone().requires_grad_()
    surrogate(deep).sum().backward()  # type: ignore[no-untyped-call]
    assert deep.grad is not None and np.isfinite(deep.grad.numpy()).all()


def test_an_image_without_a_score_is_as_suspicious_as_any() -> None:
    generator = torch.Generator().manual_seed(0)
    deep = torch.randn(60, 6, generator=generator)
    seen = Features(deep[:, :2], {"deep": deep})

    def score(of: Features) -> Tensor:
        high = of.deep.sum(1).double()
        return torch.where(high > 2, torch.inf, high)

    surrogate = fit_surrogate(score, seen, seen)
    found = surrogate(deep)
    assert bool(torch.isfinite(found).all())
    assert float(found[deep.sum(1) > 2].mean()) > float(found[deep.sum(1) < 0].mean())
    nothing = fit_surrogate(lambda of: torch.full((len(of),), torch.inf), seen, seen)
    assert bool(torch.isfinite(nothing(deep)).all())
