"""Detectors within an audit: what is kept, what the figures rest on, and what is refused."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from attacks import CarliniWagnerL2, ThreatModel
from robust.auditing import audit, audit_plan
from robust.cases import Cases, open_cases
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.feature_log import CLEAN, REFERENCE, FeatureLog
from robust.engine.batch import Batch
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.metrics.groups import merge_duplicates
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.records import Detection, Report
from tests.engine.nets import trained

EPS = ["2/255", "8/255"]
NEAREST = CarliniWagnerL2(steps=25, binary_steps=4)


def cases(count: int = 100, split: str = "test") -> Cases:
    return open_cases("phantom:chest_xray", split=split, count=count, pixels=28)


def run(**options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["Noise", "FGSM", "PGD"],
        "eps": EPS,
        "detectors": ["KernelDensity", "Mahalanobis", "MaxSoftmax", "Energy"],
        "reference": cases(120, "train"),
        "device": "cpu",
        "gallery": 0,
    }
    # Who knows a detector has a test of its own.
    own = {"adaptive": 0, **options.pop("detection", {})}
    every = {**settings, **options, "detection": own}
    return audit(Classifier(trained(28), channels=1), cases(), **every)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    attacks = ["Noise", "FGSM", "PGD", NEAREST]
    run(out=out, attacks=attacks, detection={"fit_on": ["PGD", "CarliniWagnerL2"]})
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> Detection:
    detection = Report.load(folder / "report.json").detection
    assert detection is not None
    return detection


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "outcomes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def logits(line: dict[str, str]) -> list[float]:
    return [float(value) for name, value in line.items() if name.startswith("logit_")]


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


def test_what_is_kept_is_the_successes_and_every_control(folder: Path, found: Detection) -> None:
    store = RunStore.look(folder)
    right = [
        c.row
        for c in store.clean()
        if c.logits is not None and int(c.logits.argmax()) == cases().entries[c.row].label
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
        x, y = np.array(trace.roc).T
        assert (np.diff(x) >= 0).all() and (x[0], y[0]) == (0, 0) and (x[-1], y[-1]) == (1, 1)
        assert float(np.trapezoid(y, x)) == pytest.approx(sighting.auc.value, abs=0.03)
        assert sum(trace.clean) == found.cases
        assert sum(trace.attacked) == found.image_sets[found.key_attack].cases
        assert sum(trace.noise) == found.cases
    assert found.feature_maps and all(len(s.clean) == len(s.attacked) for s in found.feature_maps)


def test_noise_beside_an_attack_without_a_bound_goes_as_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: dict[str, float] = {}
    plain = FeatureLog._noise

    def spy(self: FeatureLog, batch: Batch, threat: ThreatModel) -> torch.Tensor:
        drawn = plain(self, batch, threat)
        for case, x, y in zip(batch.cases, drawn, batch.x, strict=True):
            met[case.id] = float((x - y).double().norm())
        return drawn

    monkeypatch.setattr(FeatureLog, "_noise", spy)
    report = run(out=tmp_path, attacks=[NEAREST], detectors=["MaxSoftmax"])
    assert report.detection is not None
    far = {r["case"]: float(r["l2"]) for r in lines(tmp_path) if r["attack"] == "CarliniWagnerL2"}
    hit = {r["case"] for r in lines(tmp_path) if r["success"] == "1"}
    assert set(met) == hit and hit
    # A ball: no further than the attack, and in so many dimensions nearly as far; the box may cut.
    assert all(met[i] <= far[i] * 1.001 for i in hit)
    assert np.median([met[i] / far[i] for i in hit]) > 0.8


@pytest.mark.parametrize("name", BENIGN_CHANGES)
def test_changes_keep_shape_and_box_and_look_at_each_image_alone(name: str) -> None:
    change = BENIGN_CHANGES[name]
    for channels in (1, 3):
        x = torch.rand(4, channels, 40, 36)
        y = change(x)
        assert y.shape == x.shape and y.dtype == x.dtype
        assert 0 <= float(y.min()) <= float(y.max()) <= 1 and not torch.equal(x, y)
        assert torch.allclose(change(x[2:3]), y[2:3], atol=1e-6)
    flat = torch.full((1, 1, 32, 32), 0.4)
    inner = change(flat)[:, :, 8:-8, 8:-8]
    assert float((inner - 0.4).abs().max()) < 0.03


def test_copies_and_patients_go_together() -> None:
    groups = ["a", "a", "b", "c", "d", "e"]
    pixels = ["1", "2", "2", "3", "4", "5"]
    found = merge_duplicates(groups, pixels)
    assert found[0] == found[1] == found[2] and len(set(found.tolist())) == 4


def repeated(source: Cases, row: int, times: int) -> Cases:
    """The last entries show the image of another, under their own name and group."""
    entries = list(source.entries)
    for i in range(times):
        entries[-1 - i] = dataclasses.replace(
            entries[-1 - i], where=entries[row].where, label=entries[row].label
        )
    return dataclasses.replace(source, entries=tuple(entries))


def test_copies_are_one_group_and_said() -> None:
    classifier = Classifier(trained(28), channels=1)
    plain = cases()
    row = next(
        i for i in range(len(plain)) if int(classifier_says(classifier, plain, i)) == plain[i].label
    )
    report = audit(
        classifier, repeated(plain, row, 3), attacks=["PGD"], eps=EPS, detectors=["MaxSoftmax"],
        reference=cases(120, "train"), gallery=0, detection={"adaptive": 0},
    )  # fmt: skip
    (flag,) = (f for f in report.flags if f.name == "copies of images")
    assert flag.observed.startswith("3 of the images")


def classifier_says(classifier: Classifier, source: Cases, row: int) -> torch.Tensor:
    classifier.head = "softmax"
    with torch.no_grad():
        return classifier.eval()(source[row].image[None]).argmax()


def test_audited_images_are_taken_out_of_the_reference() -> None:
    audited, reference = cases(), cases(120, "train")
    entries = list(reference.entries)
    for i in range(5):
        entries[i] = dataclasses.replace(entries[i], where=audited.entries[i].where)
    mixed = dataclasses.replace(
        reference,
        entries=tuple(entries),
        read=lambda where: audited.read(where) if where in known else reference.read(where),
    )
    known = {audited.entries[i].where for i in range(5)}
    detection = run(reference=mixed, attacks=["PGD"], detectors=["Mahalanobis"]).detection
    assert detection is not None
    assert detection.reference.left_out == 5 and detection.reference.cases == 115


def small(**options: Any) -> Report:
    return run(**{"attacks": ["FGSM"], "eps": ["8/255"], "detectors": ["Mahalanobis"], **options})


def test_what_cannot_be_judged_is_refused_before_any_attack(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("an attack ran")

    monkeypatch.setattr("robust.engine.mixed_precision.attack_batch", forbidden)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"reference": None}, "detectors need reference"),
        ({"reference": cases()}, "lie on two sides"),
        ({"attacks": ["PGD"], "cells": "curve"}, "set cells = 'exact'"),
        ({"detection": {"layers": ["network.9"]}}, "no layer 'network.9'; nearest: network"),
        ({"detection": {"fit_on": ["PDG"]}}, "name no attack of this plan"),
        ({"detection": {"fit_eps": ["1/255"]}}, "name no attack of this plan"),
        ({"detection": {"casess": 100}}, "unknown entry detection.casess; did you mean cases"),
        ({"detectors": ["Mahalanobi"]}, "did you mean Mahalanobis"),
        ({"detectors": ["LID", "LID"]}, "two detectors would be called 'LID'"),
        ({"detectors": ["BayesianUncertainty"]}, "needs a network with dropout"),
        ({"detectors": ["LID"], "reference": cases(16, "train")}, "k must be at least 2 and below"),
        ({"reference": one_class()}, "learn from holds no case of"),
        (
            {"reference": dataclasses.replace(cases(40, "train"), classes=("a", "b"))},
            "must be the same",
        ),
    ]
    for options, says in wrong:
        with pytest.raises(InputError, match=says):
            small(**options)
    few = cases(12)
    with pytest.raises(InputError, match="10 groups or more"):
        audit(
            Classifier(trained(28), channels=1), few, attacks=["FGSM"], detectors=["MaxSoftmax"],
            reference=cases(40, "train"),
        )  # fmt: skip


def one_class() -> Cases:
    train = cases(40, "train")
    return train.select([i for i, entry in enumerate(train.entries) if entry.label == 0])


def test_a_split_that_is_not_there_is_named() -> None:
    plan = make_plan(
        {
            "model": {"factory": "tests.engine.nets:small", "channels": 1},
            "data": {"path": "phantom:chest_xray", "count": 40, "pixels": 28},
            "detectors": [{"name": "MaxSoftmax"}],
            "detection": {"reference": "training"},
        }
    )
    with pytest.raises(InputError, match=r"\[detection\] reference = 'training'.*train"):
        audit_plan(plan)


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


def test_a_goal_decides_who_is_judged() -> None:
    """A miss attacks findings alone; healthy images must not stand for the clean ones."""
    detection = small(goal="miss").detection
    assert detection is not None
    everyone = small().detection
    assert everyone is not None and detection.cases < everyone.cases


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
