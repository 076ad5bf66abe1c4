"""`robust bench` measures what it says: the same budget, in turn, each image judged by us."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from attacks import PGD, CarliniWagnerL2, ThreatModel
from robust.benchmark import contest as module
from robust.benchmark.contest import FLOOR, OURS, PLAIN, budgets, contest
from robust.benchmark.peers import rivals
from robust.cli import main as cli
from robust.models import Classifier, prepare


def network() -> Classifier:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Tanh(), nn.Linear(16, 2))
    return prepare(Classifier(net, head="softmax"))


def images(classifier: Classifier, count: int = 24) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return x, classifier(x).argmax(1)


def test_everyone_gets_as_many_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted at the network itself."""
    classifier = network()
    x, y = images(classifier)
    counts: dict[str, int] = {}
    current = ""

    def count(m: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        if out.requires_grad:
            counts[current] = counts.get(current, 0) + len(out)

    classifier.register_forward_hook(count)
    attack = PGD(steps=7)
    for name, rival in rivals(attack).items():
        current = name
        rival(classifier, x, y, 0.05)
    current = FLOOR
    module._bare(classifier, x, y, 7)
    assert {n: c // len(x) for n, c in counts.items()} == dict.fromkeys(counts, 7)
    assert "foolbox" in counts and FLOOR in counts


def test_what_is_found_is_judged_by_us() -> None:
    classifier = network()
    x, y = images(classifier)
    threat = ThreatModel("Linf", 0.05)
    far = x + 0.2
    assert module._worth(classifier, far.clamp(0, 1), x, y, threat) == 1.0
    assert module._worth(classifier, far, x, y, threat) == 1.0
    everyone, attacker = contest(classifier, x, y, PGD(steps=5), 0.05, rounds=1)
    found = {one.name: one for one in everyone}
    assert set(found) >= {OURS, FLOOR, PLAIN, "foolbox"}
    assert all(one.seconds and not one.failed for one in everyone)
    assert 0 <= found[OURS].found <= found["foolbox"].found <= 1
    assert attacker.twins.low is None  # far too small to gain


def test_the_nearest_image() -> None:
    classifier = network()
    x, y = images(classifier)
    everyone, _ = contest(
        classifier, x, y, CarliniWagnerL2(steps=10, binary_steps=5), 0.0, rounds=1
    )
    found = {one.name: one.found for one in everyone}
    assert 0 < found[OURS] <= 1.01 * found["foolbox"]


def test_a_library_that_fails_is_named_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> Tensor:
        raise IndexError("dim out of range")

    monkeypatch.setattr(module, "rivals", lambda attack: {"theirs": broken})
    classifier = network()
    everyone, _ = contest(classifier, *images(classifier, 4), PGD(steps=2), 0.05, rounds=1)
    assert everyone[-1].failed == "IndexError: dim out of range" and not everyone[-1].seconds
    assert everyone[0].seconds


def test_budgets_are_named() -> None:
    assert budgets(["PGD"], 9) == {"PGD": PGD(steps=9)}


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["robust", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--limit", "2", "--rounds", "1", "--steps", "2", "--size", "32")
    assert not call(monkeypatch, "--architecture", "resnet18", *words)
    said = capsys.readouterr().out
    for part in (
        "2 images of (3, 32, 32) on cpu",
        "PGD(steps=2",
        "robust",
        "foolbox",
        "bare passes",
    ):
        assert part in said


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("", "give a plan, or --architecture"),
        ("--architecture resnet1", "unknown architecture 'resnet1'"),
        ("--architecture resnet18 --attack PDG", "did you mean PGD"),
        ("--architecture resnet18 --precision half", "auto, float32 or bfloat16"),
        ("--architecture resnet18 --eps x", "is not a number"),
    ],
)
def test_wrong_words_are_one_line(
    wrong: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *wrong.split()) == 2
    assert says in " ".join(capsys.readouterr().err.split())
