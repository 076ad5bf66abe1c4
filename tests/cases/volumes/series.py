"""DICOM series and segmentations for tests; the latter are written by highdicom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from tests.cases.dicoms import make, save

SHAPE = (4, 6, 5)
THICK, HIGH, WIDE = 2.5, 0.5, 0.75
DIRECTIONS = (1, 0, 0, 0, 0, -1)
"""Coronal: columns to the left, rows downwards; slices are counted towards the front's opposite."""
UIDS = {name: generate_uid() for name in ("study", "series", "frame of reference")}


def hounsfield(shape: tuple[int, ...] = SHAPE) -> np.ndarray[Any, Any]:
    """Each voxel another stored value; the rescaling of the files subtracts 1000."""
    return np.arange(np.prod(shape)).reshape(shape).astype(np.int16) * 10


def placed(made: Dataset, number: float, **elements: Any) -> Dataset:
    """The dataset with the place of a slice."""
    made.StudyInstanceUID, made.SeriesInstanceUID = UIDS["study"], UIDS["series"]
    made.FrameOfReferenceUID = UIDS["frame of reference"]
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.ImageOrientationPatient = list(DIRECTIONS)
    made.ImagePositionPatient = [10, 20 + THICK * number, 30]
    made.PixelSpacing, made.SliceThickness = [HIGH, WIDE], THICK
    made.RescaleSlope, made.RescaleIntercept, made.Modality = 1, -1000, "CT"
    made.StudyDate = made.StudyTime = made.PatientBirthDate = made.PatientSex = ""
    made.AccessionNumber = made.StudyID = made.ReferringPhysicianName = made.Laterality = ""
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def save_series(folder: Path, values: np.ndarray[Any, Any], patient: str = "P1") -> list[Path]:
    """One file a slice, with names whose order is not that of the slices."""
    return [
        save(
            placed(make(one, bits=16), number, PatientID=patient),
            folder / f"{7 * number % 11:02d}.dcm",
        )
        for number, one in enumerate(values)
    ]


def save_segmentation(
    path: Path, images: Sequence[Path], masks: np.ndarray[Any, Any], **options: Any
) -> Path:
    """Masks `(d, h, w)` of numbers, or `(d, h, w, k)` of segments, of the slices in their order."""
    datasets = [dcmread(one) for one in images]
    count = masks.shape[3] if masks.ndim == 4 else int(masks.max())
    descriptions = [
        SegmentDescription(
            segment_number=number + 1,
            segment_label="Doe Jane's organ",
            segmented_property_category=codes.SCT.Organ,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(count)
    ]
    made = Segmentation(
        source_images=datasets,
        pixel_array=masks,
        segmentation_type=options.pop("segmentation_type", "BINARY"),
        segment_descriptions=descriptions,
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="m",
        manufacturer_model_name="m",
        software_versions="1",
        device_serial_number="1",
        **options,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save_as(path)
    return path
