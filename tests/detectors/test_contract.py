"""One contract for every detector: what it learns, when, and that scoring teaches it nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import SVC
from torch import nn

from detectors import (
    DETECTORS,
    LID,
    BayesianUncertainty,
    DeepFeatures,
    Detector,
    Extractor,
    FeatureReader,
    Features,
    KernelDensity,
    Mahalanobis,
    Pairs,
    QuantizedFeatures,
    Reference,
    find_layers,
    make_detector,
)
from detectors._logistic_head import fit_logistic, logistic
from detectors.bayesian_uncertainty import UNCERTAINTY, uncertainty
from detectors.mahalanobis import STEPS, input_step, step_name

K = 2


def draw(n: int, seed: int, shift: float = 0.0, dtype: torch.dtype = torch.float64) -> Features:
    """Features of two classes; `shift` moves them off the data, and makes the classifier unsure."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % K
    deep = torch.randn(n, 8, generator=g, dtype=torch.float64) + 2 * labels[:, None] + shift
    early = torch.randn(n, 4, generator=g, dtype=torch.float64) * 0.1 - shift
    logits = (1 - shift / 4) * 4 * torch.eye(K, dtype=torch.float64)[labels]
    logits = logits + 0.3 * torch.randn(n, K, generator=g, dtype=torch.float64)
    unsure = torch.rand(n, generator=g, dtype=torch.float64) * 0.1 + shift / 10
    layers = {"early": early.to(dtype), "deep": deep.to(dtype)}
    return Features(logits.to(dtype), layers, {UNCERTAINTY: unsure.to(dtype)[:, None]})


def reference(n: int = 150, **options: Any) -> Reference:
    return Reference(draw(n, 0, **options), torch.arange(n) % K)


def pairs(**options: Any) -> Pairs:
    return Pairs(draw(60, 1, **options), draw(40, 2, shift=3.0, **options))


def make(name: str, with_pairs: bool, **options: Any) -> Detector:
    detector = DETECTORS[name]()
    detector.fit(reference(**options), pairs(**options) if with_pairs else None)
    return detector


CASES = [
    (name, with_pairs)
    for name, kind in DETECTORS.items()
    for with_pairs in (False, True)
    if with_pairs or not kind.needs_pairs
]


@pytest.mark.parametrize(("name", "with_pairs"), CASES)
def test_what_is_off_the_data_is_more_suspicious(name: str, with_pairs: bool) -> None:
    detector = make(name, with_pairs)
    clean, attacked = detector.score(draw(50, 7)), detector.score(draw(50, 8, shift=3.0))
    assert clean.shape == attacked.shape == (50,)
    above = (attacked[:, None] > clean[None]).double() + 0.5 * (attacked[:, None] == clean[None])
    assert float(above.mean()) > 0.85


@pytest.mark.parametrize(("name", "with_pairs"), CASES)
def test_scoring_teaches_nothing(name: str, with_pairs: bool) -> None:
    """A case scores the same alone, in any company, and after others were scored."""
    detector, features = make(name, with_pairs), draw(40, 7)
    whole = detector.score(features)
    detector.score(draw(40, 9, shift=9.0))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(detector.score(features.take(order)), whole[order], rtol=1e-9)
    assert torch.allclose(detector.score(features.take(torch.tensor([3]))), whole[3:4], rtol=1e-9)


@pytest.mark.parametrize(("name", "with_pairs"), CASES)
def test_fitting_again_gives_the_same_scores(name: str, with_pairs: bool) -> None:
    features = draw(40, 7)
    again = make(name, with_pairs).score(features)
    assert torch.equal(make(name, with_pairs).score(features), again)


