"""Data sets with DICOM files: labels, patients without names, DICOMDIR, and nobody's name anywhere."""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import JPEG2000Lossless

from robust.cases import open_cases
from robust.cli import app as cli
from robust.errors import InputError
from tests.cases.dicoms import make, ramp, save


def noise(seed: int, shape: tuple[int, ...] = (40, 40)) -> Any:
    return np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)


def write(root: Path, name: str, seed: int, **elements: Any) -> str:
    """A DICOM file below the root; its SOP instance."""
    made = make(noise(seed), **elements)
    save(made, root / name)
    return str(made.SOPInstanceUID)


def table(root: Path, text: str) -> Path:
    (root / "cases.csv").write_text(text, encoding="utf-8")
    return root


def test_a_table_of_dicom_files_groups_by_patient(tmp_path: Path) -> None:
    for k, patient in enumerate(["P1", "P2", "P1 "]):
        write(tmp_path, f"{k}.dcm", k, PatientID=patient)
    table(tmp_path, "file,label,split\n0.dcm,0,test\n1.dcm,1,train\n2.dcm,1,test\n")
    test = open_cases(tmp_path)
    assert test.grouped and not test.showable
    assert [e.label for e in test.entries] == [0, 1]
    assert test.entries[0].group == test.entries[1].group != open_cases(tmp_path, split="train")
    everyone = open_cases(tmp_path, split="all").entries
    assert len({e.group for e in everyone}) == 2
    assert everyone[0].group == test.entries[0].group  # in every split the same
    assert all(re.fullmatch("[0-9a-f]{12}", e.group) for e in everyone)
    plain = {hashlib.sha256(text).hexdigest()[:12] for text in (b"P1", b"\\P1")}
    assert everyone[0].group not in plain
    assert [c.id for c in open_cases(tmp_path, keep_names=True)] == ["0.dcm", "2.dcm"]
    assert open_cases(tmp_path, keep_names=True)[0].group == test.entries[0].group
    assert not open_cases(tmp_path, group="none").grouped


def test_two_sets_know_one_patient_by_two_names(tmp_path: Path) -> None:
    groups = set()
    for name in ("a", "b"):
        write(tmp_path / name, "0.dcm", ord(name))
        table(tmp_path / name, "file,label\n0.dcm,0\n")
        groups.add(open_cases(tmp_path / name)[0].group)
    assert len(groups) == 2


def test_cases_are_named_by_their_content(tmp_path: Path) -> None:
    write(tmp_path, "Doe_Jane.dcm", 0)
    table(tmp_path, "file,label\nDoe_Jane.dcm,0\n")
    name = open_cases(tmp_path)[0].id
    (tmp_path / "Doe_Jane.dcm").rename(tmp_path / "moved")
    table(tmp_path, "file,label\nmoved,0\n")
    assert open_cases(tmp_path)[0].id == name
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "moved").read_bytes())
    table(tmp_path, "file,label\nmoved,0\ncopy.dcm,0\n")
    with pytest.raises(InputError, match=r"copy\.dcm is a copy of .*moved; keep one"):
        open_cases(tmp_path)
    table(tmp_path, "file,label\nmoved,0\n./moved,1\n")
    with pytest.raises(InputError, match=r"names .*moved twice"):
        open_cases(tmp_path)


def test_png_and_dicom_in_one_table(tmp_path: Path) -> None:
    pixels = (noise(0) >> 4).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    write(tmp_path, "b", 1)
    table(tmp_path, "file,label,group\na.png,0,x\nb,1,x\n")
    cases = open_cases(tmp_path)
    assert torch.equal(cases[0].image[0], torch.from_numpy(pixels) / 255)
    assert cases[1].image.shape == (1, 40, 40) and cases[1].stored.bits == 12
    picture = cases.stored_image(1)
    np.testing.assert_array_equal(picture.pixels, noise(1))
    np.testing.assert_array_equal(cases[1].stored.pixels(cases[1].image, picture.pixels), noise(1))
    assert cases[0].group == cases[1].group and not cases.showable
    table(tmp_path, "file,label\na.png,0\nb,1\n")
    with pytest.raises(
        InputError, match=r"a\.png is not DICOM and does not name a patient; add a group"
    ):
        open_cases(tmp_path)


