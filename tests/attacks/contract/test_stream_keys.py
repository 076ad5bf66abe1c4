"""The texts that seed the random streams of attacks: none of them may ever change.

They are what the first release wrote, when some classes and fields had other names.
"""

from __future__ import annotations

import math

import pytest

from attacks import ATTACKS, ThreatModel, make_attack
from attacks.streams import stream_seed

ADAPTIVE = "(steps=100, step_size=0.1, restarts=1, start='image', kappa=0.0)"
DEFAULTS = {
    "ALMAProx": "ALMAProx(steps=300, share=0.99, bisections=10)",
    "APGD": "APGD(steps=100, restarts=1, objective='cross_entropy', targets=0, start='random')",
    "AutoAttack": "Standard(steps=100, queries=5000)",
    "BIM": "BIM(steps=20, step_size=0.05, keep='best', takeover=True)",
    "CarliniWagnerL2": (
        "CarliniWagnerL2(steps=100, binary_steps=9, step_size=0.1, confidence=0.0, line_steps=10)"
    ),
    "CheapestPixels": "CheapestPixels(rounds=3, bisections=10, steps=5)",
    "ConfidencePGD": f"KappaPGD{ADAPTIVE}",
    "CosPGD": "CosPGD(steps=20, step_size=0.2, restarts=1, start='random')",
    "FAB": "FAB(steps=100, restarts=1, targets=0, line_steps=10)",
    "FGSM": "FGSM(objective='cross_entropy', takeover=True)",
    "FMN": "FMN(steps=200, line_steps=10)",
    "FeatureMatching": f"FeatureMatching{ADAPTIVE}",
    "HierarchicalFeatureConstraint": f"HierarchicalFeatureConstraint{ADAPTIVE}",
    "JointPGD": f"JointPGD{ADAPTIVE}",
    "MarginPGD": "CW(steps=20, step_size=0.1, keep='best')",
    "MinimumNormEnsemble": "MinimumDistance(steps=100, line_steps=10)",
    "Noise": "Noise(restarts=1)",
    "OrthogonalPGD": f"OrthogonalPGD{ADAPTIVE}",
    "PGD": (
        "PGD(steps=20, step_size=0.2, schedule='linear', restarts=1, start='random', "
        "objective='cross_entropy', keep='best', takeover=True)"
    ),
    "SEA": "SEA(steps=300)",
    "SegPGD": "SegPGD(steps=20, step_size=0.2, restarts=1, start='random')",
    "SelectivePGD": f"SelectivePGD{ADAPTIVE}",
    "Square": "Square(queries=1000, share=0.8)",
}
OTHERS = [
    (
        make_attack("PGD", loss="dlr", steps=7, step_size=1, margin_fallback=False, start="image"),
        "PGD(steps=7, step_size=1, schedule='linear', restarts=1, start='image', "
        "objective='dlr', keep='best', takeover=False)",
    ),
    (make_attack("FGSM", loss="margin"), "FGSM(objective='margin', takeover=True)"),
    (make_attack("MarginPGD", keep="last"), "CW(steps=20, step_size=0.1, keep='last')"),
    (
        make_attack("ConfidencePGD", steps=15, kappa=0.25 * 3.7),
        "KappaPGD(steps=15, step_size=0.1, restarts=1, start='image', kappa=0.925)",
    ),
    (make_attack("AutoAttack", steps=5, queries=100), "Standard(steps=5, queries=100)"),
    (
        make_attack("foolbox:LinfPGD", steps=3),
        "FromFoolbox(attack=LinfProjectedGradientDescentAttack(rel_stepsize=0.03333333333333333, "
        "abs_stepsize=None, steps=3, random_start=True), norms=('Linf',), minimum_norm=False)",
    ),
]


@pytest.mark.parametrize("name", DEFAULTS)
def test_keys_of_the_defaults(name: str) -> None:
    assert make_attack(name).stream_key == DEFAULTS[name]


@pytest.mark.parametrize(("attack", "key"), OTHERS)
def test_keys_of_other_settings(attack: object, key: str) -> None:
    assert attack.stream_key == key  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ATTACKS)
def test_stopping_early_keeps_the_key(name: str) -> None:
    attack = make_attack(name)
    early = attack.traits.early_stopping
    if early is not None and attack.traits.equals is None:
        assert early.stream_key == attack.stream_key


def test_a_threat_model_enters_a_seed_as_its_own_text() -> None:
    assert ThreatModel("Linf", 1 / 255).stream_key == (
        "ThreatModel(norm='Linf', eps=0.00392156862745098)"
    )
    assert ThreatModel("L2", math.inf).stream_key == "ThreatModel(norm='L2', eps=inf)"
    threat = ThreatModel("L2", 0.5)
    assert stream_seed(0, "a", threat.stream_key) == stream_seed(0, "a", threat)
    assert stream_seed(0, "a", threat.stream_key) != stream_seed(0, "a", str(threat.stream_key)[:])


def test_a_seed_of_the_first_release() -> None:
    """Of a run's first case under PGD at 4/255."""
    threat = ThreatModel("Linf", 4 / 255)
    key = make_attack("PGD").stream_key
    assert stream_seed(0, "case-1", key, threat.stream_key) == 4272954385570896761