@pytest.mark.parametrize(("name", "with_pairs"), CASES)
def test_gradients_are_those_of_small_steps(name: str, with_pairs: bool) -> None:
    detector, features = make(name, with_pairs), draw(5, 7)
    leaves = [features.logits, *features.layers.values(), features.extras[UNCERTAINTY]]
    moving = [leaf.detach().requires_grad_(True) for leaf in leaves]

    def score(
        logits: torch.Tensor, early: torch.Tensor, deep: torch.Tensor, unsure: torch.Tensor
    ) -> torch.Tensor:
        return detector.score(
            Features(logits, {"early": early, "deep": deep}, {UNCERTAINTY: unsure})
        )

    if not detector.differentiable:
        assert not score(*moving).requires_grad
        return
    assert torch.autograd.gradcheck(score, tuple(moving), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize(("name", "with_pairs"), CASES)
def test_float32_is_near_float64(name: str, with_pairs: bool) -> None:
    exact = make(name, with_pairs).score(draw(40, 7))
    single = make(name, with_pairs, dtype=torch.float32).score(draw(40, 7, dtype=torch.float32))
    assert single.dtype == torch.float32
    spread = float(exact.std())
    assert float((single.double() - exact).abs().median()) < 1e-3 * spread


@pytest.mark.parametrize("name", DETECTORS)
def test_bad_input_is_said(name: str) -> None:
    detector = DETECTORS[name]()
    learns = name not in ("MaxSoftmax", "Energy")
    if learns:
        with pytest.raises(RuntimeError, match="fit the detector first"):
            detector.score(draw(5, 0))
    if learns and not detector.needs_pairs:
        one = Reference(draw(50, 0), torch.zeros(50, dtype=torch.long))
        with pytest.raises(ValueError, match="2 classes or more, this one has 1"):
            detector.fit(one)
    if detector.needs_pairs:
        with pytest.raises(ValueError, match="give it pairs"):
            detector.fit(reference())


def test_pairs_need_both_sides() -> None:
    empty = draw(10, 0).take(torch.zeros(10, dtype=torch.bool))
    for sides in ((empty, draw(5, 0)), (draw(5, 0), empty)):
        with pytest.raises(ValueError, match="one has 0"):
            Pairs(*sides)


def test_too_many_neighbours_and_a_layer_that_does_not_vary() -> None:
    with pytest.raises(ValueError, match="k = 100 neighbours out of a batch of 100"):
        DETECTORS["LID"](k=100).fit(reference())  # type: ignore[call-arg]
    flat = draw(50, 0)
    flat = dataclasses.replace(flat, layers={"flat": torch.ones(50, 3, dtype=torch.float64)})
    with pytest.raises(ValueError, match="'flat' does not vary"):
        Mahalanobis().fit(Reference(flat, torch.arange(50) % K))


def test_duplicates_do_not_weigh() -> None:
    """Twice the attacked images say nothing new: classes are weighted, not counted."""
    one = pairs()
    twice = Pairs(one.clean, Features.cat([one.adversarial, one.adversarial]))
    single = fit_logistic(one.clean.deep, one.adversarial.deep)
    double = fit_logistic(twice.clean.deep, twice.adversarial.deep)
    x = draw(40, 7).deep
    both = torch.stack([logistic(single, x), logistic(double, x)])
    assert float(torch.corrcoef(both)[0, 1]) > 0.999


def test_bits_are_cut_at_the_reference_alone() -> None:
    detector = QuantizedFeatures()
    detector.fit(reference(), pairs())
    moved = draw(30, 5, shift=100.0)
    assert bool((detector.statistics(moved) == 1).all())  # its own mean would give about half


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(),
        nn.Linear(72, 6), nn.Dropout(0.3), nn.Linear(6, 2),
    ).eval()  # fmt: skip


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
        uncertainty(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), x)


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


def test_a_look_asks_for_no_more_than_the_detectors_do() -> None:
    model, x = network(), torch.rand(40, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    with torch.no_grad():
        plain = FeatureReader(extract, [KernelDensity(), Mahalanobis()])(x)
        assert not plain.extras
        stepping = [Mahalanobis(step=0.001), BayesianUncertainty()]
        look = FeatureReader(extract, stepping, passes=5)
        look.learn(Reference(plain, torch.arange(40) % K))
        seen = look(x)
    assert set(seen.extras) == {UNCERTAINTY, step_name(0.001)}
    detector = Mahalanobis(step=0.001)
    detector.learned = Mahalanobis().learn(Reference(plain, torch.arange(40) % K))
    with torch.no_grad():
        moved = extract(input_step(detector, extract, x, 0.001))
        assert torch.allclose(detector.statistics(seen), detector.distances(moved), rtol=1e-4)
    with pytest.raises(ValueError, match="look with a Look"):
        detector.statistics(plain)
    with pytest.raises(ValueError, match="this one has none"):
        FeatureReader(Extractor(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), ["1"]), stepping)


