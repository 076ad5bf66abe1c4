"""The contract on dense logits: every attack works on segmenters, or refuses them in one line."""

from __future__ import annotations

import copy
import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks import (
    APGD,
    ATTACKS,
    BIM,
    FGSM,
    PGD,
    AdversarialPatch,
    Attack,
    AutoAttack,
    MarginPGD,
    Model,
    Noise,
    Square,
    ThreatModel,
    UniversalPerturbation,
    canonical,
    early_stopping,
    make_attack,
)
from attacks.contract import require_fit
from attacks.image_agnostic.universal import apply_perturbation
from attacks.losses import DENSE_LOSSES, margin
from attacks.streams import Streams
from tests.attacks.cases import QUICK, streams
from tests.attacks.segmenters import FORMS, segmented
from tests.toys import Then, untrained

DENSE = [name for name in ATTACKS if make_attack(name).traits.dense]
"""Those that say that they work on segmenters."""
OTHERS = [name for name in ATTACKS if name not in DENSE]
FAST: dict[str, dict[str, Any]] = {
    **{key: {"steps": 6} for key in ("APGD", "CosPGD", "MarginPGD", "PGD", "SegPGD")},
    **{name: fields for name, fields in QUICK.items() if name in OTHERS},
    "ALMAProx": {"steps": 20, "bisections": 2},
    "APGDL1": {"steps": 12},
    "AutoAttack": {"steps": 3, "queries": 20},
    "CheapestPixels": {"rounds": 1, "bisections": 3},
    "SEA": {"steps": 9},
    "Square": {"queries": 60},
}
EPS = {"Linf": 0.06, "L2": 0.5, "L2-slice": 0.3, "L1": 3.0, "L0": 20}

QUICKLY = {
    ("Linf", "2-D exclusive", False),
    ("L2", "2-D overlapping", True),
    ("L2-slice", "3-D exclusive", False),
    ("L1", "2-D exclusive", False),
    ("L0", "2-D exclusive", False),
}
"""The others run before a release. Of an image L2-slice is L2."""
EVERY = [
    pytest.param(name, *one, marks=[] if one in QUICKLY else pytest.mark.slow)
    for name in DENSE
    for one in itertools.product(ATTACKS[name].norms, FORMS, (False, True))
    if one[0] != "L2-slice" or one[1] == "3-D exclusive"
]
on_every_form = pytest.mark.parametrize(("name", "norm", "form", "aimed"), EVERY)


def make(name: str, norm: str) -> tuple[Attack, ThreatModel]:
    attack = make_attack(name, **FAST.get(name, {}))
    return attack, ThreatModel(norm, math.inf if attack.minimum_norm else EPS[norm])


@on_every_form
def test_limits_passes_and_side_effects(name: str, norm: str, form: str, aimed: bool) -> None:
    """Within ball, box and passes; model, arguments and global state as they were."""
    (attack, threat), toy, seen = make(name, norm), segmented(form), 0
    network = copy.deepcopy(toy.model).requires_grad_(True)
    first: Any = network[0]
    first.bias.grad = torch.ones_like(first.bias)
    given = toy.x.clone(), toy.y.clone(), toy.target.clone()

    def counted(z: Tensor) -> Tensor:
        nonlocal seen
        seen += len(z)
        logits: Tensor = network(z)
        return logits

    def look() -> list[Any]:
        return [
            *([p.tolist(), p.requires_grad] for p in network.parameters()),
            *(None if p.grad is None else p.grad.tolist() for p in network.parameters()),
            *(module.training for module in network.modules()),
            *(torch.get_rng_state().tolist(), random.getstate()),
            np.random.get_state()[1].tolist(),
        ]

    before = look()
    x_adv = attack(counted, toy.x, toy.y, threat, streams(toy.x), toy.goal(aimed))
    assert look() == before
    assert all(map(torch.equal, (toy.x, toy.y, toy.target), given))
    assert seen == 0 if attack.knowledge == "none" else 0 < seen <= attack.passes * len(toy.x)
    assert x_adv.shape == toy.x.shape and x_adv.dtype == toy.x.dtype
    assert not x_adv.requires_grad and bool(x_adv.isfinite().all())
    assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
    assert float(threat.distance(x_adv, toy.x).max()) <= threat.eps + 1e-12
    assert not torch.equal(x_adv, toy.x)


