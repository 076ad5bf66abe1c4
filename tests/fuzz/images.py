"""Targets PNG, JPEG, TIFF, BMP, WebP, GIF and npz: image files, and a MedMNIST archive."""

from __future__ import annotations

import ast
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, TiffImagePlugin

from robust.cases import Cases, open_cases
from tests.fuzz.machine import Files, Subject, promise
from tests.fuzz.mutations import INTEGERS, mutate_bytes, mutate_zip

HEIGHT, WIDTH = 10, 13
FEW_SAMPLES = 1 << 20
"""Images of more are read, but not written back: that takes ten times their memory."""
Pixels = np.ndarray[Any, Any]


def check_cases(cases: Cases) -> None:
    """The first, the middle and the last case keep the promises of `Case`."""
    for index in sorted({0, len(cases) // 2, len(cases) - 1}):
        case = cases[index]
        image = case.image
        flat = image.ndim == 3 and len(image) in (1, 3)
        promise((flat or image.ndim == 4) and image.numel() > 0, f"{image.shape}")
        promise(image.dtype == torch.float32, f"an image of {image.dtype}")
        promise(bool(((image >= 0) & (image <= 1)).all()), "an image outside [0, 1]")
        promise(0 <= case.label < len(cases.classes), f"label {case.label}")
        if case.mask is not None:
            same = case.mask.shape[-image.ndim + 1 :] == image.shape[1:]
            promise(same and case.mask.dtype == torch.uint8, f"a mask of {case.mask.shape}")
            numbers = set(case.mask.unique().tolist()) - {255}
            promise(numbers <= set(range(len(cases.classes))), f"a mask of {sorted(numbers)}")
        if image.numel() > FEW_SAMPLES:
            continue
        found = cases.stored_image(index)
        back = found.stored.pixels(found.stored.image(found.pixels), found.pixels, 0.0)
        promise(np.array_equal(back, found.pixels), "shown pixels do not lead back to stored ones")


def _subject(name: str, seeds: list[bytes], damage: Callable[..., bytes]) -> Subject:
    """Images one at a time, in a class folder."""

    def damaged(files: Files, rng: random.Random) -> Files:
        ((path, data),) = files.items()
        if rng.random() < 0.6:
            data = damage(data, rng)
        if rng.random() < 0.5:
            data = mutate_bytes(data, rng)
        return {path: data}

    def use(folder: Path) -> None:
        check_cases(open_cases(folder, group="none"))

    return Subject([{f"ill/image.{name}": data} for data in seeds], damaged, use)


def _noise(shape: tuple[int, ...] = (HEIGHT, WIDTH), kind: Any = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)


def _written(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _of_mode(mode: str) -> Image.Image:
    image = Image.fromarray(_noise((HEIGHT, WIDTH, 3))).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(255)
    return image


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274], exif[270] = orientation, "text"
    return exif


# --- PNG ---

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHUNKS = (b"PLTE", b"tRNS", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"acTL", b"fcTL")
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))


def prepare_png(home: Path) -> Subject:
    import cv2

    clear = _of_mode("P")
    clear.info["transparency"] = 3
    text = {"pnginfo": _png_text(), "exif": _exif(6)}
    seeds = [_written(_of_mode(mode), "PNG") for mode in ("1", "L", "P", "LA", "RGB", "RGBA")]
    seeds += [_written(_of_mode("P"), "PNG", bits=bits) for bits in (2, 4)]
    seeds += [_written(clear, "PNG"), _written(_of_mode("L"), "PNG", **text)]
    seeds.append(_written(Image.fromarray(_noise(kind=np.uint16)), "PNG"))
    seeds.append(_written(_of_mode("L"), "PNG", save_all=True, append_images=[_of_mode("L")] * 2))
    for channels in (3, 4):
        deep = _noise((HEIGHT, WIDTH, channels), np.uint16)
        deep[:, :, 3:] = 65535
        seeds.append(cv2.imencode(".png", deep)[1].tobytes())
    seeds += [_interlaced(_noise()), _interlaced(_noise(kind=np.uint16))]
    return _subject("png", seeds, _damage_png)


def _png_text() -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "text")
    info.add_text("Long", "text" * 99, zip=True)
    info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    return info


