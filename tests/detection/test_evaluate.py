"""The figures of detectors in a report: what they rest on, and where there is none.

What one audit left is read here alone: another file would have to run it again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from detectors import KernelDensity, MaxSoftmax
from robust.auditing import audit
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.feature_log import CLEAN, REFERENCE
from robust.engine.run_store import RunStore
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


def test_curves_and_bins_tell_the_same_as_the_figures(found: Detection) -> None:
    assert [trace.detector for trace in found.score_curves] == list(found.detectors)
    assert found.key_attack is not None
    for trace in found.score_curves:
        sighting = found.score(trace.detector, found.key_attack)
        assert sighting is not None and sighting.auc is not None
        for curve, area in ((trace.roc, sighting.auc), (trace.paired_roc, sighting.paired_auc)):
            x, y = np.array(curve).T
            assert (np.diff(x) >= 0).all() and (x[0], y[0]) == (0, 0) and (x[-1], y[-1]) == (1, 1)
            assert area and float(np.trapezoid(y, x)) == pytest.approx(area.value, abs=0.03)
        assert sum(trace.clean_fallen) == sum(trace.attacked)
        assert sum(trace.clean) == found.cases
        assert sum(trace.attacked) == found.image_sets[found.key_attack].cases
        assert sum(trace.noise) == found.cases
    assert found.feature_maps and all(len(s.clean) == len(s.attacked) for s in found.feature_maps)


def test_what_is_kept_is_the_successes_and_every_control(folder: Path, found: Detection) -> None:
    store = RunStore.open_to_read(folder)
    right = [
        c.row
        for c in store.clean()
        if c.kept is not None and int(c.kept.argmax()) == cases().entries[c.row].label
    ]
    kinds = {kind: [s for s in found.image_sets if s.kind == kind] for kind in ("noise", "change")}
    assert store.features(CLEAN)[0] == right
    assert [s.name for s in kinds["change"]] == list(BENIGN_CHANGES)
    # Beside each eps, and beside the attack without a bound.
    assert [s.eps for s in kinds["noise"]] == [2 / 255, 8 / 255, None]
    assert {s.cases for s in kinds["change"]} == {len(right)}
    for key in ("PGD|Linf|0.03137254901960784", "CarliniWagnerL2|L2|inf"):
        hit = [o.row for o in store.outcomes(key) if o.success]
        assert store.features(key)[0] == hit
    width = store.features(CLEAN)[1].shape[1]
    assert width == store.features(REFERENCE)[1].shape[1] == 2 + 8 + 16 + 784
    store.close()


def test_no_success_is_no_figure() -> None:
    """At eps 0 nothing succeeds: the cell is empty with its reason, never 0 or 1."""
    detection = small(count=40, attacks=["FGSM"], eps=["0", "8/255"]).detection
    assert detection is not None
    assert (
        detection.image_sets[0].unfitted_reason == "no attack succeeded"
        and detection.image_sets[0].cases == 0
    )
    assert not [s for s in detection.detector_scores if 0 in (s.image_set, s.fitted_on)]
    nothing = small(count=40, eps=["0"], detectors=["Mahalanobis", "MaxSoftmax"]).detection
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
        Classifier(Dropping(), channels=1), cases(80), attacks=["FGSM"], eps=["8/255"], gallery=0,
        detectors=["BayesianUncertainty", "Mahalanobis"], reference=cases(120, "train"),
        detection={"passes": 5, "cases": 40, "adaptive": 4, "adaptive_steps": 2},
        doubts={"probe": False},
    )  # fmt: skip
    assert report.detection is not None and report.detection.cases == 40
    assert report.detection.correct_cases > 40
    assert len(report.detection.adaptive) == len(report.detection.detectors)
    for name in ("BayesianUncertainty", "Mahalanobis"):
        one = report.detection.score(name, report.detection.key_attack)
        assert one is not None and one.auc is not None


def test_the_plan_decides_what_heads_are_fitted_on() -> None:
    heads = {"fit_on": ["PGD"], "fit_eps": ["8/255"]}
    detection = run(
        40, attacks=["FGSM", "PGD"], detectors=["Mahalanobis"], detection=heads
    ).detection
    assert detection is not None
    fitted = {s.fitted_on for s in detection.detector_scores} - {None}
    (place,) = fitted
    assert place is not None
    assert (detection.image_sets[place].name, detection.image_sets[place].eps) == ("PGD", 8 / 255)


def test_a_detector_may_be_given_as_an_instance() -> None:
    """Also one with a parameter that is None."""
    given = small(count=40, detectors=[KernelDensity(), MaxSoftmax()]).detection
    named = small(count=40, detectors=["KernelDensity", "MaxSoftmax"]).detection
    assert given == named and given is not None
    assert given.detectors["KernelDensity"] == "KernelDensity(bandwidth=None)"
