"""Paired AUC and selection control: worlds in which the right values are known."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from attacks import FGSM
from robust.auditing import audit
from robust.cases.case import Cases, Entry
from robust.detection.selection import AttackAUC, attack_auc, explained_by_selection
from robust.metrics.arrays import Array
from robust.metrics.by_group import ByGroup
from robust.models import Classifier
from robust.records import Estimate, Report
from robust.report.gates import judge_gates
from robust.report.text.detection import SELECTION_ALONE
from robust.report.text.headline import headline

N = 300


def areas(clean: Array, positive: Array, fell: Any, **more: Any) -> AttackAUC:
    every = np.arange(len(clean))
    return attack_auc(clean, positive, every, np.asarray(fell), ByGroup(every.tolist()), **more)


def drawn(seed: int = 0) -> tuple[np.random.Generator, Array, Any]:
    """Scores that rise towards the boundary, and the 60 cases nearest to it."""
    rng = np.random.default_rng(seed)
    near = rng.normal(size=N)
    return rng, near + 0.3 * rng.normal(size=N), np.sort(np.argsort(-near)[:60])


def test_the_three_figures_are_those_of_scikit_learn() -> None:
    rng, clean, fell = drawn()
    positive = clean[fell] + rng.normal(0.4, 1, 60)
    found = areas(clean, positive, fell)
    assert found.all_clean and found.paired and found.selection

    def by_hand(low: Array, high: Array) -> float:
        return float(roc_auc_score(np.r_[0 * low, 0 * high + 1], np.r_[low, high]))

    rest = np.delete(clean, fell)
    assert found.all_clean.value == pytest.approx(by_hand(clean, positive))
    assert found.paired.value == pytest.approx(by_hand(clean[fell], positive))
    assert found.selection.value == pytest.approx(by_hand(rest, clean[fell]))
    # The share of the fallen weighs the two parts of the AUC against all clean images.
    others = by_hand(rest, positive)
    assert found.all_clean.value == pytest.approx(0.2 * found.paired.value + 0.8 * others)
    assert (found.paired.cases, found.paired.groups, found.selection.cases) == (120, 60, N)


def test_an_attack_that_changes_nothing_has_a_paired_auc_of_a_half_and_is_explained() -> None:
    _, clean, fell = drawn()
    nothing = areas(clean, clean[fell], fell)
    assert nothing.paired and nothing.paired.value == 0.5
    assert nothing.all_clean and nothing.all_clean.value > 0.85
    assert nothing.selection and nothing.selection.value > 0.95
    assert explained_by_selection([nothing]) == [True]
    # The same on the other side, where those that fall look less suspicious.
    assert explained_by_selection([areas(-clean, -clean[fell], fell)]) == [True]


def test_what_the_attack_does_to_the_images_is_not_explained() -> None:
    _, clean, fell = drawn()
    rng = np.random.default_rng(1)
    other = np.sort(rng.choice(N, 60, replace=False))
    found = [
        areas(clean, clean[fell] + 2.0, fell),  # seen, and selected
        areas(clean, clean[other] + 0.7, other),  # seen, and not selected
        areas(clean, clean[other], other),  # neither
    ]
    assert explained_by_selection(found) == [False, False, False]
    assert found[0].paired and found[0].paired.value > 0.85
    assert found[1].all_clean and found[1].all_clean.is_at_least(0.5)


def test_half_of_the_distance_from_chance_decides() -> None:
    def area(value: float, cases: int = 60) -> Estimate:
        return Estimate(value, value - 0.05, value + 0.05, 2 * cases, cases)

    def one(paired: float, every: float = 0.9, selection: float = 0.9) -> AttackAUC:
        return AttackAUC(area(every), area(paired), area(selection, 240))

    assert explained_by_selection([one(0.69), one(0.71), one(0.45)]) == [True, False, True]
    assert explained_by_selection([one(0.5, every=0.54)]) == [False]
    assert explained_by_selection([one(0.5, selection=0.56)]) == [False]
    assert explained_by_selection([one(0.5, selection=0.2)]) == [False]
    # Twenty figures ask for more than one does.
    weak = one(0.5, selection=0.58)
    quiet = [one(0.5, every=0.5, selection=0.5)] * 19
    assert explained_by_selection([weak]) == [True]
    assert not any(explained_by_selection([weak, *quiet]))
    bare = AttackAUC(area(0.9), area(0.5), Estimate(0.9, None, None, 120, 60, 100))
    assert explained_by_selection([bare, AttackAUC(None, None, None)]) == [False, False]


def test_where_all_or_none_fall_there_is_no_selection() -> None:
    _, clean, fell = drawn()
    every = areas(clean, clean + 1.0, np.arange(N))
    assert every.selection is None and every.paired == every.all_clean is not None
    none = areas(clean, np.zeros(0), np.zeros(0, np.int64))
    assert (none.all_clean, none.paired, none.selection) == (None, None, None)
    assert explained_by_selection([every, none]) == [False, False]
    # Half of the cases were attacked, and all of those fell: nobody knows who else would have.
    half = areas(clean, clean[:150], np.arange(150), attacked_cases=np.arange(150))
    assert half.selection is None and half.paired and half.paired.cases == 300
    some = areas(clean, clean[fell], fell, attacked_cases=np.union1d(fell, np.arange(150)))
    assert some.selection and some.selection.cases == len(np.union1d(fell, np.arange(150)))


def test_cases_that_fall_by_chance_raise_no_doubt() -> None:
    """Eight detectors with nothing to see, 40 times; experiments/selection has counted 1,000s."""
    raised = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        fell = np.sort(rng.choice(120, 40, replace=False))
        by_group, every = ByGroup(list(range(120))), np.arange(120)
        found = []
        for _ in range(8):
            clean = rng.normal(size=120)
            positive = clean[fell] + rng.normal(0, 0.3, 40)
            found.append(attack_auc(clean, positive, every, fell, by_group))
        raised += any(explained_by_selection(found))
    assert raised <= 4  # at a true rate of 3 % more happen in less than 1 of 100


def brightness() -> nn.Module:
    """Logits (0, z), z in proportion to how much brighter than mid-grey an 8 x 8 image is."""
    linear = nn.Linear(64, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[0.0], [10 / 64]]).expand(2, 64))
        linear.bias.copy_(torch.tensor([0.0, -5.0]))
    return nn.Sequential(nn.Flatten(), linear)


def grey(count: int, seed: int, split: str) -> Cases:
    """Images whose distance to the boundary is spread evenly up to 0.2."""
    rng = np.random.default_rng(seed)
    far = np.linspace(0.0005, 0.2, count) * np.where(np.arange(count) % 2, 1, -1)
    pixels = 127.5 + 255 * far[:, None, None] + rng.uniform(-20, 20, (count, 8, 8))
    images = np.round(pixels).astype(np.uint8)
    labels = (images.mean((1, 2)) > 127.5).astype(int)
    ids = [f"{split}{i}" for i in range(count)]
    entries = tuple(Entry(ids[i], int(labels[i]), ids[i], {}, i) for i in range(count))
    return Cases("made", ("dark", "bright"), entries, images.__getitem__, split=split)


@pytest.fixture(scope="module")
def explained() -> Report:
    """FGSM moves every image by the same distance, so that it crosses where it was near."""
    return audit(
        Classifier(brightness(), channels=1),
        grey(130, 0, "test"),
        attacks=[FGSM()],
        eps=["16/255"],
        detectors=["MaxSoftmax"],
        reference=grey(60, 1, "train"),
        detection={"adaptive": 130, "adaptive_steps": 2},
        doubts={"probe": False},
        device="cpu",
        gallery=0,
    )


def test_a_network_on_which_selection_explains_all(explained: Report) -> None:
    """What falls lay within eps of the boundary, and lies within eps of it on the other side."""
    found = explained.detection
    assert found is not None
    one = found.score("MaxSoftmax", found.key_attack)
    assert one and one.auc and one.paired_auc and one.selection_auc and one.explained_by_selection
    share = found.image_sets[0].cases / found.cases
    assert 0.25 < share < 0.35 and not one.too_few
    assert one.selection_auc.value == 1.0  # the nearest fall
    assert one.paired_auc.value == pytest.approx(0.5, abs=0.06)  # eps - m is spread as m is
    assert one.auc.value == pytest.approx(share / 2 + 1 - share, abs=0.03)
    (adaptive,) = found.adaptive
    assert adaptive.selection_auc and adaptive.selection_auc.value == 1.0
    assert adaptive.paired_auc and adaptive.paired_auc.value < 0.56
    assert adaptive.static_paired_auc == one.paired_auc
    (noise,) = (s for s in found.detector_scores if found.image_sets[s.image_set].kind == "noise")
    assert noise.selection_auc is None and noise.paired_auc == noise.auc


def test_the_report_quotes_no_figure_and_no_gate_passes(explained: Report) -> None:
    flags = {flag.name: flag.observed for flag in explained.flags}
    observed = flags["which cases fall explains detection"]
    assert observed.startswith("MaxSoftmax: on FGSM at 16/255, MaxSoftmax reaches a paired AUC of")
    assert headline(explained)[-1] == SELECTION_ALONE
    gates = {"detector_auc": 0.7, "adaptive_auc": 0.7}
    gated = dataclasses.replace(explained, plan={**explained.plan, "gates": gates})
    assert [gate.outcome for gate in judge_gates(gated)] == ["failed", "failed"]
