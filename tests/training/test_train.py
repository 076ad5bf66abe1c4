"""A recipe trains in seconds, and what it leaves is a model that everything else takes as it is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from robust.auditing import audit_plan
from robust.cases import open_cases
from robust.cli import app as cli
from robust.engine.provenance import find_provenance
from robust.errors import InputError
from robust.models import Classifier, load_classifier, prepare
from robust.plan import load_plan
from robust.plan.spec import Plan
from robust.tasks.make import task_of
from robust.training.measure import predict
from robust.training.recipe import Recipe, load_recipe, make_recipe
from robust.training.train import Trained, train_model

DATA = {"path": "phantom:dermoscopy", "count": 120, "pixels": 48}
NETWORK = {
    "architecture": "timm:test_efficientnet",
    "pretrained": False,
    "head": "ma2021",
    "hidden": 32,
    "size": 48,
    "mean": 0.5,
    "std": 0.25,
}
TRAINING = {"epochs": 4, "batch": 16, "lr": 4e-3, "warmup": 0.5}


def recipe(**over: dict[str, Any]) -> Recipe:
    tables = {"data": DATA, "network": NETWORK, "training": TRAINING}
    return make_recipe({**tables, **{k: {**tables.get(k, {}), **v} for k, v in over.items()}})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained") / "model"
    return train_model(recipe(), folder, device="cpu", progress=False)


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    return found


def test_a_recipe_beats_chance_clearly(trained: Trained) -> None:
    area = trained.metrics["test"].auc
    assert area is not None and area.low > 0.5 and area.value > 0.65
    assert area.groups == 60  # two images a patient
    assert len(trained.history) == 4 and 1 <= trained.best_epoch <= 4


def test_the_folder_reloads_to_identical_logits(trained: Trained) -> None:
    """Those of the weights that training kept, through the pixels that the audit sees."""
    from robust.training.checkpoints import newest_checkpoint
    from robust.training.network import make_untrained

    found = newest_checkpoint(trained.folder / "checkpoints")
    assert found is not None
    cases = open_cases("phantom:dermoscopy", count=12, pixels=60)
    kept = make_untrained(recipe(), cases)
    kept.network.load_state_dict(found[1]["best"])
    again = load_classifier(folder=trained.folder)
    task = task_of(Plan(), cases)
    expected = predict(prepare(kept), cases, task)
    assert np.array_equal(predict(prepare(again), cases, task), expected)
    assert expected.std() > 0
    assert (again.head, again.size, again.channels) == ("softmax", (48, 48), 3)


def test_the_audit_takes_the_folder_as_it_is_and_finds_the_same_numbers(
    trained: Trained, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(trained.folder, moved)
    plan = load_plan(moved)
    assert plan.model is not None and plan.model.folder == moved.as_posix()
    small = plan.model_copy(
        update={
            "attacks": tuple(a for a in plan.attacks if a.name == "FGSM"),
            "audit": plan.audit.model_copy(update={"eps": (1 / 255,)}),
            "doubts": plan.doubts.model_copy(update={"probe": False}),
        }
    )
    report = audit_plan(small, device="cpu")
    assert report.clean.scores.accuracy == trained.metrics["test"].accuracy
    assert report.clean.scores.auc == trained.metrics["test"].auc
    assert report.model.weights_sha256 == content(moved)["weights_sha256"]
    assert report.model.claimed == {
        name: getattr(report.clean.scores, name).value for name in ("accuracy", "auc")
    }
    classifier, said = load_classifier(folder=moved), r"the scores in .* were changed"
    broken: tuple[Any, ...] = ({"test": {"scores": {"auc": 1}}}, [], {"test": 3})
    for metrics in broken:
        changed = content(trained.folder) | {"metrics": metrics}
        (moved / "model.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(InputError, match=said):
            find_provenance(small, classifier, "", {})
    with pytest.raises(InputError, match=said):
        audit_plan(small, device="cpu")
    # A plan of its own is obeyed: only a folder in place of a plan means itself.
    assert load_plan(moved / "plan.toml").model.folder == moved.as_posix()  # type: ignore[union-attr]


def test_what_else_lies_in_the_folder(trained: Trained) -> None:
    card = (trained.folder / "card.md").read_text(encoding="utf-8")
    area = trained.metrics["test"].auc
    assert area is not None and f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]" in card
    for said in (
        "Test was used once",
        "robust train recipe.toml --out",
        "60 groups",
        "melanoma-like",
    ):
        assert said in card
    assert content(trained.folder)["weights_sha256"] in card
    assert load_recipe(trained.folder / "recipe.toml") == recipe()
    assert (trained.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    names = {e.id for e in open_cases("phantom:dermoscopy", count=120).entries}
    text = card + (trained.folder / "model.json").read_text(encoding="utf-8")
    assert not [name for name in names if re.search(rf"\b{name}\b", text)]


def test_the_same_again_trains_nothing_and_another_is_refused(trained: Trained) -> None:
    before = (trained.folder / "model.json").stat().st_mtime_ns
    again = train_model(recipe(), trained.folder, device="cpu", progress=False)
    assert again.already_finished and again.metrics == trained.metrics
    assert again.history == trained.history and again.best_epoch == trained.best_epoch
    assert (trained.folder / "model.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="another recipe"):
        train_model(recipe(training={"epochs": 7}), trained.folder, device="cpu")
    with pytest.raises(InputError, match="other images"):
        train_model(recipe(data={"count": 122}), trained.folder, device="cpu")


@pytest.mark.parametrize(
    "damage",
    [
        {"training": None},
        {"training": {"best_epoch": "1", "history": []}},
        {"training": {"best_epoch": 1, "history": ["x"]}},
        {"data": {"splits": {"train": 3}}},
        {"data": {}},
        {"metrics": {"test": {"scores": {"accuracy": "high"}}}},
        {"metrics": {"test": {"scores": {"no such score": None}}}},
        {"metrics": {"test": {}}},
        {"metrics": []},
    ],
)
def test_a_model_json_that_was_changed_is_one_line(
    trained: Trained, tmp_path: Path, damage: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "changed"))
    (folder / "model.json").write_text(json.dumps(content(folder) | damage), encoding="utf-8")
    with pytest.raises(InputError, match=r"model\.json was changed after the training"):
        train_model(recipe(), folder, device="cpu", progress=False)


@pytest.mark.slow
def test_cut_short_before_its_end_it_writes_the_same_folder(
    trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(trained.folder, folder)
    for name in ("model.json", "card.md", "model.safetensors"):
        (folder / name).unlink()
    train_model(recipe(), folder, device="cpu", progress=False)
    assert content(folder)["weights_sha256"] == content(trained.folder)["weights_sha256"]
    assert content(folder)["metrics"] == content(trained.folder)["metrics"]


@pytest.mark.parametrize("what", ["weights", "version", "json", "classes", "missing"])
def test_a_folder_that_was_changed_is_refused(trained: Trained, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(trained.folder / name, folder)
    path = folder / "model.json"
    if what == "weights":
        state = load_file(folder / "model.safetensors")
        name = next(n for n, v in state.items() if v.is_floating_point())
        state[name].view(-1)[0] += 1e-3
        save_file(state, folder / "model.safetensors")
        said = "another hash"
    elif what == "version":
        path.write_text(json.dumps({**content(folder), "version": 2}), encoding="utf-8")
        said = "has version 2"
    elif what == "json":
        path.write_text("{", encoding="utf-8")
        said = "differs from what `robust train` writes"
    elif what == "classes":
        path.write_text(json.dumps({**content(folder), "classes": ["a"]}), encoding="utf-8")
        said = "names 1 classes for a head of 2"
    else:
        path.unlink()
        said = "holds no model.json"
    with pytest.raises(InputError, match=said):
        load_classifier(folder=folder)


def test_the_folder_says_everything_but_the_threshold(trained: Trained) -> None:
    assert isinstance(load_classifier(folder=trained.folder, threshold=0.3), Classifier)
    with pytest.raises(InputError, match="folder sets size itself"):
        load_classifier(folder=trained.folder, size=32)
    with pytest.raises(InputError, match="got architecture and folder"):
        load_classifier("resnet18", folder=trained.folder)


def test_a_folder_with_other_files_is_refused_before_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("!", encoding="utf-8")
    with pytest.raises(InputError, match=r"holds other files \(thesis\.txt\)"):
        train_model(recipe(), tmp_path, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_size_that_the_network_cannot_take(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the network fails on images of shape"):
        train_model(
            recipe(network={"architecture": "timm:vit_tiny_patch16_224", "size": 48}),
            tmp_path / "out",
            device="cpu",
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "a training needs a network"),
        ("--recipe chest --data x", "did you mean chest-xray"),
        ("--recipe fundus", "names no images"),
        ("--recipe fundus --data nowhere --random", "no such folder or file: nowhere"),
        ("--recipe fundus --data phantom:fundus --eps 1/255", "add --adversarial"),
        ("--recipe fundus --data phantom:fundus --adversarial pgd", "'pgd-at' or 'trades'"),
        ("--recipe fundus --data phantom:fundus --lr 0", "training.lr"),
        ("--recipe fundus --data phantom:fundus --mean a,b", "--mean 'a,b'"),
        ("--recipe fundus --data phantom:fundus --val exam --random", "no split 'exam'"),
        ("--recipe fundus --data phantom:fundus --weights no.pth", "no such weights file"),
        ("--recipe fundus --data phantom:fundus --random --device abacus", "device 'abacus'"),
        ("x.toml --recipe fundus", "not both"),
    ],
)
def test_wrong_words_on_the_command_line(
    line: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["robust", "train", *shlex.split(line)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    assert ended.value.code == cli.BAD_INPUT
    assert said in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = (
        "robust train --recipe chest-xray --data phantom:chest_xray --limit 40 --random --size 32 "
        "--architecture timm:test_resnet --epochs 1 --batch 16 --test none --val 0.25 "
        "--device cpu --out model"
    )
    for again in (False, True):
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
        out = capsys.readouterr().out
        assert ("nothing was trained" in out) == again
        assert "Next: robust audit --folder model --data IMAGES" in out
    found = content(tmp_path / "model")
    assert found["command"] == "robust train recipe.toml --out AGAIN"
    assert found["data"]["splits"]["train"]["cases"] == 30
    assert set(found["metrics"]) == {"val"}

    monkeypatch.setattr(sys, "argv", shlex.split(f"{command} --json"))
    with pytest.raises(SystemExit):
        cli.main()
    said = json.loads(capsys.readouterr().out)
    assert (said["folder"], said["card"]) == ("model", "model/card.md")
    assert (said["architecture"], said["epochs"], said["best_epoch"]) == ("timm:test_resnet", 1, 1)
    assert said["already_finished"] and said["classes"] == found["classes"]
    assert said["scores"]["val"] == found["metrics"]["val"]["scores"]
    assert said["scores"]["val"]["accuracy"]["low"] < said["scores"]["val"]["accuracy"]["high"]
    assert said["history"] == found["training"]["history"]
    assert said["next"] == "robust audit --folder model --data IMAGES"


def test_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("robust.training.train.train_model", interrupted)
    line = "robust train --recipe fundus --data phantom:fundus"
    monkeypatch.setattr(sys, "argv", line.split())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.INTERRUPTED
    assert "the same command continues" in capsys.readouterr().err


def leaking(root: Path) -> Path:
    """Images of which two of train and one of val show an image of test a little darker."""
    pictures = [
        case.image for case in open_cases("phantom:dermoscopy", split="test", count=60, pixels=48)
    ]
    table = ["file,label,group,split"]
    splits = ["train"] * 32 + ["val"] * 12 + ["test"] * 12
    for i, split in enumerate(splits):
        source, exposure = {5: (50, 0.93), 20: (51, 1.0), 40: (52, 0.93)}.get(i, (i, 1.0))
        pixels = (pictures[source] * exposure * 255).round().to(torch.uint8)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(root / f"{i}.png")
        table.append(f"{i}.png,{'ab'[i % 2]},p{i},{split}")
    (root / "cases.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    return root


def test_near_copies_of_test_images_are_not_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    monkeypatch.chdir(tmp_path)
    line = (
        f"robust train --data {leaking(images).name} --random --size 32 --architecture "
        "timm:test_resnet --epochs 2 --batch 16 --device cpu --out"
    )
    for out in ("model", "model", "cut"):
        if out == "cut":  # as after an interruption behind its last epoch
            shutil.copytree("model", out)
            for name in ("model.json", "card.md", "model.safetensors"):
                (Path(out) / name).unlink()
        monkeypatch.setattr(sys, "argv", [*shlex.split(line), out])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
        said = capsys.readouterr().out
        assert "2 train images are copies or near copies of test images" in said
        assert "1 val image is a copy or near copy of a test image" in said
    found, again = content(tmp_path / "model"), content(tmp_path / "cut")
    splits = {role: split["cases"] for role, split in found["data"]["splits"].items()}
    assert splits == {"train": 30, "val": 11, "test": 12}
    assert [(one["split"], one["images"]) for one in found["data"]["copies"]["between"]] == [
        ("train", 2),
        ("val", 1),
    ]
    for key in ("data", "metrics", "weights_sha256", "training"):
        assert again[key] == found[key]
    card = (tmp_path / "model" / "card.md").read_text(encoding="utf-8")
    assert "2 train images are copies" in card and "The splits shared pictures." in card
    assert card == (tmp_path / "cut" / "card.md").read_text(encoding="utf-8")
