"""The contract of an attack, once, over every attack that is registered and each of its norms."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attacks
from attacks import ATTACKS, BIM, FGSM, PGD, Attack, MarginPGD, ThreatModel, canonical, make_attack
from attacks.losses import Objective, climb, cross_entropy, margin, saturated
from attacks.streams import Streams
from tests.toys import Linear, Then, fooled, patterns, untrained

QUICK: dict[str, dict[str, Any]] = {
    "CarliniWagnerL2": {"steps": 15, "binary_steps": 3},
    "APGD": {"steps": 25},
    "FAB": {"steps": 25},
    "FMN": {"steps": 40},
    "FeatureMatching": {"steps": 20},
    "HierarchicalFeatureConstraint": {"steps": 20},
    "JointPGD": {"steps": 20},
    "KappaPGD": {"steps": 20},
    "MinimumDistance": {"steps": 20},
    "OrthogonalPGD": {"steps": 20},
    "SelectivePGD": {"steps": 20},
    "Square": {"queries": 100},
    "Standard": {"steps": 10, "queries": 50},
}
"""Fields that make a dear attack cheap enough to run a hundred times; the others keep theirs."""

EVERY = [(name, norm) for name, kind in ATTACKS.items() for norm in kind.norms]
EPS = {"Linf": 0.05, "L2": 0.4}

over_all = pytest.mark.parametrize(("name", "norm"), EVERY)


def make(name: str, norm: str) -> tuple[Attack, ThreatModel]:
    attack = make_attack(name, **QUICK.get(name, {}))
    return attack, ThreatModel(norm, math.inf if attack.minimum_norm else EPS[norm])


def images(n: int, channels: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images with a black border and some white, as medical ones have."""
    x = torch.rand(n, channels, 8, 8, generator=torch.Generator().manual_seed(n)).to(dtype)
    x[:, :, 0] = 0
    x[:, :, 1, :3] = 1
    return x


def streams(n: int) -> Streams:
    return Streams.of(0, range(n))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("n", "channels", "classes"), [(1, 1, 2), (5, 3, 2), (5, 1, 6)])
@over_all
def test_limits(
    name: str,
    norm: str,
    n: int,
    channels: int,
    classes: int,
    targeted: bool,
    dtype: torch.dtype,
) -> None:
    """Within the threat model and the box; shape and dtype kept; arguments as they were."""
    attack, threat = make(name, norm)
    model = untrained(classes, channels).to(dtype)
    x = images(n, channels, dtype)
    y = model(x).argmax(1)
    target = (y + 1) % classes if targeted else None
    given = x.clone(), y.clone(), None if target is None else target.clone()
    x_adv = attack(model, x, y, threat, streams(n), target)

    assert x_adv.shape == x.shape and x_adv.dtype == x.dtype and x_adv.device == x.device
    assert not x_adv.requires_grad
    assert bool(x_adv.isfinite().all())
    assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
    # A pixel near 1 is known to 6e-8 in float32.
    slack = 1e-6 if dtype == torch.float32 else 1e-12
    assert float(threat.distance(x_adv, x).max()) <= threat.eps + slack
    assert not torch.equal(x_adv, x)
    assert x_adv.data_ptr() != x.data_ptr()
    assert torch.equal(x, given[0]) and torch.equal(y, given[1])
    assert target is None or torch.equal(target, given[2])
    assert not x.requires_grad


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("classes", [2, 6])
@over_all
def test_a_case_does_not_depend_on_its_neighbours(
    name: str, norm: str, classes: int, targeted: bool
) -> None:
    attack, threat = make(name, norm)
    model, x = untrained(classes), images(6)
    y = model(x).argmax(1)
    target = (y + 1) % classes if targeted else None

    def run(rows: list[int]) -> Tensor:
        goal = None if target is None else target[rows]
        return attack(model, x[rows], y[rows], threat, Streams.of(0, rows), goal)

    together = run([0, 1, 2, 3, 4, 5])
    order = [4, 2, 0, 5, 1, 3]
    assert torch.allclose(run(order), together[order], rtol=0, atol=1e-12)
    for i in (0, 5):
        assert torch.allclose(run([i]), together[[i]], rtol=0, atol=1e-12)


