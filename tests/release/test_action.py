"""The action for GitHub: its form, and its scripts in a stranger's repository."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import jsonschema
import pytest

from tests.release.strangers import ACTION, ROOT, STEPS, filled, make_repository, run_action

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")


def test_it_has_the_form_that_github_publishes() -> None:
    kept = pytest.importorskip("check_jsonschema").__path__[0]
    file = Path(kept) / "builtin_schemas" / "vendor" / "github-actions.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    jsonschema.validate(ACTION, schema)
    with pytest.raises(jsonschema.ValidationError):  # so it has something to say
        jsonschema.validate({**ACTION, "runs": {"using": "composite"}}, schema)


def test_each_input_is_used_and_no_script_holds_one_as_text() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([\w-]+)", text)) == set(ACTION["inputs"])
    for step in STEPS:
        assert ("run" in step) != ("uses" in step)
        assert "${{" not in step.get("run", "")
        for name in step.get("env", {}):
            assert f"${name}" in step["run"] or f"${{{name}" in step["run"]
    for one in ACTION["outputs"].values():
        for name in re.findall(r"steps\.([\w-]+)", one["value"]):
            assert name in {step.get("id") for step in STEPS}


def test_the_report_is_kept_where_the_audit_put_it_even_if_a_gate_failed() -> None:
    audit = next(step for step in STEPS if step.get("id") == "audit")
    keep = STEPS[-1]
    assert keep["uses"].startswith("actions/upload-artifact@") and keep["if"].startswith("always()")
    values = {"inputs.working-directory": "a/b", "inputs.out": "run"}
    assert filled(keep["with"]["path"], values) == "a/b/run"
    assert filled(audit["working-directory"], values) == "a/b"
    assert filled(audit["env"]["OUT"], {"inputs.out": "run"}) == "run"
    assert filled(ACTION["outputs"]["out"]["value"], values) == "a/b/run"


@bash
@pytest.mark.slow
def test_a_gate_that_fails_fails_the_job_and_the_summary_says_why(tmp_path: Path) -> None:
    gates = '\n[gates]\nrobust_accuracy = { "1/255" = 0.99 }\n'
    repository = make_repository(tmp_path / "theirs", gates)
    inputs = {"plan": "plan.toml", "arguments": "--limit=8\n--title=Two words"}
    done = run_action(repository, inputs, skipped=("install",))
    assert done.codes == {"check": 0, "audit": 1}, done.text
    assert done.outputs == {"exit-code": "1"}
    assert "Gates: 1 of 1 not passed" in done.summary
    report = json.loads((repository / "robust-audit" / "report.json").read_text("utf-8"))
    assert report["title"] == "Two words" and report["clean"]["scores"]["accuracy"]["cases"] == 8
    assert not list((repository / "robust-audit").rglob("*.png"))


@bash
@pytest.mark.parametrize(
    ("inputs", "step", "said"),
    [
        ({"plan": "none.toml"}, "check", "no such plan: none.toml"),
        ({"plan": "plan.toml; touch stolen"}, "check", "no such plan"),
        ({"plan": "plan.toml", "gate": "yes"}, "audit", "gate is true or false, not 'yes'"),
        ({"plan": "plan.toml", "torch": "gpu"}, "install", "torch is cpu, default or none"),
    ],
)
def test_a_wrong_input_is_one_line_and_exit_code_2(
    inputs: dict[str, str], step: str, said: str, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "theirs")
    done = run_action(repository, inputs, skipped=() if step == "install" else ("install",))
    assert list(done.codes)[-1] == step and done.codes[step] == 2
    assert said in done.text and len(done.text.splitlines()) <= 2
    assert not (repository / "stolen").exists() and not done.summary


@bash
@pytest.mark.parametrize(
    ("version", "extras", "wanted"),
    [
        ("", "", str(ROOT)),
        ("", "onnx,foolbox", f"{ROOT}[onnx,foolbox]"),
        ("robust-audit==0.2.0", "onnx", "robust-audit[onnx]==0.2.0"),
        ("robust-audit >=0.2,<1", "onnx", "robust-audit[onnx] >=0.2,<1"),
        ("robust-audit", "onnx", "robust-audit[onnx]"),
        (
            "dist/robust_audit-0.2.0-py3-none-any.whl",
            "",
            "dist/robust_audit-0.2.0-py3-none-any.whl",
        ),
        ("x.whl", "onnx", "x.whl[onnx]"),
    ],
)
def test_what_is_installed(version: str, extras: str, wanted: str, tmp_path: Path) -> None:
    """By a python that only says what it is asked for."""
    said = tmp_path / "said"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word" >> "{said}"; done\n')
    python.chmod(0o755)
    repository = make_repository(tmp_path / "theirs")
    inputs = {"plan": "plan.toml", "version": version, "extras": extras, "torch": "none"}
    run_action(repository, inputs, skipped=("check", "audit"), python=str(python))
    assert said.read_text().splitlines() == ["-m", "pip", "install", "--quiet", wanted]


@bash
@pytest.mark.slow
def test_without_gates_the_report_is_the_summary(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "theirs")
    sub = repository / "audits"
    sub.mkdir()
    for name in ("plan.toml", "network.py"):
        (repository / name).rename(sub / name)
    inputs = {"plan": "plan.toml", "gate": "false", "working-directory": "audits", "out": "run"}
    done = run_action(repository, inputs, skipped=("install",))
    assert done.codes == {"check": 0, "audit": 0}, done.text
    assert done.outputs == {"exit-code": "0"}
    assert done.summary == (sub / "run" / "report.md").read_text("utf-8")
