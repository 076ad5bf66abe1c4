"""Foolbox as an oracle for the textbook attacks, and foolbox's attacks under our contract."""

from __future__ import annotations

import math
import random
from typing import Any

import eagerpy as ep
import foolbox
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import BIM, FGSM, PGD, Attack, ThreatModel, from_foolbox, make_attack
from attacks._starts import random_start
from attacks.foolbox_adapter import KNOWLEDGE
from attacks.streams import Streams
from tests.toys import fooled, patterns, untrained

PLAIN = {"keep": "last", "margin_fallback": False}
"""As the textbook has it, and as foolbox does it."""


def streams(x: Tensor) -> Streams:
    return Streams.of(3, range(len(x)))


def cases(classes: int, norm: str) -> tuple[nn.Module, Tensor, Tensor, float]:
    """A network in float64, images and a size.

    Foolbox clips into the box after it has shortened a step to the ball, which is the projection
    in L-inf; in L2 it falls short of the corner of ball and box. So here the L2 ball is inside.
    """
    model, x, y = patterns(classes)
    model, x = model.double(), x.double()
    return (model, x, y, 0.1) if norm == "Linf" else (model, 0.35 + 0.3 * x, y, 0.3)


def by_foolbox(attack: Any, model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    copy = foolbox.PyTorchModel(model, bounds=(0, 1))
    x_adv: Tensor = attack(copy, x, foolbox.criteria.Misclassification(y), epsilons=eps)[1]
    model.zero_grad(set_to_none=True)
    return x_adv.detach()


TEXTBOOK = [
    ("Linf", FGSM(margin_fallback=False), foolbox.attacks.LinfFastGradientAttack()),
    ("L2", FGSM(margin_fallback=False), foolbox.attacks.L2FastGradientAttack()),
    (
        "Linf",
        BIM(steps=10, step_size=0.2, **PLAIN),
        foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.2, steps=10),
    ),
    (
        "L2",
        BIM(steps=10, step_size=0.2, **PLAIN),
        foolbox.attacks.L2BasicIterativeAttack(rel_stepsize=0.2, steps=10),
    ),
    (
        "Linf",
        PGD(steps=20, step_size=0.1, schedule="constant", start="image", **PLAIN),
        foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=20, random_start=False),
    ),
    (
        "L2",
        PGD(steps=20, step_size=0.1, schedule="constant", start="image", **PLAIN),
        foolbox.attacks.L2PGD(rel_stepsize=0.1, steps=20, random_start=False),
    ),
]


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(("norm", "ours", "theirs"), TEXTBOOK)
def test_same_images_from_the_image(norm: str, ours: Attack, theirs: Any, classes: int) -> None:
    model, x, y, eps = cases(classes, norm)
    mine = ours(model, x, y, ThreatModel(norm, eps), streams(x))
    assert float((mine - by_foolbox(theirs, model, x, y, eps)).abs().max()) < 1e-5
    assert not torch.equal(mine, x)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_same_images_from_a_random_start(norm: str, classes: int) -> None:
    model, x, y, eps = cases(classes, norm)
    threat = ThreatModel(norm, eps)
    start = random_start(x, threat, streams(x))
    base: Any = getattr(foolbox.attacks, f"{norm}PGD")

    class FromOurStart(base):  # type: ignore[misc]
        def get_random_start(self, x0: Any, epsilon: float) -> Any:
            return ep.astensor(start)

    theirs = by_foolbox(FromOurStart(rel_stepsize=0.1, steps=20), model, x, y, eps)
    mine = PGD(steps=20, step_size=0.1, schedule="constant", **PLAIN)(
        model, x, y, threat, streams(x)
    )
    assert float((mine - theirs).abs().max()) < 1e-5
    assert not torch.equal(mine, PGD(start="image", **PLAIN)(model, x, y, threat, streams(x)))


def test_where_the_box_binds_our_l2_step_reaches_the_corner() -> None:
    """Foolbox stops short of the corner of ball and box, and so leaves cases that ours breaks."""
    from tests.toys import exact_eps, linear_cases

    model, x, y = linear_cases("binding")
    model.eval()
    exact = exact_eps(model, x, y, "L2")
    theirs = foolbox.attacks.L2PGD(rel_stepsize=0.1, steps=100, random_start=False)
    ours = PGD(steps=100, start="image")
    missed = 0
    for eps in (exact.sort().values[20:60:16] * 1.001).tolist():
        mine = fooled(model, ours(model, x, y, ThreatModel("L2", eps), streams(x)), y)
        other = fooled(model, by_foolbox(theirs, model, x, y, eps), y)
        assert not bool((other & ~mine).any())
        missed += int((mine & ~other).sum())
    assert missed >= 1


# ---------------------------------------------------------------- from_foolbox

TAKEN = [
    ("Linf", foolbox.attacks.LinfPGD(steps=10, rel_stepsize=0.2), 0.3),
    ("L2", foolbox.attacks.L2AdditiveUniformNoiseAttack(), 1.0),
    ("L2", foolbox.attacks.L2DeepFoolAttack(steps=30), math.inf),
    ("Linf", foolbox.attacks.LinfDeepFoolAttack(steps=30), math.inf),
    (
        "L2",
        foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=3, steps=30, stepsize=0.05),
        math.inf,
    ),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("norm", "attack", "eps"), TAKEN)