@on_every_form
def test_a_case_does_not_depend_on_its_neighbours(
    name: str, norm: str, form: str, aimed: bool
) -> None:
    """Nor on any random number that is not of its streams."""
    (attack, threat), toy = make(name, norm), segmented(form)

    def run(rows: list[int]) -> Tensor:
        own = Streams.of(0, rows)
        return attack(toy.model, toy.x[rows], toy.y[rows], threat, own, toy.goal(aimed, rows))

    together = run([0, 1, 2])
    torch.manual_seed(7)
    assert torch.allclose(run([2, 0]), together[[2, 0]], rtol=0, atol=1e-9)
    assert torch.allclose(run([1]), together[[1]], rtol=0, atol=1e-9)


@on_every_form
def test_it_attacks_with_what_it_may_know(name: str, norm: str, form: str, aimed: bool) -> None:
    """Every search does more damage than noise; without gradients only those run that need none."""
    (attack, threat), toy = make(name, norm), segmented(form)
    goal = toy.goal(aimed)

    def opaque(z: Tensor) -> Tensor:
        logits: Tensor = toy.model(z.detach()).detach()
        return logits

    if "gradients" in attack.knowledge:
        with pytest.raises(RuntimeError, match="grad"):
            attack(opaque, toy.x, toy.y, threat, streams(toy.x), goal)
        model: Model = toy.model
    else:
        model = opaque
    x_adv = attack(model, toy.x, toy.y, threat, streams(toy.x), goal)
    noise = Noise()(toy.model, toy.x, toy.y, ThreatModel(norm, EPS[norm]), streams(toy.x))
    damage, least = (margin(toy.model(one), toy.y, goal).mean() for one in (x_adv, noise))
    assert attack.traits.baseline or float(damage) > float(least)


@pytest.mark.parametrize("name", OTHERS)
def test_what_does_not_work_is_refused_in_one_line(name: str) -> None:
    attack, toy = make_attack(name), segmented("2-D exclusive")
    for norm in attack.norms:
        threat = ThreatModel(norm, math.inf if attack.minimum_norm else 0.1)
        with pytest.raises(ValueError, match=f"^{name}.* does not work on dense logits") as caught:
            attack(toy.model, toy.x, toy.y, threat, streams(toy.x))
        assert "\n" not in str(caught.value)


def test_a_patch_and_foolbox_refuse_segmenters() -> None:
    toy = segmented("2-D exclusive")
    with pytest.raises(ValueError, match="AdversarialPatch works on images and logits"):
        AdversarialPatch().fit(toy.model, toy.x, toy.y, torch.Generator())
    pytest.importorskip("foolbox")
    attack = make_attack("foolbox:LinfPGD")
    with pytest.raises(ValueError, match="FromFoolbox does not work on dense logits"):
        attack(toy.model, toy.x, toy.y, ThreatModel("Linf", 0.1), streams(toy.x))


@pytest.mark.parametrize("kind", [PGD, APGD, FGSM])
def test_each_form_of_logits_has_its_losses(kind: type[Any]) -> None:
    """What the traits say is what happens."""
    toy, model, threat = segmented("2-D exclusive"), untrained(3), ThreatModel("Linf", 0.1)
    x, y = torch.rand(2, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1])
    for loss in ("dice", "cross_entropy_dice"):
        attack = kind(loss=loss)
        assert attack.traits.dense and attack.traits.dense_only
        with pytest.raises(ValueError, match=f"{kind.__name__} on {loss} works on dense logits .*"):
            attack(model, x, y, threat, streams(2))
    with pytest.raises(ValueError, match=f"{kind.__name__} on dlr does not work on dense logits"):
        kind(loss="dlr")(toy.model, toy.x, toy.y, threat, streams(toy.x))
    for attack in (kind(), kind(loss="margin")):
        assert attack.traits.dense and not attack.traits.dense_only
        require_fit(attack, threat, dense=True)
        require_fit(attack, threat, dense=False)
    with pytest.raises(ValueError, match="APGD on cross_entropy does not work on dense logits"):
        require_fit(APGD(targets=2), threat, dense=True)


