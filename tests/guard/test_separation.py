"""What `fit-detector` says of held-out attacked images: the attack apart from the cases it takes."""

from __future__ import annotations

import numpy as np
import pytest

from robust.cli.fit_detector import _separation_lines
from robust.guard.artifact import AUC, TrainingAttack
from robust.guard.separation import HeldOut, Separation, separation


def held_out(shift: float) -> tuple[HeldOut, float]:
    """The 50 of 200 images nearest to the boundary fall; clean scores rise towards it."""
    rng = np.random.default_rng(0)
    clean = rng.normal(size=200)
    fell = np.sort(np.argsort(-clean)[:50])
    attacked = clean[fell] + shift
    places = np.arange(200)
    return HeldOut(clean, attacked, places, fell, places // 2), float(np.quantile(clean, 0.95))


def trained(found: Separation) -> TrainingAttack:
    return TrainingAttack(
        attack="PGD",
        fields={},
        norm="Linf",
        eps=1 / 255,
        fitted_on=0,
        held_out=50,
        held_out_flagged=10,
        held_out_low=None,
        held_out_high=None,
        **vars(found),
    )


def test_a_detector_that_notices_which_cases_fall_says_so() -> None:
    found = separation(*held_out(0.0))
    assert found.paired_auc == AUC(value=0.5, low=found.paired_auc.low, high=found.paired_auc.high)
    assert found.selection_auc and found.selection_auc.value == 1.0
    assert found.auc and found.auc.value == pytest.approx(0.875)
    assert found.explained_by_selection and found.originals_flagged == 10
    line, verdict = _separation_lines(trained(found))
    assert "AUC of 0.50 [" in line and "all clean images 0.88 [" in line
    assert "without any attack, the cases that fall against the others 1.00 [" in line
    assert verdict.startswith("It notices which cases fall, and not the attack")


def test_a_detector_that_notices_the_attack() -> None:
    found = separation(*held_out(3.0))
    assert found.paired_auc and found.paired_auc.value > 0.95 and not found.explained_by_selection
    (line,) = _separation_lines(trained(found))
    assert line.startswith("Against the clean images of the same cases,")


def test_without_a_success_there_is_nothing_to_say() -> None:
    images, threshold = held_out(0.0)
    nothing = np.zeros(0), images.clean_places, np.zeros(0, np.int64), images.groups
    found = separation(HeldOut(images.clean, *nothing), threshold)
    assert (found.paired_auc, found.auc, found.selection_auc) == (None, None, None)
    assert found.originals_flagged == 0 and not found.explained_by_selection
    assert _separation_lines(trained(found)) == []
