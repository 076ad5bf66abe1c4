"""Adversarial images as DICOM files: what is counted is what the files are worth when read again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from robust.cases import open_cases
from robust.cases.dicom.frame import Frame, read_dicom
from robust.cases.images import as_png
from robust.cli.app import app
from robust.engine.runner import RunOptions
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.storage.export_dicom import DicomFolder
from robust.storage.export_png import export_images
from tests.cases.dicoms import make, save
from tests.engine.nets import trained

CPU = RunOptions("cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Chest phantoms as DICOM files of 12 bits in a window, two a patient, and two PNG."""
    root = tmp_path / "images"
    lines = ["file,label,patient,split"]
    cases = open_cases("phantom:chest_xray", count=16, pixels=28)
    for k in range(16):
        case = cases[k]
        pixels = (case.image[0].numpy() * 2000 + 900).round().astype(np.uint16)
        if k < 14:
            name = f"Doe{k}.dcm"
            window = {"WindowCenter": 1900, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"}
            save(make(pixels, PatientID=f"Doe{k // 2}", **window), root / name)
        else:
            name = f"{k}.png"
            grey = (case.image[0].numpy() * 255).round().astype(np.uint8)
            (root / name).write_bytes(as_png(grey))
        lines.append(f"{name},{case.label},Doe{k // 2},test")
    (root / "cases.csv").write_text("\n".join(lines), encoding="utf-8")
    save_file(trained(28).state_dict(), tmp_path / "w.safetensors")
    return root


def plan(images: Path, audit: dict[str, Any] | None = None, **data: Any) -> Plan:
    return make_plan(
        {
            "model": {
                "factory": "tests.engine.nets:small",
                "weights": str(images.parent / "w.safetensors"),
                "channels": 1,
                "head": "softmax",
            },
            "data": {"path": str(images), "label": "label", "group": "patient", **data},
            "attacks": [{"name": "PGD"}],
            "audit": {"eps": ["4/255"], "chunk": 5, **(audit or {})},
        }
    )


@pytest.mark.parametrize("audit", [{}, {"norm": "L2", "eps": [0.5]}], ids=["Linf", "L2"])
def test_the_files_are_worth_what_is_said(
    images: Path, tmp_path: Path, audit: dict[str, Any]
) -> None:
    made, dicom = plan(images, audit), DicomFolder(tmp_path / "dicom")
    export_images(made, tmp_path / "out", dicom=dicom, options=CPU)
    table = list(
        csv.DictReader((tmp_path / "out" / "attacks.csv").read_text(encoding="utf-8").splitlines())
    )
    lines = [line for line in table if line["dicom"]]
    files = sorted(p.name for p in (tmp_path / "dicom").iterdir())
    assert files == sorted(line["dicom"] for line in lines) and len(files) == dicom.written > 4
    assert dicom.not_dicom == len(table) - len(lines)
    cases = open_cases(images, label="label", group="patient")
    index = {entry.id: i for i, entry in enumerate(cases.entries)}
    net, eps, fooled = Classifier(trained(28), channels=1, head="softmax").eval(), 4 / 255, 0
    for line in lines:
        case = cases[index[line["case"]]]
        picture = read_dicom(Frame(tmp_path / "dicom" / line["dicom"]))
        image = picture.stored.image(picture.pixels)
        moved = (image - case.image).double()
        if audit:
            assert float(moved.norm()) <= 0.5 + 1e-5
        else:
            assert float(moved.abs().max()) <= eps + 3e-7
            assert int(line["dicom_levels"]) <= eps * 2000 + 1e-6
        assert float(moved.abs().max()) == pytest.approx(float(line["dicom_linf"]), abs=1e-6)
        with torch.no_grad():
            summary_lines = int(net(image[None]).argmax())
        assert cases.classes[summary_lines] == line["dicom_prediction"]
        assert (summary_lines != case.label) == (line["dicom_success"] == "1")
        fooled += summary_lines != case.label
        header = pydicom.dcmread(tmp_path / "dicom" / line["dicom"])
        assert header.PatientID == line["group"]
        assert header.DerivationDescription.startswith("Adversarial image: PGD, L")
    assert fooled == dicom.fooled > 0
    lines_shown = dicom.summary_lines()
    assert lines_shown[0].startswith(f"{len(files)} DICOM files in {tmp_path / 'dicom'}, of which")
    if not audit:
        assert "eps 4/255 = 31.4 of 4096 grey levels" in lines_shown[1]
    assert ("did not come from DICOM" in lines_shown[-1]) == (dicom.not_dicom > 0)


def test_kept_names_do_not_reach_the_files(images: Path, tmp_path: Path) -> None:
    made = plan(images, keep_names=True)
    for name in ("a", "b"):
        dicom = DicomFolder(tmp_path / name)
        export_images(made, tmp_path / f"{name}-out", dicom=dicom, options=CPU)
    files = sorted((tmp_path / "a").iterdir())
    for path in files:
        assert b"Doe" not in path.read_bytes() and "Doe" not in path.name
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_cannot_be_written_is_refused_and_leaves_nothing(images: Path, tmp_path: Path) -> None:
    dicom, out = DicomFolder(tmp_path / "dicom"), tmp_path / "out"
    smaller = plan(images, size=24)
    assert smaller.model is not None
    model = smaller.model.model_copy(update={"size": 28})
    smaller = smaller.model_copy(update={"model": model})
    with pytest.raises(InputError, match="remove size and grey from"):
        export_images(smaller, out, dicom=dicom, options=CPU)
    assert not out.exists() and not dicom.folder.exists()
    dicom.folder.mkdir()
    (dicom.folder / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="not empty"):
        export_images(plan(images), out, dicom=dicom, options=CPU)
    assert (dicom.folder / "mine.txt").exists() and not out.exists()
    for path in images.glob("*.dcm"):
        path.unlink()
    text = (images / "cases.csv").read_text().splitlines()
    (images / "cases.csv").write_text("\n".join([text[0], *text[-2:]]))
    with pytest.raises(InputError, match="holds no DICOM file to write back"):
        export_images(plan(images), out, dicom=DicomFolder(tmp_path / "new"), options=CPU)


def test_the_command_says_what_it_wrote(images: Path, tmp_path: Path) -> None:
    toml = tmp_path / "plan.toml"
    toml.write_text(
        f'[model]\nfactory = "tests.engine.nets:small"\nweights = "{tmp_path}/w.safetensors"\n'
        f'channels = 1\nhead = "softmax"\n[data]\npath = "{images}"\nlabel = "label"\n'
        f'group = "patient"\n',
        encoding="utf-8",
    )
    line = ["attack", str(toml), "--attack", "FGSM", "--eps", "1/255", "--device", "cpu"]
    ended = CliRunner().invoke(
        app, [*line, "--out", str(tmp_path / "out"), "--save-dicom", str(tmp_path / "dicom")]
    )
    assert ended.exit_code == 0, ended.output
    summary_lines = " ".join(ended.output.split())
    assert (
        "as stored reach the goal eps 1/255 = 7.84 of 4096 grey levels; no stored" in summary_lines
    )
    assert len(list((tmp_path / "dicom").glob("*.dcm"))) > 4
