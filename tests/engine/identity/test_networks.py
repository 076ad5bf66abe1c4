"""Networks of a run: other code under the same weights is refused, rounding is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from robust.auditing import audit
from robust.engine.identity.networks import require_same_network
from robust.engine.run_store import CleanPrediction
from robust.errors import InputError
from robust.models import Classifier, prepare
from tests.engine.nets import BRIEF, phantoms, small, smooth
from tests.tasks.questions import classification

STATE = small().state_dict()


class Changed(nn.Module):
    """A network whose outputs go through one more step."""

    def __init__(self, factor: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.network = small()
        self.network.load_state_dict(STATE)
        self.factor, self.noise = factor, noise

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.network(x) * self.factor
        return out + self.noise * torch.randn_like(out)


def predictions(model: nn.Module) -> list[CleanPrediction]:
    cases = phantoms(10)
    x = torch.stack([cases[i].image for i in range(10)])
    with torch.no_grad():
        logits = Classifier(model, channels=1, head="softmax")(x).double().numpy()
    return [CleanPrediction(row, one, "") for row, one in enumerate(logits)]


@pytest.mark.parametrize("factor", [1.02, -1.0, float("nan")])
def test_another_function_is_refused(factor: float) -> None:
    ready = prepare(Classifier(Changed(factor), channels=1, head="softmax"))
    with pytest.raises(InputError, match="computes something else"):
        require_same_network(ready, phantoms(10), classification(2), predictions(Changed()))


def test_rounding_and_noise_of_the_network_are_not() -> None:
    known = predictions(Changed())
    for model in (Changed(1 + 1e-5), Changed(noise=0.01)):
        ready = prepare(Classifier(model, channels=1, head="softmax"))
        require_same_network(ready, phantoms(10), classification(2), known)


class BatchDependent(Changed):
    """Outputs in units of their spread over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out / out.std(0, keepdim=True)


def test_outputs_that_depend_on_the_batch_are_compared_in_the_batches_of_the_run() -> None:
    known = predictions(BatchDependent())
    ready = prepare(Classifier(BatchDependent(), channels=1, head="softmax"))
    require_same_network(ready, phantoms(10), classification(2), known)
    other = prepare(Classifier(BatchDependent(-1.0), channels=1, head="softmax"))
    with pytest.raises(InputError, match="computes something else"):
        require_same_network(other, phantoms(10), classification(2), known)


def test_a_random_network_that_predicted_by_means_of_passes_goes_on(tmp_path: Path) -> None:
    for _ in range(2):
        noisy = Classifier(Changed(noise=0.1), channels=1, head="softmax")
        audit(noisy, phantoms(8), attacks=["FGSM"], eps=["4/255"], out=tmp_path, **BRIEF)


def test_a_run_is_not_continued_with_other_code(tmp_path: Path) -> None:
    def run(model: nn.Module) -> None:
        model.load_state_dict(STATE)
        wrapped = Classifier(model, channels=1, head="softmax")
        audit(wrapped, phantoms(8), attacks=["FGSM"], eps=["4/255"], out=tmp_path, **BRIEF)

    run(small())
    with pytest.raises(InputError, match="computes something else than when this run began"):
        run(smooth())
    run(small())
