"""Attacks of other libraries, as far as they are installed: for comparison, never to audit.

Each gets the plain classifier in evaluation mode with frozen parameters, and as many gradients.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks import PGD, Attack, CarliniWagnerL2

PeerAttack = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""`(model, x, y, eps) -> x_adv`."""


def by_foolbox(attack: Attack) -> PeerAttack | None:
    """PGD or C&W of foolbox (Rauber et al. 2020)."""
    import foolbox as library

    foolbox: Any = library
    if isinstance(attack, PGD):
        made: Any = foolbox.attacks.LinfPGD(rel_stepsize=attack.step_size, steps=attack.steps)
    elif isinstance(attack, CarliniWagnerL2):
        made = foolbox.attacks.L2CarliniWagnerAttack(
            steps=attack.steps, binary_search_steps=attack.binary_steps, stepsize=0.01
        )
    else:
        return None

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=x.device)
        radius = eps if isinstance(attack, PGD) else None
        x_adv: Tensor = made(wrapped, x, foolbox.criteria.Misclassification(y), epsilons=radius)[1]
        return x_adv

    return run


def by_torchattacks(attack: Attack) -> PeerAttack | None:
    """PGD or C&W of torchattacks (Kim 2020)."""
    import torchattacks

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        if isinstance(attack, PGD):
            made: Any = torchattacks.PGD(
                model, eps=eps, alpha=attack.step_size * eps, steps=attack.steps
            )
        else:
            assert isinstance(attack, CarliniWagnerL2)
            # It has no search for c: the budget goes into steps.
            made = torchattacks.CW(model, c=1, steps=attack.steps * attack.binary_steps, lr=0.01)
        x_adv: Tensor = made(x, y)
        return x_adv

    return run if isinstance(attack, PGD | CarliniWagnerL2) else None


def by_art(attack: Attack) -> PeerAttack | None:
    """PGD or C&W of the Adversarial Robustness Toolbox (Nicolae et al. 2018)."""
    from art.attacks import evasion
    from art.estimators.classification import PyTorchClassifier

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        with torch.no_grad():
            classes = model(x[:1]).shape[1]
        wrapped = PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=tuple(x.shape[1:]),
            nb_classes=classes,
            clip_values=(0.0, 1.0),
            device_type="gpu" if x.is_cuda else "cpu",
        )
        if isinstance(attack, PGD):
            made = evasion.ProjectedGradientDescent(
                wrapped,
                eps=eps,
                eps_step=attack.step_size * eps,
                max_iter=attack.steps,
                num_random_init=1,
                batch_size=len(x),
                verbose=False,
            )
        else:
            assert isinstance(attack, CarliniWagnerL2)
            made = evasion.CarliniL2Method(
                wrapped,
                max_iter=attack.steps,
                binary_search_steps=attack.binary_steps,
                batch_size=len(x),
                verbose=False,
            )
        found = made.generate(x.cpu().numpy(), y=y.cpu().numpy())
        return torch.from_numpy(found).to(x)

    return run if isinstance(attack, PGD | CarliniWagnerL2) else None


def by_adv_lib(attack: Attack) -> PeerAttack | None:
    """PGD or C&W of adversarial-library (Rony and Ben Ayed)."""
    # It plots with visdom, which need not be there.
    sys.modules.setdefault("visdom", types.ModuleType("visdom"))
    from adv_lib import attacks as library

    def run(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
        if isinstance(attack, PGD):
            x_adv: Tensor = library.pgd_linf(
                model, x, y, eps, steps=attack.steps, relative_step_size=attack.step_size
            )
            return x_adv
        assert isinstance(attack, CarliniWagnerL2)
        found: Tensor = library.carlini_wagner_l2(
            model, x, y, max_iterations=attack.steps, binary_search_steps=attack.binary_steps
        )
        return found

    return run if isinstance(attack, PGD | CarliniWagnerL2) else None


_MAKERS: dict[str, tuple[str, Callable[[Attack], PeerAttack | None]]] = {
    "foolbox": ("foolbox", by_foolbox),
    "torchattacks": ("torchattacks", by_torchattacks),
    "ART": ("art", by_art),
    "adv-lib": ("adv_lib", by_adv_lib),
}


def installed_peers(attack: Attack) -> dict[str, PeerAttack]:
    """The libraries that are installed and have this attack, by name."""
    found: dict[str, PeerAttack] = {}
    for name, (module, make) in _MAKERS.items():
        if importlib.util.find_spec(module) is not None and (peer := make(attack)) is not None:
            found[name] = peer
    return found


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which other libraries draw from, and put them back."""
    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)
