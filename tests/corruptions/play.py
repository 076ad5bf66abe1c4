"""Grey images, a network that reads their mean, and corruptions whose effect on it is known."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from attacks.streams import Streams
from robust.cases import Cases, cases_from
from robust.corruptions import run
from robust.engine.cells import make_attacks
from robust.engine.run_store import RunStore
from robust.engine.runner import RunOptions
from robust.engine.session import RunInputs, Session, start_session
from robust.models import Adapter, Classifier
from robust.plan.load import make_plan
from robust.plan.spec import CorruptionsSpec
from robust.records import CorruptionResult

SIDE = 12
STEP = 0.04
"""By so much grey level a severity brightens."""


@dataclass(frozen=True)
class Known:
    """A corruption that is written down here."""

    name: str
    family: Literal["colour"] = "colour"
    differentiable: bool = True
    random: bool = False
    definition: str = "this test"
    note: str = ""


@dataclass(frozen=True)
class Brighter(Known):
    """Every pixel up by `STEP` times the severity."""

    name: str = "brighter"

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        return (x + STEP * severity).clamp(0, 1)


@dataclass(frozen=True)
class Turned(Known):
    """Upside down: the mean stays as it is."""

    name: str = "turned"

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        return x.flip(-2)


@dataclass(frozen=True)
class Dust(Known):
    """Noise of a standard deviation of `STEP` times the severity."""

    name: str = "dust"
    random: bool = True

    def __call__(self, x: Tensor, severity: int, streams: Streams) -> Tensor:
        return (x + STEP * severity * streams.normal(x)).clamp(0, 1)


class MeanGrey(nn.Module):
    """Class 1 where the mean is above a half, however the pixels lie."""

    def __init__(self, limit: float = 0.5) -> None:
        super().__init__()
        self.limit = nn.Parameter(torch.tensor(limit))

    def forward(self, x: Tensor) -> Tensor:
        z = 20 * (x.double().mean((1, 2, 3)).to(x.dtype) - self.limit)
        return torch.stack([-z, z], 1)


def grey_cases(count: int = 60, each: int = 2) -> Cases:
    """A third of class 1; patients have `each` images, of any class. Some are on the wrong side."""
    rng = np.random.default_rng(0)
    labels = rng.random(count) < 1 / 3
    levels = np.where(labels, 0.6, 0.4) + rng.normal(0, 0.1, count)
    noise = rng.uniform(-0.1, 0.1, (count, 1, SIDE, SIDE))
    pixels = np.round(255 * (levels[:, None, None, None] + noise)).clip(0, 255).astype(np.uint8)
    groups = [f"patient {i // each}" for i in range(count)]
    return cases_from(pixels, labels.astype(int), groups, classes=("dark", "bright"))


def images_and_labels(cases: Cases) -> tuple[Tensor, Tensor]:
    every = [cases[i] for i in range(len(cases))]
    return torch.stack([c.image for c in every]), torch.tensor([c.label for c in every])


def mean_grey(limit: float = 0.5) -> Classifier:
    return Classifier(MeanGrey(limit), channels=1, head="softmax")


@contextmanager
def session(
    cases: Cases,
    model: Adapter | None = None,
    *,
    folder: Path | None = None,
    attacks: Sequence[dict[str, Any]] = ({"name": "FGSM"},),
    reference: Adapter | None = None,
    **plan: Any,
) -> Iterator[Session]:
    """A run whose attacks are finished."""
    made = make_plan({"attacks": list(attacks), **plan}, "audit")
    inputs = RunInputs(
        model or mean_grey(),
        cases,
        make_attacks(made.attacks),
        corruption_reference=reference,
    )
    store = RunStore(folder or Path(tempfile.mkdtemp()))
    try:
        ready = start_session(made, inputs, store, RunOptions("cpu"))
        ready.runner.attack(ready.cells, made.audit.seed)
        yield ready
    finally:
        store.close()


def corrupted(
    ready: Session, kinds: Sequence[Any], monkeypatch: Any, **spec: Any
) -> CorruptionResult:
    """The stage with these kinds of corruption in place of those of a modality."""
    monkeypatch.setattr(run, "corruptions_of", lambda modality, names: list(kinds))
    asked = CorruptionsSpec(**{"modality": "chest X-ray", **spec})
    audit = make_plan({"attacks": [{"name": "FGSM"}]}, "audit").audit
    found = run.run_corruptions(asked, audit, ready)
    assert found is not None
    return found
