"""Inputs with a marker in every place that could name a patient, a file, a machine or a user."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pydicom.dataset import Dataset

from robust.cases.phantoms.draw import phantom
from tests.cases.dicoms import make, save
from tests.faults.small_audit import NET, fit
from tests.privacy.search import STEM

Pixels = npt.NDArray[np.uint8]

UID = "1.2.826.0.1.3680043.99.77665544"
NUMBERS = ("19370213", "1937:02:13", "48151623421089", UID)
"""Dates, a patient number and a UID, which cannot carry the stem."""


class Markers:
    """Hands out markers and remembers them."""

    def __init__(self) -> None:
        self.known: set[str] = set()

    def __call__(self, what: str) -> str:
        marker = f"{STEM}{what}"
        self.known.add(marker)
        return marker


def draw(number: int) -> Pixels:
    """A small image whose finding is its number's parity."""
    return phantom("chest_xray", number % 2 == 1, number, 28)


def write_png(path: Path, pixels: Pixels, mark: Markers) -> None:
    """PNG with text of all three kinds, EXIF, XMP, a profile and a private chunk."""
    about = PngInfo()
    about.add_text(mark("textkey"), mark("text"))
    about.add_text("Author", mark("compressedtext") * 20, zip=True)
    about.add_itxt("Title", mark("itext"), lang="de", tkey=mark("itextkey"))
    about.add_itxt("XML:com.adobe.xmp", f"<x:xmpmeta>{mark('pngxmp')}</x:xmpmeta>", zip=True)
    about.add(b"prVt", mark("privatechunk").encode())
    about.add(b"tIME", struct.pack(">HBBBBB", 1937, 2, 13, 0, 0, 0))
    Image.fromarray(pixels).save(
        path, pnginfo=about, exif=exif(mark, "png"), icc_profile=profile(mark)
    )


def exif(mark: Markers, kind: str) -> Any:
    """EXIF with a description, an artist, dates, a maker note, a place and a user comment."""
    found = Image.Exif()
    found[0x010E], found[0x013B] = mark(f"{kind}description"), mark(f"{kind}artist")
    found[0x0132], found[0x8298] = "1937:02:13 00:00:00", mark(f"{kind}copyright")
    found[0x9C9B] = mark(f"{kind}xptitle").encode("utf-16-le")
    found.get_ifd(0x8769).update(
        {
            0x927C: mark(f"{kind}makernote").encode(),
            0x9286: b"ASCII\0\0\0" + mark(f"{kind}comment").encode(),
            0xA431: mark(f"{kind}serial"),
            0xA420: mark(f"{kind}imageid"),
        }
    )
    found.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 29: "1937:02:13"})
    found.get_ifd(0x8825)[28] = mark(f"{kind}place").encode()
    return found


def profile(mark: Markers) -> bytes:
    """An sRGB profile whose description is a marker."""
    content = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    text = mark("profile").encode("utf-16-be")
    place = bytes(content).find("sRGB".encode("utf-16-be"))
    content[place : place + len(text)] = text
    return bytes(content)


def write_jpeg(path: Path, pixels: Pixels, mark: Markers) -> None:
    """JPEG with EXIF, XMP, IPTC, a comment and a profile."""
    iptc = mark("iptc").encode()
    photoshop = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(iptc) + 5)
    photoshop += b"\x1c\x02\x78" + struct.pack(">H", len(iptc)) + iptc
    extra = b"\xff\xed" + struct.pack(">H", len(photoshop) + 2) + photoshop
    xmp = f"<x:xmpmeta>{mark('jpegxmp')}</x:xmpmeta>".encode()
    Image.fromarray(pixels).save(
        path, quality=95, exif=exif(mark, "jpeg"), comment=mark("jpegcomment"), xmp=xmp, extra=extra
    )


def write_tiff(path: Path, pixels: Pixels, mark: Markers) -> None:
    """TIFF with its text tags and a private one."""
    tags = ImageFileDirectory_v2()
    for number, name in ((270, "tiffdescription"), (315, "tiffartist"), (316, "tiffhost")):
        tags[number] = mark(name)
    tags[285], tags[305], tags[33432] = mark("pagename"), mark("software"), mark("tiffcopyright")
    tags[306] = "1937:02:13 00:00:00"
    tags.tagtype[65000], tags[65000] = 2, mark("privatetag")
    tags.tagtype[700], tags[700] = 1, mark("tiffxmp").encode()
    Image.fromarray(pixels).save(path, tiffinfo=tags)


