"""Planted defects, each audited and flagged by its own warning; sound models raise none.

`besides` names what the same defect may raise as well: one mask has many symptoms. Anything else is
a false alarm, and fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, PGD, AutoAttack, MarginPGD, Noise
from robust.auditing import audit
from robust.cases import Cases
from robust.cases.case import CaseNotes, Pixels
from robust.models import Classifier
from robust.records import FLAGS, Report
from tests.diagnostics import defects
from tests.diagnostics.sound import SOUND, cases_of, classifier, network, train

BASE = "plain, two classes"
INHERENT = {"synthetic images"}
ELSEWHERE = {
    *("a null control raised an alarm", "run cut short", "broken files", "synthetic images"),
    *("few attacked images for detectors", "copies of images", "grey images in colour files"),
    *("which cases fall explains detection", "workers disagree", "no gradients"),
    *("the deployed version reads otherwise", "few clean images outlined well"),
    *("one step as strong as many", "another window in the attack"),
    *("structures missing from masks", "gaps in masks", "certificate crossed"),
}
"""Flags whose defect is audited in the tests of what they are about."""

MASKED = frozenset(
    {
        *("black box beats white box", "attacks fail without bounds", "no better than noise"),
        *("the objective does not rise", "accuracy rises with eps", "more steps still help"),
        *("gradients point away from the boundary", "adversarial regions narrower than a step"),
    }
)
"""The symptoms that one mask may show together."""

SEARCHED = frozenset(
    {
        *("black box beats white box", "gradients point away from the boundary"),
        *("adversarial regions narrower than a step", "more steps still help"),
    }
)
"""What the probe sees at cases that attacks with gradients left correct."""

PROBED = frozenset(
    {
        *("gradients vanish", "gradients mislead", "attacks fail without bounds"),
        *("input is rounded", "random outputs", "outputs depend on the batch"),
        "parts in training mode",
    }
)
"""What the probe sees of the network, whatever has attacked it."""


@dataclass(frozen=True)
class Planted:
    network: Callable[[], nn.Module] = lambda: network(BASE)
    besides: frozenset[str] = frozenset()
    cases: Callable[[], Cases] = lambda: cases_of(BASE, count=80)
    model: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_short(self) -> bool:
        """Whether the quick run may leave out attacks or the probe."""
        return "probe" not in self.options.get("doubts", {})


def behind(kind: Callable[[nn.Module], nn.Module], *besides: str, **options: Any) -> Planted:
    return Planted(lambda: kind(network(BASE)), MASKED | set(besides), options=options)


def bent(kind: type[defects.Bent]) -> Planted:
    def made() -> nn.Module:
        x = torch.stack([case.image for case in cases_of(BASE, count=80)])
        return kind(network(BASE), x)

    return Planted(made, MASKED, options={"eps": ["4/255"]})


def data(change: Callable[[Cases], Cases], *besides: str, eps: str = "4/255") -> Planted:
    return Planted(
        besides=frozenset(besides),
        cases=lambda: change(cases_of(BASE, count=80)),
        options={"doubts": {"probe": False}, "attacks": ["FGSM"], "eps": [eps]},
    )


def attacked(*attacks: Any, besides: tuple[str, ...] = ()) -> Planted:
    return Planted(besides=frozenset(besides), options={"attacks": attacks})


def averaging() -> nn.Module:
    """Normalises by the mean and spread of its batch, and gives it those of all cases."""
    x = torch.stack([case.image for case in cases_of(BASE, count=80)])
    norm = nn.BatchNorm2d(x.shape[1], track_running_stats=False)
    with torch.no_grad():
        norm.weight.copy_(x.std((0, 2, 3)))
        norm.bias.copy_(x.mean((0, 2, 3)))
    return nn.Sequential(norm, network(BASE)).eval()


def loud(factor: float) -> nn.Module:
    made = network(BASE)
    assert isinstance(made, nn.Sequential) and isinstance(made[-1], nn.Linear)
    made[-1].weight.data *= factor
    made[-1].bias.data *= factor
    return made


def shifted(margin: float) -> nn.Module:
    """Almost always the same answer, though the order of the images by their score is kept."""
    made = network(BASE)
    assert isinstance(made, nn.Sequential) and isinstance(made[-1], nn.Linear)
    made[-1].bias.data[0] += margin
    return made


def by_device(cases: Cases) -> Cases:
    """One device for the ill and one for the healthy, but for every twentieth patient."""
    entries = [
        replace(
            e,
            metadata={
                "device": "AB"[e.label ^ (i // 2 % 20 == 0)],
                "age": str(20 + 7 * i % 60),
                "sex": "fm"[i // 4 % 2],
            },
        )
        for i, e in enumerate(cases.entries)
    ]
    return replace(cases, entries=tuple(entries))


def coarse(cases: Cases) -> Cases:
    """In 16 grey levels."""
    read = cases.read

    def rounded(where: Any) -> Pixels:
        return (np.rint(read(where) / 17) * 17).astype(np.uint8)

    return replace(cases, read=rounded)


def twelve_bits(cases: Cases) -> Cases:
    """Values of 12 bits in files of 16."""
    read = cases.read
    return replace(cases, read=lambda where: read(where).astype(np.uint16) * 16)


def noted(**notes: Any) -> Callable[[Cases], Cases]:
    return lambda cases: replace(cases, notes=CaseNotes(**notes))


ZOO: dict[str, Planted] = {
    "gradients replaced": Planted(
        lambda: defects.Rounding(network(BASE)),
        frozenset({"input is rounded"}),
        model={"straight_through": ["round"]},
    ),
    "gradients vanish": behind(defects.Blocked),
    "gradients mislead": behind(defects.Scrambled),
    "black box beats white box": behind(
        defects.Squeezed, "gradients vanish", "input is rounded", eps=["4/255"]
    ),
    "gradients point away from the boundary": bent(defects.Hill),
    "adversarial regions narrower than a step": bent(defects.Wells),
    "attacks fail without bounds": behind(defects.Turned, "gradients mislead"),
    "the objective does not rise": behind(
        defects.Turned, "gradients mislead", attacks=["BIM"], doubts={"probe": False}
    ),
    "accuracy rises with eps": Planted(
        lambda: defects.Shattered(network(BASE)),
        MASKED,
        lambda: coarse(cases_of(BASE, count=80)),
        options={"attacks": ["PGD"], "eps": ["1/255", "4/255"]},
    ),
    "no better than noise": behind(
        defects.Blocked, "gradients vanish", attacks=[Noise(), FGSM()], eps=["16/255"]
    ),
    "more steps still help": attacked(PGD(steps=2, step_size=0.1, start="image")),
    "input is rounded": behind(defects.Rounded),
    "attacks without a verdict": behind(defects.Detached, "gradients vanish", "input is rounded"),
    "scores are rounded": behind(defects.Digits, "gradients vanish", "input is rounded"),
    "labels in place of scores": behind(
        defects.Labels,
        *("gradients vanish", "probabilities instead of logits", "input is rounded"),
        "attacks without a verdict",
    ),
    "scores of the best classes alone": behind(
        defects.Best, "probabilities instead of logits", "gradients vanish", "gradients mislead"
    ),
    "clipped outputs": behind(defects.Clipped, "gradients vanish"),
    "random outputs": behind(defects.Dropping),
    "outputs depend on the batch": Planted(averaging, MASKED),
    "parts in training mode": behind(lambda made: nn.Sequential(made, defects.Stubborn(0.0))),
    "probabilities instead of logits": behind(lambda made: nn.Sequential(made, nn.Softmax(1))),
    "cross-entropy saturates": Planted(
        lambda: loud(40.0),
        MASKED,
        options={"attacks": [PGD(margin_fallback=False), MarginPGD()]},
    ),
    "steps too short to cross the ball": attacked(
        PGD(steps=5, step_size=0.2), besides=("more steps still help",)
    ),
    "the same attack twice": attacked(BIM(), MarginPGD(step_size=0.05)),
    "clean accuracy below the claim": Planted(
        besides=frozenset(
            {
                "clean accuracy no better than a constant",
                "constant predictions",
                "cross-entropy saturates",
            }
        ),
        model={"mean": 0.4, "std": 0.1},
        options={"doubts": {"claimed_accuracy": 0.8}},
    ),
    "clean accuracy no better than a constant": Planted(
        # Few are right, so few are attacked: how many depends on the processor.
        lambda: loud(-1.0),
        besides=frozenset({"too few cases for the claim", "classes in another order"}),
    ),
    "classes in another order": Planted(
        lambda: nn.Sequential(network(BASE), defects.Swapped()),
        MASKED | {"too few cases for the claim", "clean accuracy no better than a constant"},
    ),
    "image files left out": data(noted(left_out={".heic": 3})),
    "groups differ in spelling alone": data(noted(groups_alike=2)),
    "groups finer than file names": data(noted(finer_than_names=(40, 80))),
    "images use a part of their range": Planted(
        cases=lambda: twelve_bits(cases_of(BASE, count=80)),
        model={"std": 16 * 255 / 65535},
        options={"doubts": {"probe": False}, "attacks": ["FGSM"], "eps": ["0.25/255"]},
    ),
    "constant predictions": Planted(lambda: shifted(5.0), MASKED),
    "a column gives the label away": data(by_device),
    "too few cases for the claim": data(lambda cases: cases[:24], "few groups", eps="2/255"),
    "few groups": data(lambda cases: cases[:50], "too few cases for the claim"),
    "no groups": data(lambda cases: replace(cases, grouped=False)),
    "missing class": data(
        lambda cases: cases.select([i for i, e in enumerate(cases.entries) if e.label]),
        *("few groups", "too few cases for the claim"),
    ),
}


def names(report: Report) -> set[str]:
    return {flag.name for flag in report.flags} - INHERENT


def test_every_flag_has_its_defect() -> None:
    assert set(ZOO) | ELSEWHERE == set(FLAGS) and not set(ZOO) & ELSEWHERE


def flagged(flag: str, **options: Any) -> None:
    """Nothing else is raised but what the defect may raise besides."""
    planted = ZOO[flag]
    doubts = {**options.pop("doubts", {}), **planted.options.get("doubts", {})}
    every = {"eps": ["4/255"], **options, **planted.options, "doubts": doubts}
    model = Classifier(planted.network(), **planted.model)
    report = audit(model, planted.cases(), device="cpu", **every)
    assert flag in names(report)
    assert names(report) <= {flag} | planted.besides


@pytest.mark.parametrize("flag", list(ZOO))
def test_a_planted_defect_is_flagged_by_its_own_flag(flag: str) -> None:
    """With one attack, and the probe where the flag is the probe's."""
    attack = "Noise" if flag in PROBED else "BIM" if flag in SEARCHED else "FGSM"
    flagged(flag, attacks=[attack], doubts={"probe": flag in PROBED | SEARCHED})


