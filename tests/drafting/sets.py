"""Public data sets as they are distributed, with synthetic images in place of patients'."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tests.cases import dicoms

PIXELS = 32


def pixels(seed: int, colour: bool, deep: bool = False) -> np.ndarray:
    """Blurred noise, another for each seed."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(30, 225, (8, 8, 3) if colour else (8, 8))
    whole = small.repeat(PIXELS // 8, 0).repeat(PIXELS // 8, 1) + rng.uniform(
        -20, 20, (PIXELS, PIXELS, *small.shape[2:])
    )
    if deep:
        return (whole * 16).astype(np.uint16)
    return whole.astype(np.uint8)


def write(path: Path, seed: int, colour: bool = False, deep: bool = False) -> None:
    """An image in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".dcm", ".dicom"):
        made = dicoms.make(pixels(seed, False).astype(np.uint16) * 16, PatientID=f"Q{seed}")
        dicoms.save(made, path)
        return
    Image.fromarray(pixels(seed, colour, deep)).save(path)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a published table."""
    if path.suffix == ".xlsx":
        return [
            {name: str(cell) for name, cell in row.items()}
            for row in pd.read_excel(path).to_dict("records")
        ]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def copy(published: Path, folder: Path, *, names: Iterable[str] | None = None) -> None:
    """The published tables, unedited."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in published.iterdir():
        if names is None or file.name in names:
            shutil.copyfile(file, folder / file.name)


def _each(
    values: Iterable[str],
    place: Callable[[int, str], Path],
    colour: bool = False,
    deep: bool = False,
) -> None:
    for seed, name in enumerate(dict.fromkeys(values)):
        write(place(seed, name), seed, colour, deep)


def nih(published: Path, folder: Path, first: bool = False) -> None:
    table = "Data_Entry_2017.csv" if first else "Data_Entry_2017_v2020.csv"
    copy(
        published / "nih_chestxray14", folder, names=(table, "test_list.txt", "train_val_list.txt")
    )
    names = [row["Image Index"] for row in rows(folder / table)]
    _each(names, lambda i, name: folder / f"images_{i % 12 + 1:03}" / "images" / name)


def chexpert(published: Path, folder: Path) -> None:
    copy(published / "chexpert", folder)
    names = [row["Path"] for table in ("train.csv", "valid.csv") for row in rows(folder / table)]
    # Unpacked, the archive is the folder CheXpert-v1.0-small itself.
    _each(names, lambda i, name: folder / name.partition("/")[2])


def rsna(published: Path, folder: Path) -> None:
    copy(published / "rsna_pneumonia", folder)
    names = [row["patientId"] for row in rows(folder / "stage_2_train_labels.csv")]
    _each(names, lambda i, name: folder / "stage_2_train_images" / f"{name}.dcm")


def vindr(published: Path, folder: Path) -> None:
    copy(published / "vindr_cxr", folder)
    names = [row["image_id"] for row in rows(folder / "train.csv")]
    _each(names, lambda i, name: folder / "train" / f"{name}.dicom")


def ham10000(published: Path, folder: Path) -> None:
    copy(published / "ham10000", folder)
    names = [row["image_id"] for row in rows(folder / "HAM10000_metadata.csv")]
    _each(
        names,
        lambda i, name: folder / f"HAM10000_images_part_{i % 2 + 1}" / f"{name}.jpg",
        colour=True,
    )


def isic2019(published: Path, folder: Path) -> None:
    copy(published / "isic2019", folder)
    names = [row["image"] for row in rows(folder / "ISIC_2019_Training_GroundTruth.csv")]
    _each(names, lambda i, name: folder / "ISIC_2019_Training_Input" / f"{name}.jpg", colour=True)


def aptos(published: Path, folder: Path) -> None:
    copy(published / "aptos2019", folder)
    names = [row["id_code"] for row in rows(folder / "train.csv")]
    _each(names, lambda i, name: folder / "train_images" / f"{name}.png", colour=True)


def odir(published: Path, folder: Path) -> None:
    copy(published / "odir5k", folder)
    table = next(folder.glob("*.xlsx"))
    names = [row[f"{side}-Fundus"] for row in rows(table) for side in ("Left", "Right")]
    _each(names, lambda i, name: folder / "ODIR-5K_Training_Dataset" / name, colour=True)


def brset(published: Path, folder: Path) -> None:
    copy(published / "brset", folder)
    names = [row["image_id"] for row in rows(folder / "labels_brset.csv")]
    _each(names, lambda i, name: folder / "fundus_photos" / f"{name}.jpg", colour=True)


def padchest(published: Path, folder: Path) -> None:
    copy(published / "padchest", folder)
    table = next(folder.glob("*.csv"))
    names = [f"{row['ImageDir']}/{row['ImageID']}" for row in rows(table)]
    _each(names, lambda i, name: folder / name, deep=True)


# --- made after the published description ---


def eyepacs(published: Path, folder: Path) -> None:
    """trainLabels.csv with the columns image and level; both eyes of 12 patients."""
    folder.mkdir()
    lines = ["image,level"]
    for patient in range(12):
        lines += [
            f"{patient + 10}_{side},{(patient + place) % 5}"
            for place, side in enumerate(("left", "right"))
        ]
    (folder / "trainLabels.csv").write_text("\n".join(lines) + "\n")
    names = [line.partition(",")[0] for line in lines[1:]]
    _each(names, lambda i, name: folder / "train" / f"{name}.jpeg", colour=True)


MIMIC_LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,"
    "Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices"
)
MIMIC_METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning"
)


def mimic(published: Path, folder: Path) -> None:
    """Three tables as .csv.gz, labels by study, views and splits by image, p10/p1000.../s5.../"""
    folder.mkdir()
    labels, metadata, splits = (
        [MIMIC_LABELS],
        [MIMIC_METADATA],
        ["dicom_id,study_id,subject_id,split"],
    )
    images = []
    for patient in range(12):
        subject, study = 19990000 + patient, 59990000 + patient
        pneumonia = ("1.0", "0.0", "", "-1.0")[patient % 4]
        labels.append(f"{subject},{study},,,,0.0,,,,1.0,,,,{pneumonia},,")
        for view in ("PA", "LATERAL", "AP"):
            name = f"{patient:08x}-0000aaaa-1111bbbb-2222cccc-{view.lower():0>8}"
            metadata.append(
                f"{name},{subject},{study},CHEST (PA AND LAT),{view},{PIXELS},{PIXELS},21800506,213014.531,CHEST (PA AND LAT),postero-anterior,Erect"
            )
            split = ("test", "train", "validate")[patient // 8] if patient >= 8 else "test"
            splits.append(f"{name},{study},{subject},{split}")
            images.append(f"files/p{str(subject)[:2]}/p{subject}/s{study}/{name}.jpg")
    for name, lines in (("chexpert", labels), ("metadata", metadata), ("split", splits)):
        with gzip.open(folder / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")
    _each(images, lambda i, name: folder / name)


def kaggle_pneumonia(published: Path, folder: Path) -> None:
    """chest_xray with train, val and test, a second copy inside, and what macOS leaves behind."""
    seed = 0
    for split, count in (("train", 6), ("val", 2), ("test", 6)):
        for i in range(count):
            for name in (
                f"NORMAL/IM-{100 * len(split) + i:04}-0001.jpeg",
                f"PNEUMONIA/person{10 * len(split) + i}_virus_{i}.jpeg",
            ):
                write(folder / "chest_xray" / split / name, seed)
                copied = folder / "chest_xray" / "chest_xray" / split / name
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / "chest_xray" / split / name, copied)
                hidden = folder / "chest_xray" / "__MACOSX" / "chest_xray" / split / name
                hidden = hidden.with_name(f"._{hidden.name}")
                hidden.parent.mkdir(parents=True, exist_ok=True)
                hidden.write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")
                seed += 1
    (folder / "chest_xray" / "train" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def medmnist(published: Path, folder: Path, name: str = "pneumoniamnist", columns: int = 1) -> None:
    """train, val and test images (n, 28, 28) and labels (n, columns) in one file."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for number, (split, count) in enumerate((("train", 12), ("val", 6), ("test", 12))):
        seeds = range(100 * number, 100 * number + count)
        arrays[f"{split}_images"] = np.stack([pixels(seed, False)[:28, :28] for seed in seeds])
        arrays[f"{split}_labels"] = np.array(
            [[(i + c) % 2 for c in range(columns)] for i in range(count)], np.uint8
        )
    np.savez(folder / f"{name}.npz", **arrays)


SETS: dict[str, Callable[[Path, Path], None]] = {
    "nih-cxr14": nih,
    "chexpert": chexpert,
    "rsna": rsna,
    "vindr": vindr,
    "ham10000": ham10000,
    "isic2019": isic2019,
    "aptos": aptos,
    "eyepacs": eyepacs,
    "odir": odir,
    "brset": brset,
    "padchest": padchest,
    "mimic-cxr": mimic,
    "kaggle-pneumonia": kaggle_pneumonia,
    "medmnist": medmnist,
}
"""What writes the look-alike of each layout."""