def write_dicom(path: Path, pixels: Pixels, mark: Markers, patient: str) -> None:
    """DICOM with markers in the attributes that name somebody or something."""
    made = make(pixels, bits=8, PatientID=patient)
    for name in (
        *("PatientName", "OtherPatientNames", "InstitutionName", "InstitutionAddress"),
        *("ReferringPhysicianName", "OperatorsName", "StationName", "AccessionNumber", "StudyID"),
        *("StudyDescription", "SeriesDescription", "ImageComments", "PatientComments"),
        *("DeviceSerialNumber", "ProtocolName", "PatientAddress", "RequestingPhysician"),
    ):
        setattr(made, name, mark(name.lower())[:16])
        mark.known.add(mark(name.lower())[:16])
    for name in ("PatientBirthDate", "StudyDate", "SeriesDate", "ContentDate", "AcquisitionDate"):
        setattr(made, name, "19370213")
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{UID}.1", f"{UID}.2"
    made.FrameOfReferenceUID = f"{UID}.3"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = (
        f"{UID}.4.{int(path.stem[-3:]) + 1}"
    )
    made.file_meta.SourceApplicationEntityTitle = mark("aetitle")
    made.file_meta.ImplementationVersionName = mark("version")
    item = Dataset()
    item.PatientID, item.IssuerOfPatientID = mark("nestedid"), mark("issuer")
    made.OtherPatientIDsSequence = [item]
    request = Dataset()
    request.RequestedProcedureDescription = mark("procedure")
    made.RequestAttributesSequence = [request]
    block = made.private_block(0x0011, mark("creator"), create=True)
    block.add_new(1, "LO", mark("private"))
    made.add_new(0x60000010, "US", 28)
    made.add_new(0x60000011, "US", 28)
    made.add_new(0x60000040, "CS", "G")
    made.add_new(0x60000050, "SS", [1, 1])
    made.add_new(0x60000100, "US", 1)
    made.add_new(0x60000102, "US", 0)
    made.add_new(0x60000022, "LO", mark("overlay"))
    made.add_new(0x60003000, "OW", bytes(98))
    save(made, path)


def write_images(folder: Path, mark: Markers, tests: int = 32, train: int = 32) -> None:
    """A folder with cases.csv: PNG, JPEG, TIFF and BMP files, groups and columns with markers."""
    folder.mkdir(parents=True)
    deep = folder / mark("subfolder")
    deep.mkdir()
    rows = [f"file,label,group,split,hospital,{mark('column')},number"]
    writers: Any = (write_png, write_jpeg, write_tiff)
    for number in range(tests + train):
        split = "test" if number < tests else "train" if number < tests + train - 12 else "val"
        stem = mark(f"file{number}")
        if number % 4 == 3:
            name = f"{deep.name}/{stem}.bmp"
            Image.fromarray(draw(number)).save(folder / name)
        else:
            name = f"{stem}.{('png', 'jpg', 'tif')[number % 4]}"
            writers[number % 4](folder / name, draw(number), mark)
        mark.known.add(name)
        group = mark(f"patient{number // 2}-Müller")
        rows.append(
            f"{name},{number % 2},{group},{split},{mark('hospital')},{mark('extra')},48151623421089"
        )
    (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / f"{mark('notes')}.txt").write_text(mark("note"), encoding="utf-8")


def write_dicoms(folder: Path, mark: Markers, count: int = 16) -> None:
    """Class folders of DICOM files."""
    for number in range(count):
        label = ("normal", "opacity")[number % 2]
        path = folder / label / mark(f"series{number // 4}") / f"{mark(f'dicom{number:03}')}.dcm"
        write_dicom(path, draw(number), mark, mark(f"pid{number // 2}"))


def write_npz(path: Path, mark: Markers, count: int = 16) -> None:
    """A MedMNIST file with members that do not belong there."""
    images = np.stack([draw(number) for number in range(count)])
    labels = (np.arange(count) % 2).astype(np.uint8)[:, None]
    arrays = {
        f"{split}_{kind}": value
        for split in ("train", "val", "test")
        for kind, value in (("images", images), ("labels", labels))
    }
    np.savez(path, **arrays, **{mark("member"): np.array([mark("membertext")] * 3)})


def write_model(folder: Path, mark: Markers) -> str:
    """The network's code and weights; the path of the weights from the folder above."""
    (folder / "toynet.py").write_text(NET, encoding="utf-8")
    weights = folder / mark("weightsfolder") / f"{mark('weights')}.pth"
    weights.parent.mkdir()
    images = np.stack([draw(number) for number in range(64)])
    import torch

    state = fit(images, [number % 2 for number in range(64)], 0).state_dict()
    torch.save({"state_dict": state, "hyper_parameters": {"name": mark("hyper")}}, weights)
    return weights.relative_to(folder).as_posix()
