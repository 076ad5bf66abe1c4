"""The paired comparison: known differences, and a kind counts as seen where it was learned from."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.augmentation.measure import SEVERITIES, Measured
from experiments.augmentation.networks import ARMS, halves
from experiments.augmentation.tables import Balanced, by_seed, over_seeds, pair
from robust.corruptions.registry import corruptions_of

MODALITY = "dermoscopy"


def test_the_halves_share_the_kinds_family_by_family() -> None:
    parts = halves(MODALITY)
    kinds = {kind.name: kind.family for kind in corruptions_of(MODALITY)}
    assert parts["plain"] == () and sorted(parts["first"] + parts["second"]) == sorted(kinds)
    for family in set(kinds.values()):
        first, second = (sum(kinds[k] == family for k in parts[a]) for a in ("first", "second"))
        assert abs(first - second) <= 1


def made(cases: int = 60) -> Measured:
    """Plain networks misread every corrupted image, augmented ones those of unseen kinds."""
    parts = halves(MODALITY)
    looks = [("none", 0), ("APGD", 0)]
    looks += [(k.name, s) for k in corruptions_of(MODALITY) for s in SEVERITIES]
    networks = tuple((arm, seed) for seed in (0, 1) for arm in ARMS)
    errors = np.zeros((len(networks), len(looks), cases), np.float32)
    for n, (arm, _) in enumerate(networks):
        for k, (kind, _) in enumerate(looks):
            errors[n, k] = kind not in ("none", *parts[arm]) and kind != "APGD"
    labels = np.arange(cases) % 3
    return Measured(
        networks, tuple(looks), errors, labels, tuple(str(i // 2) for i in range(cases))
    )


@pytest.mark.parametrize(
    ("question", "plain", "difference"),
    [("clean", 0, 0), ("seen kinds", 1, -1), ("unseen kinds", 1, 0), ("corrupted", 1, -0.5)],
)
def test_known_differences(question: str, plain: float, difference: float) -> None:
    found = made()
    one, two, three = over_seeds(MODALITY, found, question)
    assert one.value == pytest.approx(plain)
    assert two.value - one.value == pytest.approx(difference) == pytest.approx(three.value)
    assert by_seed(MODALITY, found, question) == pytest.approx([difference] * 2)
    assert len(pair(MODALITY, found, question, 0)[0]) == 60


def test_classes_weigh_alike_and_groups_vary_together() -> None:
    found = made(90)
    rare = np.zeros(90)
    labels = np.array([0] * 80 + [1] * 10)
    rare[80:] = 1
    unequal = Measured(found.networks, found.looks, found.errors, labels, found.groups)
    assert Balanced.of(rare, unequal).value == pytest.approx(0.5)
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(45) < 0.3, 2).astype(float)
    alone = Measured(
        found.networks, found.looks, found.errors, found.labels, tuple(map(str, range(90)))
    )
    paired, single = Balanced.of(values, found), Balanced.of(values, alone)
    assert paired.value == single.value
    assert (paired.high - paired.low) > 1.2 * (single.high - single.low)
