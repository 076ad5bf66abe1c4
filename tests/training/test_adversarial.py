"""Hardening reduces to plain training where it must, stays in its ball, and hardens."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attacks import PGD, Streams, ThreatModel
from robust.models import Classifier
from robust.training.adversarial import (
    adversarial_loss,
    divergence,
    frozen,
    perturb,
    pgd_at,
    trades,
    warmed_up_eps,
)
from robust.training.fit import FitResult, precision
from robust.training.recipe import AdversarialSpec, Recipe
from tests.training.tiny import cases_of, classifier, recipe, run

METHODS = ("pgd-at", "trades")


def spec(method: str, **more: Any) -> AdversarialSpec:
    return AdversarialSpec.model_validate({"method": method, "eps": 0.03, **more})


def batch(n: int = 12) -> tuple[Tensor, Tensor]:
    """Images that touch both ends of the box."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n, 1, 32, 32, generator=generator) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.arange(n) % 2


def streams(n: int = 12) -> Streams:
    return Streams.of(0, range(n))


@pytest.mark.parametrize("norm", [False, True])
def test_at_eps_0_the_loss_is_the_plain_one(norm: bool) -> None:
    """That of trades too, but for dropout, whose masks differ between its two passes."""
    x, y = batch()
    plain = F.cross_entropy(classifier(norm).eval()(x), y)
    for method in METHODS:
        found, logits = adversarial_loss(
            classifier(norm).eval(), x, y, spec(method, eps=0), streams(), F.cross_entropy
        )
        assert torch.equal(found, plain) and len(logits) == len(x)


def test_trades_is_the_plain_loss_and_beta_times_how_far_predictions_move() -> None:
    x, y = batch()
    model = classifier(norm=False).train()
    plain = F.cross_entropy(model(x), y)
    found = {
        beta: float(
            trades(model, x, y, spec("trades", beta=beta), streams(), F.cross_entropy)[0].detach()
        )
        for beta in (1e-12, 1.0, 6.0)
    }
    x_adv = perturb(model, x, y, spec("trades"), streams())
    p, q = model(x).softmax(1), model(x_adv).softmax(1)
    moved = float((p * (p / q).log()).sum(1).mean().detach())
    assert moved > 0
    assert found[1e-12] == pytest.approx(float(plain.detach()), rel=1e-5)
    assert found[1.0] == pytest.approx(float(plain.detach()) + moved, rel=1e-5)
    assert found[6.0] == pytest.approx(float(plain.detach()) + 6 * moved, rel=1e-5)


def test_the_divergence_is_that_of_kullback_and_leibler() -> None:
    """By hand: 0.5 log(0.5 / 0.9) + 0.5 log(0.5 / 0.1) = 0.5108; the other way about 0.3680."""
    even, sure = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.9, 0.1]]).log()
    assert float(divergence(even, sure)) == pytest.approx(0.5108, abs=1e-4)
    assert float(divergence(sure, even)) == pytest.approx(0.3680, abs=1e-4)
    assert float(divergence(sure, sure)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("eps", [1 / 255, 0.1])
def test_the_images_stay_in_ball_and_box_and_climb(method: str, eps: float) -> None:
    x, y = batch()
    model = classifier(norm=False).train()
    x_adv = perturb(model, x, y, spec(method, eps=eps), streams())
    assert ThreatModel("Linf", eps).distance(x_adv, x).max() <= eps * (1 + 1e-5)
    assert ThreatModel("Linf", eps).distance(x_adv, x).min() > 0.9 * eps
    assert x_adv.min() >= 0 and x_adv.max() <= 1 and not x_adv.requires_grad
    with torch.no_grad():
        noisy = model(ThreatModel("Linf", eps).random(x, streams()))
        clean, moved = model(x), model(x_adv)
    if method == "trades":
        assert bool((divergence(clean, moved) > divergence(clean, noisy)).all())
    else:
        loss = F.cross_entropy(moved, y, reduction="none")
        assert bool((loss > F.cross_entropy(noisy, y, reduction="none")).all())
    again = perturb(model, x, y, spec(method, eps=eps), streams())
    assert torch.equal(again, x_adv)


def test_more_steps_and_longer_ones_find_worse_images() -> None:
    x, y = batch()
    model = classifier(norm=False)

    def found(**how: Any) -> float:
        x_adv = perturb(model, x, y, spec("pgd-at", eps=0.1, **how), streams())
        with torch.no_grad():
            return float(F.cross_entropy(model(x_adv), y))

    assert found(steps=1) < found(steps=7)
    assert found(step_size=0.02) < found(step_size=0.25)


@pytest.mark.parametrize("method", METHODS)
def test_the_attack_leaves_no_trace_in_the_network(method: str) -> None:
    """The loss alone moves batch statistics and gradients, never the steps that look for images.

    Batch statistics are those of what the network learns from, as in the papers' own code: of the
    attacked images with pgd-at, of the images and then the attacked ones with trades.
    """
    x, y = batch()
    model, twin = classifier(), classifier()
    model.train()
    twin.train()
    x_adv = perturb(model, x, y, spec(method, eps=0.1), streams())
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), twin.buffers(), strict=True))
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(module.training for module in model.modules())

    function = pgd_at if method == "pgd-at" else trades
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss, _ = function(model, x, y, spec(method, eps=0.1), streams(), F.cross_entropy)
        loss.backward()
    for seen in [x_adv] if method == "pgd-at" else [x, x_adv]:
        twin(seen)
    for (name, one), other in zip(model.named_buffers(), twin.buffers(), strict=True):
        assert torch.equal(one, other), name
    norm: Any = model.network[1]  # type: ignore[index]
    assert int(norm.num_batches_tracked) == (1 if method == "pgd-at" else 2)
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