def test_a_case_a_frame(tmp_path: Path) -> None:
    pixels = np.stack([noise(k) for k in range(3)])
    save(make(pixels, frames=3), tmp_path / "a.dcm", JPEG2000Lossless)
    write(tmp_path, "b.dcm", 9, PatientID="other")
    table(tmp_path, "file,label\na.dcm,1\nb.dcm,0\n")
    cases = open_cases(tmp_path)
    assert [e.label for e in cases.entries] == [1, 1, 1, 0]
    assert len({e.id for e in cases.entries}) == 4 and len({e.group for e in cases.entries}) == 2
    for k in range(3):
        np.testing.assert_array_equal(cases.stored_image(k).pixels, pixels[k])
    first = cases.content(0)
    assert [cases.content(i) == first for i in range(4)] == [True, True, True, False]
    (tmp_path / "a.dcm").write_bytes((tmp_path / "b.dcm").read_bytes())
    assert cases.content(0) == cases.content(3) != first
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(InputError, match=r"a\.dcm cannot be read"):
        cases.content(0)


def test_class_folders(tmp_path: Path) -> None:
    for k, name in enumerate(["test/ill/IM0", "test/well/x.dcm", "train/well/y.1.2.840"]):
        write(tmp_path, name, k, PatientID=f"P{k % 2}")
    cases = open_cases(tmp_path)
    assert (cases.classes, len(cases), cases.grouped) == (("ill", "well"), 2, True)
    train = open_cases(tmp_path, split="train")
    assert train.entries[0].group == cases.entries[0].group != cases.entries[1].group
    assert not open_cases(tmp_path, group="none").grouped
    by_path = open_cases(tmp_path, group_pattern=r"/(\w+)/", keep_names=True)
    assert [e.group for e in by_path.entries] == ["ill", "well"]


def test_sop_instances_in_place_of_files(tmp_path: Path) -> None:
    uids = [write(tmp_path, f"deep/IM{k}", k) for k in range(3)]
    table(tmp_path, f"sop_instance_uid,label\n{uids[2]},1\n{uids[0]},0\n")
    cases = open_cases(tmp_path)
    np.testing.assert_array_equal(cases.stored_image(0).pixels, noise(2))
    np.testing.assert_array_equal(cases.stored_image(1).pixels, noise(0))
    table(tmp_path, "sop_instance_uid,label\n1.2.3,1\n")
    with pytest.raises(InputError, match=r"no DICOM file of .* has the sop_instance_uid 1\.2\.3"):
        open_cases(tmp_path)


def directory(root: Path, **files: str) -> Path:
    """A DICOMDIR that refers to files by their instances."""
    made = make(ramp())
    del made.PixelData
    made.DirectoryRecordSequence = []
    for uid, path in files.items():
        record = Dataset()
        record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", path.split("/")
        record.ReferencedSOPInstanceUIDInFile = uid.replace("_", ".")[1:]
        made.DirectoryRecordSequence.append(record)
    return save(made, root / "DICOMDIR")


