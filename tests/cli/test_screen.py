"""`robust screen`, with good input and with bad, also in processes of its own."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from robust import load_classifier
from robust.cases import open_cases
from robust.cli import app as cli
from robust.guard.guard import Guard
from robust.models.heads import Head
from robust.models.trained import ModelFile, make_classifier
from robust.models.weights import weights_hash
from tests.cases.dicoms import make, save
from tests.cli.commands import MODEL, Answer, Robust, contents, refused, write_plan
from tests.cli.detectors import COUNT, write_images
from tests.detection.test_factory import MINE
from tests.engine.nets import trained


@pytest.fixture
def guard(robust: Robust) -> Path:
    """A detector that needs no attack, stored in `guard`, and images of its kind in `images`."""
    write_plan(data={"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    write_images(12)
    answer = robust("fit-detector", "plan.toml", "--detector", "MaxSoftmax", "--out", "guard")
    assert (answer.code, answer.err) == (0, ""), answer.err
    assert "Saved MaxSoftmax to guard. Its threshold is 0." in answer.out
    assert "for 5 % false alarms on 60 clean images of val in 30 groups: of" in answer.out
    ends = re.search(r"it flags ([\d.]+) to ([\d.]+) % \(95 % interval\)", answer.out)
    assert ends is not None and float(ends[1]) < 1.5 and 8 < float(ends[2]) < 20
    return Path("guard")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_images_of_every_suffix_are_screened_and_the_others_counted(
    robust: Robust, guard: Path
) -> None:
    Path("inbox/deep").mkdir(parents=True)
    kinds = {".png": "PNG", ".jfif": "JPEG", ".jpe": "JPEG", ".webp": "WEBP", ".gif": "GIF"}
    for suffix, kind in kinds.items():
        with Image.open("images/00.png") as image:
            image.save(f"inbox/deep/a{suffix}", kind)
    if os.name == "posix":
        os.symlink(Path("images").absolute(), "inbox/more")
    for name in ("a.heic", "b.heic", "c.nii.gz", "notes.txt", "._x.png"):
        Path("inbox", name).write_bytes(b"0")
    answer = robust("screen", guard, "--allow-code", "inbox")
    assert answer.code == 0
    assert len(rows(answer.out)) == len(kinds) + (12 if os.name == "posix" else 0)
    assert "3 files with images left out (2 .heic, 1 .nii.gz)" in answer.err
    shutil.rmtree("inbox/deep")
    (Path("inbox") / "more").unlink(missing_ok=True)
    refused(robust("screen", guard, "--allow-code", "inbox"), "no images under inbox", "2 .heic")


def test_the_table_says_what_the_guard_says(robust: Robust, guard: Path) -> None:
    answer = robust("screen", guard, "--allow-code", "images")
    assert answer.code == 0
    table = rows(answer.out)
    assert list(table[0]) == ["id", "prediction", "score", "flagged"]
    assert [row["id"] for row in table] == [f"images/{i:02}.png" for i in range(12)]
    own = Guard(load_classifier(**MODEL), guard, "cpu")
    x = torch.stack([c.image for c in open_cases("phantom:chest_xray", count=12, pixels=28)])
    seen = own(x)
    assert [row["prediction"] for row in table] == [own.classes[i] for i in seen.prediction]
    assert [float(row["score"]) for row in table] == pytest.approx(seen.score.tolist(), abs=1e-6)
    assert [row["flagged"] for row in table] == [str(int(flag)) for flag in seen.flagged]
    assert answer.err == (
        f"{int(seen.flagged.sum())} of 12 images flagged; if none were attacked, about 0.6 would "
        "be, 0 to 3 in 95 of 100 such sets (if each shows another patient)\n"
    )


def test_a_file_and_a_folder_and_a_table_of_an_earlier_day(
    robust: Robust,
    guard: Path,
) -> None:
    Path("out").mkdir()
    for images, count in ((["images/03.png"], 1), (["images/03.png", "images"], 12)):
        answer = robust("screen", guard, "--allow-code", *images, "--out", "out/seen.csv")
        assert (answer.code, answer.out) == (0, "")
        assert len(rows(Path("out/seen.csv").read_text(encoding="utf-8"))) == count
    assert os.listdir("out") == ["seen.csv"]


def test_names_that_are_formulas(robust: Robust, guard: Path) -> None:
    shutil.copy("images/00.png", "=1+1.png")
    (row,) = rows(robust("screen", guard, "--allow-code", "=1+1.png").out)
    assert row["id"] == "'=1+1.png"


def test_screening_that_cannot_be(robust: Robust, guard: Path) -> None:
    Path("notes.csv").write_text("mine", encoding="utf-8")
    Path("empty").mkdir()
    for arguments, said in (
        (("nowhere", "images"), "no such detector: nowhere; name the folder that robust fit-det"),
        (("images", "images"), "images holds no detector.json"),
        (("plan.toml", "images"), "plan.toml is a file; name the folder"),
        ((guard, "imagse"), "no such image or folder: imagse"),
        ((guard, "empty"), "no images under empty; looked for PNG, JPEG"),
        ((guard, "images", "--out", "empty"), "empty is a folder; name a CSV file"),
        (
            (guard, "images", "--out", "notes.csv"),
            "notes.csv exists and is not a table of robust sc",
        ),
        (
            (guard, "images", "--out", "images/00.png"),
            "is not a table of robust screen",
        ),
        (
            (guard, "images", "--out", "plan.toml/a.csv"),
            "plan.toml/a.csv cannot be written",
        ),
        ((guard, "images", "--device", "gpu"), "device 'gpu' is not available"),
        ((guard, "images", "--weights", "w.pth"), "no such weights file: w.pth"),
        ((guard, "images", "--plan", "p.toml"), "no such plan: p.toml"),
        (
            (guard, "images", "--plan", "plan.toml", "--weights", "w"),
            "give either --plan or --weights",
        ),
    ):
        before = contents(Path("images"))
        refused(robust("screen", *arguments, "--allow-code"), said)
        assert contents(Path("images")) == before
    assert Path("notes.csv").read_text(encoding="utf-8") == "mine"


def test_a_broken_image_is_named_or_skipped(robust: Robust, guard: Path) -> None:
    Path("images/05.png").write_bytes(Path("images/05.png").read_bytes()[:300])
    refused(
        robust("screen", guard, "--allow-code", "images"),
        "images/05.png is broken",
        "--skip-broken",
    )
    answer = robust("screen", guard, "--allow-code", "images", "--skip-broken")
    assert answer.code == 0 and len(rows(answer.out)) == 11
    skipped, summary = answer.err.splitlines()
    assert skipped.startswith("robust: skipped: images/05.png is broken")
    assert " of 11 images flagged" in summary
    refused(
        robust("screen", guard, "--allow-code", "images/05.png", "--skip-broken"),
        "none of the images could be read",
    )


def write_dicoms(folder: Path, patients: int, split: str = "") -> list[str]:
    """Two files of each patient, of values that the two windows of a file show differently."""
    rng = np.random.default_rng(len(split))
    lines: list[str] = []
    for number in range(2 * patients):
        stored = rng.integers(0, 4096, (28, 28)).astype(np.uint16)
        made = make(stored, PatientID=f"{split}Doe{number // 2}", WindowCenter=[2048, 1000])
        made.WindowWidth = [4096, 500]
        name = f"{split}{number:02}.dcm"
        save(made, folder / name)
        lines.append(f"{name},{number % 2},{split}")
    return lines


def test_dicom_frames_are_screened_as_those_of_the_fit(robust: Robust) -> None:
    """The window of the plan, a frame of several, colours that are inverted; and no patient."""
    data = Path("scans")
    lines = [*write_dicoms(data, 12, "train"), *write_dicoms(data, 12, "val")]
    table = "\n".join(["file,label,split", *lines])
    (data / "cases.csv").write_text(table + "\n", encoding="utf-8")
    write_plan(data={"path": "scans", "window": 2})
    fit = ("fit-detector", "plan.toml", "--detector", "MaxSoftmax", "--false-alarms", "20%")
    assert robust(*fit, "--out", "guard").code == 0
    inbox = Path("inbox")
    write_dicoms(inbox, 2)
    stored = np.random.default_rng(9).integers(0, 4096, (2, 28, 28)).astype(np.uint16)
    windows: dict[str, Any] = {
        "WindowCenter": [2048, 1000],
        "WindowWidth": [4096, 500],
        "PatientID": "Doe7",
    }
    save(make(stored, frames=2, **windows), inbox / "film")  # without a suffix
    windows["PhotometricInterpretation"] = "MONOCHROME1"
    save(make(stored[0], **windows), inbox / "inverse.dcm")
    answer = robust("screen", "guard", "inbox", "--allow-code", "--json")
    assert answer.code == 0 and "Doe" not in answer.out + answer.err
    assert "7 images flagged" in answer.err and "here they show at most 3)" in answer.err
    found = json.loads(answer.out)
    assert found["patients_at_most"] == 3
    ids = [row["id"] for row in found["images"]]
    assert ids == [
        *(f"inbox/{name}" for name in ("00.dcm", "01.dcm", "02.dcm", "03.dcm")),
        *("inbox/film#1", "inbox/film#2", "inbox/inverse.dcm"),
    ]
    own = Guard(load_classifier(**MODEL), "guard", "cpu")
    names = [
        f"{Path(one).name.split('#')[0]},{i % 2}" for i, one in enumerate(ids) if "#2" not in one
    ]
    (inbox / "cases.csv").write_text("\n".join(["file,label", *names]) + "\n", encoding="utf-8")
    scores = {
        window: own([case.image for case in open_cases(inbox, window=window)]).score.tolist()
        for window in (1, 2)
    }
    assert [row["score"] for row in found["images"]] == pytest.approx(scores[2], abs=1e-6)
    assert scores[1] != pytest.approx(scores[2], abs=1e-3)


def test_a_broken_dicom_file_is_one_line(robust: Robust, guard: Path) -> None:
    write_dicoms(Path("inbox"), 1)
    whole = Path("inbox/01.dcm").read_bytes()
    for content, said in (
        (whole[:-400], "inbox/01.dcm declares more pixels than it holds"),
        (whole[:60], "inbox/01.dcm is not a DICOM file"),
        (b"", "inbox/01.dcm is not a DICOM file"),
    ):
        Path("inbox/01.dcm").write_bytes(content)
        refused(robust("screen", guard, "inbox", "--allow-code"), said, "--skip-broken")
        answer = robust("screen", guard, "inbox", "--allow-code", "--skip-broken")
        assert [row["id"] for row in rows(answer.out)] == ["inbox/00.dcm"]
        assert f"robust: skipped: {said}" in answer.err and "Doe" not in answer.err


def test_a_classifier_that_is_not_its_own(robust: Robust, guard: Path) -> None:
    import toy_factory  # type: ignore[import-not-found]

    net = toy_factory.build()
    torch.save(net.state_dict(), "same.pth")
    net.head.bias.data += 1
    torch.save(net.state_dict(), "other.pth")
    assert robust("screen", guard, "--allow-code", "images", "--weights", "same.pth").code == 0
    foreign = "belongs to another classifier: "
    refused(
        robust("screen", guard, "--allow-code", "images", "--weights", "other.pth"),
        f"{foreign}the hash of",
    )
    plan = Path("plan.toml").read_text(encoding="utf-8")
    for spoilt, said in (
        ({"audit": {"threshold": 0.3}}, f"{foreign}its threshold is 0.5, here it is 0.3"),
        ({"model": MODEL | {"std": 0.5}}, f"{foreign}its std is [1.0], here it is [0.5]"),
        ({"model": {"factory": "toy_factory:three"}}, f"{foreign}the hash of its weights"),
    ):
        write_plan(**spoilt)
        refused(robust("screen", guard, "--allow-code", "images", "--plan", "plan.toml"), said)
    Path("plan.toml").write_text(plan, encoding="utf-8")
    assert robust("screen", guard, "--allow-code", "images", "--plan", "plan.toml").code == 0


def test_images_are_read_as_for_the_fit(robust: Robust) -> None:
    """A plan that reads colour as grey and at another size, and images of every kind."""
    write_images(2)
    more: dict[str, Any] = {"count": COUNT, "pixels": 56, "size": 28, "grey": True}
    write_plan(data={"path": "phantom:chest_xray"} | more)
    fit = ("fit-detector", "plan.toml", "--detector", "MaxSoftmax", "--out", "guard")
    assert robust(*fit).code == 0
    Image.open("images/00.png").convert("RGB").save("images/02.png")
    Image.open("images/00.png").resize((56, 56), Image.Resampling.NEAREST).save("images/03.png")
    table = rows(robust("screen", "guard", "images", "--allow-code").out)
    scores = [float(row["score"]) for row in table]
    assert scores[0] != scores[1]
    assert scores[2] == pytest.approx(scores[0], abs=1e-5)
    assert scores[3] == pytest.approx(scores[0], abs=1e-3)


@pytest.mark.slow
def test_in_processes_of_their_own(here: Path) -> None:
    """From the plan to the table, with all that libraries would log and warn of."""
    save_file(trained(28).state_dict(), "w.safetensors")
    model = {"factory": "tests.engine.nets:small", "weights": "w.safetensors", "channels": 1}
    write_plan(model, {"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    write_images(12)

    def call(*arguments: str) -> Answer:
        done = subprocess.run(
            [sys.executable, "-m", "robust", *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            env=os.environ
            | {"PYTHONPATH": str(Path(cli.__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        )
        # A busy machine has time to show progress.
        said = (line for line in done.stderr.splitlines(True) if " elapsed" not in line)
        return Answer(done.returncode, done.stdout, "".join(said))

    fitted = call(
        *("fit-detector", "plan.toml", "--detector", "KernelDensity", "--attack", "FGSM"),
        *("--eps", "24/255", "--false-alarms", "20%", "--out", "guard"),
    )
    assert (fitted.code, fitted.err) == (0, "")
    assert "It learned from" in fitted.out and "which it did not learn from" in fitted.out
    assert json.loads(Path("guard/detector.json").read_text())["training_attack"]["fitted_on"] > 0
    screened = call("screen", "guard", "images", "--allow-code")
    assert screened.code == 0 and len(rows(screened.out)) == 12
    assert len(screened.err.splitlines()) == 1
    refused(call("screen", "guard", "nowhere", "--allow-code"), "no such image or folder: nowhere")


def test_a_detector_from_elsewhere_names_no_code(robust: Robust, guard: Path) -> None:
    """Its record names a factory, which only the user may name, in a plan or with a word."""
    said = "the detector names the factory toy_factory:build, which runs code"
    refused(robust("screen", guard, "images"), said)
    refused(robust("screen", guard, "images"), "add --allow-code", "--plan")
    assert robust("screen", guard, "images", "--plan", "plan.toml").code == 0
    assert robust("screen", guard, "images", "--allow-code").code == 0


def write_trained(folder: Path) -> None:
    """A folder as `robust train` leaves it, of a network that nobody has trained."""
    folder.mkdir()
    head = Head(classes=2, kind="plain", hidden=1, dropout=0.0)
    given = {"mean": [0.5], "std": [0.25], "size": [28, 28], "channels": 3}
    about = {
        "version": 1,
        "architecture": "timm:test_efficientnet",
        "head": dataclasses.asdict(head),
        "classes": ["normal", "opacity"],
        "findings": ["opacity"],
        "preprocessing": {**given, "interpolation": "bilinear", "fit": "squash"},
        "weights_sha256": "",
        "title": "Chest classifier",
    }
    made = make_classifier(ModelFile.model_validate(about))
    save_file(made.network.state_dict(), folder / "model.safetensors")
    about["weights_sha256"] = weights_hash(made)
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    data = f'[data]\npath = "phantom:chest_xray"\ncount = {COUNT}\npixels = 28\n'
    (folder / "plan.toml").write_text(f'[model]\nfolder = "."\n{data}', encoding="utf-8")


@pytest.mark.slow
def test_a_guard_of_a_trained_folder(robust: Robust) -> None:
    """Fitted by the folder or by a plan that names it, screened in every way, moved, reported on."""
    write_trained(Path("trained"))
    write_images(4)
    write_plan({"folder": "trained"}, {"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    for source, guard in (("trained", "by_folder"), ("plan.toml", "by_plan")):
        fit = robust("fit-detector", source, "--detector", "MaxSoftmax", "--out", guard)
        assert fit.code == 0, fit.err
    seen = robust("screen", "by_folder", "images")
    assert seen.code == 0 and len(rows(seen.out)) == 4
    for guard in ("by_folder", "by_plan"):
        for more in ([], ["--plan", "trained"], ["--plan", "plan.toml"], ["--weights", "trained"]):
            assert robust("screen", guard, "images", *more).out == seen.out, (guard, more)
    Path("trained").rename("moved")
    refused(robust("screen", "by_folder", "images"), "trained holds no model.json", "--weights")
    for place in ("moved", "moved/model.safetensors"):
        assert robust("screen", "by_folder", "images", "--weights", place).out == seen.out
    audited = robust("audit", "moved", "--attack", "FGSM", "--limit", 8, "--out", "run")
    assert audited.code == 0, audited.err
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    source = report["model"]["source"]
    assert source["name"] == "Chest classifier" and "moved" not in json.dumps(report)
    assert source["architecture"] == "timm:test_efficientnet"
    named = "name Chest classifier, architecture timm:test_efficientnet, folder of robust train"
    assert robust("report", "run", "--format", "html", "--template", "regulatory").code == 0
    for page in ("report.html", "regulatory.html", "report.md"):
        assert named in Path("run", page).read_text(encoding="utf-8").replace("\\_", "_"), page


def test_a_detector_of_the_user_is_imported_with_a_word_alone(robust: Robust) -> None:
    Path("mine_screen.py").write_text(MINE, encoding="utf-8")
    write_plan(data={"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    write_images(4)
    fit = ("fit-detector", "plan.toml", "--detector", "mine_screen:MyDetector", "--out", "guard")
    assert robust(*fit).code == 0
    said = "guard/detector.json names the detector mine_screen:MyDetector, which runs code"
    refused(robust("screen", "guard", "images", "--plan", "plan.toml"), said, "add --allow-code")
    assert robust("screen", "guard", "images", "--allow-code").code == 0
