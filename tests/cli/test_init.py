"""`robust init`: what is written, printed and asked; wrong input."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import typer

from robust.auditing import dry_run
from robust.plan.load import load_plan
from tests.cli.commands import Robust, refused
from tests.cli.test_init_layouts import audited, printed, published
from tests.drafting import sets


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)


def class_folders(*classes: str, count: int = 8) -> None:
    for n in range(count):
        sets.write(Path("images") / classes[n % len(classes)] / f"{n}.png", n)


def test_the_printed_command_audits(robust: Robust) -> None:
    class_folders("normal", "opacity")
    made = robust("init", "images", "--model", "toy_factory:build")
    assert made.code == 0, made.err
    assert printed(made.out) == ["audit", "plan.toml"]
    for part in ("8 images: 32 x 32 pixels, 8 bits, 8 grey", "2 outputs", "Passes", "Time", "Disk"):
        assert part in made.out
    assert load_plan("plan.toml").data.findings == ("opacity",)  # type: ignore[union-attr]
    quick = ("--attack", "FGSM", "--eps", "4/255", "--set", "doubts.probe=false", "--no-gallery")
    done = robust(*printed(made.out), *quick, "--out", "run")
    assert done.code == 0 and "Report: run/report.html" in done.out, done.err
    assert json.loads(Path("run/report.json").read_text())["data"]["cases"] == 8


def test_what_is_missing_is_said(robust: Robust) -> None:
    class_folders("bacteria", "virus")
    made = robust("init", "images")
    assert made.code == 1 and made.err == ""
    assert "To fill in: data.findings" in made.out and "To fill in: model.folder" in made.out
    text = Path("plan.toml").read_text()
    assert '# findings = ["virus"]' in text and "# FILL IN: Which of the two classes" in text
    load_plan("plan.toml")


def test_it_asks_at_a_terminal_alone(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders("bacteria", "virus")
    answers = iter(["3", "2"])
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: next(answers))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    made = robust("init", "images", "--model", "toy_factory:build")
    assert made.code == 0, made.err + made.out
    assert "Give one of the list" in made.out
    assert load_plan("plan.toml").data.findings == ("virus",)  # type: ignore[union-attr]


def test_the_draft_as_json(robust: Robust, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders("normal", "opacity")
    made = robust("init", "images", "--model", "toy_factory:build", "--json")
    assert made.code == 0, made.err
    found = json.loads(made.out)
    assert (found["plan"], found["audit"]) == ("plan.toml", "robust audit plan.toml")
    assert found["cases"] == 8 and found["images"]["sizes"] == [[32, 32]] * 8
    assert found["classes"] == ["normal", "opacity"] and found["model"]["outputs"] == 2
    guesses = {one["field"]: one["value"] for one in found["guesses"]}
    assert guesses["data.findings"] == ["opacity"] and all(one["why"] for one in found["guesses"])
    assert found["cost"]["cases"] == 8 and found["cost"]["seconds"] > 0
    assert found["questions"] == [] and found["problem"] == "" and found["recipe"] is None

    broken = robust("init", "images", "--model", "toy_factory:nan", "--replace", "--json")
    assert broken.code == 1 and "NaN" in json.loads(broken.out)["problem"]
    # Nobody is asked, also not at a terminal: the questions are the answer.
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True, raising=False)
    asked = robust("init", "images", "--replace", "--json")
    assert asked.code == 1 and json.loads(asked.out)["cost"] is None
    assert [one["field"] for one in json.loads(asked.out)["questions"]] == ["model.folder"]


def test_the_draft_of_a_training_as_json(robust: Robust) -> None:
    for split in ("train", "val", "test"):
        for n in range(4):
            sets.write(Path("images") / split / ("normal", "opacity")[n % 2] / f"{n}.png", n)
    drafted = robust("init", "images", "--group", "none", "--train", "--json")
    assert drafted.code == 0, drafted.err
    found = json.loads(drafted.out)
    assert (found["plan"], found["recipe"]) == ("plan.toml", "recipe.toml")
    assert found["train"] == "robust train recipe.toml --out models/plan"
    assert found["model"] is None and found["cost"] is None and found["cases"] == 4


def test_options_are_no_guesses(robust: Robust) -> None:
    class_folders("a", "b")
    options = ("--classes", "b,a", "--findings", "a", "--group", "none")
    made = robust("init", "images", "--model", "toy_factory:build", *options)
    assert made.code == 0, made.err
    assert "guess" not in made.out and "guess" not in Path("plan.toml").read_text()
    assert load_plan("plan.toml").data.classes == ("b", "a")  # type: ignore[union-attr]


def test_another_number_of_outputs(robust: Robust) -> None:
    class_folders("normal", "opacity")
    made = robust("init", "images", "--model", "toy_factory:three")
    assert made.code == 1
    assert "Which of the network's 3 outputs" in made.out


def test_a_network_of_all_findings(robust: Robust, data: Path, here: Path) -> None:
    folder = published(data, "nih-cxr14")
    (here / "many.py").write_text(
        "import toy_factory\ndef net():\n    return toy_factory.build(14)\n"
    )
    made = robust("init", folder, "--finding", "Mass", "--model", "many:net")
    assert made.code == 0, made.err
    model = load_plan("plan.toml").model
    assert model is not None and model.finding == "Mass" and len(model.outputs or ()) == 14  # type: ignore[arg-type]
    assert audited(made.out)["model"]["finding_output"] == 4


def test_which_finding_of_medmnist(robust: Robust) -> None:
    sets.medmnist(Path(), Path("set"), "chestmnist", columns=14)
    asked = robust("init", "set", "--model", "toy_factory:build")
    assert asked.code == 1 and "Which of the 14 findings" in asked.out and "hernia" in asked.out
    made = robust("init", "set", "--model", "toy_factory:build", "--finding", "edema", "--replace")
    assert made.code == 0, made.err
    assert audited(made.out)["data"]["classes"] == {"no edema": 6, "edema": 6}


def test_the_first_release_of_nih(robust: Robust, data: Path) -> None:
    sets.nih(data / "label_files", Path("set"), first=True)
    made = robust("init", "set", "--finding", "Mass", "--model", "toy_factory:build")
    assert made.code == 0, made.err
    assert "This looks like NIH ChestX-ray14" in made.out
    assert audited(made.out)["data"]["cases"] == 8


def test_wrong_input(robust: Robust) -> None:
    class_folders("normal", "opacity")
    Path("empty").mkdir()
    Path("a.txt").write_text("hello")
    refused(robust("init", "nowhere"), "no such folder or file: nowhere")
    refused(robust("init", "empty"), "empty is empty; name a folder of images")
    refused(robust("init", "a.txt"), "neither a folder of images, a table nor")
    refused(robust("init", "images", "--layout", "hamm"), "did you mean ham10000?")
    refused(robust("init", "images", "--layout", "ham10000"), "there is no HAM10000_metadata.csv")
    refused(robust("init", "images", "--model", "a.txt"), "no model that robust knows")
    refused(robust("init", "images", "--model", "gone.pth"), "no such model: gone.pth")
    refused(robust("init", "images", "--out", "images"), "images is a folder")
    refused(robust("init", "images", "--train", "--model", "a.txt"), "leave --model out")
    assert not Path("plan.toml").exists()
    Path("plan.toml").write_text("mine")
    refused(robust("init", "images"), "plan.toml exists", "--replace")
    assert Path("plan.toml").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions")
def test_a_folder_that_cannot_be_written(robust: Robust) -> None:
    class_folders("normal", "opacity")
    Path("locked").mkdir(mode=0o500)
    refused(robust("init", "images", "--out", "locked/plan.toml"), "permission denied")


def test_a_plan_that_does_not_run_yet(robust: Robust) -> None:
    class_folders("normal", "opacity")
    made = robust("init", "images", "--model", "toy_factory:nan")
    assert made.code == 1
    assert "the plan does not run yet" in made.err and "NaN" in made.err
    assert "Audit once it does: robust audit plan.toml" in made.out


@pytest.mark.slow
def test_five_commands_from_images_to_a_report(robust: Robust) -> None:
    """The first of the five installs; the last shows the report. No TOML is written by hand."""
    pytest.importorskip("lightning")
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    for n in range(60):
        for view in range(1 + n % 2):
            name, dx = f"ISIC_{90_000 + 2 * n + view}", ("nv", "mel", "bkl")[n % 3]
            lines.append(f"HAM_{n},{name},{dx},histo,{30 + n}.0,male,back")
            sets.write(Path("skin") / f"part_{view + 1}" / f"{name}.jpg", 2 * n + view, colour=True)
    (Path("skin") / "labels.csv").write_text("\n".join(lines) + "\n")
    made = robust("init", "skin", "--train")
    assert made.code == 0, made.err
    words = next(line for line in made.out.splitlines() if line.startswith("Train:")).split()
    small = ("--random", "--architecture", "torchvision:squeezenet1_1", "--size", "32")
    trained = robust(*words[2:], *small, "--epochs", "1")
    assert trained.code == 0, trained.err
    report = audited(made.out)
    assert list(report["data"]["classes"]) == ["bkl", "mel", "nv"]
    assert report["data"]["grouped"] and report["data"]["groups"] == 12
    assert robust("report", "run").code == 0


def test_layouts_are_listed(robust: Robust) -> None:
    listed = robust("list", "layouts")
    assert listed.code == 0 and "ham10000" in listed.out
