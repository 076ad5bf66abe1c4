"""Chest X-rays as DICOM files of 8, 12 and 16 bits: written to an ignored folder, never committed.

The images of the test split, seen at 112 px as the model of the experiment takes them; the mean of
many 8-bit pixels has more than 8 bits, of which each depth keeps what it can.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import robust
from robust.cases import Case

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
WRAPPED = Path("experiments/built/dicom")
DEPTHS = (8, 12, 16)


def wrapped(source: str, bits: int, count: int, pixels: int) -> Path:
    """A folder of so many cases with their `cases.csv`; one that is complete is left alone."""
    folder = WRAPPED / f"{bits}-bit-{count}"
    if (folder / "cases.csv").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    cases = robust.open_cases(source, split="test", size=pixels, grey=True).sample(count)
    rows = []
    for number, case in enumerate(cases):
        name = f"{number:04}.dcm"
        dataset(case, bits).save_as(folder / name, enforce_file_format=True)
        rows.append([name, case.label, case.group, "test"])
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "group", "split"])
        table.writerows(rows)
    return folder


def dataset(case: Case, bits: int) -> Dataset:
    """One grey image, its window the whole range of the depth."""
    top = (1 << bits) - 1
    kind = np.uint8 if bits <= 8 else np.dtype("<u2")
    stored = (case.image[0].double().numpy() * top).round().astype(kind)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = SECONDARY_CAPTURE
    made.SOPInstanceUID = generate_uid(entropy_srcs=[case.id, str(bits)])
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PatientID = case.group
    made.Modality = "DX"
    made.Rows, made.Columns = stored.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * stored.itemsize, bits, bits - 1
    made.PixelRepresentation = 0
    made.WindowCenter, made.WindowWidth = (top + 1) / 2, top + 1
    made.PixelData = stored.tobytes()
    return made
