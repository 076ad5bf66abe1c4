"""An attack that leaves each case alone once it has fallen fells the same cases, for less."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from attacks import (
    BIM,
    FGSM,
    PGD,
    Attack,
    MarginPGD,
    Noise,
    Streams,
    ThreatModel,
    early_stopping,
    make_attack,
)
from attacks.losses import margin


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(48, 24), nn.Tanh(), nn.Linear(24, 4)
    ).double().requires_grad_(False)  # fmt: skip


class Counting:
    def __init__(self, model: nn.Module) -> None:
        self.model, self.rows = model, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        out: Tensor = self.model(x)
        return out


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    "attack",
    [PGD(), PGD(restarts=3), PGD(start="image", restarts=2), PGD(keep="last"), BIM(), MarginPGD()],
)
def test_the_same_cases_fall(attack: Attack, targeted: bool, norm: str) -> None:
    if norm not in attack.norms:
        pytest.skip("works in L-inf alone")
    model = network()
    x = torch.rand(60, 3, 4, 4, dtype=torch.float64)
    y = model(x).argmax(1)
    target = (y + 1) % 4 if targeted else None
    threat = ThreatModel(norm, 0.06 if norm == "Linf" else 0.3)  # type: ignore[arg-type]
    found, cost = {}, {}
    for name, one in (("full", attack), ("stop", early_stopping(attack))):
        counting = Counting(model)
        streams = Streams.of(0, range(60), attack.stream_key, threat.stream_key)
        x_adv = one(counting, x, y, threat, streams, target)
        assert bool((threat.distance(x_adv, x) <= threat.eps * (1 + 1e-9)).all())
        found[name], cost[name] = margin(model(x_adv), y, target) > 0, counting.rows
    assert 0 < int(found["full"].sum()) < 60
    # What falls on the way may stand again at the end, where only the last image is kept.
    assert bool((found["stop"] >= found["full"]).all())
    if getattr(attack, "keep", "best") == "best":
        assert torch.equal(found["stop"], found["full"])
    assert cost["stop"] < cost["full"] * 1.05


def test_names_and_random_numbers_stay() -> None:
    assert repr(early_stopping(PGD())) == repr(PGD())
    assert early_stopping(PGD()).stream_key == PGD().stream_key
    assert early_stopping(Noise()) == Noise()
    assert early_stopping(FGSM()) == replace(FGSM().as_pgd(), stop=True)
    with pytest.raises(ValueError, match="PGD has no field 'stop'"):
        make_attack("PGD", stop=True)