@over_all
def test_the_streams_decide(name: str, norm: str) -> None:
    """The same streams give the same images, and no other source of chance is used."""
    attack, threat = make(name, norm)
    model, x = untrained(3), images(4)
    y = model(x).argmax(1)
    before = torch.get_rng_state()
    first = attack(model, x, y, threat, Streams.of(1, range(4)))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(first, attack(model, x, y, threat, Streams.of(1, range(4))))


@over_all
def test_the_model_is_left_as_it_was(name: str, norm: str) -> None:
    attack, threat = make(name, norm)
    model, x, y = patterns(3)
    model.append(nn.BatchNorm1d(3)).eval()
    model[0].weight.requires_grad_(False)
    kept = torch.ones_like(model[0].bias)
    model[0].bias.grad = kept.clone()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    attack(model, x[:4], y[:4], threat, streams(4))
    assert torch.equal(model[0].bias.grad, kept)
    assert all(p.grad is None for p in model.parameters() if p is not model[0].bias)
    assert [p.requires_grad for p in model.parameters()] == [False] + [True] * 7
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@over_all
def test_any_callable_is_a_model(name: str, norm: str) -> None:
    attack, threat = make(name, norm)
    model, x = untrained(3), images(3)
    y = model(x).argmax(1)
    expected = attack(model, x, y, threat, streams(3))
    assert torch.equal(attack(lambda z: model(z), x, y, threat, streams(3)), expected)
    with torch.no_grad():
        assert torch.equal(attack(model, x, y, threat, streams(3)), expected)


@over_all
def test_passes_are_an_upper_bound(name: str, norm: str) -> None:
    attack, threat = make(name, norm)
    model, x = untrained(3), images(3)
    seen = 0

    def counted(z: Tensor) -> Tensor:
        nonlocal seen
        seen += len(z)
        out: Tensor = model(z)
        return out

    attack(counted, x, model(x).argmax(1), threat, streams(3))
    assert seen <= attack.passes * len(x) if name != "Noise" else seen == 0


@over_all
def test_it_attacks(name: str, norm: str) -> None:
    """With enough room every search wins, towards a target too; and the target is not ignored."""
    if name == "Noise":
        pytest.skip("noise searches for nothing")
    attack, threat = make(name, norm)
    model, x, y = patterns(4)
    if not attack.minimum_norm:
        threat = dataclasses.replace(threat, eps=6 * threat.eps)
    target = (y + 1) % 4
    free = attack(model, x, y, threat, streams(len(x)))
    aimed = attack(model, x, y, threat, streams(len(x)), target)
    assert float(fooled(model, free, y).double().mean()) > 0.9
    one_step = name == "FGSM"
    assert float(fooled(model, aimed, y, target).double().mean()) > (0.3 if one_step else 0.9)
    assert not torch.equal(free, aimed)


@over_all
def test_a_flat_model_is_survived(name: str, norm: str) -> None:
    """No gradient anywhere, nothing to find: still a finite image within the limits."""
    attack, threat = make(name, norm)
    x, y = images(3), torch.tensor([0, 1, 2])

    def flat(z: Tensor) -> Tensor:
        level = torch.nn.functional.one_hot(y[: len(z)], 3) * 5.0
        return level.to(z) + 0 * z.flatten(1).sum(1, keepdim=True)

    x_adv = attack(flat, x, y, threat, streams(3))
    assert bool(x_adv.isfinite().all())
    assert float(x_adv.min()) >= 0 and float(x_adv.max()) <= 1
    assert float(threat.distance(x_adv, x).max()) <= threat.eps + 1e-12


