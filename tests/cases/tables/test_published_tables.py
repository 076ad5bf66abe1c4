"""Label files as public sets publish them: each read unedited, beside images that are drawn here.

Counts were taken from the files by hand or with the csv module alone.
"""

from __future__ import annotations

import csv
import gzip
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from robust.cases import Cases, open_cases, open_findings
from robust.errors import InputError
from tests.cases.dicoms import make
from tests.cases.tables import labels, write_images

NIH = {
    "file": "Image Index",
    "label": "Finding Labels",
    "separator": "|",
    "group": "Patient ID",
    "splits": {"train": "train_val_list.txt", "test": "test_list.txt"},
}
CHEXPERT = {
    "table": ("train.csv", "valid.csv"),
    "file": "Path",
    "group_pattern": r"(patient\d+)",
    "splits": "path",
    "split": "val",
}
ODIR = "ODIR-5K_Training_Annotations(Updated)_V2.xlsx"
PADCHEST = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"


@pytest.fixture(scope="session")
def files(data: Path) -> Path:
    place = data / "label_files"
    if not place.is_dir():
        pytest.skip("needs the look-alikes of published label files")
    return place


def published(files: Path, name: str, root: Path) -> Path:
    root.mkdir(exist_ok=True)
    for path in (files / name).iterdir():
        shutil.copy(path, root / path.name)
        (root / path.name).chmod(0o644)
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def dicom(path: Path, patient: str, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = make(np.full((4, 5), level, np.uint8), bits=8, PatientID=patient)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)


def counts(cases: Cases) -> dict[str, int]:
    found = Counter(cases.classes[entry.label] for entry in cases.entries)
    return {name: found[name] for name in cases.classes}


def test_nih(files: Path, tmp_path: Path) -> None:
    root = published(files, "nih_chestxray14", tmp_path)
    known = rows(root / "Data_Entry_2017_v2020.csv")
    write_images(
        root, *(f"images_{i % 3:03d}/images/{r['Image Index']}" for i, r in enumerate(known))
    )
    for table in ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv"):
        found = open_findings(root, table=table, split="all", **NIH)
        wanted = {f for r in known for f in r["Finding Labels"].split("|")}
        assert set(found) == wanted and len(wanted) > 5
        for name, cases in found.items():
            assert cases.classes == (f"no {name}", name) and len(cases) == 20
            assert labels(cases) == [int(name in r["Finding Labels"].split("|")) for r in known]
    listed = set((root / "test_list.txt").read_text().split())
    test = open_cases(root, table=table, positive=("Pneumonia",), keep_names=True, **NIH)
    assert {Path(e.id).name for e in test.entries} == listed and test.split == "test"
    train = open_cases(root, table=table, positive=("Pneumonia",), split="train", **NIH)
    assert len(train) + len(test) == 20
    assert not {e.group for e in train.entries} & {e.group for e in test.entries}
    older = open_cases(
        root, table=table, positive=("Pneumonia",), **NIH, where="`Patient Age` < 120", split="all"
    )
    ages = [int(r["Patient Age"]) for r in rows(root / "Data_Entry_2017.csv")]
    assert max(ages) == 413 and len(older) == sum(age < 120 for age in ages)
    for options, said in (
        ({}, r"Finding Labels holds several values in \d+ of 20 rows; name the finding"),
        ({"positive": ("Pnumonia",)}, "'Pnumonia' in no row; did you mean Pneumonia"),
        ({"separator": None}, r'such as .*set separator = "\|" and name the finding'),
    ):
        with pytest.raises(InputError, match=said):
            open_cases(root, table=table, **{**NIH, **options})


