"""Attacks against truth: on a linear model robust accuracy and nearest image are closed forms."""

from __future__ import annotations

import itertools
import math
from typing import Any

import foolbox
import pytest
import torch
from torch import Tensor

from attacks import BIM, PGD, Attack, CarliniWagnerL2, MarginPGD, ThreatModel, from_foolbox
from attacks._starts import random_start
from attacks.streams import Streams
from tests.toys import Linear, Then, exact_eps, fooled, linear_cases, patterns

BOXES = ("free", "binding")
NORMS = ("Linf", "L2")


def streams(x: Tensor, seed: int = 0) -> Streams:
    return Streams.of(seed, range(len(x)))


def grid(exact: Tensor) -> list[float]:
    """Sizes over the whole range of a curve, and just below and just above single cases."""
    order = exact.sort().values
    whole = torch.linspace(float(order[0]) / 2, float(order[-1]) * 1.05, 12).tolist()
    single = [float(order[i]) * (1 + s) for i in range(5, 64, 14) for s in (-1e-4, 1e-4)]
    return whole + single


def compare(
    attack: Attack, model: Linear, x: Tensor, y: Tensor, norm: str, exact: Tensor
) -> tuple[int, int]:
    """Over the grid: cases judged unlike the closed form, and cases too near the boundary."""
    wrong = left_out = 0
    for eps in grid(exact):
        x_adv = attack(model, x, y, ThreatModel(norm, eps), streams(x))
        near = (exact / eps - 1).abs() < 1e-5
        wrong += int(((fooled(model, x_adv, y) != (exact < eps)) & ~near).sum())
        left_out += int(near.sum())
    return wrong, left_out


EXACT = [
    ("Linf", "free", PGD(start="image")),
    ("Linf", "free", PGD()),
    ("Linf", "free", BIM()),
    ("Linf", "free", MarginPGD()),
    ("Linf", "binding", PGD(start="image")),
    ("Linf", "binding", PGD()),
    ("Linf", "binding", BIM()),
    ("Linf", "binding", MarginPGD()),
    ("L2", "free", PGD(start="image")),
    ("L2", "free", BIM()),
    # Where the box binds, the corner of ball and box is approached, not hit: more steps.
    ("L2", "binding", PGD(start="image", steps=50)),
    ("L2", "binding", PGD(steps=50)),
]


@pytest.mark.parametrize(("norm", "box", "attack"), EXACT)
def test_robust_accuracy_is_exact(norm: str, box: str, attack: Attack) -> None:
    model, x, y = linear_cases(box)
    wrong, left_out = compare(attack, model, x, y, norm, exact_eps(model, x, y, norm))
    assert wrong == 0
    assert left_out <= 3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("box", BOXES)
def test_the_cases_are_what_they_claim(norm: str, box: str) -> None:
    """The box binds or does not, and the closed form without a box agrees where it does not."""
    model, x, y = linear_cases(box)
    assert not bool(fooled(model, x, y).any())
    ratio = exact_eps(model, x, y, norm) / exact_eps(model, x, y, norm, box=False)
    if box == "free":
        assert torch.allclose(ratio, torch.ones_like(ratio), atol=1e-9)
    else:
        assert float(((x == 0) | (x == 1)).double().mean()) > 1 / 3
        assert float(ratio.median()) > 1.03


def test_too_short_a_travel_is_not_exact() -> None:
    """The comparison can fail: half as many steps cannot leave the ball's far side in time."""
    model, x, y = linear_cases("free")
    wrong, _ = compare(
        PGD(steps=10, step_size=0.1), model, x, y, "Linf", exact_eps(model, x, y, "Linf")
    )
    assert wrong > 0


def test_foolbox_defaults_fall_short_in_linf() -> None:
    """Foolbox's LinfPGD starts anywhere in the ball and travels 40 / 30 of its radius.

    A pixel that starts at the wrong end needs 2 radii. What a longer travel breaks, these defaults
    leave as robust, even on a model whose gradient is constant. So ours travel 2 radii.
    """
    model, x, y = linear_cases("free")
    exact = exact_eps(model, x, y, "Linf")
    theirs = from_foolbox(foolbox.attacks.LinfPGD())
    missed = found = 0
    for eps in exact.quantile(torch.tensor([0.2, 0.4, 0.6, 0.8]).double()).tolist():
        truth = exact < eps * (1 - 1e-5)
        broken = fooled(model, theirs(model, x, y, ThreatModel("Linf", eps), streams(x)), y)
        missed += int((truth & ~broken).sum())
        found += int((broken & (exact > eps * (1 + 1e-5))).sum())
    assert missed >= 4
    assert found == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16)])