@pytest.mark.slow
@pytest.mark.parametrize("flag", [flag for flag, made in ZOO.items() if made.is_short])
def test_an_audit_with_all_doubts_flags_a_planted_defect_too(flag: str) -> None:
    flagged(flag, attacks=["BIM", "PGD"])


@pytest.mark.parametrize("mask", [True, False])
def test_an_ensemble_with_a_black_box_does_not_hide_a_mask(mask: bool) -> None:
    made = defects.Turned(network(BASE)) if mask else network(BASE)
    attacks = [AutoAttack(steps=5, queries=150)]
    report = audit(Classifier(made), cases_of(BASE, count=40), attacks=attacks, eps=["4/255"])
    assert report.worst.robust_accuracy.value < 0.8
    assert ("black box beats white box" in names(report)) is mask
    assert "more steps still help" not in names(report)


def test_a_sound_model_that_saturates_raises_no_flag() -> None:
    """The margin has taken over from cross-entropy."""
    options: dict[str, Any] = {"attacks": ["BIM", "PGD"], "eps": ["4/255"], "device": "cpu"}
    report = audit(Classifier(loud(40.0)), cases_of(BASE, count=80), **options)
    assert max(row.saturated for row in report.rows) > 20 and names(report) == set()


@pytest.mark.slow
def test_chance_gives_usual_attacks_no_lead_over_the_ensemble() -> None:
    """Of many single passes some are misread by luck: a prediction is the mean of several."""
    attacks = ["FGSM", "BIM", "PGD", "MarginPGD", AutoAttack(steps=25, queries=300)]
    report = audit(
        Classifier(defects.Resized(network(BASE))),
        cases_of(BASE, count=40),
        attacks=attacks,
        eps=["4/255"],
        device="cpu",
        doubts={"probe": False},
    )
    robust = [row.robust_accuracy.value for row in report.rows]
    assert robust[-1] <= min(robust[:-1]) and robust[-1] == report.worst.robust_accuracy.value