def test_chexpert(files: Path, tmp_path: Path) -> None:
    root = published(files, "chexpert", tmp_path / "CheXpert-v1.0-small")
    known = [*rows(root / "train.csv"), *rows(root / "valid.csv")]
    write_images(root.parent, *(row["Path"] for row in known))
    for place in (root, tmp_path):
        tables = [str((root / name).relative_to(place)) for name in CHEXPERT["table"]]
        given = {**CHEXPERT, "table": tuple(tables)}
        for uncertain in ("positive", "negative", "exclude"):
            options = {**given, "label": "Pleural Effusion", "uncertain": uncertain}
            valid = open_cases(place, blank="negative", **options)
            values = [r["Pleural Effusion"] for r in known if "/valid/" in r["Path"]]
            assert labels(valid) == [int(float(v)) for v in values]
            assert valid.classes == ("no Pleural Effusion", "Pleural Effusion")
            train = open_cases(place, blank="exclude", **{**options, "split": "train"})
            values = [r["Pleural Effusion"] for r in known if "/train/" in r["Path"]]
            sure = {"1.0": 1, "0.0": 0} | (
                {} if uncertain == "exclude" else {"-1.0": int(uncertain == "positive")}
            )
            assert labels(train) == [sure[v] for v in values if v in sure]
            patients = {r["Path"].split("/")[2] for r, v in zip(known, values) if v in sure}
            assert len({e.group for e in train.entries}) == len(patients)
            assert (
                f"{sum(v not in sure for v in values)} images without a sure label" in train.source
            )
    with pytest.raises(
        InputError,
        match=r"-1 is out of range, in \d of 40 rows, and \d+ are empty.*uncertain = .*blank",
    ):
        open_cases(root, label="Pleural Effusion", **CHEXPERT)
    with pytest.raises(
        InputError, match=r'has no Pleural Effusion, as \d+ of 40 rows.*blank = "pos'
    ):
        open_cases(root, label="Pleural Effusion", uncertain="exclude", **CHEXPERT)
    names = tuple(known[0])[5:]
    every = open_findings(root, label=names, uncertain="exclude", blank="negative", **CHEXPERT)
    assert tuple(every) == names and len(names) == 14
    assert {e.id for e in every["Edema"].entries} == {e.id for e in every["Fracture"].entries}


def test_rsna(files: Path, tmp_path: Path) -> None:
    root = published(files, "rsna_pneumonia", tmp_path)
    known = {r["patientId"]: r["Target"] for r in rows(root / "stage_2_train_labels.csv")}
    for i, name in enumerate(known):
        dicom(root / f"stage_2_train_images/{name}.dcm", name, i)
    dicom(root / "stage_2_test_images/0.dcm", "other", 99)
    options: dict[str, Any] = {"table": "stage_2_train_labels.csv", "file": "patientId"}
    cases = open_cases(root, **options, label="Target", group="patientId")
    assert labels(cases) == [int(v) for v in known.values()] and len(cases) == 15
    assert len({e.group for e in cases.entries}) == 15
    both = {"join": "stage_2_detailed_class_info.csv", "label": "class"}
    with pytest.raises(InputError, match=r"3 rows whose patientId stands in a row before"):
        open_cases(root, **options, **both)
    kinds = open_cases(
        root, **{**options, "table": "stage_2_detailed_class_info.csv"}, label="class"
    )
    assert kinds.classes == ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
    assert sum(counts(kinds).values()) == 15


def test_vindr(files: Path, tmp_path: Path) -> None:
    root = published(files, "vindr_cxr", tmp_path)
    known = rows(root / "train.csv")
    names = list(dict.fromkeys(row["image_id"] for row in known))
    for i, name in enumerate(names):
        dicom(root / f"train/{name}.dicom", name, i)
    options: dict[str, Any] = {
        "table": "train.csv",
        "file": "image_id",
        "label": "class_name",
        "reader": "rad_id",
        "group": "none",
    }

    def expected(finding: str, needed: float) -> list[int]:
        found = []
        for name in names:
            of_image = [row for row in known if row["image_id"] == name]
            readers = {row["rad_id"] for row in of_image}
            say = {row["rad_id"] for row in of_image if row["class_name"] == finding}
            found.append(int(len(say) / len(readers) > needed))
        return found

    for finding in ("Atelectasis", "Lung Opacity"):
        for vote, needed in (("any", 0), ("majority", 0.5), ("all", 0.999)):
            cases = open_cases(root, **options, positive=(finding,), vote=vote)
            assert labels(cases) == expected(finding, needed), (finding, vote)
    assert sum(expected("Atelectasis", 0.5)) == 1 and sum(expected("Atelectasis", 0)) == 2
    with pytest.raises(InputError, match=r'names .* times, with other labels.*vote = "majority"'):
        open_cases(root, **options, positive=("Atelectasis",))
    assert set(open_findings(root, **options, vote="any")) == {r["class_name"] for r in known}


def test_ham10000(files: Path, tmp_path: Path) -> None:
    root = published(files, "ham10000", tmp_path)
    known = rows(root / "HAM10000_metadata.csv")
    write_images(
        root,
        *(f"HAM10000_images_part_{i % 2 + 1}/{r['image_id']}.jpg" for i, r in enumerate(known)),
    )
    options: dict[str, Any] = {
        "table": "HAM10000_metadata.csv",
        "file": "image_id",
        "label": "dx",
        "group": "lesion_id",
    }
    cases = open_cases(root, **options, subgroups=("sex",))
    assert [cases.classes[n] for n in labels(cases)] == [r["dx"] for r in known]
    assert len({e.group for e in cases.entries}) == len({r["lesion_id"] for r in known})
    mel = open_cases(root, **options, positive=("mel", "bcc"))
    assert mel.classes == ("not mel or bcc", "mel or bcc")
    assert labels(mel) == [int(r["dx"] == "mel") for r in known]
    assert "no row has the dx bcc" in mel.source
    shares = {"splits": {"train": 0.6, "test": 0.4}, "split": "test"}
    parts = [open_cases(root, **options, **{**shares, "split": s}) for s in ("train", "test")]
    assert sum(map(len, parts)) == len(known)
    assert (
        "splits drawn by group with seed 0, stratified by label: train 0.6, test 0.4"
        in parts[0].source
    )


