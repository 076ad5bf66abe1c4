"""Denoised smoothing against linear models, whose denoiser is known, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robust.certificates.registry import make_certificate
from robust.certificates.smoothing.denoised_smoothing import Denoised, DenoisedSmoothing
from robust.certificates.smoothing.randomized_smoothing import RandomizedSmoothing
from robust.errors import InputError
from robust.plan.load import load_plan, read_plan
from robust.plan.spec import CertificateSpec
from tests.certificates.smoothing.test_randomized_smoothing import linear_cases, streams


class Shrink(nn.Module):
    """Takes a share of each pixel, so that noise and image become smaller alike."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.share


class Project(nn.Module):
    """Keeps what lies along one direction: noise across it disappears, the image's place stays."""

    def __init__(self, along: Tensor) -> None:
        super().__init__()
        self.register_buffer("along", along / along.norm())

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return ((flat @ self.along)[:, None] * self.along).view_as(x)


def shrink() -> nn.Module:
    return Shrink(0.5)


def not_a_module() -> object:
    return lambda x: x


def test_a_denoiser_that_keeps_what_the_model_reads_changes_no_radius() -> None:
    classifier, x, _, truth = linear_cases(12)
    weight = classifier.network.weight.detach()[0]
    plain = RandomizedSmoothing(n=2000)(classifier, x, streams(12))
    for kind, denoiser in (("direct", Project(weight)), ("residual", Residue(weight))):
        found = DenoisedSmoothing(denoiser, kind, n=2000)(classifier, x, streams(12))
        assert torch.equal(found.radius, plain.radius), kind
    assert bool((plain.radius <= truth).all()) and float(plain.radius.max()) > 0.1


class Residue(Project):
    """What `Project` takes away."""

    def forward(self, x: Tensor) -> Tensor:
        return x - super().forward(x)


def test_the_denoiser_is_part_of_the_function_that_is_proven() -> None:
    """Behind one that halves each pixel the linear model answers 2 w x > b: another radius."""
    classifier, x, _, _ = linear_cases(12)
    found = DenoisedSmoothing(Shrink(0.5), n=4000)(classifier, x, streams(12))
    with torch.no_grad():
        margin = classifier(x / 2)[:, 1]
        norm = classifier.network.weight.norm() / 2
    truth = margin.abs() / norm
    proven = found.radius > 0
    assert torch.equal(found.predicted[proven], (margin > 0).long()[proven])
    assert bool((found.radius <= truth).all())
    inner = truth < 0.5
    assert float((truth - found.radius)[inner].max()) < 0.06


def test_gradients_lead_through_the_denoiser_and_its_own_stay_off() -> None:
    classifier, x, _, _ = linear_cases(3)
    denoiser = Shrink(0.5).train()
    base = DenoisedSmoothing(denoiser).base(classifier)
    pixels = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(base(pixels)[:, 1].sum(), pixels)
    assert torch.allclose(gradient.flatten(1), classifier.network.weight / 2)
    assert denoiser.training and denoiser.share.requires_grad  # the user's is as it was


def test_a_plan_names_a_factory() -> None:
    spec = CertificateSpec(name="DenoisedSmoothing", denoiser=f"{__name__}:shrink", n=50)  # type: ignore[call-arg]
    classifier, x, _, _ = linear_cases(2)
    certificate: Any = make_certificate(spec)
    certificate.check(classifier)
    same = DenoisedSmoothing(Shrink(0.5), n=50)
    assert certificate.weights == same.weights != DenoisedSmoothing(Shrink(0.4)).weights
    found, other = (c(classifier, x, streams(2)) for c in (certificate, same))
    assert torch.equal(found.radius, other.radius)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "DenoisedSmoothing needs a denoiser"),
        ({"denoiser": "nowhere"}, "must look like package.module:function"),
        ({"denoiser": f"{__name__}:nothing"}, "has no 'nothing'"),
        ({"denoiser": f"{__name__}:not_a_module"}, "must be an nn.Module"),
    ],
)
def test_what_is_no_denoiser_is_refused_before_any_work(fields: Any, message: str) -> None:
    certificate = make_certificate(CertificateSpec(name="DenoisedSmoothing", **fields))
    with pytest.raises(InputError, match=message):
        certificate.check(linear_cases(1)[0])


def test_other_mistakes_are_said() -> None:
    with pytest.raises(ValueError, match="kind must be direct or residual, not 'noise'"):
        DenoisedSmoothing(kind="noise")
    with pytest.raises(ValueError, match="sigma must be above 0"):
        DenoisedSmoothing(sigma=-1)
    with pytest.raises(InputError, match=r"returns \(2, 3\) for images of shape \(2, 1, 3, 3\)"):
        Denoised(nn.Sequential(nn.Flatten(), nn.Linear(9, 3)), nn.Identity(), False)(
            torch.zeros(2, 1, 3, 3)
        )


def test_the_plan_of_a_folder_may_name_no_denoiser(tmp_path: Path) -> None:
    """It is code; a plan file that the user names himself may."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[[attacks]]\nname = "PGD"\n[[certificates]]\nname = "DenoisedSmoothing"\n'
        'denoiser = "mine:denoiser"\n'
    )
    with pytest.raises(InputError, match=r"names the denoiser mine:denoiser .* --allow-code"):
        read_plan(tmp_path)
    assert load_plan(plan).certificates[0].fields() == {"denoiser": "mine:denoiser"}
    assert read_plan(tmp_path, allow_code=True)["certificates"]
