"""Paired with the same attack of other libraries, at the same eps, gradients, steps and restarts.

A case that a peer breaks and ours misses is one that an audit would call robust by mistake: at most
one is allowed. Steps of PGD are as long as ours in the mean (of eps / 10 the peers break fewer).
Foolbox always takes part; torchattacks, ART and adv-lib where they are installed (`make peers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attacks import BIM, FGSM, PGD, Attack, CarliniWagnerL2, ThreatModel
from attacks.streams import Streams
from robust.benchmark.peers import seeded
from tests.toys import fooled, predicted, trained

STEPS, STEP = 20, PGD().step_size
SEEDS = range(5)
Peer = Callable[[nn.Module, Tensor, Tensor, float], Tensor]

OURS: dict[str, tuple[str, Attack]] = {
    "FGSM": ("Linf", FGSM()),
    "BIM": ("Linf", BIM(steps=STEPS, step_size=0.05)),
    "PGD Linf": ("Linf", PGD(steps=STEPS)),
    "PGD L2": ("L2", PGD(steps=STEPS)),
}
RANDOM = ("PGD Linf", "PGD L2")


def by_foolbox(name: str) -> Peer:
    import foolbox

    kind = {
        "FGSM": lambda: foolbox.attacks.LinfFastGradientAttack(),
        "BIM": lambda: foolbox.attacks.LinfBasicIterativeAttack(rel_stepsize=0.05, steps=STEPS),
        "PGD Linf": lambda: foolbox.attacks.LinfPGD(rel_stepsize=STEP, steps=STEPS),
        "PGD L2": lambda: foolbox.attacks.L2PGD(rel_stepsize=STEP, steps=STEPS),
    }[name]

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        found = kind()(wrapped, x, foolbox.criteria.Misclassification(y), epsilons=eps)
        x_adv: Tensor = found[1]
        return x_adv

    return run


def by_torchattacks(name: str) -> Peer:
    library = pytest.importorskip("torchattacks")

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        attack = {
            "FGSM": lambda: library.FGSM(model, eps=eps),
            "BIM": lambda: library.BIM(model, eps=eps, alpha=0.05 * eps, steps=STEPS),
            "PGD Linf": lambda: library.PGD(model, eps=eps, alpha=STEP * eps, steps=STEPS),
            "PGD L2": lambda: library.PGDL2(model, eps=eps, alpha=STEP * eps, steps=STEPS),
        }[name]()
        x_adv: Tensor = attack(x, y)
        return x_adv

    return run


def art_classifier(model: nn.Module, x: Tensor) -> Any:
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=2,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def by_art(name: str) -> Peer:
    evasion = pytest.importorskip("art.attacks.evasion")

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        kw: dict[str, Any] = {"eps": eps, "batch_size": len(x)}
        steps = {**kw, "eps_step": STEP * eps, "max_iter": STEPS, "verbose": False}
        random = {**steps, "num_random_init": 1}
        classifier = art_classifier(model, x)
        attack = {
            "FGSM": lambda: evasion.FastGradientMethod(classifier, **kw),
            "BIM": lambda: evasion.BasicIterativeMethod(
                classifier, **{**steps, "eps_step": 0.05 * eps}
            ),
            "PGD Linf": lambda: evasion.ProjectedGradientDescent(classifier, **random),
            "PGD L2": lambda: evasion.ProjectedGradientDescent(classifier, norm=2, **random),
        }[name]()
        return torch.from_numpy(attack.generate(x.numpy(), y=y.numpy()))

    return run


def by_adv_lib(name: str) -> Peer:
    library = pytest.importorskip("adv_lib.attacks")
    if name not in ("BIM", "PGD Linf"):
        pytest.skip(f"adv-lib has no {name}")

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        from_image = name == "BIM"
        x_adv: Tensor = library.pgd_linf(
            model,
            x,
            y,
            eps,
            steps=STEPS,
            random_init=not from_image,
            relative_step_size=0.05 if from_image else STEP,
        )
        return x_adv

    return run


PEERS: dict[str, Callable[[str], Peer]] = {
    "foolbox": by_foolbox,
    "torchattacks": by_torchattacks,
    "art": by_art,
    "adv_lib": by_adv_lib,
}


Network = tuple[nn.Module, Tensor, Tensor]


def phantoms() -> Network:
    model, x, y = trained()
    return model.requires_grad_(False), x, y


@cache
def _pneumonia(data: Path, n: int) -> Network:
    from experiments.pneumoniamnist.network import PneumoniaCNN
    from robust.models import Classifier

    network = PneumoniaCNN()
    weights = data / "models" / "pneumoniamnist_cnn.pth"
    network.load_state_dict(torch.load(weights, weights_only=True))
    model = Classifier(network, mean=0.5, std=0.5, head="sigmoid").eval().requires_grad_(False)
    with np.load(data / "medmnist" / "pneumoniamnist.npz") as arrays:
        x = torch.from_numpy(arrays["test_images"][: 2 * n, None] / 255).float()
        y = torch.from_numpy(arrays["test_labels"][: 2 * n, 0]).long()
    rows = (predicted(model, x) == y).nonzero().flatten()[:n]
    return model, x[rows], y[rows]


def pneumonia(data: Path) -> Network:
    return _pneumonia(data, 150)


def breaks(network: Network, x_adv: Tensor, norm: str, eps: float) -> Tensor:
    """Cases broken by an image inside the limits; the rounding of float32 is forgiven."""
    model, x, y = network
    inside = ThreatModel(norm, eps).distance(x_adv, x) <= eps + 2e-6
    boxed = ((x_adv >= 0) & (x_adv <= 1)).flatten(1).all(1)
    assert bool((inside & boxed).all())
    return fooled(model, x_adv, y)


def paired(network: Network, peer: str, name: str, eps: float, seed: int) -> tuple[Tensor, Tensor]:
    """Cases that the peer breaks, and that ours breaks."""
    model, x, y = network
    norm, attack = OURS[name]
    run = PEERS[peer](name)
    streams = Streams.of(seed, range(len(x)))
    ours = breaks(network, attack(model, x, y, ThreatModel(norm, eps), streams), norm, eps)
    with seeded(seed):
        theirs = breaks(network, run(model, x, y, eps).detach(), norm, eps)
    return theirs, ours


def over_seeds(
    network: Network, peer: str, name: str, sizes: list[float], seeds: Sequence[int] = SEEDS
) -> None:
    """At each eps and seed, no peer breaks more than one case that ours misses."""
    some = False
    for eps in sizes:
        for seed in seeds if name in RANDOM else range(1):
            theirs, ours = paired(network, peer, name, eps, seed)
            assert int((theirs & ~ours).sum()) <= 1
            some |= 0 < int(ours.sum()) < len(ours)
    assert some, "every case or none fell: nothing was compared"


def sizes_of(name: str, linf: list[float], l2: list[float]) -> list[float]:
    return l2 if OURS[name][0] == "L2" else linf


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("peer", PEERS)
def test_phantoms(peer: str, name: str) -> None:
    over_seeds(phantoms(), peer, name, sizes_of(name, [4 / 255], [0.2]), SEEDS[:3])


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("peer", PEERS)
def test_pneumonia(peer: str, name: str, data: Path) -> None:
    over_seeds(pneumonia(data), peer, name, sizes_of(name, [4 / 255, 8 / 255], [0.4, 0.6]))


# ---------------------------------------------------------------- the nearest image in L2


def nearest(peer: str, network: Network, steps: int, binary_steps: int) -> Tensor:
    """Carlini and Wagner's attack by a peer, at the gradients that ours takes too."""
    model, x, y = network
    if peer == "foolbox":
        import foolbox

        attack = foolbox.attacks.L2CarliniWagnerAttack(
            steps=steps, binary_search_steps=binary_steps, stepsize=0.01
        )
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
        found: Tensor = attack(wrapped, x, foolbox.criteria.Misclassification(y), epsilons=None)[1]
        return found
    if peer == "torchattacks":
        library = pytest.importorskip("torchattacks")
        found = library.CW(model, c=1, steps=steps * binary_steps, lr=0.01)(x, y)
        return found
    if peer == "art":
        evasion = pytest.importorskip("art.attacks.evasion")
        attack = evasion.CarliniL2Method(
            art_classifier(model, x),
            max_iter=steps,
            binary_search_steps=binary_steps,
            batch_size=len(x),
            verbose=False,
        )
        return torch.from_numpy(attack.generate(x.numpy(), y=y.numpy()))
    library = pytest.importorskip("adv_lib.attacks")
    found = library.carlini_wagner_l2(
        model, x, y, max_iterations=steps, binary_search_steps=binary_steps
    )
    return found


