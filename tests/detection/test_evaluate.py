"""The figures of detectors in a report: what they rest on, and where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from detectors import KernelDensity, Mahalanobis
from robust.auditing import audit
from robust.models import Classifier
from robust.records import Detection
from tests.detection.runs import cases, lines, logits, run, small
from tests.engine.nets import trained


def test_scores_of_the_logits_alone_follow_from_the_table(folder: Path, found: Detection) -> None:
    table = lines(folder)
    right = [r for r in table if r["attack"] == "clean" and r["prediction"] == r["label"]]
    assert found.cases == found.correct_cases == len(right)
    for place, shown in enumerate(found.image_sets):
        if shown.kind != "attack":
            continue
        hit = [
            r
            for r in table
            if r["attack"] == shown.name
            and r["success"] == "1"
            and (shown.eps is None or abs(float(r["eps"]) - shown.eps) < 1e-9)
        ]
        assert shown.cases == len(hit) > 0
        z = torch.tensor([logits(r) for r in (*right, *hit)], dtype=torch.float64)
        truth = np.r_[np.zeros(len(right)), np.ones(len(hit))]
        for detector, score in (
            ("MaxSoftmax", -z.log_softmax(1).amax(1)),
            ("Energy", -z.logsumexp(1)),
        ):
            (one,) = (
                s for s in found.detector_scores if (s.detector, s.image_set) == (detector, place)
            )
            assert one.fitted_on is None and one.auc is not None
            # Float32 features may tie or part what nine digits do not.
            assert one.auc.value == pytest.approx(roc_auc_score(truth, score), abs=1e-3)
            limit = np.quantile(score[: len(right)], 0.9, method="higher")
            seen = one.detection_rates["0.1"]
            assert seen is not None
            assert seen.value == pytest.approx(float((score[len(right) :] > limit).double().mean()))
            assert one.too_few == (len(hit) < 30)


def test_every_fitting_is_scored_on_all_and_has_its_null(found: Detection) -> None:
    named = ("PGD", "CarliniWagnerL2")
    attacks = [i for i, s in enumerate(found.image_sets) if s.name in named]
    assert len(attacks) == 3
    for name in ("KernelDensity", "Mahalanobis"):
        for fitted in attacks:
            own = [s for s in found.detector_scores if (s.detector, s.fitted_on) == (name, fitted)]
            assert sorted(s.image_set for s in own) == list(range(len(found.image_sets)))
            assert (
                sum((n.detector, n.fitted_on) == (name, fitted) for n in found.null_controls) == 1
            )
    assert all(0.35 < n.auc.value < 0.65 and not n.alarm for n in found.null_controls)


def test_the_key_attack_is_the_strongest_at_the_least_eps_with_enough(found: Detection) -> None:
    assert found.key_attack is not None
    key = found.image_sets[found.key_attack]
    assert key.cases >= 30 and key.kind == "attack" and key.norm == "Linf"
    for other in found.image_sets:
        if other.kind == "attack" and other.norm == "Linf" and other.eps is not None:
            assert key.eps is not None
            assert other.cases < 30 or other.eps > key.eps or other.cases <= key.cases


def test_no_success_is_no_figure() -> None:
    """At eps 0 nothing succeeds: the cell is empty with its reason, never 0 or 1."""
    detection = small(attacks=["FGSM"], eps=["0", "8/255"]).detection
    assert detection is not None
    assert (
        detection.image_sets[0].unfitted_reason == "no attack succeeded"
        and detection.image_sets[0].cases == 0
    )
    assert not [s for s in detection.detector_scores if 0 in (s.image_set, s.fitted_on)]
    nothing = small(eps=["0"], detectors=["Mahalanobis", "MaxSoftmax"]).detection
    assert nothing is not None and nothing.key_attack is None and not nothing.score_curves
    assert {s.detector for s in nothing.detector_scores} == {"MaxSoftmax"}


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = trained(28)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inner[:5](x)  # type: ignore[index]
        out: torch.Tensor = self.inner[5](self.drop(found))  # type: ignore[index]
        return out


def test_dropout_passes_and_input_steps_within_an_audit() -> None:
    report = audit(
        Classifier(Dropping(), channels=1), cases(), attacks=["FGSM"], eps=["8/255"], gallery=0,
        detectors=["BayesianUncertainty", "Mahalanobis"], reference=cases(120, "train"),
        detection={"passes": 5, "cases": 40, "adaptive": 6, "adaptive_steps": 2},
    )  # fmt: skip
    assert report.detection is not None and report.detection.cases == 40
    assert report.detection.correct_cases > 40
    assert len(report.detection.adaptive) == len(report.detection.detectors)
    for name in ("BayesianUncertainty", "Mahalanobis"):
        one = report.detection.score(name, report.detection.key_attack)
        assert one is not None and one.auc is not None


def test_the_plan_decides_what_heads_are_fitted_on() -> None:
    detection = run(detection={"fit_on": ["PGD"], "fit_eps": ["8/255"]}).detection
    assert detection is not None
    fitted = {s.fitted_on for s in detection.detector_scores} - {None}
    (place,) = fitted
    assert place is not None
    assert (detection.image_sets[place].name, detection.image_sets[place].eps) == ("PGD", 8 / 255)


def test_a_detector_may_be_given_as_an_instance() -> None:
    """Also one with a parameter that is None."""
    given = small(detectors=[KernelDensity(), Mahalanobis()]).detection
    named = small(detectors=["KernelDensity", "Mahalanobis"]).detection
    assert given == named and given is not None
    assert given.detectors["KernelDensity"] == "KernelDensity(bandwidth=None)"