class Uniform(Noise):
    """Random noise under another name."""


Mislabelled = type("Noise", (FGSM,), {"__doc__": "FGSM under the name of the noise."})


def test_the_baseline_is_what_an_attack_is_and_not_what_it_is_called() -> None:
    def audited(made: nn.Module, *attacks: Any) -> Report:
        cases = cases_of(BASE, count=60)
        off = {"probe": False}
        eps = ["16/255"]
        return audit(Classifier(made), cases, attacks=attacks, eps=eps, doubts=off, device="cpu")

    blocked = audited(defects.Blocked(network(BASE)), Uniform(), FGSM())
    assert [row.attack for row in blocked.rows if row.baseline] == ["Uniform"]
    assert "no better than noise" in names(blocked)
    sound = audited(network(BASE), Mislabelled(), FGSM())
    assert [row.attack for row in sound.rows] == ["Noise", "FGSM"]
    assert not any(row.baseline for row in sound.rows)
    assert sound.rows[0].success.value == sound.rows[1].success.value > 0
    assert "no better than noise" not in names(sound)


@pytest.mark.slow
def test_winners_take_all_hide_from_gradients_alone() -> None:
    """k-winners-take-all, trained as its authors do: its gradients are those of another piece."""
    made = network(BASE)
    assert isinstance(made, nn.Sequential)
    made[1], made[3] = defects.Winners(), defects.Winners()
    made = train(made, cases_of(BASE, count=300, split="train"), epochs=10)
    report = audit(Classifier(made), cases_of(BASE, count=80), eps=["1/255", "2/255", "4/255"])
    assert names(report) & (MASKED | {"gradients mislead"})


def sound(name: str, seed: int, **less: Any) -> None:
    """The attacks of Ma et al. on a model without a defect."""
    report = audit(
        classifier(name, seed),
        cases_of(name, seed=seed, **less.pop("cases", {})),
        **{"eps": ["1/255", "2/255", "4/255"], **less},
        seed=seed,
        device="cpu",
        doubts={"claimed_accuracy": 0.8},
    )
    assert names(report) == set(), [flag.observed for flag in report.flags]


def test_a_sound_model_raises_no_flag() -> None:
    sound(BASE, 0, eps=["1/255", "4/255"], cases={"count": 80})


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", list(SOUND))
def test_sound_models_raise_no_flag(name: str, seed: int) -> None:
    sound(name, seed)


def test_the_probe_is_counted_and_can_be_switched_off() -> None:
    model, cases = classifier(BASE), cases_of(BASE, count=20)
    options: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["1/255"], "device": "cpu"}
    probed = audit(model, cases, **options)
    assert probed.timings.probe.cases == 16 and probed.timings.probe.passes > 0
    plain = audit(model, cases, **options, doubts={"probe": False})
    assert plain.timings.probe is None
    assert plain.rows == probed.rows and plain.clean == probed.clean
