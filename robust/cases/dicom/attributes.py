"""DICOM attributes that a written file copies from its input, checked one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat

MODALITIES = frozenset(
    [
        *("AR", "BDUS", "BI", "BMD", "CR", "CT", "DG", "DX", "ES", "GM", "IO", "IVOCT", "IVUS"),
        *("LEN", "LS", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV", "OPTENF"),
        *("OPV", "OSS", "OT", "PT", "PX", "RF", "RG", "SM", "TG", "US", "VA", "XA", "XC"),
    ]
)
"""Modalities of images (PS3.3 C.7.3.1.1.1); any other value could be free text."""
LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}
"""Lossy transfer syntaxes, with their compression method."""
METHODS = frozenset([*LOSSY.values(), "ISO_13818_2", "ISO_14496_10", "ISO_23008_2"])


@dataclass(frozen=True, slots=True)
class CopiedAttributes:
    """Numbers, and terms that the standard defines. UIDs leave this only as hashes."""

    study: str
    series: str
    frames: int
    allocated: int
    modality: str
    lossy: str
    """01: something was lost once, which stays so; 00: nothing was; empty: the input is silent."""
    ratios: tuple[float, ...]
    methods: tuple[str, ...]
    aspect: tuple[int, int] | None
    """Height and width of a pixel that is not square."""
    burned: str
    """Whether the pixels hold text that names the patient: YES, NO, or empty as above."""

    def put(self, dataset: Dataset) -> None:
        """Write the attributes to a data set."""
        if self.lossy:
            dataset.LossyImageCompression = self.lossy
        if self.lossy == "01" and self.ratios:
            dataset.LossyImageCompressionRatio = [ds(ratio) for ratio in self.ratios]
        if self.lossy == "01" and self.methods:
            dataset.LossyImageCompressionMethod = list(self.methods)
        if self.aspect is not None:
            dataset.PixelAspectRatio = list(self.aspect)
        if self.burned:
            dataset.BurnedInAnnotation = self.burned


def ds(value: float) -> DSfloat:
    """A decimal string of at most 16 letters, the nearest that there is."""
    return DSfloat(value, auto_format=True)


def read_attributes(header: Dataset, size: int) -> CopiedAttributes:
    """From a header as `parse` gives it, of a file of so many bytes."""
    syntax = str(header.file_meta.TransferSyntaxUID)
    lossy = _among(header, "LossyImageCompression", ("00", "01"))
    modality = _among(header, "Modality", MODALITIES)
    methods = tuple(_words(header, "LossyImageCompressionMethod"))
    ratios = tuple(n for n in _numbers(header, "LossyImageCompressionRatio") if n > 0)
    methods = methods if all(word in METHODS for word in methods) else ()
    frames = int(header.get("NumberOfFrames") or 1)
    if syntax in LOSSY:
        if lossy != "01" or not ratios or len(ratios) != len(methods):
            samples = int(header.Rows) * int(header.Columns) * int(header.get("SamplesPerPixel", 1))
            full = frames * samples * int(header.BitsAllocated) / 8
            ratios, methods = (round(full / size, 2),), (LOSSY[syntax],)
        lossy = "01"
    return CopiedAttributes(
        study=str(header.get("StudyInstanceUID") or ""),
        series=str(header.get("SeriesInstanceUID") or ""),
        frames=frames,
        allocated=int(header.BitsAllocated),
        modality=modality or "OT",
        lossy=lossy,
        ratios=ratios,
        methods=methods,
        aspect=_aspect(header),
        burned=_among(header, "BurnedInAnnotation", ("YES", "NO")),
    )


def _aspect(header: Dataset) -> tuple[int, int] | None:
    """From the ratio, or from distances between pixels, without which it would look squashed."""
    for name in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        found = _numbers(header, name)
        if len(found) == 2 and min(found) > 0 and 0.01 <= found[0] / found[1] <= 100:
            ratio = Fraction(found[0] / found[1]).limit_denominator(1000)
            return None if ratio == 1 else (ratio.numerator, ratio.denominator)
    return None


def _among(header: Dataset, name: str, allowed: Sequence[str] | frozenset[str]) -> str:
    words = _words(header, name)
    return words[0] if len(words) == 1 and words[0] in allowed else ""


def _words(header: Dataset, name: str) -> list[str]:
    return [str(value).strip() for value in _values(header, name)]


def _numbers(header: Dataset, name: str) -> list[float]:
    """None where any is no number."""
    try:
        return [float(value) for value in _values(header, name)]
    except (TypeError, ValueError):
        return []


def _values(header: Dataset, name: str) -> list[Any]:
    value = header.get(name)
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (MultiValue, list)) else [value]
