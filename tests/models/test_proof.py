"""The proof of a model format: what is accepted and what is refused, with the number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robust.auditing import audit
from robust.errors import InputError
from robust.models import Classifier, prepare
from robust.models.formats.contract import ModelOrigin
from robust.models.proof import needs_proof, output_deviation, prove
from robust.report.text.provenance import provenance_facts
from tests.engine.nets import phantoms, trained


class Skewed(torch.autograd.Function):
    """The identity, whose gradient is wrong by a factor."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        return 1.03 * gradient


class Changed(nn.Module):
    """A network with something of a converter's before it: a wrong gradient, none, a float32."""

    def __init__(self, network: nn.Module, what: str) -> None:
        super().__init__()
        self.network, self.what = network, what
        self.one = torch.ones(1)  # no buffer: it keeps its type

    def forward(self, x: Tensor) -> Tensor:
        if self.what == "skewed":
            return self.network(Skewed.apply(x))
        if self.what == "detached":
            return self.network(x.detach()) + 0 * x.sum()
        if self.what == "cut":
            return self.network(x.detach())
        if self.what == "float32 inside":
            return self.network(x.float().to(x.dtype))
        assert self.what == "float32"
        return self.network(x.float() * self.one)


def net() -> nn.Module:
    """With ReLU and max pooling, whose kinks no step may cross."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return nn.Sequential(
            *(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.LazyLinear(3)),
        )


def images(n: int = 8) -> Tensor:
    """A third of each is black, as in medical images: maxima there have no gradient."""
    x = torch.rand(n, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    x[..., :7] = 0
    return x


def ready(network: nn.Module, origin: ModelOrigin, **options: object) -> Classifier:
    network(images(1))
    return prepare(Classifier(network.eval(), origin=origin, head="softmax", **options))  # type: ignore[arg-type]


def test_a_true_copy_is_accepted_at_float64() -> None:
    own = net()
    found = prove(ready(own, ModelOrigin("ONNX", own)), [images()])
    assert found.outputs == 0 and found.gradients < 1e-6
    assert (found.cases, found.directions, found.precision) == (8, 16, "float64")


@pytest.mark.parametrize("what", ["float32", "float32 inside"])
def test_what_computes_at_float32_is_compared_at_float32(what: str) -> None:
    own = Changed(net(), what)
    found = prove(ready(own, ModelOrigin("ONNX", own)), [images()])
    assert found.precision == "float32" and found.gradients < 2e-2


def test_two_shapes_and_few_images_have_as_many_directions() -> None:
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = prove(ready(own, ModelOrigin("ONNX", own)), [images(2), images(1)[..., :15]])
    assert (found.cases, found.directions) == (3, 18)


def test_other_outputs_are_refused_with_their_size() -> None:
    own = net()
    spread = float((own(images()).max() - own(images()).min()).detach())
    for shift, accepted in ((5e-5, True), (2e-4, False)):
        origin = ModelOrigin("ONNX, opset 18", lambda x, by=shift * spread: own(x).detach() + by)
        if accepted:
            assert prove(ready(own, origin), [images()]).outputs == pytest.approx(5e-5, rel=0.02)
            continue
        with pytest.raises(
            InputError, match=r"\(ONNX, opset 18\) gives other outputs .* 0.0002 of"
        ):
            prove(ready(own, origin), [images()])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("skewed", r"not those of central differences: .* 16 directions is 0\.02\d at float64"),
        ("detached", r"of 16 directions is 1 at float64, and at most 0\.001"),
        ("cut", "no gradient leads through the network made of the model"),
    ],
)
def test_wrong_gradients_are_refused(what: str, message: str) -> None:
    wrong = Changed(net(), what)
    with pytest.raises(InputError, match=message) as refusal:
        prove(ready(wrong, ModelOrigin("ONNX", wrong)), [images()])
    assert "\n" not in str(refusal.value) and "architecture with weights" in str(refusal.value)


def test_a_runtime_that_fails_is_one_line() -> None:
    def failing(x: Tensor) -> Tensor:
        raise RuntimeError("Got invalid dimensions\nfor input: x")

    with pytest.raises(InputError, match=r"own runtime fails on images of shape \(1, 20, 20\)"):
        prove(ready(net(), ModelOrigin("ONNX", failing)), [images()])


def test_outputs_of_another_shape_or_no_number_deviate_infinitely() -> None:
    out = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    assert output_deviation(out, out[:, :1]) == float("inf")
    assert output_deviation(out, out.where(out > 0, torch.nan)) == float("inf")
    assert output_deviation(out + 0.003, out) == pytest.approx(1e-3, rel=1e-3)
    same = torch.full((4, 2), 100.0)  # of a network that always says the same: only rounding
    assert output_deviation(same + 1e-5, same) < 1e-4 < output_deviation(same + 1e-2, same)


def test_torchs_own_formats_need_none() -> None:
    for plain in ("module", "factory", "TorchScript", "exported program", "timm:resnet18"):
        assert not needs_proof(ModelOrigin(plain))
    assert needs_proof(ModelOrigin("timm:hf-hub:org/name"))
    assert needs_proof(ModelOrigin("Hugging Face, ViT"))
    assert needs_proof(ModelOrigin("module", native=net()))
    assert not needs_proof(ModelOrigin("ONNX", native=net(), differentiable=False))


def test_an_audit_proves_once_a_run_and_reports_it(tmp_path: Path) -> None:
    own, asked = trained(28), []

    def native(x: Tensor) -> Tensor:
        asked.append(len(x))
        with torch.no_grad():
            return own(x)

    origin = ModelOrigin("ONNX, opset 18", native, notes=("The batch was made free.",))
    given = Classifier(own, channels=1, origin=origin)
    for _ in range(2):  # the second run is resumed
        report = audit(given, phantoms(20), attacks=["FGSM"], eps=["1/255"], out=tmp_path / "run")
    assert asked == [8]
    proof = report.model.proof
    assert proof is not None and proof.cases == 8 and proof.outputs == 0 and proof.gradients < 1e-6
    facts = dict(provenance_facts(report))
    assert facts["Model format"] == "ONNX, opset 18"
    assert facts["Notes on the model"] == "The batch was made free"
    assert "on 8 images the outputs differ" in facts["Proof of the format"]
    assert type(report).from_json(report.to_json()) == report


def test_an_audit_of_a_false_copy_is_refused_before_it_attacks(tmp_path: Path) -> None:
    own = Changed(trained(28), "skewed")
    given = Classifier(own, channels=1, origin=ModelOrigin("ONNX", own))
    with pytest.raises(InputError, match="not those of central differences"):
        audit(given, phantoms(20), attacks=["FGSM"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_false_surrogate_is_refused_too() -> None:
    own = Changed(trained(28), "skewed")
    surrogate = Classifier(own, channels=1, origin=ModelOrigin("ONNX", own))
    with pytest.raises(InputError, match="the surrogate does not fit: the gradients"):
        audit(
            Classifier(trained(28), channels=1),
            phantoms(20),
            attacks=["FGSM"],
            surrogate=surrogate,
        )