@over_all
def test_what_does_not_fit_is_refused(name: str, norm: str) -> None:
    attack, _ = make(name, norm)
    model, x = untrained(2), images(2)
    y = model(x).argmax(1)
    wrong = 0.1 if attack.minimum_norm else math.inf
    with pytest.raises(ValueError, match="eps"):
        attack(model, x, y, ThreatModel(norm, wrong), streams(2))
    for other in {"Linf", "L2"} - set(attack.norms):
        fits = ThreatModel(other, math.inf if attack.minimum_norm else 0.1)
        with pytest.raises(ValueError, match=f"not in {other}"):
            attack(model, x, y, fits, streams(2))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_a_value(name: str) -> None:
    """Frozen, hashable, equal by its fields; its file begins with its idea."""
    attack = make_attack(name)
    assert attack == make_attack(name) and hash(attack) == hash(make_attack(name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.steps = 3  # type: ignore[attr-defined]
    assert attack.passes >= 1
    assert (sys.modules[type(attack).__module__].__doc__ or "").strip()


@pytest.mark.parametrize("name", ATTACKS)
def test_counts_must_be_positive(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(ATTACKS[name])}
    for field in fields & {"steps", "step_size", "restarts", "binary_steps"}:
        with pytest.raises(ValueError, match=field):
            make_attack(name, **{field: 0})


# ---------------------------------------------------------------- by name


def test_unknown_names_and_fields() -> None:
    with pytest.raises(ValueError, match=r"unknown attack 'PDG'; did you mean PGD\? there are: "):
        make_attack("PDG")
    with pytest.raises(ValueError, match="there are: APGD, BIM"):
        make_attack("zzzzzz")
    with pytest.raises(ValueError, match=r"PGD has no field 'step'; did you mean steps\?"):
        make_attack("PGD", step=3)
    with pytest.raises(ValueError, match="keep must be best or last, not 'worst'"):
        make_attack("BIM", keep="worst")
    with pytest.raises(ValueError, match="start must be random or image"):
        make_attack("PGD", start="centre")
    with pytest.raises(ValueError, match="unknown objective 'hinge'"):
        Objective("hinge", torch.zeros(1, dtype=torch.int64))
    assert make_attack("PGD", steps=3) == PGD(steps=3)


def test_registered_are_the_six_and_what_was_added() -> None:
    assert {"Noise", "FGSM", "BIM", "PGD", "CW", "CarliniWagnerL2"} <= set(ATTACKS)
    assert all(ATTACKS[name] is getattr(attacks, name) for name in ATTACKS)


# ---------------------------------------------------------------- the same attack twice


@pytest.mark.parametrize("start", ["random", "image"])
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_two_classes_make_one_attack_of_two(
    norm: str, targeted: bool, keep: str, start: str
) -> None:
    """Cross-entropy and margin: called the same for two classes, and measured to be the same."""
    by_entropy = PGD(start=start, keep=keep, objective="cross_entropy", restarts=2)
    by_margin = dataclasses.replace(by_entropy, objective="margin")
    threat = ThreatModel(norm, EPS[norm])
    for classes, same in ((2, True), (3, False)):
        assert (canonical(by_entropy, classes) == canonical(by_margin, classes)) is same
        model, x = untrained(classes), images(5)
        y = model(x).argmax(1)
        target = (y + 1) % classes if targeted else None
        a = by_entropy(model, x, y, threat, streams(5), target)
        b = by_margin(model, x, y, threat, streams(5), target)
        assert torch.allclose(a, b, rtol=0, atol=1e-12) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BIM(), PGD(steps=20, step_size=0.05, schedule="constant", start="image")),
        (
            MarginPGD(),
            PGD(steps=20, step_size=0.1, schedule="constant", start="image", objective="margin"),
        ),
        (FGSM(), PGD(steps=1, step_size=1.0, schedule="constant", start="image", keep="last")),
    ],
)
def test_named_attacks_are_pgd(one: Attack, other: Attack) -> None:
    assert canonical(one, 5) == canonical(other, 5) == other
    assert one.passes == other.passes
    model, x = untrained(5), images(4)
    y = model(x).argmax(1)
    threat = ThreatModel("Linf", 0.05)
    assert torch.equal(one(model, x, y, threat, streams(4)), other(model, x, y, threat, streams(4)))


def test_different_attacks_stay_different() -> None:
    assert canonical(BIM(), 2) != canonical(MarginPGD(), 2)
    assert canonical(PGD(), 2) != canonical(BIM(), 2)
    plain = PGD(takeover=False)
    assert canonical(plain, 2) == plain
    noise = make_attack("Noise")
    assert canonical(noise, 2) == noise


# ---------------------------------------------------------------- objectives and PGD's parts


def test_margin_against_the_definition() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5], [-5.0, -1.0, -3.0]])
    y, target = torch.tensor([0, 2]), torch.tensor([1, 1])
    assert margin(logits, y).tolist() == [-0.5, 2.0]
    assert margin(logits, y, target).tolist() == [-3.0, 2.0]
    two = torch.tensor([[0.0, 3.0]])
    assert margin(two, torch.tensor([1])).tolist() == [-3.0]


