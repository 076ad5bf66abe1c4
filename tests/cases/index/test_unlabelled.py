"""Images without labels: DICOM files give a case for each frame, and the patient as the group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robust.cases import open_cases
from robust.cases.index.unlabelled import open_unlabelled, shown_as
from robust.errors import InputError
from tests.cases.dicoms import make, save


def write(path: Path, seed: int, patient: str, frames: int = 1) -> None:
    shape = (32, 32) if frames == 1 else (frames, 32, 32)
    stored = np.random.default_rng(seed).integers(0, 4096, shape).astype(np.uint16)
    more = {} if frames == 1 else {"NumberOfFrames": frames}
    save(make(stored, PatientID=patient, **more), path)


def test_dicom_files_are_frames_of_patients(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, patient in (("a.dcm", "Doe^Jane"), ("b.dcm", "Doe^Jane"), ("c.dcm", "Roe^Rick")):
        write(inbox / name, ord(name[0]), patient)
    write(inbox / "d.dcm", 4, "Roe^Rick", frames=2)
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(inbox / "e.png")
    cases = open_unlabelled([inbox])
    ids = [Path(entry.id).name for entry in cases.entries]
    assert ids == ["a.dcm", "b.dcm", "c.dcm", "d.dcm#1", "d.dcm#2", "e.png"]
    groups = [entry.group for entry in cases.entries]
    assert groups[0] == groups[1] != groups[2] == groups[3] == groups[4]
    assert groups[5] == cases.entries[5].id
    assert not any(name in group for group in groups for name in ("Doe", "Roe"))
    # The pixels are those of the same files with labels.
    (tmp_path / "cases.csv").write_text("file,label\ninbox/a.dcm,0\ninbox/d.dcm,1\n", "utf-8")
    labelled = open_cases(tmp_path)
    assert (cases[0].image == labelled[0].image).all()
    assert (cases[4].image == labelled[2].image).all()


def test_a_table_of_dicom_files_may_name_the_patient(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", 0, "Doe^Jane")
    (tmp_path / "list.csv").write_text("file,group\na.dcm,P7\n", encoding="utf-8")
    (entry,) = open_unlabelled([tmp_path / "list.csv"]).entries
    assert entry.group == "P7" and entry.id == "a.dcm"


def test_a_patient_in_two_sources_is_one_group(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "0.dcm", ord(name), "Doe^Jane")
    one, other = open_unlabelled([tmp_path / "a", tmp_path / "b"]).entries
    assert one.group == other.group


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="GIF and DICOM"):
        open_unlabelled([tmp_path])


def test_images_are_shown_as_a_plan_shows_its_own(tmp_path: Path) -> None:
    """The window of the plan counts for DICOM files alone, size and grey for all."""
    stored = np.random.default_rng(0).integers(0, 4096, (32, 32)).astype(np.uint16)
    (tmp_path / "inbox").mkdir()
    windows: dict[str, Any] = {"WindowCenter": [2048, 1000], "WindowWidth": [4096, 500]}
    save(make(stored, **windows), tmp_path / "inbox" / "a.dcm")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "inbox" / "b.png")
    (tmp_path / "cases.csv").write_text("file,label\ninbox/a.dcm,0\ninbox/b.png,1\n", "utf-8")
    found = open_unlabelled([tmp_path / "inbox"])
    shown = shown_as(found, size=16, grey=True, depth=None, window=2)
    audited = open_cases(tmp_path, size=16, grey=True, window=2, group="none")
    for one, other in zip(shown, audited, strict=True):
        assert one.image.shape == (1, 16, 16) and (one.image == other.image).all()
    first = shown_as(found, size=16, grey=True, depth=None, window=None)
    assert not (first[0].image == shown[0].image).all()
