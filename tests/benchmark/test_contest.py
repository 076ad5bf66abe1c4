"""Speed against other libraries: the same budget, in turn, strength measured by us."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, CarliniWagnerL2, ThreatModel
from robust.benchmark import contest as module
from robust.benchmark.attack_speed import bare_passes
from robust.benchmark.contest import FLOOR, OURS, PLAIN, benchmark_attacks, contest
from robust.benchmark.peers import installed_peers
from robust.benchmark.workloads import Workload
from robust.models import Classifier, prepare


def network() -> Classifier:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 2))
    return prepare(Classifier(net, head="softmax"))


def workload(count: int = 24) -> Workload:
    classifier = network()
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return Workload(classifier, x, classifier(x).argmax(1))


def test_everyone_gets_as_many_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the network itself."""
    load = workload()
    classifier, x, y = load.classifier, load.x, load.y
    counts: dict[str, int] = {}
    current = ""

    def count(m: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        if out.requires_grad:
            counts[current] = counts.get(current, 0) + len(out)

    classifier.register_forward_hook(count)
    attack = PGD(steps=7)
    for name, peer in installed_peers(attack).items():
        current = name
        peer(classifier, x, y, 0.05)
    current = FLOOR
    bare_passes(classifier, x, y, forward=7 * len(x), backward=7 * len(x))
    assert {n: c // len(x) for n, c in counts.items()} == dict.fromkeys(counts, 7)
    assert "foolbox" in counts and FLOOR in counts


def test_what_is_found_is_judged_by_us() -> None:
    load = workload()
    threat = ThreatModel("Linf", 0.05)
    far = load.x + 0.2
    assert module.measure_strength(load, far.clamp(0, 1), threat) == 1.0
    assert module.measure_strength(load, far, threat) == 1.0
    everyone, attacker = contest(load, PGD(steps=5), 0.05, rounds=1)
    found = {one.name: one for one in everyone}
    assert set(found) >= {OURS, FLOOR, PLAIN, "foolbox"}
    assert all(one.seconds and not one.failed for one in everyone)
    assert 0 <= found[OURS].strength <= found["foolbox"].strength <= 1
    assert attacker.models.low_precision is None  # far too small to gain


def test_the_nearest_image() -> None:
    attack = CarliniWagnerL2(steps=10, binary_steps=5)
    everyone, _ = contest(workload(), attack, 0.0, rounds=1)
    found = {one.name: one.strength for one in everyone}
    assert 0 < found[OURS] <= 1.01 * found["foolbox"]


def test_a_library_that_fails_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Tensor:
        raise IndexError("dim out of range")

    monkeypatch.setattr(module, "installed_peers", lambda attack: {"theirs": broken})
    everyone, _ = contest(workload(4), PGD(steps=2), 0.05, rounds=1)
    assert everyone[-1].failed == "IndexError: dim out of range" and not everyone[-1].seconds
    assert everyone[0].seconds


def test_budgets_are_named() -> None:
    assert benchmark_attacks(["PGD"], 9) == {"PGD": PGD(steps=9)}
