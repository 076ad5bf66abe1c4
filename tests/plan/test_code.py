"""Code by its name: imported, or refused in a line that says which folder hides which."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.plan.code import ROOT, load_named, names_code
from robust.plan.load import make_plan, read_plan, refuse_code
from robust.plan.spec import AttackSpec, label_of


def test_what_names_code() -> None:
    assert names_code("mine:MyAttack") and names_code("a.b:C")
    assert not any(map(names_code, ("PGD", "foolbox:LinfPGD", None, 3)))
    assert label_of(AttackSpec(name="a.b:C")) == "C"
    assert label_of(AttackSpec(name="foolbox:C")) == "foolbox:C"
    assert label_of(AttackSpec(name="a b:C/D")) == "a b:C/D"
    assert label_of(AttackSpec(name="a.b:C", label="mine")) == "mine"


def test_what_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("mine_at_hand.py").write_text("class MyAttack: pass", encoding="utf-8")
    Path("mine_broken.py").write_text("raise SystemExit('no')", encoding="utf-8")
    assert load_named("mine_at_hand:MyAttack", "attack").__name__ == "MyAttack"
    Path("attacks").mkdir()
    for name, said in (
        ("mine_at_hand", "must look like package.module:Class"),
        ("mine at hand:MyAttack", "must look like"),
        ("mine_at_hand:MyAtack", "did you mean MyAttack?"),
        ("nowhere_at_all:X", "run from the folder that holds nowhere_at_all"),
        ("mine_broken:X", "mine_broken cannot be imported: SystemExit: no"),
        ("attacks.mine:X", f"attacks of robust and comes before {tmp_path / 'attacks'}"),
        ("detectors.mine:X", "detectors of robust; name a module of your own"),
    ):
        with pytest.raises(InputError, match=said.replace("?", r"\?")):
            load_named(name, "attack")


def test_a_folder_names_no_attack_and_no_detector(tmp_path: Path) -> None:
    plan = '[[attacks]]\nname = "mine:MyAttack"\n[[detectors]]\nname = "mine:MyDetector"\n'
    (tmp_path / "plan.toml").write_text(plan, encoding="utf-8")
    with pytest.raises(InputError, match=r"the attack mine:MyAttack, which runs code.*--attack"):
        read_plan(tmp_path)
    with pytest.raises(InputError, match=r"the detector mine:MyDetector, which.*--detector"):
        read_plan(tmp_path, named=["attacks"])
    assert read_plan(tmp_path, named=["attacks", "detectors"])["attacks"]
    raw = read_plan(tmp_path, allow_code=True)
    assert read_plan(tmp_path / "plan.toml") == raw and make_plan(raw).attacks[0].name == (
        "mine:MyAttack"
    )
    refuse_code({"attacks": [{"name": "PGD"}, {"name": "foolbox:X"}, 3], "detectors": 4}, "x")


def test_a_folder_may_not_allow_its_models_files_to_hold_code(tmp_path: Path) -> None:
    plan = '[model]\nfolder = "bundle"\nallow_code = true\n'
    (tmp_path / "plan.toml").write_text(plan, encoding="utf-8")
    with pytest.raises(InputError, match=r"sets allow_code for the model.*add --allow-code"):
        read_plan(tmp_path)
    assert read_plan(tmp_path, allow_code=True)["model"]["folder"] == "bundle"
    assert read_plan(tmp_path / "plan.toml")["model"]["allow_code"]
    (tmp_path / "plan.toml").write_text('[model]\nfolder = "bundle"\n', encoding="utf-8")
    assert "allow_code" not in read_plan(tmp_path)["model"]
    assert read_plan(tmp_path, allow_code=True)["model"]["allow_code"]
    (tmp_path / "model.json").touch()  # of a trained model, which may have been moved
    assert read_plan(tmp_path)["model"]["folder"] == tmp_path.as_posix()


SCRIPT = "import robust\ntry:\n    robust.audit\nexcept ValueError as error:\n    print(error)\n"


def test_a_package_beside_a_script_that_hides_ours(tmp_path: Path) -> None:
    """A script says which hides which; test_paths.py has the command line, which takes its own."""
    (tmp_path / "attacks").mkdir()
    (tmp_path / "attacks" / "__init__.py").touch()
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}

    theirs = tmp_path / "attacks" / "__init__.py"
    said = f"{theirs} hides the package attacks of robust in {ROOT / 'attacks'}: rename yours"
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == said