def test_the_attack_sees_the_network_as_it_will_be_used() -> None:
    """No dropout and no batch statistics of the attacked images themselves: one image's variant
    does not depend on its neighbours in the batch."""
    x, y = batch()
    model = classifier().train()
    whole = perturb(model, x, y, spec("pgd-at"), streams())
    half = perturb(model, x[:6], y[:6], spec("pgd-at"), Streams.of(0, range(6)))
    assert torch.allclose(whole[:6], half, atol=1e-6)


def test_frozen_gives_back_what_it_took() -> None:
    model = classifier().train()
    norm: Any = model.network[1]  # type: ignore[index]
    norm.eval()
    norm.weight.requires_grad_(False)
    with pytest.raises(KeyError), frozen(model):
        assert not any(p.requires_grad for p in model.parameters())
        assert not any(module.training for module in model.modules())
        raise KeyError
    assert model.training and not norm.training
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["network.1.weight"]


def test_eps_grows_over_the_warmup() -> None:
    assert [warmed_up_eps(0.04, 2.0, epochs) for epochs in (0.0, 0.5, 1.0, 2.0, 7.0)] == [
        *(0.0, 0.01, 0.02, 0.04, 0.04)
    ]
    assert warmed_up_eps(0.04, 0.0, 0.0) == 0.04


@pytest.mark.parametrize(
    ("asked", "hard", "kind", "given"),
    [
        ("auto", False, "cuda", "bf16-mixed"),
        ("auto", True, "cuda", "32-true"),
        ("auto", False, "cpu", "32-true"),
        ("bfloat16", True, "cuda", "bf16-mixed"),
        ("float16", False, "cuda", "16-mixed"),
        ("float32", False, "cuda", "32-true"),
    ],
)
def test_hardening_computes_in_float32_unless_told(
    asked: str, hard: bool, kind: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    tables: dict[str, Any] = {"training": {"precision": asked}}
    if hard:
        tables["adversarial"] = {"method": "pgd-at", "eps": "1/255"}
    assert precision(recipe(**tables), torch.device(kind)) == given


EPS = 8 / 255


def weak_and_strong(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two classes with a strong feature and many weak ones, after Tsipras et al. 2019 (1805.12152).

    The strong one is right in 85 % of the cases and moves its pixels by 0.3. Each of 48 weak ones
    moves by 4/255, less than EPS, under noise; together they are nearly always right. A network
    that leans on these falls to an attack, one that does not is right in 85 % of the cases, clean
    or attacked.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    sign = (2.0 * y - 1).view(n, 1, 1, 1)
    x = 0.5 + sign * 4 / 255 + 0.03 * torch.randn(n, 1, 8, 8, generator=generator)
    honest = (torch.rand(n, 1, 1, 1, generator=generator) < 0.85).float() * 2 - 1
    x[:, :, :2] = 0.5 + 0.3 * sign * honest + 0.03 * torch.randn(n, 1, 2, 8, generator=generator)
    return x.clamp(0, 1), y


@cache
def trained(folder: Path, method: str) -> tuple[FitResult, float, float]:
    """What a linear network comes to, and its accuracy on new cases: clean, and under PGD."""
    hard: dict[str, Any] = {}
    if method != "plain":
        hard = {"adversarial": {"method": method, "eps": EPS, "steps": 4, "warmup": 1.0}}
    how: Recipe = recipe(
        training={"epochs": 6, "batch": 40, "lr": 0.03, "weight_decay": 0.0}, **hard
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
    model = Classifier(network, mean=0.5, std=0.25, channels=1, size=8, head="softmax")
    fitted = run(
        folder / method,
        how,
        classifier=model,
        train=cases_of(*weak_and_strong(240, 0), name="train"),
        val=cases_of(*weak_and_strong(120, 1), name="val"),
    )
    x, y = weak_and_strong(200, 2)
    x_adv = PGD()(model, x, y, ThreatModel("Linf", EPS), Streams.of(0, range(200)))
    with torch.no_grad():
        clean, robust = ((model(seen).argmax(1) == y).float().mean() for seen in (x, x_adv))
    return fitted, float(clean), float(robust)


@pytest.mark.parametrize("method", METHODS)
def test_a_hardened_network_withstands_what_fells_a_plain_one(
    method: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "hardened"
    _, clean, robust = trained(folder, "plain")
    assert clean > 0.95 and robust < 0.6
    fitted, hard_clean, hard_robust = trained(folder, method)
    assert hard_robust > robust + 0.2 and hard_robust > 0.75
    assert 0.75 < hard_clean <= clean
    best = fitted.history[fitted.best_epoch - 1]
    shown = [row["val_robust_accuracy"] for row in fitted.history]
    assert best["val_robust_accuracy"] == max(shown) > 0.75


def test_the_history_of_a_plain_training_knows_no_attack(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fitted, _, _ = trained(tmp_path_factory.getbasetemp() / "hardened", "plain")
    assert all("val_robust_accuracy" not in row for row in fitted.history)