@pytest.mark.parametrize("loss", DENSE_LOSSES)
def test_losses_of_two_classes_are_not_one_attack(loss: str) -> None:
    """Of a pixel cross-entropy and margin are parallel; their sums over the pixels are not."""
    toy, threat = segmented("3-D exclusive"), ThreatModel("L2", 0.5)
    by_loss, by_margin = PGD(loss=loss), PGD(loss="margin")
    assert (canonical(by_loss, 0) == canonical(by_margin, 0)) is (loss == "margin")
    one = by_loss(toy.model, toy.x, toy.y, threat, streams(toy.x))
    other = by_margin(toy.model, toy.x, toy.y, threat, streams(toy.x))
    assert torch.equal(one, other) is (loss == "margin")
    assert canonical(BIM(), 0) == BIM().as_pgd()
    assert canonical(PGD(loss="dice"), 2) == PGD(loss="dice")


@pytest.mark.parametrize("attack", [PGD(6), MarginPGD(6), APGD(6, loss="dice")])
@pytest.mark.parametrize("form", FORMS)
def test_an_attack_that_stops_early_stops_where_nothing_is_left(form: str, attack: Attack) -> None:
    toy, threat = segmented(form), ThreatModel("Linf", 0.6)
    full = attack(toy.model, toy.x, toy.y, threat, streams(toy.x))
    early = early_stopping(attack)(toy.model, toy.x, toy.y, threat, streams(toy.x))
    damage, stopped = (margin(toy.model(one), toy.y) for one in (full, early))
    assert torch.equal(damage, stopped)
    left = damage < 0
    assert torch.equal(full[left], early[left])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_the_ensemble_keeps_the_worst_image_of_each_case(form: str, norm: str) -> None:
    toy, threat = segmented(form), ThreatModel(norm, EPS[norm])

    def damage(attack: Attack) -> Tensor:
        x_adv = attack(toy.model, toy.x, toy.y, threat, streams(toy.x))
        return margin(toy.model(x_adv), toy.y)

    ensemble = damage(AutoAttack(steps=5, queries=10))
    first = damage(APGD(5))
    assert bool((ensemble >= first).all())
    # The others begin where the streams stand by then: no case by case, but on average.
    for loss in ("dice", "cross_entropy_dice"):
        assert float(ensemble.mean()) >= float(damage(APGD(5, loss=loss)).mean()) - 0.01


def test_the_ensemble_on_a_segmenter_with_random_outputs() -> None:
    toy, threat = segmented("2-D exclusive"), ThreatModel("L2", EPS["L2"])
    draws = torch.Generator().manual_seed(0)

    def wavering(z: Tensor) -> Tensor:
        logits: Tensor = toy.model(z)
        return logits + 0.05 * torch.randn(logits.shape, generator=draws).to(logits)

    attack, passes = AutoAttack(steps=4, queries=20), 0

    def counted(z: Tensor) -> Tensor:
        nonlocal passes
        passes += len(z)
        return wavering(z)

    x_adv = attack(counted, toy.x, toy.y, threat, streams(toy.x))
    assert passes <= attack.passes * len(toy.x)
    assert float(threat.distance(x_adv, toy.x).max()) <= threat.eps + 1e-12
    noise = Noise()(toy.model, toy.x, toy.y, threat, streams(toy.x))
    assert bool((margin(toy.model(x_adv), toy.y) > margin(toy.model(noise), toy.y)).all())


