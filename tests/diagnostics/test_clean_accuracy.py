"""Doubts about clean accuracy, by simulation: a rare disease, useless models, several classes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from robust.cases.case import Cases, Entry
from robust.diagnostics.evidence import Evidence
from robust.diagnostics.model import constant_predictions, weak_clean
from robust.metrics.by_group import ByGroup
from robust.metrics.scores import Condition, Scorer
from tests.diagnostics.test_checks import sound

RUNS = 60
DISTANCE = float(np.sqrt(2) * norm.ppf(0.94))
"""Between the scores of both classes, for an AUC of 0.94."""


def evidence(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> Evidence:
    """The evidence of a model with these outputs `(n, k)`."""
    names = tuple("abcdefg"[: logits.shape[1]])
    findings = (1,) if len(names) == 2 else ()
    entries = tuple(
        Entry(str(i), int(label), str(group), {}, None)
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
    cases = Cases("folder", names, entries, lambda _: np.zeros((2, 2), np.uint8), findings)
    scorer = Scorer(ByGroup(groups.tolist()), labels, names, findings)
    scores = scorer.score(Condition.clean(logits), [np.ones(len(labels), bool)])[0]
    e = sound()
    predicted = Counter(logits.argmax(1).tolist())
    return replace(e, cases=cases, clean=replace(e.clean, scores=scores), predicted=predicted)


def share_raised(kind: str, prevalence: float, seed: int = 0) -> float:
    """How often the doubt is raised: 60 groups of 2 correlated images, two classes."""
    raised = 0
    for run in range(RUNS):
        rng = np.random.default_rng([seed, run])
        group = np.repeat(np.arange(60), 2)
        labels = (group < round(60 * prevalence)).astype(np.int64)
        score = np.sqrt(0.7) * rng.normal(size=60)[group] + np.sqrt(0.3) * rng.normal(size=120)
        threshold = float(norm.ppf(1 - prevalence))
        if kind != "useless":
            score = score + DISTANCE * labels
            threshold = DISTANCE / 2 + float(np.log((1 - prevalence) / prevalence)) / DISTANCE
        if kind == "screening":
            threshold = DISTANCE + float(norm.ppf(0.05))
        logits = np.stack([np.zeros(120), score - threshold], 1)
        if kind == "classes swapped":
            logits = logits[:, ::-1]
        raised += weak_clean(evidence(logits, labels, group)) is not None
    return raised / RUNS


@pytest.mark.parametrize("kind", ["calibrated", "screening"])
@pytest.mark.parametrize("prevalence", [0.1, pytest.param(0.267, marks=pytest.mark.slow)])
def test_a_good_model_of_a_rare_disease_is_not_doubted(kind: str, prevalence: float) -> None:
    assert share_raised(kind, prevalence) == 0


@pytest.mark.parametrize("prevalence", [0.1, 0.5, pytest.param(0.267, marks=pytest.mark.slow)])
def test_a_useless_model_nearly_always_is(prevalence: float) -> None:
    assert share_raised("useless", prevalence) >= 0.9
    assert share_raised("classes swapped", prevalence) == 1


def test_accuracy_equal_to_prevalence_is_no_reason_where_the_auc_is_good() -> None:
    """120 cases, 88 of one class, 88 read correctly: the case that was reported."""
    labels = np.repeat([0, 1], [88, 32])
    score = np.where(labels == 1, 1.0, -1.0)
    score[:30], score[88:90] = 0.5, -0.1
    e = evidence(np.stack([np.zeros(120), score], 1), labels, np.arange(120))
    accuracy, area = e.clean.scores.accuracy, e.clean.scores.auc
    assert accuracy is not None and area is not None
    assert accuracy.value == 88 / 120 and area.value > 0.9
    assert weak_clean(e) is None and constant_predictions(e) is None


def test_one_answer_for_every_image_raises_its_own_doubt() -> None:
    """Whether or not the scores behind it rank the cases."""
    labels = np.repeat([0, 1], [90, 30])
    ranks = np.where(labels == 1, -1.0, -2.0)
    for score, weak in ((ranks, False), (np.full(120, -1.0), True)):
        e = evidence(np.stack([np.zeros(120), score], 1), labels, np.arange(120))
        said = constant_predictions(e)
        assert said == "120 of 120 clean images are read as 'a'; 90 of them are labelled so"
        assert (weak_clean(e) is not None) is weak


@pytest.mark.parametrize("classes", [3, 7])
def test_several_classes(classes: int) -> None:
    found = {True: 0, False: 0}
    for run in range(20):
        rng = np.random.default_rng(run)
        labels = np.arange(120) % classes
        logits = rng.normal(size=(120, classes))
        for good in (True, False):
            shifted = logits + 2 * good * np.eye(classes)[labels]
            found[good] += weak_clean(evidence(shifted, labels, np.arange(120))) is not None
    assert found[True] == 0 and found[False] >= 18
