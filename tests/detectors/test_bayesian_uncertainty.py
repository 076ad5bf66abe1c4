"""Dropout uncertainty: its variance in closed form, and a network left as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detectors.bayesian_uncertainty import uncertainty
from tests.detectors.draws import network


def test_dropout_passes_leave_the_network_as_it_was() -> None:
    model, x = network(), torch.rand(6, 1, 16, 16)
    before = model(x)
    state = torch.random.get_rng_state()
    first = uncertainty(model, x, passes=20, seed=3)
    assert first.shape == (6, 1) and bool((first > 0).all())
    assert torch.equal(first, uncertainty(model, x, passes=20, seed=3))
    assert not torch.equal(first, uncertainty(model, x, passes=20, seed=4))
    assert torch.allclose(first[2:3], uncertainty(model, x[2:3], passes=20, seed=3), rtol=1e-4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(model(x), before)
    assert sum(len(m._forward_hooks) for m in model.modules()) == 0
    with pytest.raises(ValueError, match="this one has none"):
        uncertainty(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), x, passes=2)


def test_units_are_dropped_at_their_rate_and_the_rest_makes_up_for_them() -> None:
    """Against the variance of a single linear layer under dropout, known in closed form."""
    torch.manual_seed(0)
    p, a = 0.25, torch.rand(1, 8, dtype=torch.float64) * 0.02
    weight = torch.randn(2, 8, dtype=torch.float64)
    model = nn.Sequential(nn.Dropout(p), nn.Linear(8, 2, bias=False).double()).eval()
    model[1].weight.data = weight  # type: ignore[union-attr]
    # The logits' difference is small, so that the probability is linear in it: p ~ 1/2 + d/4.
    spread = ((weight[1] - weight[0]) * a[0]).square().sum() * p / (1 - p)
    found = float(uncertainty(model, a, passes=4000, seed=0).detach())
    assert found == pytest.approx(2 * float(spread) / 16, rel=0.1)