def distances(network: Network, x_adv: Tensor) -> Tensor:
    """L2 of what fooled the model, infinite otherwise."""
    model, x, y = network
    length = ThreatModel("L2", math.inf).distance(x_adv.detach(), x)
    return torch.where(fooled(model, x_adv.detach(), y), length, math.inf)


def carlini_wagner(
    network: Network, peer: str, steps: int, binary_steps: int
) -> tuple[Tensor, Tensor]:
    """Distances by ours and by the peer, case by case."""
    model, x, y = network
    with seeded(0):
        theirs = distances(network, nearest(peer, network, steps, binary_steps))
    attack = CarliniWagnerL2(steps=steps, binary_steps=binary_steps)
    streams = Streams.of(0, range(len(x)))
    ours = distances(network, attack(model, x, y, ThreatModel("L2", math.inf), streams))
    return ours, theirs


def at_least_as_near(ours: Tensor, theirs: Tensor) -> None:
    assert int((theirs.isfinite() & ~ours.isfinite()).sum()) <= 1
    assert float(ours.median()) <= 1.01 * float(theirs.median())
    # A peer without a search for c finds the near cases alone, and spends all of its steps there.
    if bool(theirs.isfinite().all()):
        assert float(ours.mean()) <= 1.01 * float(theirs.mean())


@pytest.mark.parametrize("peer", PEERS)
def test_carlini_wagner_on_phantoms(peer: str) -> None:
    budget = (20, 3) if peer == "art" else (20, 9)
    at_least_as_near(*carlini_wagner(phantoms(), peer, *budget))


@pytest.mark.slow
@pytest.mark.parametrize("steps", [20, 100])
@pytest.mark.parametrize("peer", ["foolbox", "torchattacks", "adv_lib"])
def test_carlini_wagner_on_pneumonia(peer: str, steps: int, data: Path) -> None:
    at_least_as_near(*carlini_wagner(pneumonia(data), peer, steps, 9))