def test_the_best_input_step_is_found_on_pairs() -> None:
    """Only at one step do the distances of attacked images differ."""
    g = torch.Generator().manual_seed(0)

    def side(n: int, shift: float) -> Features:
        layers = {"deep": torch.randn(n, 3, generator=g, dtype=torch.float64)}
        extras = {}
        for step in STEPS[1:]:
            found = torch.randn(n, 1, generator=g, dtype=torch.float64)
            extras[step_name(step)] = found + shift * (step == 0.002)
        return Features(torch.zeros(n, 2, dtype=torch.float64), layers, extras)

    detector = Mahalanobis(step="auto")
    known = Reference(side(60, 0.0), torch.arange(60) % K)
    detector.fit(known, Pairs(side(90, 0.0), side(90, 3.0)))
    assert detector.head is not None and STEPS[int(detector.head["best"])] == 0.002
    clean, attacked = detector.score(side(80, 0.0)), detector.score(side(80, 3.0))
    assert float((attacked[:, None] > clean).double().mean()) > 0.95
    with pytest.raises(ValueError, match="step must be"):
        Mahalanobis(step=-0.1)


def test_trees_and_vectors_score_as_scikit_learn_does() -> None:
    sides = pairs()
    x = draw(80, 7).deep
    truth = np.r_[np.zeros(60), np.ones(40)]
    forest = RandomForestClassifier(30, class_weight="balanced", random_state=0)
    forest.fit(torch.cat([sides.clean.deep, sides.adversarial.deep]).numpy(), truth)
    ours = DeepFeatures()
    ours.fit(reference(), sides)
    np.testing.assert_allclose(
        ours.score(draw(80, 7)).numpy(), forest.predict_proba(x.numpy())[:, 1], rtol=1e-12
    )
    machine = SVC(kernel="rbf", gamma=2.8, class_weight="balanced")
    bits = QuantizedFeatures()
    bits.fit(reference(), sides)
    rows = [bits.statistics(side).numpy() for side in (sides.clean, sides.adversarial)]
    machine.fit(np.concatenate(rows), truth)
    np.testing.assert_allclose(
        bits.score(draw(80, 7)).numpy(),
        machine.decision_function(bits.statistics(draw(80, 7)).numpy()),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", DETECTORS)
def test_all_that_is_learned_is_in_its_tensors(name: str) -> None:
    """Parameters and tensors make the same detector again: nothing else need be stored."""
    first, again = make(name, True), DETECTORS[name]()
    again.learned, again.head = first.learned, first.head
    assert torch.equal(again.score(draw(40, 7)), first.score(draw(40, 7)))
    for part in (first.learned, first.head):
        assert all(isinstance(value, torch.Tensor) for value in (part or {}).values())


def test_detectors_are_made_by_name() -> None:
    assert make_detector("LID", k=5) == LID(k=5)
    with pytest.raises(ValueError, match="did you mean Mahalanobis"):
        make_detector("Mahalanobi")
    with pytest.raises(ValueError, match="LID has no field 'batches'; did you mean batch"):
        make_detector("LID", batches=5)


def test_the_input_step_brings_an_image_nearer_to_its_class() -> None:
    model, x = network(), torch.rand(40, 1, 16, 16)
    extract = Extractor(model, find_layers(model, x))
    detector = Mahalanobis()
    with torch.no_grad():
        detector.fit(Reference(extract(x), torch.arange(40) % K))
        before = detector.statistics(extract(x))[:, -1]
    moved = input_step(detector, extract, x, 1e-3)
    assert float((moved - x).abs().max()) <= 1e-3 + 1e-7
    assert float(moved.min()) >= 0 and float(moved.max()) <= 1
    with torch.no_grad():
        after = detector.statistics(extract(moved))[:, -1]
    assert float((after < before).double().mean()) > 0.9
    assert torch.equal(input_step(detector, extract, x, 0.0), x)
