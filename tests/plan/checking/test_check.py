"""A plan is checked without torch, and as the audit itself would check it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from attacks import ATTACKS
from detectors import DETECTORS
from robust.engine.gate_precheck import check_gates
from robust.errors import InputError
from robust.plan.checking.check import check_plan_file
from robust.plan.checking.registered import Package, registered
from robust.plan.load import load_plan

PLAN = """
[model]
factory = "mine:network"

[data]
path = "images"

[audit]
eps = ["1/255"]
"""
PGD = '[[attacks]]\nname = "PGD"\n'
L2 = '[[attacks]]\nname = "CarliniWagnerL2"\n'
L1 = '[[attacks]]\nname = "APGDL1"\neps = [4]\n'
ENERGY = '[[detectors]]\nname = "Energy"\n'
CROWN = '[[certificates]]\nname = "CROWN"\n'


@pytest.mark.parametrize(("package", "classes"), [("attacks", ATTACKS), ("detectors", DETECTORS)])
def test_sources_say_what_the_classes_say(package: Package, classes: dict[str, Any]) -> None:
    known = registered(package)
    assert list(known) == sorted(classes)
    for name, kind in classes.items():
        fields = [f.name for f in dataclasses.fields(kind) if f.repr or package == "detectors"]
        assert list(known[name].fields) == fields
        for constant, value in known[name].constants.items():
            assert value is None or getattr(kind, constant) == value
    if package == "attacks":
        bounded = {name for name, one in known.items() if not one.constants["minimum_norm"]}
        assert bounded == {name for name, kind in classes.items() if not kind().minimum_norm}


@pytest.mark.parametrize(
    ("tables", "gates", "fits"),
    [
        (PGD, 'robust_accuracy = { "1/255" = 0.5 }', True),
        (PGD, 'robust_accuracy = { "2/255" = 0.5 }', False),
        (PGD + L1, 'robust_accuracy = { "L1 4" = 0.5 }', True),
        (PGD + L1, 'robust_accuracy = { "L1 5" = 0.5 }', False),
        (L2, 'robust_accuracy = { "1/255" = 0.5 }', False),
        ('[[attacks]]\nname = "Noise"\nnorm = "L0"\neps = [5]\n', 'dice = { "L0 5" = 0.5 }', True),
        (PGD, "detector_auc = 0.6", False),
        (PGD + ENERGY, "detector_auc = { Energy = 0.6 }", True),
        (PGD + ENERGY, "detector_auc = { LID = 0.6 }", False),
        (PGD, "certified_accuracy = 0.6", False),
        (PGD + CROWN, "certified_accuracy = 0.6", True),
        (PGD, "corrupted_accuracy = 0.6", False),
    ],
)
def test_gates_are_judged_as_before_an_audit(
    tables: str, gates: str, fits: bool, tmp_path: Path
) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(f"{PLAN}{tables}[gates]\n{gates}\n")

    def message(check: Any) -> str:
        try:
            check()
        except InputError as error:
            return str(error).removeprefix(f"{path}: ")
        return ""

    ours = message(lambda: check_plan_file(path))
    assert ours == message(lambda: check_gates(load_plan(path)))
    assert (ours == "") == fits


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ('[[attacks]]\nname = "PDG"\n', "unknown attack 'PDG'; nearest of"),
        (PGD + "step = 4\n", "PGD has no field 'step'; did you mean steps?"),
        (PGD + PGD, "two attacks are called 'PGD'; give each its own label"),
        (PGD + '[[detectors]]\nname = "Enrgy"\n', "unknown detector 'Enrgy'"),
        (PGD + "[gates]\nclean_accuracy = 80\n", "gates.clean_accuracy: a gate must be above 0"),
        (PGD + "[dta]\n", "unknown entry dta; did you mean data?"),
    ],
)
def test_a_mistake_is_one_line_with_the_file(tables: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN + tables)
    with pytest.raises(InputError) as caught:
        check_plan_file(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)


def test_files_are_looked_for_only_if_wanted(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.replace("images", (tmp_path / "none").as_posix()) + PGD)
    assert check_plan_file(path).attacks[0].name == "PGD"
    with pytest.raises(InputError, match="no such folder"):
        check_plan_file(path, files=True)


def test_own_code_is_named_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("raise SystemExit('it was run')")
    own = (
        '[[attacks]]\nname = "mine:Attack"\nanything = 3\n[gates]\nrobust_accuracy = {"2/255"=0.5}'
    )
    Path("plan.toml").write_text(PLAN + own)
    assert check_plan_file(Path("plan.toml")).attacks[0].name == "mine:Attack"


def test_the_command_names_every_wrong_plan_and_loads_no_torch(tmp_path: Path) -> None:
    for name, tables in (("good", PGD), ("bad", "[[attacks]]\nname = 'x'\n"), ("worse", "[")):
        (tmp_path / f"{name}.toml").write_text(PLAN + tables)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'pandas', 'attacks', 'detectors']))\n"
        "from robust.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, "check", "good.toml", "bad.toml", "worse.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "good.toml: no mistake; 1 attack, without gates\n"
    lines = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in lines] == ["bad.toml", "worse.toml is not valid TOML"]
    command.append("--json")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == 2 and [one["plan"] for one in told] == command[4:7]
    assert told[0]["mistake"] is None and "unknown attack 'x'" in told[1]["mistake"]
