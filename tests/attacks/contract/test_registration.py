"""Attacks by name, and what a class must have to be registered."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

import attacks
from attacks import ATTACKS, PGD, make_attack
from attacks._registry import FORMER_FIELDS, FORMER_NAMES, attack_classes
from attacks.losses import AttackLoss

HOME = Path(attacks.__file__).parent


def test_unknown_names_and_fields() -> None:
    with pytest.raises(ValueError, match=r"unknown attack 'PDG'; did you mean PGD\? there are: "):
        make_attack("PDG")
    with pytest.raises(ValueError, match="there are: ALMAProx, APGD, APGDL1, AutoAttack"):
        make_attack("zzzzzz")
    with pytest.raises(ValueError, match=r"PGD has no field 'step'; did you mean steps\?"):
        make_attack("PGD", step=3)
    with pytest.raises(ValueError, match="keep must be best or last, not 'worst'"):
        make_attack("BIM", keep="worst")
    with pytest.raises(ValueError, match="start must be random or image"):
        make_attack("PGD", start="centre")
    with pytest.raises(ValueError, match="unknown loss 'hinge'"):
        AttackLoss("hinge", torch.zeros(1, dtype=torch.int64))
    assert make_attack("PGD", steps=3) == PGD(steps=3)


@pytest.mark.parametrize(("old", "new"), FORMER_NAMES.items())
def test_a_former_name_names_the_new_one(old: str, new: str) -> None:
    assert new in ATTACKS
    with pytest.raises(ValueError, match=f"^{old} is now called {new}$"):
        make_attack(old)


def test_a_former_field_names_the_new_one() -> None:
    for old, new in FORMER_FIELDS.items():
        with pytest.raises(ValueError, match=f"^PGD: {old} is now called {new}$"):
            make_attack("PGD", **{old: 1})
    with pytest.raises(ValueError, match="Square has no field 'objective'"):
        make_attack("Square", objective="margin")


def test_registered_are_the_six_and_what_was_added() -> None:
    assert {"Noise", "FGSM", "BIM", "PGD", "MarginPGD", "CarliniWagnerL2"} <= set(ATTACKS)
    assert all(ATTACKS[name] is getattr(attacks, name) for name in ATTACKS)


# ---------------------------------------------------------------- what a class must have

SOUND = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from attacks.contract import AttackTraits, Knowledge

@dataclass(frozen=True)
class Mine:
    norms: ClassVar[tuple[str, ...]] = ("Linf",)
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "gradients"
    traits: ClassVar[AttackTraits] = AttackTraits()
    passes: ClassVar[int] = 1
    stream_key: ClassVar[str] = "Mine()"

    steps: int = 3

    def __call__(self, model, x, y, threat, streams, target=None):
        return x.clone()
"""


def module(source: str) -> dict[str, Any]:
    """The names of a module `attacks.mine` with that source."""
    made = types.ModuleType("attacks.mine")
    sys.modules["attacks.mine"] = made
    exec(source, made.__dict__)
    del sys.modules["attacks.mine"]
    return {"Mine": made.Mine}


def test_a_class_that_keeps_the_contract_is_registered() -> None:
    assert list(attack_classes(module(SOUND))) == ["Mine"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        *(
            (f"    {member}:", f"    other_{member}:", f"it has no {member};")
            for member in (
                *("norms", "minimum_norm", "knowledge", "traits", "passes", "stream_key"),
            )
        ),
        ("def __call__", "def run", "it has no __call__;"),
        ("@dataclass(frozen=True)", "", "not a frozen dataclass"),
        ("@dataclass(frozen=True)", "@dataclass", "not a frozen dataclass"),
        ("steps: int = 3", "steps: int", "every field needs a default"),
        ('("Linf",)', '"Linf"', "norms must be a tuple of Linf"),
        ('("Linf",)', '("L9",)', "norms must be a tuple of Linf"),
        ('= "gradients"', '= "white box"', "knowledge must be one of 'none', 'labels'"),
        ("= AttackTraits()", "= None", "traits must be an AttackTraits"),
    ],
)
def test_a_class_that_breaks_the_contract_is_no_attack(old: str, new: str, says: str) -> None:
    """It is refused where it is imported, and never left out in silence."""
    assert old in SOUND
    with pytest.raises(ValueError, match=f"Mine.*{says}"):
        attack_classes(module(SOUND.replace(old, new)))


# ---------------------------------------------------------------- what tables are made from


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_documents_itself(name: str) -> None:
    """Idea and paper in the first line of the file, use in the class, a text under each field."""
    kind = ATTACKS[name]
    first = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
    assert first.endswith(".") and ("arXiv" in first or "no paper" in first)
    assert "\n\n" in inspect.cleandoc(kind.__doc__ or ""), "a sentence, then when to use it"
    documented: set[str] = set()
    for base in kind.__mro__[:-1]:
        if base.__module__.startswith("attacks."):
            documented |= fields_with_docstrings(base)
    missing = {field.name for field in dataclasses.fields(kind)} - documented
    assert not missing


def fields_with_docstrings(kind: type[Any]) -> set[str]:
    """Fields of a class that a docstring follows in its source."""
    (node,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(node, ast.ClassDef)
    pairs = zip(node.body, node.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


FORMS_OF_PGD = {"bim.py", "fgsm.py", "margin_pgd.py", "pma.py"}


def test_attacks_import_no_other_attack() -> None:
    """Ensembles apart, and what is PGD by definition: helpers are shared from files of their own."""
    homes = {kind.__module__: name for name, kind in ATTACKS.items()}
    for home in homes:
        path = HOME / Path(*home.split(".")[1:]).with_suffix(".py")
        imported = {
            node.module
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
        }
        others = imported & set(homes)
        if path.name in FORMS_OF_PGD:
            assert others == {"attacks.pgd"}
        elif path.parent.name != "ensembles":
            assert not others, path.name