def test_isic_2019(files: Path, tmp_path: Path) -> None:
    root = published(files, "isic2019", tmp_path)
    truth = "ISIC_2019_Training_GroundTruth.csv"
    known = rows(root / truth)
    write_images(root, *(f"ISIC_2019_Training_Input/{r['image']}.jpg" for r in known))
    names = tuple(known[0])[1:]
    options: dict[str, Any] = {"table": truth, "group": "lesion_id", "blank_group": "own"}
    options["join"] = "ISIC_2019_Training_Metadata.csv"
    cases = open_cases(root, **options, label=names, where="sex is not None")
    said = {r["image"]: r for r in rows(root / "ISIC_2019_Training_Metadata.csv")}
    kept = [r for r in known if said[r["image"]]["sex"]]
    assert cases.classes == names
    assert [names[n] for n in labels(cases)] == [n for r in kept for n in names if r[n] == "1.0"]
    owners = [said[r["image"]]["lesion_id"] or r["image"] for r in kept]
    assert len({e.group for e in cases.entries}) == len(set(owners))
    with pytest.raises(InputError, match="has no lesion_id"):
        open_cases(root, **{**options, "blank_group": None}, label=names)
    alone = open_cases(root, table=truth, group="none")
    assert alone.classes == names and "classes from the columns MEL, NV" in alone.source
    melanoma = open_cases(root, **options, label=names, positive=("MEL",))
    assert labels(melanoma) == [int(float(r["MEL"])) for r in known]


def test_aptos(files: Path, tmp_path: Path) -> None:
    root = published(files, "aptos2019", tmp_path)
    known = rows(root / "train.csv")
    write_images(root, *(f"train_images/{r['id_code']}.png" for r in known))
    grades = [int(r["diagnosis"]) for r in known]
    cases = open_cases(root / "train.csv", group="none")
    assert labels(cases) == grades and not cases.grouped
    assert cases.source.endswith("images named by column id_code; labels from column diagnosis")
    referable = open_cases(root, table="train.csv", positive=("2", "3", "4"), group="none")
    assert labels(referable) == [int(g >= 2) for g in grades]
    assert referable.classes[1] == "diagnosis 2 or 3 or 4"


