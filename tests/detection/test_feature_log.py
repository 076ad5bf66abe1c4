"""The feature log gives back what was packed, by source, with places in the population."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from detectors import Features
from robust.detection.feature_log import CLEAN, REFERENCE, FeatureLog
from robust.detection.population import Population
from robust.engine.run_store import RunStore


def features(n: int, extras: bool = True) -> Features:
    generator = torch.Generator().manual_seed(n)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(n, width, generator=generator)

    return Features(draw(2), {"a": draw(3), "b": draw(1)}, {"u": draw(1)} if extras else {})


def test_what_is_packed_comes_back_with_its_places(tmp_path: Path) -> None:
    labels = groups = np.arange(3)
    log = FeatureLog(RunStore(tmp_path), Population((2, 5, 9), labels, groups, 3, 0))
    clean, reference = features(2), features(4, extras=False)
    log.store.add_features(CLEAN, 0, log.pack(CLEAN, [9, 2], clean), 0.0)
    log.store.add_features(REFERENCE, 0, log.pack(REFERENCE, [0, 1, 2, 3], reference), 0.0)
    found = log.feature_set(CLEAN)
    assert found.cases.tolist() == [0, 2] and log.count(CLEAN) == 2
    order = torch.tensor([1, 0])
    assert torch.equal(found.features.logits, clean.logits[order])
    assert list(found.features.layers) == ["a", "b"]
    assert torch.equal(found.features.layers["a"], clean.layers["a"][order])
    assert torch.equal(found.features.extras["u"], clean.extras["u"][order])
    # The reference is laid out on its own, since it needs one pass alone.
    rows, back = log.features(REFERENCE)
    assert rows == [0, 1, 2, 3] and torch.equal(back.layers["b"], reference.layers["b"])
    assert back.extras == {}
    empty = log.feature_set("PGD|Linf|0.1")
    assert len(empty.features) == 0 and empty.features.layers["a"].shape == (0, 3)
    log.store.close()
