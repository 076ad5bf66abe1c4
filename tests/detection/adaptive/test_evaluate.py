"""Adaptive attacks: what is measured is real, confirmed, and no worse than the key attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detectors import DeepFeatures
from robust.auditing import audit
from robust.engine.run_memory import ADAPTIVE
from robust.engine.run_store import RunStore
from robust.models import Classifier
from robust.records import Detection, Report
from tests.detection.runs import NEAREST, cases
from tests.engine.nets import trained

CASES = 12
LABELS = ["KernelDensity", "DeepFeatures", "Energy"]
FEW_TREES = DeepFeatures(trees=5)
"""A forest is fitted fifty times."""


def run(count: int = 80, **options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["PGD"],
        "eps": ["8/255"],
        "detectors": ["KernelDensity", FEW_TREES, "Energy"],
        "reference": cases(80, "train"),
        "detection": {"adaptive": CASES, "adaptive_steps": 8},
        "doubts": {"probe": False},
        "device": "cpu",
        "gallery": 0,
    }
    return audit(Classifier(trained(28), channels=1), cases(count), **{**settings, **options})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("adaptive") / "run"
    run(out=out)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> Detection:
    detection = Report.load(folder / "report.json").detection
    assert detection is not None
    return detection


def test_an_adaptive_attack_never_does_worse_than_the_key_attack(found: Detection) -> None:
    assert [one.detector for one in found.adaptive] == LABELS
    for one in found.adaptive:
        assert one.fooled.cases == CASES
        passed = [rate for rate in one.evasion_rates.values() if rate is not None]
        for share, passes in one.evasion_rates.items():
            static = one.static_evasion_rates[share]
            assert (passes is None) == (static is None)
            if passes is not None and static is not None:
                assert static.value <= passes.value <= one.fooled.value
        assert passed and [p.value for p in passed] == sorted(p.value for p in passed)[::-1]
        assert sum(one.cases_by_attack.values()) == round(CASES * one.fooled.value)


def test_a_detector_that_detects_the_attack_detects_less_of_an_adaptive_one(
    found: Detection,
) -> None:
    """On some detector that sees something; were all blind, there would be nothing to evade."""
    seeing = [a for a in found.adaptive if a.static_auc is not None and a.static_auc.value > 0.6]
    assert seeing
    assert any(a.auc is not None and a.auc.value < a.static_auc.value - 0.05 for a in seeing)  # type: ignore[union-attr]
    assert sum(
        sum(n for name, n in a.cases_by_attack.items() if name != "PGD") for a in found.adaptive
    )


def test_a_surrogate_is_used_where_there_is_no_gradient(found: Detection) -> None:
    follows = {one.detector: one.surrogate_agreement for one in found.adaptive}
    assert follows.pop("DeepFeatures") is not None
    assert set(follows.values()) == {None}


def test_resuming_repeats_nothing_and_ends_alike(
    folder: Path, found: Detection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short between two folds, a run goes on where it was; others beside it change nothing."""
    from robust.detection.adaptive import evaluate as adapting

    two = ["KernelDensity", "Energy"]

    real, put, stored = adapting.attack_batch, RunStore.put, set[str]()

    def storing(self: RunStore, key: Any, value: Any) -> None:
        put(self, key, value)
        stored.add(key.key)

    def cut(*args: Any, **options: Any) -> Any:
        if ADAPTIVE.of("KernelDensity", 0).key in stored:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(RunStore, "put", storing)
    monkeypatch.setattr(adapting, "attack_batch", cut)
    with pytest.raises(KeyboardInterrupt):
        run(out=tmp_path / "run", detectors=two)
    store = RunStore.open_to_read(tmp_path / "run")
    assert store.get(ADAPTIVE.of("KernelDensity", 0)) is not None
    store.close()
    monkeypatch.setattr(adapting, "attack_batch", real)
    again = run(out=tmp_path / "run", detectors=two).detection
    assert again is not None
    assert again.adaptive == tuple(one for one in found.adaptive if one.detector in two)


def test_none_comes_unasked_or_without_a_bound() -> None:
    for options in (
        {"detection": {"adaptive": 0}},
        {"attacks": [NEAREST]},
    ):
        detection = run(40, detectors=["Energy"], **options).detection
        assert detection is not None and detection.adaptive == ()
        assert detection.image_sets[0].cases


@pytest.mark.slow
def test_none_comes_where_a_detector_could_not_be_fitted() -> None:
    """The key attack is not among those that heads may be fitted on."""
    options: dict[str, Any] = {"attacks": ["FGSM", "PGD"], "detectors": ["Mahalanobis", "Energy"]}
    detection = run(**options, detection={"fit_on": ["FGSM"], "adaptive": 10}).detection
    assert detection is not None and detection.key_attack is not None
    assert detection.image_sets[detection.key_attack].name == "PGD"
    assert [one.detector for one in detection.adaptive] == ["Energy"]