def test_a_dicomdir(tmp_path: Path) -> None:
    write(tmp_path, "IMAGES/IM1", 1)
    path = directory(tmp_path, _1_2_3="IMAGES/IM1")
    with pytest.raises(InputError, match=r"DICOMDIR does not contain labels; write a cases\.csv"):
        open_cases(path)
    table(tmp_path, "sop_instance_uid,label\n1.2.3,1\n")
    for place in (path, tmp_path):
        np.testing.assert_array_equal(open_cases(place).stored_image(0).pixels, noise(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        directory(tmp_path, _1_2_3="../IM1")
    with pytest.raises(InputError, match="refers to files outside its folder"):
        open_cases(path)


def test_a_window_is_chosen_by_the_plan(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm", 0, WindowCenter=[1000, 3000], WindowWidth=[100, 200])
    table(tmp_path, "file,label\na.dcm,0\n")
    first, second = (open_cases(tmp_path, window=k)[0] for k in (1, 2))
    assert torch.equal(first.image, open_cases(tmp_path)[0].image)
    assert first.stored.step == pytest.approx(1 / 99)
    assert second.stored.step == pytest.approx(1 / 199)
    with pytest.raises(InputError, match="windows are counted from 1"):
        open_cases(tmp_path, window=0)
    (tmp_path / "x").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "x" / "a.png")
    table(tmp_path / "x", "file,label,group\na.png,0,1\n")
    with pytest.raises(InputError, match="window = 2 is for DICOM files"):
        open_cases(tmp_path / "x", window=2)


def test_a_file_without_a_patient_and_a_broken_one(tmp_path: Path) -> None:
    write(tmp_path, "a.dcm", 0, PatientID="")
    table(tmp_path, "file,label\na.dcm,0\n")
    with pytest.raises(InputError, match=r"a\.dcm does not name a patient; add a group column"):
        open_cases(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"nonsense")
    table(tmp_path, "file,label\na.dcm,0\nabsent.dcm,0\n")
    cases = open_cases(tmp_path)
    assert len(cases) == 2
    with pytest.raises(InputError, match=r"a\.dcm is not a DICOM file; replace or remove it"):
        cases[0]
    with pytest.raises(InputError, match=r"no such image: .*absent\.dcm"):
        cases[1]


# --- nobody's name ---

CANARY = "ZzCanary"
TEXTS = {
    "AE": 16, "CS": 16, "LO": 64, "LT": 200, "PN": 64, "SH": 16, "ST": 200, "UC": 64, "UR": 64, "UT": 64,
}  # fmt: skip
NEEDED = ("Modality", "PhotometricInterpretation", "SpecificCharacterSet")
FACTORY = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
"""


def marked(seed: int) -> Dataset:
    """A file in which every text element of patient, study, device and place is a canary."""
    from pydicom.datadict import DicomDictionary

    made, count = make(noise(seed)), 0
    for tag, (kind, many, _, retired, name) in DicomDictionary.items():
        group = tag >> 16
        if kind in TEXTS and name and name not in NEEDED and not retired:
            if group in (0x08, 0x10, 0x18, 0x20, 0x32, 0x38, 0x40) and many[0] == "1":
                text = f"{CANARY}{count}"[: TEXTS[kind]]
                made.add_new(tag, kind, text.upper() if kind == "CS" else text)
                count += 1
    assert count > 300
    made.PatientID = f"{CANARY}-{seed % 5}"
    made.PatientBirthDate, made.StudyDate = "19731231", "20011111"
    made.private_block(0x0011, CANARY, create=True).add_new(1, "LO", CANARY)
    return made


@pytest.mark.filterwarnings("ignore")
def test_no_word_of_a_file_reaches_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    images = tmp_path / "images"
    lines = ["file,label,split"]
    for k in range(12):
        save(marked(k), images / f"{k}.dcm")
        lines.append(f"{k}.dcm,{k % 2},test")
    # Broken in ways that make pydicom quote what it cannot read.
    for k, (old, new) in enumerate(
        [(b"DS", b"IS"), (b"US\x02\x00", b"LO\x02\x00"), (b"PN", b"DA")]
    ):
        path = save(marked(50 + k), images / f"broken{k}.dcm")
        data = path.read_bytes()
        cut = data.replace(old, new)[: -100 if k else None]
        assert CANARY.encode() in cut
        path.write_bytes(cut)
        lines.append(f"broken{k}.dcm,0,test")
    odd = marked(60)
    odd.WindowCenter, odd.WindowWidth = 1, 2
    data = save(odd, images / "odd.dcm").read_bytes()
    at = data.index(b"\x28\x00\x50\x10DS")
    (images / "odd.dcm").write_bytes(data[: at + 6] + b"\x0c\0" + b"ZzCanary-win" + data[at + 12 :])
    lines.append("odd.dcm,1,test")
    table(images, "\n".join(lines))
    (tmp_path / "canary_factory.py").write_text(FACTORY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    said = ""
    model = [
        "--factory",
        "canary_factory:build",
        "--channels",
        "1",
        "--mean",
        "0.5",
        "--std",
        "0.5",
    ]
    audit = [
        "audit",
        *model,
        "--data",
        "images",
        "--attack",
        "FGSM",
        "--eps",
        "1/255",
        "--size",
        "40",
        "--set",
        "doubts.probe=false",
    ]
    plan = tmp_path / "plan.toml"
    plan.write_text(
        '[model]\nfactory = "canary_factory:build"\nchannels = 1\nmean = 0.5\nstd = 0.5\n'
        '[data]\npath = "images"\n[doubts]\nprobe = false\n',
        encoding="utf-8",
    )
    with caplog.at_level(20), caplog.at_level(0, logger="pydicom"):
        for line, code in (
            ([*audit, "--out", "refused"], 2),
            ([*audit, "--out", "run", "--skip-broken"], 0),
            (["attack", "plan.toml", "--attack", "FGSM", "--eps", "2/255", "--out", "files",
              "--save-dicom", "dicoms", "--skip-broken"], 0),
        ):  # fmt: skip
            monkeypatch.setattr(sys, "argv", ["robust", *line])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            out, err = capfd.readouterr()
            assert (ended.value.code or 0) == code, err
            said += out + err
    assert "broken1.dcm is broken" in said  # so that what is refused was met
    assert "odd.dcm is broken" in caplog.text
    written = [p for folder in ("run", "files", "dicoms") for p in (tmp_path / folder).rglob("*")]
    assert len(list((tmp_path / "files").glob("*.png"))) >= 3
    assert len(list((tmp_path / "dicoms").glob("*.dcm"))) >= 3
    content = [said.encode(), caplog.text.encode(), *(str(p).encode() for p in written)]
    content += [p.read_bytes() for p in written if p.is_file()]
    for text in (CANARY.lower().encode(), b"19731231", b"20011111", b"doe^jane"):
        assert not [c[:80] for c in content if text in c.lower()]
