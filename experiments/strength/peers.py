"""The same attacks by other libraries, at a number of gradients; what fails says how."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# adv-lib plots with visdom, which need not be there.
sys.modules.setdefault("visdom", types.ModuleType("visdom"))

Peer = Callable[[nn.Module, Tensor, Tensor, str, float], Tensor]
"""`(model, x, y, norm, eps) -> x_adv`; eps is infinite for a nearest image."""


def _art(model: nn.Module, x: Tensor) -> Any:
    from art.estimators.classification import PyTorchClassifier

    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    return PyTorchClassifier(
        model,
        loss=nn.CrossEntropyLoss(),
        input_shape=tuple(x.shape[1:]),
        nb_classes=classes,
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def _art_run(attack: Any, x: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(attack.generate(x.numpy(), y=y.numpy()))


def _order(norm: str) -> Any:
    return math.inf if norm == "Linf" else 2


def apgd(loss: str, steps: int) -> dict[str, Peer]:
    """`cross_entropy` or `dlr`, one run from a random start."""
    short = "ce" if loss == "cross_entropy" else "dlr"

    def torchattacks(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        import torchattacks as library

        found: Tensor = library.APGD(model, norm=norm, eps=eps, steps=steps, loss=short)(x, y)
        return found

    def adv_lib(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        from adv_lib.attacks.auto_pgd import apgd as attack

        order = float(_order(norm))
        found: Tensor = attack(model, x, y, eps, order, n_iter=steps, loss_function=short)
        return found

    def art(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        from art.attacks.evasion import AutoProjectedGradientDescent as Attack

        loss = "cross_entropy" if short == "ce" else "difference_logits_ratio"
        kw: dict[str, Any] = {"eps": eps, "eps_step": 2 * eps, "max_iter": steps}
        kw |= {"nb_random_init": 1, "batch_size": len(x), "loss_type": loss, "verbose": False}
        return _art_run(Attack(_art(model, x), norm=_order(norm), **kw), x, y)

    def autoattack(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        return _autoattack(model, x, y, norm, eps, [f"apgd-{short}"])

    peers: dict[str, Peer] = {"torchattacks": torchattacks, "adv-lib": adv_lib, "ART": art}
    if steps == 100:
        peers["AutoAttack"] = autoattack
    return peers


def _autoattack(
    model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float, run: list[str] | None
) -> Tensor:
    from pyautoattack import AutoAttack

    kw: dict[str, Any] = {"version": "standard"}
    if run is not None:
        kw = {"version": "custom", "attacks": run}
    attack = AutoAttack(model, norm=norm, eps=eps, device="cpu", **kw)
    if run is not None:
        attack.apgd.n_restarts = 1
    found: Tensor = attack.run_standard_evaluation(x, y, batch_size=len(x))[0]
    return found


def square(queries: int) -> dict[str, Peer]:
    def torchattacks(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        import torchattacks as library

        found: Tensor = library.Square(model, norm=norm, eps=eps, n_queries=queries)(x, y)
        return found

    def art(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        from art.attacks.evasion import SquareAttack

        kw: dict[str, Any] = {"eps": eps, "max_iter": queries, "batch_size": len(x)}
        kw |= {"p_init": 0.8, "verbose": False}
        return _art_run(SquareAttack(_art(model, x), norm=_order(norm), **kw), x, y)

    return {"torchattacks": torchattacks, "ART": art}


def ensembles() -> dict[str, Peer]:
    def autoattack(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        return _autoattack(model, x, y, norm, eps, None)

    def torchattacks(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
        import torchattacks as library

        with torch.no_grad():
            classes = model(x[:1]).shape[1]
        attack = library.AutoAttack(model, norm=norm, eps=eps, n_classes=classes, seed=0)
        found: Tensor = attack(x, y)
        return found

    return {"AutoAttack": autoattack, "torchattacks": torchattacks}


def nearest(steps: int) -> dict[str, Peer]:
    """Minimum-norm attacks, by library and attack."""

    def by_adv_lib(name: str) -> Peer:
        def run(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
            from adv_lib import attacks as library

            order = float(_order(norm))
            if name == "DDN":
                found: Tensor = library.ddn(model, x, y, steps=steps, levels=None)
            elif name == "FMN":
                found = library.fmn(model, x, y, norm=order, steps=steps)
            else:
                found = library.fab(model, x, y, norm=order, n_iter=steps // 5, restarts=5)
            return found

        return run

    def by_foolbox(name: str) -> Peer:
        def run(model: nn.Module, x: Tensor, y: Tensor, norm: str, eps: float) -> Tensor:
            import foolbox as library

            foolbox: Any = library
            made = foolbox.attacks
            if name == "DDN":
                attack = made.DDNAttack(steps=steps)
            else:
                attack = getattr(made, f"{'LInf' if norm == 'Linf' else 'L2'}FMNAttack")(
                    steps=steps
                )
            wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
            goal = foolbox.criteria.Misclassification(y)
            found: Tensor = attack(wrapped, x, goal, epsilons=None)[1]
            return found

        return run

    return {
        "adv-lib DDN": by_adv_lib("DDN"),
        "adv-lib FMN": by_adv_lib("FMN"),
        "adv-lib FAB": by_adv_lib("FAB"),
        "foolbox DDN": by_foolbox("DDN"),
        "foolbox FMN": by_foolbox("FMN"),
    }
