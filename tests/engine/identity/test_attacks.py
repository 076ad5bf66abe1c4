"""An attack that is no part of robust: a run resumes with it, its report does without its code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from attacks import PGD
from robust.auditing import audit_plan, unfinished_report
from robust.engine.identity.attacks import RecordedAttack, attacks_of_run, remember_attacks
from robust.engine.run_store import RunStore
from robust.errors import InputError
from robust.plan.load import make_plan
from robust.plan.spec import AttackSpec
from tests.engine.nets import trained

MINE = """
from dataclasses import dataclass
from typing import ClassVar
from attacks import FGSM
from attacks.contract import AttackTraits

@dataclass(frozen=True)
class MyAttack:
    norms: ClassVar = ("Linf",)
    minimum_norm: ClassVar = False
    knowledge: ClassVar = "gradients"
    traits: ClassVar = AttackTraits(steps=1)
    passes: ClassVar = PASSES
    scale: float = 1.0
    @property
    def stream_key(self):
        return f"MyAttack {self.scale}"
    def __call__(self, model, x, y, threat, streams, target=None):
        return FGSM()(model, x, y, threat, streams, target)
"""


def write(folder: Path, passes: int = 1) -> None:
    (folder / "mine_attacks.py").write_text(MINE.replace("PASSES", str(passes)), encoding="utf-8")
    sys.modules.pop("mine_attacks", None)


class Stop:
    def __init__(self) -> None:
        self.left = 2

    def __call__(self, done: float, total: float, label: str) -> None:
        self.left -= label.startswith("MyAttack")
        if not self.left:
            raise KeyboardInterrupt


def test_a_run_with_an_attack_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    write(tmp_path)
    save_file(trained(28).state_dict(), "w.safetensors")
    raw: dict[str, Any] = {
        "model": {
            "factory": "tests.engine.nets:small",
            "weights": "w.safetensors",
            "channels": 1,
            "head": "softmax",
        },
        "data": {"path": "phantom:chest_xray", "count": 16, "pixels": 28},
        "attacks": [{"name": "mine_attacks:MyAttack", "scale": 2.0}],
        "audit": {"eps": ["2/255"], "chunk": 8},
        "doubts": {"probe": False},
    }
    plan = make_plan(raw)
    with pytest.raises(KeyboardInterrupt):
        audit_plan(plan, out="run", device="cpu", progress=Stop())
    (tmp_path / "mine_attacks.py").unlink()
    sys.modules.pop("mine_attacks", None)
    so_far = unfinished_report("run")
    assert so_far.attacks == {"MyAttack": "MyAttack(scale=2.0)"} and so_far.data.unfinished == 8
    assert "mine_attacks" not in sys.modules
    write(tmp_path, passes=2)
    with pytest.raises(InputError, match="MyAttack is not what it was when this run began"):
        audit_plan(plan, out="run", device="cpu")
    write(tmp_path)
    report = audit_plan(plan, out="run", device="cpu")
    assert report.attacks == so_far.attacks and report.data.unfinished == 0
    assert [row.attack for row in report.rows] == ["MyAttack"]


def test_what_is_part_of_robust_is_made_again(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    specs = [AttackSpec(name="PGD", steps=3), AttackSpec(name="PGD", label="mine")]
    remember_attacks(specs[:1], [PGD(steps=3)], 2, store)
    assert attacks_of_run(specs[:1], store) == [PGD(steps=3)]
    store.close()


def test_a_recorded_attack_cannot_be_run(tmp_path: Path) -> None:
    from robust.engine.identity.attacks import _facts

    recorded = RecordedAttack(_facts(PGD(steps=3), 2))
    assert repr(recorded) == repr(PGD(steps=3)) and recorded.passes == PGD(steps=3).passes
    assert recorded.traits.equals == RecordedAttack(_facts(PGD(steps=3), 2)).traits.equals
    with pytest.raises(InputError, match="is not part of the run"):
        recorded(*[None] * 5)  # type: ignore[arg-type]
