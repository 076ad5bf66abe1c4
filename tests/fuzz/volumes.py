"""Targets NIfTI and mask: volumes with label maps, and images with masks, of a table."""

from __future__ import annotations

import gzip
import io
import random
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from robust.cases import open_cases
from tests.fuzz.images import check_cases
from tests.fuzz.machine import Files, Subject
from tests.fuzz.mutations import INTEGERS, mutate_bytes

SHAPE = (5, 4, 3)
FIELDS = {"h": (*range(40, 56, 2), 68, 70, 72, 252, 254), "f": (*range(76, 108, 4), 108, 112, 116)}
"""Places of sizes, types and codes, and of spacing, offset and rescaling in a NIfTI header."""
FLOATS = (0.0, -1.0, 1e-30, 1e30, 352.0, 348.0, float("nan"), float("inf"))
TABLE = b"file,mask,group\nimage{0},mask{0},a\n"


def _nifti(values: np.ndarray[Any, Any], kind: Any = nib.Nifti1Image) -> bytes:
    image = kind(values, np.diag([1.0, 2.0, 3.0, 1.0]), dtype=values.dtype)
    return bytes(image.to_bytes())


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """A field of the header replaced, of a packed file before it is packed again."""
    packed = data[:2] == b"\x1f\x8b"
    header = bytearray(gzip.decompress(data) if packed else data)
    form = rng.choice("hf")
    value = rng.choice(FLOATS) if form == "f" else rng.choice(INTEGERS) % 65536 - 32768
    struct.pack_into(f"<{form}", header, rng.choice(FIELDS[form]), value)
    return gzip.compress(bytes(header)) if packed else bytes(header)


def prepare_nifti(home: Path) -> Subject:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, SHAPE).astype(np.uint8)
    seeds: list[Files] = []
    for dtype in ("u1", "i2", "i4", "f4", "f8"):
        for kind in (nib.Nifti1Image, nib.Nifti2Image):
            image, mask = _nifti(rng.integers(0, 99, SHAPE).astype(dtype), kind), _nifti(labels)
            plain = {"image.nii": image, "mask.nii": mask}
            gz = {f"{name}.gz": gzip.compress(data) for name, data in plain.items()}
            seeds += [
                {**files, "cases.csv": TABLE.replace(b"{0}", suffix)}
                for files, suffix in ((plain, b".nii"), (gz, b".nii.gz"))
            ]
    return Subject(seeds, _any_damaged, _use)


def _any_damaged(files: Files, rng: random.Random) -> Files:
    name = rng.choice([name for name in files if name != "cases.csv"])
    data = files[name]
    if "nii" in name and rng.random() < 0.7:
        data = _damaged(data, rng)
    if rng.random() < 0.5:
        data = mutate_bytes(data, rng)
    return {**files, name: data}


def _use(folder: Path) -> None:
    check_cases(open_cases(folder))
    if any(folder.glob("*.nii*")):
        check_cases(open_cases(folder, volumes="slices"))


def prepare_mask(home: Path) -> Subject:
    labels = np.random.default_rng(0).integers(0, 3, (6, 5)).astype(np.uint8)
    palette = Image.fromarray(labels, "P")
    palette.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    masks = [Image.fromarray(one) for one in (labels, labels.astype(np.uint16), labels // 2 * 255)]
    seeds: list[Files] = []
    for mask in (*masks, palette):
        for suffix, form in ((b".png", "PNG"), (b".tif", "TIFF"), (b".gif", "GIF")):
            if form == "GIF" and mask.mode.startswith("I"):
                continue
            files = {}
            for name, image in (("image", Image.fromarray(labels)), ("mask", mask)):
                buffer = io.BytesIO()
                image.save(buffer, form)
                files[name + suffix.decode()] = buffer.getvalue()
            seeds.append({**files, "cases.csv": TABLE.replace(b"{0}", suffix)})
    return Subject(seeds, _any_damaged, _use)