def _interlaced(pixels: Pixels) -> bytes:
    """Adam7 by hand, since Pillow and OpenCV write none (PNG specification, section 8)."""
    rows = b""
    for left, top, wide, high in (*ADAM7, (0, 1, 1, 2)):
        for row in pixels[top::high, left::wide].astype(pixels.dtype.newbyteorder(">")):
            rows += b"\0" + row.tobytes() if len(row) else b""
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8 * pixels.itemsize, 0, 0, 0, 1)
    return _join_png([(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")])


def _split_png(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _join_png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """With right lengths and checksums, so that a decoder reads on."""
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]  # fmt: skip
    return SIGNATURE + b"".join(parts)


def _damage_png(data: bytes, rng: random.Random) -> bytes:
    chunks = list(_split_png(data))
    at = rng.randrange(len(chunks))
    kind, content = chunks[at]
    choice = rng.randrange(7)
    if choice <= 1:
        kind, content = chunks[0]
        chunks[0] = kind, _poke(content, rng, ">", (0, 4, 4, 8, 8, 9, 9, 10, 11, 12))
    elif choice == 2 and kind == b"IDAT":
        pixels = mutate_bytes(zlib.decompress(content), rng)
        chunks[at] = kind, zlib.compress(pixels * rng.choice((1, 1, 1, 999)))
    elif choice == 3:
        chunks[at] = kind, mutate_bytes(content, rng)
    elif choice == 4:
        chunks.insert(at, chunks[rng.randrange(len(chunks))])
    elif choice == 5:
        del chunks[at]
    else:
        chunks.insert(at, (rng.choice(CHUNKS), rng.randbytes(rng.choice((0, 1, 6, 13, 26, 300)))))
    return _join_png(chunks)


def _poke(data: bytes, rng: random.Random, order: str, places: tuple[int, ...]) -> bytes:
    """Another number at one of these places: of 4 bytes at those that are a multiple of 4."""
    at = rng.choice(places)
    size = 4 if at % 4 == 0 and at < 8 else 1
    value = rng.choice((*INTEGERS, 3, 4, 6, 16, 13000, 40000)) % (1 << 8 * size)
    return data[:at] + value.to_bytes(size, "big" if order == ">" else "little") + data[at + size :]


# --- JPEG ---


def prepare_jpeg(home: Path) -> Subject:
    grey, colour = _of_mode("L"), _of_mode("RGB")
    seeds = [_written(grey, "JPEG"), _written(colour, "JPEG", subsampling=0)]
    seeds += [_written(colour, "JPEG", subsampling=2, exif=_exif(k)) for k in (3, 6)]
    seeds += [_written(image, "JPEG", progressive=True) for image in (grey, colour)]
    seeds += [
        _written(colour, "JPEG", restart_marker_blocks=1, comment=b"text", icc_profile=b"x" * 9)
    ]
    seeds += [
        _written(_of_mode("CMYK"), "JPEG"),
        _written(colour, "JPEG", optimize=True, dpi=(72, 72)),
    ]
    seeds += [_written(colour, "MPO", save_all=True, append_images=[colour])]
    return _subject("jpg", seeds, _damage_jpeg)


def _damage_jpeg(data: bytes, rng: random.Random) -> bytes:
    segments, rest = _split_jpeg(data)
    at = rng.randrange(len(segments))
    marker, content = segments[at]
    choice = rng.randrange(8)
    if choice <= 2:
        at = next((i for i, (m, _) in enumerate(segments) if m in (0xC0, 0xC1, 0xC2)), at)
        marker, content = segments[at]
        frame = bytearray(content.ljust(6, b"\0"))
        place = rng.randrange(len(frame) - 1)
        frame[place : place + 2] = struct.pack(">H", rng.choice((*INTEGERS, 13000)) & 0xFFFF)
        segments[at] = marker, bytes(frame)
    elif choice == 3:
        segments[at] = marker, mutate_bytes(content, rng)
    elif choice == 4:
        segments[at] = rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xDB, 0xC4, 0xE1, 0xEE)), content
    elif choice == 5:
        segments.insert(at, segments[rng.randrange(len(segments))])
    elif choice == 6:
        del segments[at]
    else:
        rest = mutate_bytes(rest, rng)
    parts = [struct.pack(">BBH", 0xFF, m, min(len(c) + 2, 65535)) + c for m, c in segments]
    return b"\xff\xd8" + b"".join(parts) + rest


def _split_jpeg(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Segments up to the first scan, and all that follows them."""
    found, at = [], 2
    while data[at + 1] != 0xDA:
        (size,) = struct.unpack_from(">H", data, at + 2)
        found.append((data[at + 1], data[at + 4 : at + 2 + size]))
        at += 2 + size
    return found, data[at:]


# --- TIFF ---

TAGS = (
    254,
    256,
    257,
    258,
    259,
    262,
    266,
    273,
    274,
    277,
    278,
    279,
    284,
    317,
    320,
    322,
    323,
    324,
    325,
)
TAGS += (330, 332, 338, 339, 347, 512, 513, 530, 532, 700, 33432, 34665, 34853)


def prepare_tiff(home: Path) -> Subject:
    grey, colour, deep = _of_mode("L"), _of_mode("RGB"), Image.fromarray(_noise(kind=np.uint16))
    packings = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
    seeds = [_written(i, "TIFF", compression=p) for p in packings for i in (grey, colour, deep)]
    seeds += [_written(colour, "TIFF", compression="jpeg"), _written(grey, "TIFF", big_tiff=True)]
    seeds += [_written(_of_mode("1"), "TIFF", compression=p) for p in ("group3", "group4")]
    seeds += [_written(_of_mode(mode), "TIFF") for mode in ("P", "CMYK", "RGBA", "LAB")]
    seeds += [_written(Image.new(mode, (WIDTH, HEIGHT), 3), "TIFF") for mode in ("F", "I")]
    seeds += [_written(grey, "TIFF", save_all=True, append_images=[grey])]
    big_endian = Image.fromarray(_noise(kind=np.uint16).astype(">u2"))
    seeds += [_written(grey, "TIFF", exif=_exif(6)), _written(big_endian, "TIFF")]
    planar = TiffImagePlugin.ImageFileDirectory_v2()
    planar[317] = 2
    seeds += [_written(colour, "TIFF", compression="tiff_lzw", tiffinfo=planar)]
    seeds += [_tiled(kind, packed) for kind in (np.uint8, np.uint16) for packed in (False, True)]
    return _subject("tif", seeds, _damage_tiff)


def _tiled(kind: Any, packed: bool) -> bytes:
    """Two tiles of 16 x 16, by hand, since Pillow writes strips alone (TIFF 6.0, section 15)."""
    tiles = [_noise((16, 16), kind).tobytes() for _ in range(2)]
    tiles = [zlib.compress(tile) for tile in tiles] if packed else tiles
    first = 8 + sum(map(len, tiles))
    entries: list[tuple[int, int, list[int]]] = [
        *((256, 3, [30]), (257, 3, [HEIGHT]), (258, 3, [np.dtype(kind).itemsize * 8])),
        *((259, 3, [8 if packed else 1]), (262, 3, [1]), (277, 3, [1]), (322, 3, [16])),
        *(
            (323, 3, [16]),
            (324, 4, [8, 8 + len(tiles[0])]),
            (325, 4, [len(tile) for tile in tiles]),
        ),
    ]
    extra = first + 2 + 12 * len(entries) + 4
    table, tail = struct.pack("<H", len(entries)), b""
    for tag, type_, values in entries:
        packed_values = b"".join(struct.pack("<H" if type_ == 3 else "<I", v) for v in values)
        if len(packed_values) > 4:
            tail, packed_values = tail + packed_values, struct.pack("<I", extra + len(tail))
        table += struct.pack("<HHI", tag, type_, len(values)) + packed_values.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", first) + b"".join(tiles) + table + b"\0" * 4 + tail


def _damage_tiff(data: bytes, rng: random.Random) -> bytes:
    """Another tag, type, count or value of an entry of the first directory."""
    order = "<" if data[:2] == b"II" else ">"
    found = bytearray(data)
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    if at + 2 > len(data):
        return mutate_bytes(data, rng, head=64)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for _ in range(rng.choice((1, 1, 2))):
        entry = at + 2 + 12 * rng.randrange(max(1, count))
        place, form, values = rng.choice(
            (
                (0, "H", TAGS),
                (2, "H", tuple(range(20))),
                (4, "I", INTEGERS),
                (8, "I", INTEGERS),
                (8, "H", (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 32773, 32946, 34712)),
            )
        )
        value = rng.choice(values) & (0xFFFF if form == "H" else 0xFFFFFFFF)
        size = struct.calcsize(form)
        found[entry + place : entry + place + size] = struct.pack(order + form, value)
    return bytes(found)


# --- BMP ---


def prepare_bmp(home: Path) -> Subject:
    seeds = [_written(_of_mode(mode), "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    line = bytes([0, WIDTH]) + bytes(range(WIDTH)) + b"\0" + b"\0\0"
    packed = (bytes([WIDTH, 7]) + b"\0\0") * (HEIGHT // 2) + line * (HEIGHT // 2) + b"\0\1"
    seeds.append(_bitmap(8, 1, packed, b"".join(bytes([i, i, i, 0]) for i in range(256))))
    nibbles = (bytes([WIDTH, 0x12]) + b"\0\0") * HEIGHT + b"\0\1"
    seeds.append(_bitmap(4, 2, nibbles, b"".join(bytes([16 * i] * 3 + [0]) for i in range(16))))
    rows = _noise((HEIGHT, WIDTH + 1), np.uint16).tobytes()
    seeds += [_bitmap(16, 0, rows), _bitmap(16, 3, rows, struct.pack("<III", 0xF800, 0x7E0, 0x1F))]
    return _subject("bmp", seeds, _damage_bmp)


def prepare_webp(home: Path) -> Subject:
    seeds = [_written(_of_mode(mode), "WEBP", lossless=True) for mode in ("L", "RGB", "RGBA")]
    seeds += [_written(_of_mode("RGB"), "WEBP", quality=60), _frames("WEBP")]
    return _subject("webp", seeds, mutate_bytes)


def prepare_gif(home: Path) -> Subject:
    seeds = [_written(_of_mode(mode), "GIF") for mode in ("1", "L", "P", "RGB")]
    seeds += [_written(_of_mode("P"), "GIF", interlace=1, transparency=3), _frames("GIF")]
    return _subject("gif", seeds, mutate_bytes)


def _frames(kind: str) -> bytes:
    return _written(_of_mode("RGB"), kind, save_all=True, append_images=[_of_mode("L")])


def _bitmap(bits: int, packing: int, pixels: bytes, table: bytes = b"") -> bytes:
    """By hand what Pillow does not write: RLE, and 16 bits a pixel."""
    start = 54 + len(table)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    colours = len(table) // 4 if bits <= 8 else 0
    info = (40, WIDTH, HEIGHT, 1, bits, packing, len(pixels), 2835, 2835, colours, 0)
    return head + struct.pack("<IiiHHIIiiII", *info) + table + pixels


def _damage_bmp(data: bytes, rng: random.Random) -> bytes:
    """Other numbers in the header: offset, size, depth, packing, colours."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2))):
        at, size = rng.choice(
            ((10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2), (30, 4), (46, 4))
        )
        value = rng.choice((*INTEGERS, 3, 4, 5, 6, 12, 16, 24, 32, 40, 64, 108, 124, 13000))
        found[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(found)


# --- npz ---


def prepare_npz(home: Path) -> Subject:
    """MedMNIST archives: grey, colour, several label columns, compressed and not."""
    labels = np.arange(6, dtype=np.uint8)[:, None] % 2
    seeds = []
    for images in (_noise((6, HEIGHT, WIDTH)), _noise((6, HEIGHT, WIDTH, 3))):
        for save in (np.savez, np.savez_compressed):
            for marks in (labels, np.repeat(labels, 3, 1)):
                buffer = io.BytesIO()
                save(buffer, test_images=images, test_labels=marks)
                seeds.append({"chestmnist.npz": buffer.getvalue()})

    def damage(files: Files, rng: random.Random) -> Files:
        data = files["chestmnist.npz"]
        if rng.random() < 0.7:
            data = mutate_zip(data, rng, _damage_array)
        if rng.random() < 0.4:
            data = mutate_bytes(data, rng)
        elif rng.random() < 0.2:
            data = mutate_bytes(data[::-1], rng)[::-1]  # the directory is at the end
        return {"chestmnist.npz": data}

    def use(folder: Path) -> None:
        check_cases(open_cases(folder / "chestmnist.npz", group="none", label="0"))

    return Subject(seeds, damage, use)


def _damage_array(name: str, data: bytes, rng: random.Random) -> bytes:
    """Another type, shape or order in the header of an array, or other values."""
    kind = rng.randrange(6)
    if kind == 0:
        return mutate_bytes(data, rng, head=128)
    if kind == 1:
        types = (
            "|u1",
            "<u2",
            ">i8",
            "<f4",
            "<f8",
            "|b1",
            "|O",
            "<U3",
            "<M8[ns]",
            "|V7",
            "<c8",
            "|S0",
        )
        return _with_header(data, "descr", repr(rng.choice(types)))
    if kind == 2:
        sides = [
            rng.choice((0, 1, 3, 6, HEIGHT, WIDTH, -1, 2**31, 2**63))
            for _ in range(rng.randrange(6))
        ]
        return _with_header(data, "shape", repr(tuple(sides)))
    if kind == 3:
        return _with_header(data, "fortran_order", rng.choice(("True", "None", "1")))
    values = np.load(io.BytesIO(data))
    if kind == 4:
        values = values.astype(rng.choice(("i1", "i8", "u8", "f2", "f8", "?", "U5")))
    else:
        values = values.flatten()[: rng.randrange(1, values.size)].reshape(
            rng.choice(((-1,), (-1, 1)))
        )
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _with_header(data: bytes, key: str, value: str) -> bytes:
    """An array whose header says something else of the same bytes."""
    size = 10 + int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10:size].decode())
    parts = {k: repr(v) for k, v in header.items()} | {key: value}
    text = "{" + ", ".join(f"{k!r}: {v}" for k, v in parts.items()) + "}"
    return (
        data[:8]
        + struct.pack("<H", size - 10)
        + text.ljust(size - 11)[: size - 11].encode()
        + b"\n"
        + data[size:]
    )
