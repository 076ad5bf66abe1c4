"""Target DICOM: every transfer syntax that can be written, damaged by what DICOM means."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from robust.cases import open_cases
from tests.cases.dicoms import NATIVE, PACKED, lut, make, ramp, save
from tests.fuzz.images import check_cases
from tests.fuzz.machine import Files, Subject
from tests.fuzz.mutations import INTEGERS, mutate_bytes

SHAPE = (32, 34)  # the encoder of JPEG 2000 takes no smaller ones
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"),
    *("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1", "1.2.3", ""),
    *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 92, 100, 201, 203)),
)
TYPES = (
    *(b"AE", b"AT", b"CS", b"DA", b"DS", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OD", b"OF"),
    *(b"OW", b"PN", b"SH", b"SL", b"SQ", b"SS", b"ST", b"SV", b"TM", b"UC", b"UI", b"UL", b"UN"),
    *(b"UR", b"US", b"UT", b"UV", b"??", b"\0\0"),
)
"""Value representations."""
TEXTS = (
    *(
        b"",
        b" ",
        b"0",
        b"-1",
        b"1.5",
        b"1e400",
        b"-1e308",
        b"nan",
        b"inf",
        b"1e-400",
        b"abc",
        b"\\",
    ),
    *(
        b"1\\2",
        b"1\\2\\3",
        b"9" * 16,
        b"0x1F",
        b"1,5",
        b"\0\0",
        b"\xff\xfe",
        b"=",
        b"^",
        b"Doe^Jane",
    ),
    *(b"MONOCHROME1", b"MONOCHROME2", b"RGB", b"PALETTE COLOR", b"YBR_FULL", b"YBR_FULL_422"),
    *(
        b"YBR_ICT",
        b"YBR_RCT",
        b"CMYK",
        b"ARGB",
        b"SIGMOID",
        b"LINEAR_EXACT",
        b"INVERSE",
        b"IDENTITY",
    ),
    *(b"ISO 2022 IR 87", b"ISO_IR 192", b"nothing"),
)
SIZES = (0x280002, 0x280006, 0x280008, 0x280010, 0x280011, 0x280100, 0x280101, 0x280102, 0x280103)
"""Elements that say how pixels lie in the file."""
VIEWS = (0x281050, 0x281051, 0x281052, 0x281053, 0x281056, 0x281101, 0x281201, 0x283000, 0x283010)
"""Elements that say how pixels are shown."""
PIXELS = 0x7FE00010


@dataclass(frozen=True)
class _Element:
    """Where an element lies in the inflated file."""

    tag: int
    start: int
    """Of its tag."""
    value: int
    """Of its value."""
    end: int
    explicit: bool
    big: bool


@dataclass(frozen=True)
class _Seed:
    data: bytes
    """The file; its data set inflated."""
    elements: tuple[_Element, ...]
    deflated: int
    """Where the data set begins that is to be deflated; 0: it is not."""


def prepare_dicom(home: Path) -> Subject:
    parsed = cache(_parsed)

    def damage(files: Files, rng: random.Random) -> Files:
        return {"ill/a.dcm": _damage(parsed(files["ill/a.dcm"]), rng)}

    def use(folder: Path) -> None:
        check_cases(open_cases(folder))

    return Subject([{"ill/a.dcm": data} for data in _files(home)], damage, use)


def _files(home: Path) -> Iterator[bytes]:
    for number, (made, syntax) in enumerate(_datasets()):
        uid = generate_uid(entropy_srcs=["fuzz", str(number)])
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uid
        made.StudyInstanceUID = made.SeriesInstanceUID = uid
        yield save(made, home / f"{number}.dcm", syntax).read_bytes()


def _datasets() -> Iterator[tuple[Dataset, str]]:
    """Data sets and their transfer syntaxes; those that are packed already stay as they are."""
    grey, colour = ramp(shape=SHAPE), ramp(8, shape=(*SHAPE, 3))
    window = {"WindowCenter": [900, 40], "WindowWidth": [700, 400]}
    for syntax in (*NATIVE, *PACKED):
        yield make(grey, **window), syntax
        yield make(ramp(8, shape=SHAPE), 8, PhotometricInterpretation="MONOCHROME1"), syntax
        yield make(np.stack([grey] * 3), frames=3, **window), syntax
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEG2000Lossless):
        yield make(colour, 8), syntax
        yield make(ramp(12, True, SHAPE), RescaleSlope=2, RescaleIntercept=-1000, **window), syntax
    yield from ((made, ExplicitVRLittleEndian) for made in _views(grey))
    yield from _packed(colour)


def _views(grey: Any) -> Iterator[Dataset]:
    """Tables, functions, padding, palettes, single bits, 32 bits, windows by frame."""
    table = [int(n) for n in np.linspace(0, 255, 64)]
    made = make(grey)
    made.ModalityLUTSequence = [lut(0, 16, [n * 9 for n in table])]
    made.VOILUTSequence = [lut(0, 8, table), lut(9, 8, table)]
    yield made
    yield make(grey, WindowCenter=900, WindowWidth=700, VOILUTFunction="SIGMOID")
    yield make(grey, PixelPaddingValue=0, PixelPaddingRangeLimit=9, PresentationLUTShape="INVERSE")
    made = make(ramp(8, shape=SHAPE), 8, PhotometricInterpretation="PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(made, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        entries = (np.arange(256) * 257).astype("<u2").tobytes()
        setattr(made, f"{name}PaletteColorLookupTableData", entries)
    yield made
    made = make(ramp(8, shape=SHAPE), 8)
    made.BitsAllocated = made.BitsStored = 1
    made.HighBit, made.PixelData = 0, bytes(range(136))
    yield made
    yield make(ramp(16, shape=SHAPE).astype(np.uint32), 16)
    made = make(np.stack([grey] * 2), frames=2)
    made.PerFrameFunctionalGroupsSequence = [Dataset(), Dataset()]
    for group in made.PerFrameFunctionalGroupsSequence:
        view = Dataset()
        view.WindowCenter, view.WindowWidth = 900, 400
        group.FrameVOILUTSequence = [view]
    yield made
    colour = ramp(8, shape=(*SHAPE, 3))
    yield make(colour, 8, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=1)


def _packed(colour: Any) -> Iterator[tuple[Dataset, str]]:
    """JPEG baseline of one and of two frames, in fragments, with offset tables and without."""
    for frames, table, pieces in ((1, True, 1), (2, True, 2), (2, False, 1), (1, False, 3)):
        for mode in ("L", "RGB"):
            buffer = io.BytesIO()
            Image.fromarray(colour).convert(mode).save(buffer, "JPEG")
            pixels = colour if mode == "RGB" else colour[:, :, 0]
            made = make(np.stack([pixels] * frames), 8, frames=frames)
            code = buffer.getvalue() + b"\0" * (len(buffer.getvalue()) % 2)
            made.PixelData = encapsulate([code] * frames, fragments_per_frame=pieces, has_bot=table)
            made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
            yield made, JPEG_BASELINE


def _parsed(data: bytes) -> _Seed:
    """A file with the places of its elements, those of a deflated data set after inflating."""
    read = dcmread(io.BytesIO(data), force=True)
    start = 144 + int(read.file_meta.get("FileMetaInformationGroupLength", 0))
    syntax, deflated = read.file_meta.get("TransferSyntaxUID"), 0
    if syntax == DeflatedExplicitVRLittleEndian:
        data, deflated = data[:start] + zlib.decompress(data[start:], -zlib.MAX_WBITS), start
    explicit, big = syntax != ImplicitVRLittleEndian, syntax == "1.2.840.10008.1.2.2"
    body = dcmread(io.BytesIO(data[start:]), force=True) if deflated else read
    shift = start if deflated else 0
    found = [(read.file_meta, True, False, 0), (body, explicit, big, shift)]
    elements = [
        element
        for dataset, is_explicit, is_big, offset in found
        for element in _elements(dataset, data, is_explicit, is_big, offset)
    ]
    return _Seed(data, tuple(elements), deflated)


def _elements(
    dataset: Dataset, data: bytes, explicit: bool, big: bool, shift: int
) -> Iterator[_Element]:
    order = ">" if big else "<"
    for tag in dataset.keys():  # noqa: SIM118  (iterating over a data set would decode it)
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement):
            value, size = raw.value_tell + shift, raw.length
        else:  # decoded already, as most of the file meta information is
            value, size = int(raw.file_tell or 0) + shift, (len(str(raw.value)) + 1) // 2 * 2
        code = struct.pack(f"{order}HH", tag.group, tag.element)
        start = data.rfind(code, 0, value)
        if start >= 0:
            end = min(value + size, len(data))  # a length may be undefined
            yield _Element(int(tag), start, value, end, explicit, big)


def _damage(seed: _Seed, rng: random.Random) -> bytes:
    data = bytearray(seed.data)
    kinds = (_size, _size, _view, _length, _type, _value, _syntax, _tag, _drop, _fragments)
    # From the end, so that the places of those before stay right.
    chosen = rng.choices(seed.elements, k=rng.choice((1, 1, 2, 3))) if seed.elements else []
    for element in sorted(chosen, key=lambda e: e.start, reverse=True):
        rng.choice(kinds)(data, element, seed, rng)
    found = bytes(data)
    if rng.random() < 0.3:
        found = mutate_bytes(found[128:], rng, head=1200).rjust(len(found), b"\0")
    if seed.deflated:
        machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = machine.compress(found[seed.deflated :]) + machine.flush()
        found = found[: seed.deflated] + packed
    elif rng.random() < 0.05:
        found = found[132 : rng.randrange(132, len(found) + 1)]
    return found


def _named(seed: _Seed, tags: tuple[int, ...], rng: random.Random) -> _Element | None:
    found = [element for element in seed.elements if element.tag in tags]
    return rng.choice(found) if found else None


def _put(data: bytearray, element: _Element, value: bytes) -> None:
    """The value in place of as many bytes, so that nothing moves."""
    size = element.end - element.value
    data[element.value : element.end] = value[:size].ljust(size, b" " if value.isascii() else b"\0")


def _size(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    """Other rows, columns, bits, samples, frames or colours."""
    element = _named(seed, (*SIZES, 0x280004), rng) or element
    if element.tag in (0x280004, 0x280008):
        _put(data, element, rng.choice(TEXTS))
        return
    value = rng.choice((*INTEGERS, 3, 8, 9, 11, 12, 13, 14, 15, 16, 17, 32, 64)) & 0xFFFF
    _put(data, element, struct.pack(">H" if element.big else "<H", value))


def _view(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    """Other numbers or texts of windows, rescaling and tables; bytes of a sequence."""
    element = _named(seed, VIEWS, rng) or element
    inside = bytes(data[element.value : element.end])
    if len(inside) > 16 and rng.random() < 0.7:
        _put(data, element, mutate_bytes(inside, rng, head=64)[: len(inside)])
    else:
        _put(data, element, rng.choice((*TEXTS, rng.randbytes(8))))


def _length(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    long = element.value - element.start == 12 or not element.explicit
    near = element.end - element.value + rng.choice((-2, -1, 1, 2, 8))
    value = rng.choice((*INTEGERS, near, near)) & (0xFFFFFFFF if long else 0xFFFF)
    form = (">" if element.big else "<") + ("I" if long else "H")
    size = struct.calcsize(form)
    data[element.value - size : element.value] = struct.pack(form, value)


def _type(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    data[element.start + 4 : element.start + 6] = rng.choice(TYPES)


def _value(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    inside = bytes(data[element.value : element.end])
    if inside:
        other = mutate_bytes(inside, rng, head=64) if rng.random() < 0.6 else rng.choice(TEXTS)
        _put(data, element, other)


def _syntax(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    """Another transfer syntax; its length too, unless the elements behind it are to be read."""
    element = _named(seed, (0x20010,), rng) or element
    uid = rng.choice(SYNTAXES).encode()
    if rng.random() < 0.5:
        _put(data, element, uid.ljust(element.end - element.value, b"\0"))
        return
    uid += b"\0" * (len(uid) % 2)
    data[element.value : element.end] = uid
    data[element.value - 2 : element.value] = struct.pack("<H", len(uid))


def _tag(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    other = rng.choice((*SIZES, *VIEWS, PIXELS, 0x7FE00008, 0x7FE00009, 0xFFFEE000, 0xFFFEE0DD))
    form = ">HH" if element.big else "<HH"
    data[element.start : element.start + 4] = struct.pack(form, other >> 16, other & 0xFFFF)


def _drop(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    """An element left out, or there twice."""
    whole = bytes(data[element.start : element.end])
    if rng.random() < 0.6:
        del data[element.start : element.end]
    else:
        data[element.start : element.start] = whole * rng.choice((1, 1, 9))


def _fragments(data: bytearray, element: _Element, seed: _Seed, rng: random.Random) -> None:
    """Another length or tag of an item of packed pixels, or the bytes in it."""
    pixels = _named(seed, (PIXELS,), rng)
    if pixels is None:
        return
    items, at = [], data.find(b"\xfe\xff\x00\xe0", pixels.start)
    while at >= 0:
        items.append(at)
        at = data.find(b"\xfe\xff\x00\xe0", at + 4)
    if not items:
        _put(data, pixels, mutate_bytes(bytes(data[pixels.value : pixels.end]), rng))
        return
    at = rng.choice(items)
    kind = rng.randrange(5)
    if kind <= 1:
        old = int.from_bytes(data[at + 4 : at + 8], "little")
        value = rng.choice((*INTEGERS, old + 2, old - 2, old + 8)) & 0xFFFFFFFF
        data[at + 4 : at + 8] = struct.pack("<I", value)
    elif kind == 2:
        data[at : at + 4] = rng.choice((b"\xfe\xff\xdd\xe0", b"\xfe\xff\x0d\xe0", b"\0" * 4))
    elif kind == 3:
        data[at + 8 :] = mutate_bytes(bytes(data[at + 8 :]), rng, head=64)
    else:
        data[at : at + 8] = b""
