"""A feature reader makes the passes that its detectors ask for, and no others."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from detectors import (
    BayesianUncertainty,
    Extractor,
    FeatureReader,
    KernelDensity,
    Mahalanobis,
    Reference,
    find_layers,
)
from detectors.bayesian_uncertainty import UNCERTAINTY
from detectors.mahalanobis import step_name
from tests.detectors.draws import K, network


def test_a_reader_reads_no_more_than_the_detectors_need() -> None:
    model, x = network(), torch.rand(40, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    with torch.no_grad():
        reference = Reference(extract(x), torch.arange(40) % K)
        simple = [KernelDensity().fit(reference), Mahalanobis().fit(reference)]
        assert not FeatureReader(extract, simple)(x).extras
        costly = [Mahalanobis(step=0.001).fit(reference), BayesianUncertainty().fit(reference)]
        reader = FeatureReader(extract, costly, dropout_passes=5)
        seen, alone = reader(x), reader.only(costly[1])(x)
    assert set(seen.extras) == {UNCERTAINTY, step_name(0.001)}
    assert set(alone.extras) == {UNCERTAINTY}
    assert torch.equal(alone.extra(UNCERTAINTY), seen.extra(UNCERTAINTY))


def test_dropout_passes_are_made_once_for_all_detectors() -> None:
    model, x = network(), torch.rand(8, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    passes: list[int] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        reference = Reference(extract(x), torch.arange(8) % K)
        two = [BayesianUncertainty(1.0).fit(reference), BayesianUncertainty(2.0).fit(reference)]
        passes.clear()
        FeatureReader(extract, two, dropout_passes=5)(x)
    # Those of the reader and of five draws; one before and one after them without dropout.
    assert len(passes) == 1 + 5 + 2


def test_dropout_passes_need_a_network_with_dropout() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    extract, x = Extractor(model, ["1"]), torch.rand(8, 1, 16, 16)
    reference = Reference(extract(x), torch.arange(8) % K)
    fitted = BayesianUncertainty(1.0).fit(reference)
    with pytest.raises(ValueError, match="this one has none"):
        FeatureReader(extract, [fitted])(x)
