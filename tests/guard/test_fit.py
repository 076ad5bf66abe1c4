"""A fit keeps what it promises: false alarms, detection rates, and images that stay apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from detectors import LID, Detector, KernelDensity, Mahalanobis, MaxSoftmax
from detectors.contract import Learned
from robust.errors import InputError
from robust.guard import Guard, fit_detector
from tests.guard.fits import BITS, STRONG, attacked, classifier, phantoms, plan


@pytest.mark.parametrize(
    ("name", "count", "fresh"),
    [
        ("MaxSoftmax", 200, 300),
        *(
            pytest.param(name, 400, 600, marks=pytest.mark.slow)
            for name in ("MaxSoftmax", "KernelDensity", "LID")
        ),
    ],
)
def test_fresh_clean_images_are_flagged_as_seldom_as_promised(
    weights: Path, name: str, count: int, fresh: int
) -> None:
    share = 0.1
    stored = fit_detector(
        plan(weights, count=count),
        name,
        attack="FGSM",
        eps=STRONG,
        false_alarms=share,
        device="cpu",
    )
    promise = stored.record.false_alarms
    assert promise.images == (count if name == "MaxSoftmax" else 160)
    assert promise.groups == promise.images // 2
    flagged = Guard(classifier(weights), stored, "cpu")(phantoms(count=fresh)[0]).flagged
    # Drawn twice: the images that set the threshold, and these.
    error = np.sqrt(share * (1 - share) * (1 / promise.images + 1 / fresh))
    assert abs(float(flagged.double().mean()) - share) < 3 * error


@pytest.mark.parametrize(
    "detector",
    [
        KernelDensity(),
        BITS,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (Mahalanobis(), LID())),
    ],
    ids=repr,
)
def test_attacked_images_are_flagged_more_often_than_clean_ones(
    weights: Path, detector: Detector
) -> None:
    stored = fit_detector(plan(weights), detector, attack="PGD", eps=STRONG, device="cpu")
    net, (x, y) = classifier(weights).eval(), phantoms(count=120)
    x_adv = attacked(net, x, y, 24 / 255)
    assert len(x_adv) > 40
    guard = Guard(net, stored, "cpu")
    seen, alarms = guard(x_adv).flagged, guard(x).flagged
    assert float(seen.double().mean()) > 3 * float(alarms.double().mean())
    assert float(seen.double().mean()) > 0.15
    teaching = stored.record.training_attack
    assert teaching is not None and teaching.held_out > 20
    # What the record says of images that it had not seen is what happens to these.
    assert teaching.held_out_flagged / teaching.held_out == pytest.approx(
        float(seen.double().mean()), abs=0.25
    )


def test_each_image_teaches_or_sets_the_threshold_and_no_patient_does_both(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taught: list[Tensor] = []
    measured: list[Tensor] = []
    fit_head, score = KernelDensity.fit_head, KernelDensity.combine

    def learn(self: KernelDensity, clean: Tensor, adversarial: Tensor) -> Any:
        taught.extend(clean)
        return fit_head(self, clean, adversarial)

    def combine(
        self: KernelDensity, statistics: Tensor, learned: Learned, head: Learned | None
    ) -> Tensor:
        measured.append(statistics)
        return score(self, statistics, learned, head)

    monkeypatch.setattr(KernelDensity, "fit_head", learn)
    monkeypatch.setattr(KernelDensity, "combine", combine)
    fit_detector(plan(weights), KernelDensity(5.0), attack="FGSM", eps=STRONG, device="cpu")
    known = {float(row) for row in taught}
    clean = {float(row) for row in measured[0]}
    assert known and len(clean) > 40 and not known & clean


def test_too_few_patients(weights: Path) -> None:
    with pytest.raises(InputError, match="val has 4 groups; 5 or more are needed"):
        fit_detector(plan(weights, "small", count=8), MaxSoftmax(), device="cpu")
