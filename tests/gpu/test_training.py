"""Training on a GPU, in mixed precision where the card has it, learns what the CPU learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robust.training.fit import fit
from tests.training.tiny import chests, classifier, recipe

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "auto"])
def test_a_network_learns(precision: str, tmp_path: Path, gpu: torch.device) -> None:
    if precision == "float16" and gpu.type == "cpu":
        pytest.skip("float16 needs a GPU")
    fitted = fit(
        classifier(),
        chests(count=160),
        chests("val", 60),
        recipe(training={"epochs": 30, "batch": 16, "precision": precision}),
        tmp_path,
        device=gpu.type,
        progress=False,
    )
    losses = [row["train_loss"] for row in fitted.history]
    assert losses[-1] < 0.8 * losses[0]
    assert max(row["val_auc"] for row in fitted.history) > 0.6
