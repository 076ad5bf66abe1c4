"""Orthogonal steps against a linear programme."""

from __future__ import annotations

import pytest
import torch

from attacks import ThreatModel
from attacks.adaptive.orthogonal_pgd import orthogonal


def test_an_orthogonal_step_is_the_best_of_those_that_cost_nothing() -> None:
    """Against scipy's linear programme in the cube."""
    from scipy.optimize import linprog

    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        g, n = torch.randn(2, 1, 1, 3, 3, generator=generator, dtype=torch.float64)
        step = orthogonal(g, n, ThreatModel("Linf", 0.1)).flatten()
        assert float(step.abs().max()) <= 1 and abs(float((step * n.flatten()).sum())) < 1e-9
        best = linprog(
            -g.flatten().numpy(), A_eq=n.flatten().numpy()[None], b_eq=[0], bounds=(-1, 1)
        )
        assert float((step * g.flatten()).sum()) == pytest.approx(-best.fun, rel=1e-9)