def test_objectives_grow_towards_the_goal() -> None:
    """A step along the gradient raises the value; cross-entropy's own value is the textbook's."""
    model, x = untrained(4), images(5)
    y = model(x).argmax(1)
    for target in (None, (y + 1) % 4):
        for name in ("cross_entropy", "margin"):
            objective = Objective(name, y, target)
            logits, gradient = climb(model, x, objective)
            with torch.no_grad():
                after = objective(model(x + 1e-4 * gradient))
            assert bool((after > objective(logits)).all())
    logits = model(x).detach()
    p = logits.softmax(1).gather(1, y[:, None]).squeeze(1)
    assert torch.allclose(cross_entropy(logits, y), -p.log())
    q = logits.softmax(1).gather(1, (y[:, None] + 1) % 4).squeeze(1)
    assert torch.allclose(cross_entropy(logits, y, (y + 1) % 4), q.log())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_takeover_begins_where_half_of_the_digits_are_gone(dtype: torch.dtype) -> None:
    """Below the threshold of 1 - p the objective is the margin, above it cross-entropy."""
    edge = -math.log(torch.finfo(dtype).eps ** 0.5)
    y = torch.zeros(2, dtype=torch.int64)
    logits = torch.tensor([[edge - 0.1, 0.0], [edge + 0.1, 0.0]], dtype=dtype)
    assert saturated(logits, y).tolist() == [False, True]
    value = Objective("cross_entropy", y)(logits)
    assert value[0] == cross_entropy(logits, y)[0] and value[1] == margin(logits, y)[1]
    plain = Objective("cross_entropy", y, takeover=False)(logits)
    assert torch.equal(plain, cross_entropy(logits, y))
    # Towards a target the gradient is largest where the target is far: nothing to take over.
    target = torch.ones(2, dtype=torch.int64)
    aimed = Objective("cross_entropy", y, target)(logits)
    assert torch.equal(aimed, cross_entropy(logits, y, target))


def test_best_is_never_worse_than_last() -> None:
    """A long step goes past the goal: `best` remembers the image on the way."""
    x = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    y = torch.zeros(1, dtype=torch.int64)

    def ridge(z: Tensor) -> Tensor:
        v = z.flatten(1)
        return torch.cat([torch.zeros_like(v), 0.02 - (v - 0.54).abs()], 1)

    threat = ThreatModel("Linf", 0.1)
    steps: dict[str, Any] = {"steps": 2, "step_size": 0.5, "schedule": "constant", "start": "image"}
    best = PGD(**steps)(ridge, x, y, threat, streams(1))
    last = PGD(**steps, keep="last")(ridge, x, y, threat, streams(1))
    assert float(best) == pytest.approx(0.55)
    assert float(margin(ridge(best), y)) > 0 > float(margin(ridge(last), y))


@pytest.mark.parametrize("start", ["random", "image"])
def test_restarts_only_help(start: str) -> None:
    """Nested: the first restart of two is the one restart of one; per case the margin may only rise."""
    model, x, y = patterns(3)
    threat = ThreatModel("Linf", 0.03)
    n = len(x)
    first = before = torch.full((n,), -math.inf)
    for restarts in (1, 2, 4):
        attack = PGD(steps=3, step_size=0.5, start=start, restarts=restarts)
        value = margin(model(attack(model, x, y, threat, streams(n))), y).detach()
        assert bool((value >= before - 1e-6).all())
        first, before = (value if restarts == 1 else first), value
    assert bool((before > first + 1e-4).any())
    noise = [
        margin(model(make_attack("Noise", restarts=r)(model, x, y, threat, streams(n))), y)
        for r in (1, 8)
    ]
    assert bool((noise[1] >= noise[0] - 1e-6).all()) and bool((noise[1] > noise[0] + 1e-4).any())


def test_a_scaled_and_shifted_linear_model_is_the_same_model() -> None:
    """Every gradient attack follows the sign of the gradient, not its size."""
    weight = torch.randn(1, 64, generator=torch.Generator().manual_seed(0)).double()
    x = images(4)
    model = Linear(weight, -weight.sum(1) / 2)
    y = model(x).argmax(1)
    changes: list[Callable[[Tensor], Tensor]] = [lambda z: 3 * z, lambda z: z - 7]
    for name, norm in EVERY:
        attack, threat = make(name, norm)
        expected = attack(model, x, y, threat, streams(4))
        for change in changes:
            found = attack(Then(model, change), x, y, threat, streams(4))
            assert torch.allclose(found, expected, rtol=0, atol=1e-8)
