"""The contract of an attack, over every attack that is registered and each of its norms.

Adaptive attacks run with a toy detector; without one they are PGD on the margin, as a test of their
own says.
"""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from attacks import ATTACKS, ThreatModel, make_attack
from attacks.streams import Streams
from tests.attacks.cases import EVERY, dealt, images, make, streams, with_detector
from tests.toys import fooled, patterns, untrained

over_all = pytest.mark.parametrize(("name", "norm"), EVERY)


@pytest.mark.parametrize(
    ("name", "norm", "n", "channels", "classes", "targeted", "dtype"),
    dealt(
        (1, 1, 2, True, torch.float32),
        (5, 3, 2, False, torch.float64),
        (5, 3, 6, True, torch.float64),
        (5, 1, 6, False, torch.float32),
    ),
)
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
    x_adv = with_detector(attack, model, classes)(model, x, y, threat, streams(n), target)

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


@pytest.mark.parametrize(("name", "norm", "classes", "targeted"), dealt((2, False), (6, True)))
def test_a_case_does_not_depend_on_its_neighbours(
    name: str, norm: str, classes: int, targeted: bool
) -> None:
    attack, threat = make(name, norm)
    model, x = untrained(classes), images(6)
    y = model(x).argmax(1)
    target = (y + 1) % classes if targeted else None
    call = with_detector(attack, model, classes)

    def run(rows: list[int]) -> Tensor:
        goal = None if target is None else target[rows]
        return call(model, x[rows], y[rows], threat, Streams.of(0, rows), goal)

    together = run([0, 1, 2, 3, 4, 5])
    for rows in ([4, 2, 0, 3], [5]):  # in another order, with others, and alone
        assert torch.allclose(run(rows), together[rows], rtol=0, atol=1e-12)


@over_all
def test_the_streams_decide(name: str, norm: str) -> None:
    """The same streams give the same images, whatever callable the model is; no other randomness."""
    attack, threat = make(name, norm)
    model, x = untrained(3), images(4)
    y = model(x).argmax(1)
    call = with_detector(attack, model, 3)
    before = torch.get_rng_state()
    first = call(model, x, y, threat, Streams.of(1, range(4)), None)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    with torch.no_grad():
        again = call(lambda z: model(z), x, y, threat, Streams.of(1, range(4)), None)
    assert torch.equal(first, again)


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

    with_detector(attack, model, 3)(counted, x, model(x).argmax(1), threat, streams(3), None)
    assert seen == 0 if attack.knowledge == "none" else 0 < seen <= attack.passes * len(x)


@over_all
def test_knowledge_is_all_that_it_uses(name: str, norm: str) -> None:
    """Without gradients exactly the attacks run that say that they need none."""
    attack, threat = make(name, norm)
    model, x = untrained(3), images(2)

    def opaque(z: Tensor) -> Tensor:
        out: Tensor = model(z.detach()).detach()
        return out

    y = model(x).argmax(1)
    if "gradients" in attack.knowledge:
        with pytest.raises(RuntimeError, match="grad"):
            attack(opaque, x, y, threat, streams(2))
    else:
        attack(opaque, x, y, threat, streams(2))


@over_all
def test_it_attacks(name: str, norm: str) -> None:
    """With enough room every search wins, towards a target too; and the target is not ignored."""
    attack, threat = make(name, norm)
    if attack.traits.baseline:
        pytest.skip("noise does not search")
    model, x, y = patterns(4)
    if not attack.minimum_norm:
        threat = dataclasses.replace(threat, eps=6 * threat.eps)
    target = (y + 1) % 4
    free = attack(model, x, y, threat, streams(len(x)))
    aimed = attack(model, x, y, threat, streams(len(x)), target)
    assert float(fooled(model, free, y).double().mean()) > 0.9
    one_step = attack.traits.steps == 1
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

    x_adv = with_detector(attack, flat, 3)(flat, x, y, threat, streams(3), None)
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
    """Frozen, hashable, equal by its fields."""
    attack = make_attack(name)
    assert attack == make_attack(name) and hash(attack) == hash(make_attack(name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        attack.steps = 3  # type: ignore[attr-defined]
    assert attack.passes >= 1


@pytest.mark.parametrize("name", ATTACKS)
def test_counts_must_be_positive(name: str) -> None:
    fields = {field.name for field in dataclasses.fields(ATTACKS[name])}
    for field in fields & {"steps", "step_size", "restarts", "binary_steps"}:
        with pytest.raises(ValueError, match=field):
            make_attack(name, **{field: 0})


@pytest.mark.parametrize("name", ATTACKS)
def test_any_other_setting_has_another_stream_key(name: str) -> None:
    """A key that leaves out a field would give two attacks the same random numbers."""
    attack = make_attack(name)
    for field in dataclasses.fields(ATTACKS[name]):
        value = getattr(attack, field.name)
        other = {"cross_entropy": "margin", "image": "random", "random": "image"}.get(value, value)
        other = {"best": "last", "linear": "constant"}.get(other, other)
        if isinstance(value, bool):
            other = not value
        elif isinstance(value, int | float):
            other = value / 2 if isinstance(value, float) and value else value + 1
        changed = dataclasses.replace(attack, **{field.name: other})  # type: ignore[type-var]
        # What is no field of a plan changes no draw, but for how many passes a mean is of.
        own = field.repr or field.name == "eot"
        assert (changed.stream_key != attack.stream_key) is own, field.name