def test_taken_attacks_keep_the_contract(
    norm: str, attack: Any, eps: float, dtype: torch.dtype
) -> None:
    ours = from_foolbox(attack)
    assert ours.norms == (norm,)
    assert ours.minimum_norm == math.isinf(eps)
    model, x, y = patterns(4)
    model, x = model.to(dtype), x.to(dtype)
    threat = ThreatModel(norm, eps)
    x_adv = ours(model, x, y, threat, streams(x))
    assert x_adv.shape == x.shape and x_adv.dtype == dtype and not x_adv.requires_grad
    assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
    if not math.isinf(eps):
        assert float(threat.distance(x_adv, x).max()) <= eps + 1e-6
    if "Noise" not in type(attack).__name__:
        assert float(fooled(model, x_adv, y).double().mean()) > 0.8
    assert torch.equal(x_adv, ours(model, x, y, threat, streams(x)))
    with pytest.raises(ValueError, match="eps"):
        ours(model, x, y, ThreatModel(norm, 0.1 if math.isinf(eps) else math.inf), streams(x))
    with pytest.raises(ValueError, match="not in"):
        ours(model, x, y, ThreatModel({"L2": "Linf", "Linf": "L2"}[norm], eps), streams(x))


def test_taken_attacks_reach_a_target() -> None:
    model, x, y = patterns(4)
    target = (y + 1) % 4
    ours = from_foolbox(foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.1))
    x_adv = ours(model, x, y, ThreatModel("Linf", 0.3), streams(x), target)
    assert float(fooled(model, x_adv, y, target).double().mean()) > 0.8


@pytest.mark.parametrize("as_function", [False, True])
@pytest.mark.parametrize(("norm", "attack", "eps"), TAKEN)
def test_taken_attacks_leave_the_world_alone(
    norm: str, attack: Any, eps: float, as_function: bool
) -> None:
    """Foolbox calls `backward()`, `eval()` and the global generators; none of it may show."""
    model, x, y = patterns(3)
    model.append(nn.BatchNorm1d(3)).eval()
    kept = torch.ones_like(model[0].bias)
    model[0].bias.grad = kept.clone()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = x.clone()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    taken = from_foolbox(attack)
    taken((lambda z: model(z)) if as_function else model, x, y, ThreatModel(norm, eps), streams(x))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert random.getstate() == states[2]
    assert torch.equal(model[0].bias.grad, kept)
    assert [p.grad for p in model.parameters() if p is not model[0].bias] == [None] * 7
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(x, image)
    model.train()
    taken(model, x, y, ThreatModel(norm, eps), streams(x))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    "attack",
    [
        foolbox.attacks.L1PGD(),
        foolbox.attacks.L1FastGradientAttack(),
        foolbox.attacks.EADAttack(),
        foolbox.attacks.L0FMNAttack(),
    ],
)
def test_other_norms_are_refused(attack: Any) -> None:
    with pytest.raises(ValueError, match="only L-inf and L2"):
        from_foolbox(attack)


def test_by_name() -> None:
    attack = make_attack("foolbox:LinfPGD", steps=3)
    assert attack == from_foolbox(attack.attack)  # type: ignore[attr-defined]
    assert attack.passes == 3
    with pytest.raises(ValueError, match="did you mean LinfPGD"):
        make_attack("foolbox:LinfPDG")
    with pytest.raises(ValueError, match="foolbox:LinfPGD"):
        make_attack("foolbox:LinfPGD", stepz=3)


def test_foolbox_finds_nothing_and_ours_says_so() -> None:
    """A model that cannot be fooled: the image itself comes back, finite and in the box."""
    model = untrained(2)
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    y = torch.zeros(4, dtype=torch.int64)

    def certain(z: Tensor) -> Tensor:
        return model(z) * 1e-3 + torch.tensor([10.0, 0.0], dtype=z.dtype)

    for norm, attack, eps in TAKEN:
        x_adv = from_foolbox(attack)(certain, x, y, ThreatModel(norm, eps), streams(x))
        assert bool(x_adv.isfinite().all())
        assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
        assert not bool(fooled(certain, x_adv, y).any())  # type: ignore[arg-type]


# ---------------------------------------------------------------- what they must know


def test_every_attack_of_foolbox_says_what_it_must_know() -> None:
    """By its class; labels for those that decide by predictions, and never by default."""
    classes = [
        kind
        for kind in vars(foolbox.attacks).values()
        if isinstance(kind, type)
        and issubclass(kind, foolbox.attacks.base.Attack)
        and kind is not foolbox.attacks.base.Attack
    ]
    assert len(classes) > 50
    assert not [kind for kind in classes if not {b.__name__ for b in kind.__mro__} & set(KNOWLEDGE)]


@pytest.mark.parametrize(
    ("attack", "knowledge"),
    [
        (foolbox.attacks.LinfPGD(), "gradients"),
        (foolbox.attacks.L2DeepFoolAttack(), "gradients"),
        (foolbox.attacks.MIFGSM(), "gradients"),
        (foolbox.attacks.GenAttack(), "scores"),
        (foolbox.attacks.BoundaryAttack(), "labels"),
        (foolbox.attacks.HopSkipJumpAttack(constraint="linf"), "labels"),
        (foolbox.attacks.L2RepeatedAdditiveUniformNoiseAttack(), "labels"),
        (foolbox.attacks.L2AdditiveUniformNoiseAttack(), "none"),
    ],
)
def test_knowledge_of_taken_attacks(attack: Any, knowledge: str) -> None:
    assert from_foolbox(attack).knowledge == knowledge


def test_an_attack_that_extends_none_of_foolbox_must_be_told() -> None:
    class Own(foolbox.attacks.base.FixedEpsilonAttack):  # type: ignore[misc]
        distance = foolbox.distances.linf

        def run(self, model: Any, inputs: Any, criterion: Any, **options: Any) -> Any:
            return inputs

    with pytest.raises(ValueError, match="say what it must know"):
        from_foolbox(Own())
    assert from_foolbox(Own(), knowledge="scores").knowledge == "scores"
