"""One forward pass serves classifier and detector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from detectors import Extractor, FeatureReader, Features, FittedDetector, MaxSoftmax
from robust.detection.adaptive.joint_model import JointModel
from robust.detection.adaptive.surrogate_detector import fit_surrogate
from robust.detection.cross_fitting import FoldDetector


def test_one_pass_serves_all_and_an_old_image_is_never_used() -> None:
    passes = 0

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            nonlocal passes
            passes += 1
            out: Tensor = self.head(x.flatten(1))
            return out

    model = Counting()
    detector = FoldDetector(FittedDetector(MaxSoftmax(), {}), 0.0, 1.0)
    joint = JointModel(FeatureReader(Extractor(model, ["head"])), detector, 0.0)
    x = torch.rand(2, 1, 2, 2)
    before = joint.suspicion(x)
    assert torch.equal(joint.logits(x), model(x)) and passes == 2
    x.add_(0.1)  # in place: the same tensor, another image
    assert not torch.equal(joint.suspicion(x), before) and passes == 3
    with torch.enable_grad():
        x = x.requires_grad_()
        assert joint.suspicion(x).requires_grad and passes == 4


def test_with_a_surrogate_the_score_is_the_detectors_and_the_gradient_the_surrogates() -> None:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(4, 2)
    model = nn.Sequential(nn.Flatten(), head)

    def features(shift: float) -> Features:
        deep = torch.rand(60, 4, generator=generator) + shift
        with torch.no_grad():
            return Features(head(deep), {"1:input": deep})

    plain = FoldDetector(FittedDetector(MaxSoftmax(), {}), 0.0, 1.0)
    surrogate = fit_surrogate(plain.suspicion, features(0.0), features(0.5))
    reader = FeatureReader(Extractor(model, ["1:input"]))
    joint = JointModel(reader, plain, 0.1, surrogate)
    x = torch.rand(3, 1, 2, 2, generator=generator, requires_grad=True)
    suspicion = joint.suspicion(x)
    assert torch.allclose(suspicion, plain.suspicion(reader(x)) - 0.1, atol=1e-6)
    (found,) = torch.autograd.grad(suspicion.sum(), x)
    (wanted,) = torch.autograd.grad(surrogate(x.flatten(1)).sum(), x)
    assert torch.allclose(found, wanted, atol=1e-6)