@pytest.mark.parametrize("box", BOXES)
def test_carlini_wagner_finds_the_nearest(
    box: str, shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    model, x, y = linear_cases(box, n=32, shape=shape, seed=1)
    exact = exact_eps(model, x, y, "L2")
    threat = ThreatModel("L2", math.inf)
    x_adv = CarliniWagnerL2()(model.to(dtype), x.to(dtype), y, threat, streams(x))
    assert bool(fooled(model, x_adv, y).all())
    ratio = threat.distance(x_adv.double(), x) / exact
    assert float(ratio.max()) < 1.01
    # float32 rounds the image itself: the least distances are some 1e-3, pixels 6e-8 exact.
    assert float(ratio.min()) > (1 - 1e-9 if dtype == torch.float64 else 0.999)


BENT = {
    "z^3": lambda z: z**3,
    "z^5": lambda z: z**5,
    "cube root": lambda z: z.sign() * (z.abs() + 1e-6) ** (1 / 3),
    "sinh": lambda z: torch.sinh(z / 2),
}


@pytest.mark.parametrize("bend", BENT)
@pytest.mark.parametrize("box", BOXES)
def test_carlini_wagner_finds_the_nearest_of_bent_logits(box: str, bend: str) -> None:
    """The boundary stays where it was; the gradient vanishes there, or grows without bound.

    So c as the gradient at the image suggests it is wrong, and the bisection has to find it.
    """
    model, x, y = linear_cases(box, n=32, seed=1)
    exact = exact_eps(model, x, y, "L2")
    threat = ThreatModel("L2", math.inf)
    bent = Then(model, BENT[bend])
    x_adv = CarliniWagnerL2()(bent, x, y, threat, streams(x))
    assert bool(fooled(bent, x_adv, y).all())
    assert float((threat.distance(x_adv, x) / exact).max()) < 1.01


def test_carlini_wagner_never_forgets_a_nearer_image() -> None:
    """A bisection step more does all that was done without it, and then looks further."""
    model, x, y = patterns(4)
    threat = ThreatModel("L2", math.inf)
    before = torch.full((len(x),), math.inf)
    for binary_steps in (1, 2, 3, 4, 5):
        attack = CarliniWagnerL2(steps=12, binary_steps=binary_steps, line_steps=0)
        x_adv = attack(model, x, y, threat, streams(x))
        distance = torch.where(fooled(model, x_adv, y), threat.distance(x_adv, x), math.inf)
        assert bool((distance <= before).all())
        before = distance
    slid = CarliniWagnerL2(steps=12, binary_steps=5)(model, x, y, threat, streams(x))
    assert bool(fooled(model, slid, y).all())
    shorter = threat.distance(slid, x) / before
    assert float(shorter.max()) <= 1 + 1e-6 and float(shorter.min()) < 1 - 1e-3


def test_carlini_wagner_keeps_the_confidence() -> None:
    """With kappa the nearest image at that margin is sought: a shifted bias in closed form."""
    model, x, y = linear_cases("binding", n=32)
    kappa = 3.0
    x_adv = CarliniWagnerL2(confidence=kappa)(model, x, y, ThreatModel("L2", math.inf), streams(x))
    with torch.no_grad():
        z = model(x_adv)[:, 1] * torch.where(y == 0, 1.0, -1.0)
    assert bool((z > kappa).all())
    distance = (x_adv - x).flatten(1).norm(dim=1)
    for label in (0, 1):
        rows = y == label
        shifted = Linear(
            model.weight.detach(), model.bias.detach() + (-kappa if label == 0 else kappa)
        )
        exact = exact_eps(shifted, x[rows], y[rows], "L2")
        assert float((distance[rows] / exact).max()) < 1.01


# ---------------------------------------------------------------- the threat model


def projection_cases(seed: int) -> tuple[Tensor, Tensor]:
    """Images with many pixels at the box, and points to project from near and far: `(40, 12)`."""
    generator = torch.Generator().manual_seed(seed)
    kw: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    x = (torch.rand(40, 1, 3, 4, **kw) * 1.6 - 0.3).clamp(0, 1)
    size = 10 ** (3 * torch.rand(40, 1, 1, 1, **kw) - 1)
    return x, x + size * torch.randn(40, 1, 3, 4, **kw)


@pytest.mark.parametrize("eps", [0.05, 0.5, 1.2, 3.0])
def test_l2_projection_is_the_nearest_point(eps: float) -> None:
    """Against the definition: p is the projection of z exactly if <z - p, v - p> <= 0 for all v.

    The v that maximises <z - p, v> over ball and box lies where the linear closed form puts it.
    """
    x, z = projection_cases(0)
    threat = ThreatModel("L2", eps)
    p = threat.project(z, x)
    assert float(threat.distance(p, x).max()) <= eps * (1 + 1e-12)
    assert float(p.min()) >= 0 and float(p.max()) <= 1
    pull = z - p
    v = _furthest(pull, x, eps)
    assert float(threat.distance(v, x).max()) <= eps * (1 + 1e-9)
    gain = (pull * (v - p)).flatten(1).sum(1)
    assert bool((gain <= 1e-9 * (1 + pull.flatten(1).norm(dim=1))).all())


def _furthest(pull: Tensor, x: Tensor, eps: float) -> Tensor:
    """The point of ball and box with the largest <pull, v>, by bisection."""
    low = torch.zeros(len(x), 1, 1, 1, dtype=x.dtype)
    high = torch.full_like(low, 1e12)
    for _ in range(300):
        middle = (low + high) / 2
        inside = ((x + middle * pull).clamp(0, 1) - x).flatten(1).norm(dim=1) <= eps
        low = torch.where(inside.view(-1, 1, 1, 1), middle, low)
        high = torch.where(inside.view(-1, 1, 1, 1), high, middle)
    return (x + low * pull).clamp(0, 1)


def test_l2_projection_against_a_quadratic_programme() -> None:
    from scipy.optimize import minimize

    x, z = projection_cases(1)
    eps = 0.7
    ours = ThreatModel("L2", eps).project(z, x).flatten(1).numpy()
    for image, point, p in zip(x.flatten(1).numpy()[:12], z.flatten(1).numpy()[:12], ours):
        found = minimize(
            lambda v, point=point: ((v - point) ** 2).sum(),
            image,
            jac=lambda v, point=point: 2 * (v - point),
            bounds=[(0, 1)] * 12,
            constraints={
                "type": "ineq",
                "fun": lambda v, image=image: eps**2 - ((v - image) ** 2).sum(),
                "jac": lambda v, image=image: -2 * (v - image),
            },
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        assert abs(found.x - p).max() < 1e-5


def test_linf_projection_is_the_nearest_point() -> None:
    """Pixel by pixel an interval: [max(0, x - eps), min(1, x + eps)]."""
    x, z = projection_cases(2)
    p = ThreatModel("Linf", 0.2).project(z, x)
    want = [
        min(max(zi, max(0, xi - 0.2)), min(1, xi + 0.2))
        for zi, xi in zip(z.flatten().tolist(), x.flatten().tolist())
    ]
    assert torch.equal(p.flatten(), torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("norm", NORMS)
def test_projection_at_the_ends(norm: str) -> None:
    x, z = projection_cases(3)
    assert torch.equal(ThreatModel(norm, 0.0).project(z, x), x)
    assert torch.equal(ThreatModel(norm, math.inf).project(z, x), z.clamp(0, 1))
    inside = ThreatModel(norm, 0.1).project(z, x)
    again = ThreatModel(norm, 0.1).project(inside, x)
    assert torch.allclose(again, inside, rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", NORMS)
def test_distance(norm: str, dtype: torch.dtype) -> None:
    x = torch.zeros(2, 3, 2, 2, dtype=dtype)
    x_adv = x.clone()
    x_adv[0, 1, 0, 0], x_adv[0, 2, 1, 1] = 0.3, -0.4
    want = torch.tensor([0.4 if norm == "Linf" else 0.5, 0.0], dtype=dtype)
    assert torch.allclose(ThreatModel(norm, 1.0).distance(x_adv, x), want)


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e30])
@pytest.mark.parametrize("norm", NORMS)
def test_steepest_gains_the_dual_norm(norm: str, size: float) -> None:
    """No direction of length 1 gains more than the dual norm; float32 neither over- nor underflows."""
    gradient = torch.randn(4, 1, 5, 5, generator=torch.Generator().manual_seed(0)) * size
    gradient[3] = 0
    direction = ThreatModel(norm, 1.0).steepest(gradient)
    length = ThreatModel(norm, 1.0).distance(direction, torch.zeros_like(direction))
    assert torch.allclose(length, torch.tensor([1.0, 1.0, 1.0, 0.0]))
    flat = gradient.double().flatten(1)
    dual = flat.abs().sum(1) if norm == "Linf" else flat.norm(dim=1)
    gain = (flat * direction.double().flatten(1)).sum(1)
    assert torch.allclose(gain, dual, rtol=1e-6)


@pytest.mark.parametrize("eps", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("norm", NORMS)
def test_random_is_inside(norm: str, eps: float) -> None:
    x, _ = projection_cases(4)
    threat = ThreatModel(norm, eps)
    start = threat.random(x, streams(x))
    assert float(threat.distance(start, x).max()) <= eps * (1 + 1e-12)
    assert float(start.min()) >= 0 and float(start.max()) <= 1
    assert not torch.equal(start, x)


def test_random_is_uniform() -> None:
    """In mid-grey the box is far: L-inf pixels are uniform, L2 radii have r^d uniform."""
    from scipy.stats import kstest

    x = torch.full((2000, 1, 1, 3), 0.5, dtype=torch.float64)
    drawn = (ThreatModel("Linf", 0.1).random(x, streams(x)) - x) / 0.2 + 0.5
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    delta = (ThreatModel("L2", 0.1).random(x, streams(x)) - x).flatten(1)
    assert kstest(((delta.norm(dim=1) / 0.1) ** 3).numpy(), "uniform").pvalue > 1e-3
    # On a sphere in three dimensions each coordinate of the direction is uniform (Archimedes).
    direction = delta / delta.norm(dim=1, keepdim=True)
    assert kstest((direction[:, 0].numpy() + 1) / 2, "uniform").pvalue > 1e-3


def test_random_starts_in_l2_are_not_all_on_the_sphere() -> None:
    """Uniform in direction and, up to half of the ball, in distance; inside ball and box."""
    from scipy.stats import kstest

    x = torch.full((500, 1, 8, 8), 0.5, dtype=torch.float64)
    threat = ThreatModel("L2", 0.3)
    radius = threat.distance(random_start(x, threat, streams(x)), x)
    assert kstest((radius / 0.15).numpy(), "uniform").pvalue > 1e-3
    x, _ = projection_cases(5)
    start = random_start(x, threat, streams(x))
    assert float(threat.distance(start, x).max()) <= 0.15 * (1 + 1e-12)
    assert float(start.min()) >= 0 and float(start.max()) <= 1
    linf = ThreatModel("Linf", 0.3)
    assert torch.equal(random_start(x, linf, streams(x)), linf.random(x, streams(x)))


@pytest.mark.parametrize(("norm", "eps"), [("L1", 0.1), ("Linf", -0.1), ("L2", math.nan)])
def test_threat_models_that_make_no_sense(norm: str, eps: float) -> None:
    with pytest.raises(ValueError, match=r"norm|eps"):
        ThreatModel(norm, eps)


def test_no_uniform_draw_without_a_bound() -> None:
    x = torch.zeros(1, 1, 2, 2)
    with pytest.raises(ValueError, match="eps"):
        ThreatModel("L2", math.inf).random(x, streams(x))


# ---------------------------------------------------------------- streams


def test_a_case_has_its_stream_whatever_the_batch() -> None:
    ids = ["a", "b", "c", "d"]
    like = torch.zeros(4, 1, 3, 3)
    whole = Streams.of(7, ids, "PGD", 0.1)
    first, second = whole.uniform(like), whole.normal(like)
    for order in itertools.islice(itertools.permutations(range(4)), 1, 24, 7):
        again = Streams.of(7, [ids[i] for i in order], "PGD", 0.1)
        assert torch.equal(again.uniform(like), first[list(order)])
        assert torch.equal(again.normal(like), second[list(order)])
    for i, name in enumerate(ids):
        assert torch.equal(Streams.of(7, [name], "PGD", 0.1).uniform(like[:1]), first[i : i + 1])
    assert torch.equal(Streams.of(7, ids, "PGD", 0.1).uniform(like.double()), first.double())


def test_streams_differ_by_seed_case_and_label() -> None:
    like = torch.zeros(1, 1, 4, 4)
    draws = [
        Streams.of(0, [1], "PGD").uniform(like),
        Streams.of(1, [1], "PGD").uniform(like),
        Streams.of(0, [2], "PGD").uniform(like),
        Streams.of(0, ["1"], "PGD").uniform(like),
        Streams.of(0, [1], "BIM").uniform(like),
        Streams.of(0, [1], "PGD", 0.1).uniform(like),
    ]
    for a, b in itertools.combinations(draws, 2):
        assert not torch.equal(a, b)


def test_a_slice_goes_on_where_the_whole_stopped() -> None:
    like = torch.zeros(5, 1, 2, 2)
    reference = Streams.of(0, range(5))
    first, second = reference.uniform(like), reference.uniform(like)
    for rows in (
        torch.tensor([False, True, False, True, True]),
        torch.tensor([1, 3, 4]),
        [1, 3, 4],
    ):
        whole = Streams.of(0, range(5))
        assert torch.equal(whole.uniform(like), first)
        part = whole[rows]
        assert len(part) == 3
        assert torch.equal(part.uniform(like[:3]), second[[1, 3, 4]])
    with pytest.raises(ValueError, match="3 streams"):
        part.uniform(like)


def test_streams_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    whole = Streams.of(0, range(3))
    whole.uniform(torch.zeros(3, 1, 2, 2)), whole.normal(torch.zeros(3, 1, 2, 2)), whole.seed()
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_do_not_change_between_versions() -> None:
    """A run that was stored must be replayed as it was: these numbers may never change."""
    drawn = Streams.of(0, ["case-1"], "PGD", "Linf", 4 / 255).uniform(torch.zeros(1, 1, 1, 3))
    assert drawn.flatten().tolist() == pytest.approx([0.6264309, 0.2416103, 0.6150538], abs=1e-6)