@pytest.mark.parametrize(
    ("norm", "form"), [("Linf", FORMS[0]), ("L2", FORMS[1]), ("L2-slice", FORMS[2])]
)
def test_one_perturbation_for_every_image(norm: str, form: str) -> None:
    """It does more damage than a random one of its size, and is as large as it may be."""
    toy, threat = segmented(form, 6), ThreatModel(norm, 2 * EPS[norm])
    for aimed in (False, True):
        goal = toy.goal(aimed)
        fitted = UniversalPerturbation(steps=20, batch=4)
        drawn = torch.Generator().manual_seed(0)
        delta = fitted.fit(toy.model, toy.x, toy.y, threat, drawn, goal)
        assert delta.shape == toy.x[:1].shape
        assert float(threat.distance(delta, torch.zeros_like(delta))) <= threat.eps * (1 + 1e-9)
        noise = threat.eps * threat.steepest(torch.randn(delta.shape, generator=drawn).to(delta))
        damage, control = (
            margin(toy.model(apply_perturbation(toy.x, one, threat)), toy.y, goal).mean()
            for one in (delta, noise)
        )
        assert float(damage) > float(control)


@pytest.mark.parametrize("name", DENSE)
def test_logits_beyond_doubt_are_no_defence(name: str) -> None:
    """Logits times 1e4: cross-entropy has no gradient there, the margin has."""
    (attack, threat), toy = make(name, ATTACKS[name].norms[0]), segmented("2-D exclusive")
    if attack.traits.baseline:
        pytest.skip("noise does not search")
    loud = Then(toy.model, lambda z: 1e4 * z)
    x_adv = attack(loud, toy.x, toy.y, threat, streams(toy.x))
    assert bool((margin(loud(x_adv), toy.y) > margin(loud(toy.x), toy.y)).all())


@pytest.mark.parametrize("shape", [(6, 6, 6), (3, 5, 8)])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_square_moves_cubes_in_volumes(norm: str, shape: tuple[int, ...]) -> None:
    """Of a classifier too: on a linear one it approaches the closed form."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).double()
    x = torch.full((2, 1, *shape), 0.5, dtype=torch.float64)

    def model(z: Tensor) -> Tensor:
        value = ((z - 0.5) * weight).flatten(1).sum(1)
        return torch.stack([value + 100, -value], 1)

    y, threat = torch.zeros(2, dtype=torch.int64), ThreatModel(norm, 0.2)
    x_adv = Square(queries=200)(model, x, y, threat, streams(2))
    gain = margin(model(x_adv), y) + 100
    best = 2 * 0.2 * (weight.abs().sum() if norm == "Linf" else weight.norm())
    assert bool((gain <= best * (1 + 1e-9)).all())
    assert float(gain.min()) > (0.3 if norm == "Linf" else 0.15) * float(best)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "AutoAttack"])
def test_volumes_of_classifiers(name: str) -> None:
    """Five axes are no obstacle, and of one slice a volume is the image."""
    attack = make_attack(name, **FAST.get(name, {}))
    weight = torch.randn(3, 48, generator=torch.Generator().manual_seed(0)).double()

    def model(z: Tensor) -> Tensor:
        return z.flatten(1) @ weight.T

    x = torch.rand(3, 1, 3, 4, 4, dtype=torch.float64)
    y = model(x).argmax(1)
    if attack.traits.dense_only:
        pytest.skip("works on segmenters alone")
    for norm in attack.norms:
        threat = ThreatModel(norm, math.inf if attack.minimum_norm else EPS[norm])
        x_adv = attack(model, x, y, threat, streams(x))
        assert x_adv.shape == x.shape and bool(x_adv.isfinite().all())
        assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
        assert float(threat.distance(x_adv, x).max()) <= threat.eps + 1e-12


@pytest.mark.parametrize("name", DENSE)
def test_of_images_the_norm_of_slices_is_l2(name: str) -> None:
    if not {"L2", "L2-slice"} <= set(ATTACKS[name].norms) or name == "AutoAttack":
        pytest.skip("not both norms, or other stages in each")
    toy, attack = segmented("2-D exclusive"), make_attack(name, **FAST.get(name, {}))
    whole, slices = (
        attack(toy.model, toy.x, toy.y, ThreatModel(norm, 0.5), streams(toy.x))
        for norm in ("L2", "L2-slice")
    )
    assert torch.equal(whole, slices)