def test_odir(files: Path, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("openpyxl")
    root = published(files, "odir5k", tmp_path)
    known = pd.read_excel(root / ODIR, dtype=str).to_dict("records")
    sides = ("Left", "Right")
    write_images(
        root, *(f"ODIR-5K_Training_Images/{r[f'{s}-Fundus']}" for r in known for s in sides)
    )
    options: dict[str, Any] = {
        "table": ODIR,
        "file": tuple(f"{s}-Fundus" for s in sides),
        "label": tuple(f"{s}-Diagnostic Keywords" for s in sides),
        "separator": "\uff0c",
        "group": "ID",
    }
    cases = open_cases(root, **options, positive=("cataract",), keep_names=True)
    expected = {
        f"ODIR-5K_Training_Images/{r[f'{s}-Fundus']}": int(
            "cataract" in r[f"{s}-Diagnostic Keywords"].split("\uff0c")
        )
        for r in known
        for s in sides
    }
    assert {e.id: e.label for e in cases.entries} == expected and sum(expected.values()) > 1
    assert len({e.group for e in cases.entries}) == len(known) == len(expected) / 2
    patient = open_cases(
        root, **{**options, "label": tuple("NDGCAHMO"), "separator": None}, positive=("C",)
    )
    assert labels(patient) == [int(r["C"]) for r in known for _ in sides]


def test_brset(files: Path, tmp_path: Path) -> None:
    root = published(files, "brset", tmp_path)
    known = rows(root / "labels_brset.csv")
    write_images(root, *(f"fundus_photos/{r['image_id']}.jpg" for r in known))
    options: dict[str, Any] = {
        "table": "labels_brset.csv",
        "file": "image_id",
        "group": "patient_id",
    }
    cases = open_cases(root, **options, label="DR_ICDR", subgroups=("camera", "patient_sex"))
    assert labels(cases) == [int(r["DR_ICDR"]) for r in known]
    assert len({e.group for e in cases.entries}) == len({r["patient_id"] for r in known})
    with pytest.raises(InputError, match=r"no label column 'label'.*there are: .*DR_ICDR"):
        open_cases(root, **options)


def test_padchest(files: Path, tmp_path: Path) -> None:
    root = published(files, "padchest", tmp_path)
    known = rows(root / PADCHEST)
    write_images(root, *(f"{r['ImageDir']}/{r['ImageID']}" for r in known))
    options: dict[str, Any] = {
        "table": PADCHEST,
        "file": "{ImageDir}/{ImageID}",
        "label": "Labels",
        "separator": "list",
        "group": "PatientID",
    }
    patients = {r["PatientID"] for r in known}
    for finding in ("cardiomegaly", "apical pleural thickening"):
        cases = open_cases(root, **options, positive=(finding,), blank="exclude")
        wanted = [int(finding in r["Labels"]) for r in known if r["Labels"]]
        assert labels(cases) == wanted and sum(wanted) > 0
    everyone = open_cases(root, **options, positive=("normal",), blank="negative", keep_names=True)
    assert {e.group for e in everyone.entries} == patients and max(map(len, patients)) == 36
    with pytest.raises(InputError, match=r'has no Labels, as 2 of 20 rows.*blank = "positive"'):
        open_cases(root, **options, positive=("normal",))
    frontal = open_cases(
        root, **options, positive=("normal",), blank="exclude", where='Projection in ["PA", "AP"]'
    )
    assert len(frontal) == sum(r["Projection"] in ("PA", "AP") and r["Labels"] != "" for r in known)


def test_eyepacs(tmp_path: Path) -> None:
    lines = ["image,level"]
    for i in range(10):
        lines += [f"{i}_left,{i % 5}", f"{i}_right,{(i + 1) % 5}"]
    names = [line.split(",")[0] for line in lines[1:]]
    write_images(tmp_path, *(f"train/{name}.jpeg" for name in names))
    (tmp_path / "trainLabels.csv").write_text("\n".join(lines))
    cases = open_cases(
        tmp_path,
        table="trainLabels.csv",
        group_pattern=r"(\d+)_(?:left|right)",
        splits={"train": 0.7, "test": 0.3},
    )
    assert len(cases) == 6 and len({e.group for e in cases.entries}) == 3


def test_mimic(tmp_path: Path) -> None:
    views, studies, parts = [], [], []
    for i in range(12):
        subject, study, image = 10000032 + i // 4, 50414267 + i // 2, f"{i:08x}-{i:08x}"
        write_images(tmp_path, f"files/p10/p{subject}/s{study}/{image}.jpg")
        views.append(f"{image},{subject},{study},{('PA', 'LATERAL')[i % 2]}")
        studies += [f"{subject},{study},{('1.0', '', '-1.0')[i // 2 % 3]}"] * (i % 2)
        parts.append(f"{image},{study},{subject},{('train', 'validate', 'test')[i // 4]}")
    for name, header, lines in (
        ("chexpert", "subject_id,study_id,Pneumonia", studies[:-1]),
        ("metadata", "dicom_id,subject_id,study_id,ViewPosition", views),
        ("split", "dicom_id,study_id,subject_id,split", parts),
    ):
        text = "\n".join([header, *lines]).encode()
        (tmp_path / f"mimic-cxr-2.0.0-{name}.csv.gz").write_bytes(gzip.compress(text))
    options: dict[str, Any] = {
        "table": "mimic-cxr-2.0.0-metadata.csv.gz",
        "join": ("mimic-cxr-2.0.0-chexpert.csv.gz", "mimic-cxr-2.0.0-split.csv.gz"),
        "label": "Pneumonia",
        "group": "subject_id",
        "uncertain": "exclude",
        "split": "all",
    }
    with pytest.raises(InputError, match=r"2 of 12 rows of .* have a subject_id, study_id that"):
        open_cases(tmp_path, **options)
    cases = open_cases(tmp_path, **options, blank="exclude")
    assert labels(cases) == [1, 1, 1, 1]
    frontal = open_cases(tmp_path, **options, blank="negative", where='ViewPosition == "PA"')
    assert labels(frontal) == [1, 0, 1, 0, 0], "the study without a row has no finding either"
    assert labels(open_cases(tmp_path, **{**options, "split": "test"}, blank="negative")) == [0] * 4


def test_kaggle_pneumonia_is_a_folder(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for i, kind in enumerate(("NORMAL", "PNEUMONIA")):
            write_images(tmp_path, f"chest_xray/{split}/{kind}/person{i}{split}_1.jpeg")
    cases = open_cases(tmp_path / "chest_xray", group_pattern=r"(person\d+)", split="valid")
    assert cases.classes == ("NORMAL", "PNEUMONIA") and cases.split == "val"
