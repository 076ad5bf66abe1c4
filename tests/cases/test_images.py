"""Image files: each at its own depth and channels, level for level, or refused by name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from robust.cases.case import Stored
from robust.cases.formats import is_image
from robust.cases.images import SUBFILE, as_png, read_image
from robust.errors import InputError

Array = npt.NDArray[Any]
LOSSLESS = [
    (".png", np.uint8, False),
    (".png", np.uint8, True),
    (".png", np.uint16, False),
    (".png", np.uint16, True),
    (".tif", np.uint8, False),
    (".tif", np.uint8, True),
    (".tif", np.uint16, False),
    (".tif", np.uint16, True),
    (".tiff", np.uint16, True),
    (".bmp", np.uint8, False),
    (".bmp", np.uint8, True),
]


def levels(dtype: type, colour: bool) -> Array:
    """Random levels over the whole range, 9 x 13 so that height and width cannot be confused."""
    shape = (9, 13, 3) if colour else (9, 13)
    made = np.random.default_rng(7).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    made[0, 0], made[0, 1] = 0, np.iinfo(dtype).max
    return made


def write_cv2(path: Path, pixels: Array, *options: int) -> Path:
    """By OpenCV, which knows 16-bit colour; RGB(A) comes in, BGR(A) is its own order."""
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = order[pixels.shape[2] if pixels.ndim == 3 else 2]
    assert cv2.imwrite(str(path), pixels if code is None else cv2.cvtColor(pixels, code), options)
    return path


@pytest.mark.parametrize(("suffix", "dtype", "colour"), LOSSLESS)
def test_lossless_files_keep_depth_channels_and_every_level(
    tmp_path: Path, suffix: str, dtype: type, colour: bool
) -> None:
    wanted = levels(dtype, colour)
    found = read_image(write_cv2(tmp_path / f"a{suffix}", wanted))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("compression", [1, 5, 8, 32946])
@pytest.mark.parametrize("colour", [False, True])
def test_sixteen_bit_tiff_in_each_compression(
    tmp_path: Path, compression: int, colour: bool
) -> None:
    wanted = levels(np.uint16, colour)
    path = write_cv2(tmp_path / "a.tif", wanted, cv2.IMWRITE_TIFF_COMPRESSION, compression)
    found = read_image(path)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_keeps_its_channels_and_nearly_its_levels(tmp_path: Path, mode: str) -> None:
    ramp = np.add.outer(np.arange(16) * 6, np.arange(24) * 5).astype(np.uint8)
    wanted = ramp if mode == "L" else np.stack([ramp, ramp // 2 + 40, 220 - ramp // 2], 2)
    Image.fromarray(wanted).save(tmp_path / "a.JPEG", quality=98, subsampling=0)
    found = read_image(tmp_path / "a.JPEG")
    assert found.dtype == np.uint8 and found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() <= 6


def tiff(path: Path, pixels: Array, photometric: int = 1, order: str = "<", **tags: int) -> Path:
    """An uncompressed TIFF, byte by byte: also what no library cares to write."""
    height, width, *rest = pixels.shape
    channels, bits = (rest or [1])[0], 8 * pixels.dtype.itemsize
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    behind = 8 + len(data)
    values = {256: width, 257: height, 259: 1, 262: photometric, 273: 8, 277: channels}
    values |= {278: height, 279: len(data), 258: bits if channels == 1 else behind}
    values |= {{"orientation": 274, "sample_format": 339}[k]: v for k, v in tags.items()}
    directory = struct.pack(f"{order}H", len(values))
    for tag, value in sorted(values.items()):
        short = tag == 258 or (value < 65536 and tag not in (273, 279))
        count = channels if tag == 258 else 1
        form = f"{order}HHI" + ("H2x" if short and count == 1 else "I")
        directory += struct.pack(form, tag, 3 if short else 4, count, value)
    start = struct.pack(f"{order}HI", 42, behind + 2 * channels)
    depth = struct.pack(f"{order}{channels}H", *[bits] * channels)
    path.write_bytes(
        (b"II" if order == "<" else b"MM") + start + data + depth + directory + bytes(4)
    )
    return path


def png(path: Path, pixels: Array, colour_type: int, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG, chunk by chunk, with more chunks before its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    lines = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(k, d) for k, d in parts))
    return path


def turn(upright: Array, orientation: int) -> Array:
    """How a sensor stored what a viewer turns upright by this EXIF orientation."""
    if orientation == 1:
        return upright
    transposed = np.swapaxes(upright, 0, 1)
    return {
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: transposed,
        6: transposed[::-1],
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }[orientation]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("colour", [False, True])
def test_sixteen_bit_tiff_in_both_byte_orders(tmp_path: Path, order: str, colour: bool) -> None:
    wanted = levels(np.uint16, colour)
    path = tiff(tmp_path / "a.tif", wanted, 2 if colour else 1, order)
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_whose_zero_is_white_is_shown_so(tmp_path: Path, dtype: type) -> None:
    wanted = levels(dtype, False)
    path = tiff(tmp_path / "a.tif", np.iinfo(dtype).max - wanted, photometric=0)
    np.testing.assert_array_equal(read_image(path), wanted)


@pytest.mark.parametrize("width", [53, 54, 55, 56, 160])
def test_no_width_of_a_bmp_is_taken_for_a_depth(tmp_path: Path, width: int) -> None:
    """A row of 54 pixels takes 164 bytes, which once passed for sixteen bits."""
    wanted = np.random.default_rng(0).integers(0, 256, (3, width, 3)).astype(np.uint8)
    np.testing.assert_array_equal(read_image(write_cv2(tmp_path / "a.bmp", wanted)), wanted)


def test_a_bmp_of_sixteen_bits_a_pixel_has_five_or_six_a_channel(tmp_path: Path) -> None:
    masks = (0b11111_000000_00000, 0b111111_00000, 0b11111)
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    pixels = struct.pack("<IIIHH", *masks, masks[0], masks[2])
    start = struct.pack("<2sIHHI", b"BM", 70, 0, 0, 66)
    (tmp_path / "a.bmp").write_bytes(start + header + pixels)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bmp"), [[[255, 0, 0], [0, 0, 255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :16] = 250
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turn(upright, orientation))
    Image.fromarray(stored).save(tmp_path / "a.jpg", quality=95, exif=exif)
    found = read_image(tmp_path / "a.jpg")
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).max() <= 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(("dtype", "colour"), [(np.uint8, 0), (np.uint8, 1), (np.uint16, 0)])
def test_orientation_of_a_tiff_is_applied(
    tmp_path: Path, orientation: int, compression: str | None, dtype: type, colour: bool
) -> None:
    wanted = levels(dtype, colour)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(turn(wanted, orientation))
    Image.fromarray(stored).save(tmp_path / "a.tif", exif=exif, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), wanted)


def exif_chunk(orientation: int) -> tuple[bytes, bytes]:
    return b"eXIf", struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 274, 3, 1, orientation, 0, 0)


@pytest.mark.parametrize(("dtype", "colour"), [(np.uint8, 0), (np.uint8, 1), (np.uint16, 0)])
def test_orientation_of_a_png_is_applied(tmp_path: Path, dtype: type, colour: bool) -> None:
    wanted = levels(dtype, colour)
    path = png(tmp_path / "a.png", turn(wanted, 6), 2 if colour else 0, exif_chunk(6))
    np.testing.assert_array_equal(read_image(path), wanted)


def test_sixteen_bit_colour_that_must_be_turned_is_refused(tmp_path: Path) -> None:
    stored = levels(np.uint16, True)
    for path in (
        png(tmp_path / "a.png", stored, 2, exif_chunk(6)),
        tiff(tmp_path / "a.tif", stored, 2, orientation=3),
    ):
        with pytest.raises(InputError, match=rf"{path.name} has 16-bit colour.*save it upright"):
            read_image(path)
    np.testing.assert_array_equal(
        read_image(png(tmp_path / "b.png", stored, 2, exif_chunk(1))), stored
    )


def test_palette_becomes_the_colours_that_are_shown(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([255, 0, 0, 10, 200, 30, 1, 2, 3])
    for suffix in ("png", "bmp", "tif"):
        image.save(tmp_path / f"a.{suffix}")
        wanted = [[[255, 0, 0], [10, 200, 30]], [[1, 2, 3], [10, 200, 30]]]
        np.testing.assert_array_equal(read_image(tmp_path / f"a.{suffix}"), np.uint8(wanted))


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit_becomes_black_and_white(tmp_path: Path, suffix: str) -> None:
    wanted = (levels(np.uint8, False) > 128).astype(np.uint8) * 255
    Image.fromarray(wanted).convert("1").save(tmp_path / f"a.{suffix}")
    found = read_image(tmp_path / f"a.{suffix}")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("colour", [False, True])
def test_opaque_alpha_is_dropped_and_transparency_refused(tmp_path: Path, colour: bool) -> None:
    wanted = levels(np.uint8, colour)
    image = Image.fromarray(wanted)
    image.putalpha(255)
    image.save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), wanted)
    image.putpixel((3, 2), (9, 9, 9, 254) if colour else (9, 254))
    image.save(tmp_path / "glass.png")
    with pytest.raises(InputError, match=r"glass\.png is partly transparent; flatten"):
        read_image(tmp_path / "glass.png")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_at_sixteen_bits(tmp_path: Path, suffix: str) -> None:
    wanted = levels(np.uint16, True)
    alpha = np.full((*wanted.shape[:2], 1), 65535, np.uint16)
    opaque = write_cv2(tmp_path / f"opaque.{suffix}", np.concatenate([wanted, alpha], 2))
    found = read_image(opaque)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, wanted)
    alpha[4, 5] = 65534
    glass = write_cv2(tmp_path / f"glass.{suffix}", np.concatenate([wanted, alpha], 2))
    with pytest.raises(InputError, match=r"glass\.\w+ is partly transparent; flatten"):
        read_image(glass)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_with_alpha_stays_grey_at_its_depth(tmp_path: Path, dtype: type) -> None:
    wanted = levels(dtype, False)
    alpha = np.full_like(wanted, np.iinfo(dtype).max)
    path = png(tmp_path / "opaque.png", np.stack([wanted, alpha], 2), 4)
    found = read_image(path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)
    alpha[4, 5] -= 1
    with pytest.raises(InputError, match=r"glass\.png is partly transparent"):
        read_image(png(tmp_path / "glass.png", np.stack([wanted, alpha], 2), 4))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [False, True])
def test_a_transparent_colour_is_refused_where_it_occurs(
    tmp_path: Path, dtype: type, colour: bool
) -> None:
    """PNG may name one colour as transparent (tRNS) in a file without an alpha channel."""
    wanted = levels(dtype, colour)
    named, absent = wanted[2, 3], wanted[2, 3] ^ 1
    for name, value in (("glass", named), ("opaque", absent)):
        chunk = (b"tRNS", np.atleast_1d(value).astype(">u2").tobytes())
        png(tmp_path / f"{name}.png", wanted, 2 if colour else 0, chunk)
    with pytest.raises(InputError, match=r"glass\.png is partly transparent"):
        read_image(tmp_path / "glass.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), wanted)


def test_pixels_without_a_displayed_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(tmp_path / "f.tif")
    with pytest.raises(InputError, match=r"f\.tif has pixels of mode F.*8 or 16 bits"):
        read_image(tmp_path / "f.tif")
    write_cv2(tmp_path / "c.tif", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(InputError, match=r"c\.tif"):
        read_image(tmp_path / "c.tif")
    grey = levels(np.uint16, False) >> 4
    for path in (
        tiff(tmp_path / "signed.tif", grey, sample_format=2),
        tiff(tmp_path / "wide.tif", grey.astype(np.uint32)),
        tiff(tmp_path / "print.tif", np.stack([grey] * 4, 2), photometric=5),
    ):
        with pytest.raises(InputError, match=rf"{path.name} has pixels of mode .*8 or 16 bits"):
            read_image(path)


def test_several_frames_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), level) for level in (0, 100, 200)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "turns.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "turns.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / "turns.png", save_all=True, append_images=frames[1:])
    for name in ("stack.tif", "turns.gif", "turns.webp", "turns.png"):
        with pytest.raises(InputError, match=rf"{name} holds several frames; split it"):
            read_image(tmp_path / name)


def test_the_first_picture_of_a_camera_file_is_read(tmp_path: Path) -> None:
    """Every viewer shows it; the others are previews or another eye."""
    first = Image.fromarray(levels(np.uint8, True))
    first.save(tmp_path / "one.jpg", quality=90)
    others = [first.resize((4, 4)), first.rotate(180)]
    first.save(tmp_path / "m.jpg", "MPO", save_all=True, append_images=others, quality=90)
    with Image.open(tmp_path / "m.jpg") as opened:
        assert opened.n_frames == 3
    np.testing.assert_array_equal(read_image(tmp_path / "m.jpg"), read_image(tmp_path / "one.jpg"))


def test_smaller_versions_of_a_tiff_are_no_frames(tmp_path: Path) -> None:
    wanted = levels(np.uint8, True)
    page, small = Image.fromarray(wanted), Image.fromarray(wanted[:4, :4].copy())
    for subfile, read in ((1, True), (4, True), (0, False), (2, False)):
        small.encoderinfo = {"tiffinfo": {SUBFILE: subfile}}
        page.save(tmp_path / "p.tif", save_all=True, append_images=[small])
        if read:
            np.testing.assert_array_equal(read_image(tmp_path / "p.tif"), wanted)
        else:
            with pytest.raises(InputError, match="several frames"):
                read_image(tmp_path / "p.tif")


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
@pytest.mark.parametrize("colour", [False, True])
def test_webp_and_gif_keep_every_level_and_grey_ones_one_channel(
    tmp_path: Path, suffix: str, colour: bool
) -> None:
    wanted = levels(np.uint8, colour) // 64 * 64
    image = Image.fromarray(wanted)
    if suffix == ".gif" and colour:
        image = image.quantize(64, dither=Image.Dither.NONE)
        wanted = np.asarray(image.convert("RGB"))
    image.save(tmp_path / f"a{suffix}", lossless=True)
    found = read_image(tmp_path / f"a{suffix}")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, wanted)


def test_grey_stays_grey_in_a_lossy_webp(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(16) * 6, np.arange(24) * 5).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "a.webp", quality=95)
    with Image.open(tmp_path / "a.webp") as image:
        assert 0 < np.ptp(np.asarray(image).astype(int), 2).max() <= 1
    found = read_image(tmp_path / "a.webp")
    assert found.shape == ramp.shape
    assert np.abs(found.astype(int) - ramp).max() < 12


@pytest.mark.parametrize("suffix", [".webp", ".gif"])
def test_webp_and_gif_are_read_if_opaque_and_whole(tmp_path: Path, suffix: str) -> None:
    opaque = Image.fromarray(levels(np.uint8, True)).convert("RGBA")
    opaque.save(tmp_path / f"a{suffix}", lossless=True)
    assert read_image(tmp_path / f"a{suffix}").shape == (9, 13, 3)
    whole = (tmp_path / f"a{suffix}").read_bytes()
    for size in (6, 12, 20, len(whole) // 2):
        (tmp_path / f"cut{suffix}").write_bytes(whole[:size])
        with pytest.raises(InputError, match=rf"cut{suffix} is (broken|not an image)"):
            read_image(tmp_path / f"cut{suffix}")
    opaque.putpixel((3, 3), (0, 0, 0, 0))
    opaque.save(tmp_path / f"b{suffix}", lossless=True)
    with pytest.raises(InputError, match="partly transparent"):
        read_image(tmp_path / f"b{suffix}")


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("colour", [False, True])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, colour: bool) -> None:
    whole = write_cv2(
        tmp_path / f"whole{suffix}", np.tile(levels(np.uint8, colour)[:8], (8, 8) + (1,) * colour)
    )
    content = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    for share in (0.0, 0.02, 0.5, 0.9):
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError, match=rf"cut\{suffix} .*; replace or remove it$"):
            read_image(cut)


def test_a_truncated_sixteen_bit_colour_png_is_refused(tmp_path: Path) -> None:
    whole = write_cv2(tmp_path / "whole.png", np.tile(levels(np.uint16, True), (4, 4, 1)))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut\.png"):
        read_image(tmp_path / "cut.png")


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("not an image\n" * 40)
    with pytest.raises(InputError, match=r"note\.png is not an image"):
        read_image(tmp_path / "note.png")
    with pytest.raises(InputError, match=r"no such image: .*absent\.png"):
        read_image(tmp_path / "absent.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=r"folder\.png"):
        read_image(tmp_path / "folder.png")


def test_a_damaged_png_is_refused(tmp_path: Path) -> None:
    content = bytearray(write_cv2(tmp_path / "a.png", levels(np.uint8, True)).read_bytes())
    content[content.index(b"IDAT") + 20] ^= 0xFF
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.png is broken"):
        read_image(tmp_path / "bad.png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [False, True])
def test_what_is_written_is_read_back(tmp_path: Path, dtype: type, colour: bool) -> None:
    wanted = levels(dtype, colour)
    (tmp_path / "a.png").write_bytes(as_png(wanted))
    found = read_image(tmp_path / "a.png")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_level_goes_to_display_and_back(bits: int) -> None:
    stored = Stored(bits)
    dtype = np.uint8 if bits == 8 else np.uint16
    wanted = np.arange(stored.levels + 1, dtype=dtype).reshape(16, -1)
    image = stored.image(wanted)
    assert image.dtype == torch.float32 and image.shape == (1, *wanted.shape)
    assert image.min() == 0 and image.max() == 1
    found = stored.pixels(image)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, wanted)
    colour = np.stack([wanted, wanted[::-1], wanted[:, ::-1]], 2)
    assert stored.image(colour).shape == (3, *wanted.shape)
    np.testing.assert_array_equal(stored.pixels(stored.image(colour)), colour)


def test_display_goes_to_the_nearest_level_and_stays_in_range() -> None:
    image = torch.tensor([[[-0.1, 0.4999 / 255, 0.5001 / 255, 254.6 / 255, 1.2]]])
    assert Stored(8).pixels(image).tolist() == [[0, 0, 1, 255, 255]]


def test_only_visible_files_with_a_known_suffix_are_images() -> None:
    known = ["a.png", "a.JPG", "a.tiff", "a.bmp", "a.webp", "a.GIF", "a.jfif", "a.JPG.jpe"]
    others = [".a.png", "a.txt", "png", "a.png.csv", "a.heic"]
    assert [n for n in [*known, *others] if is_image(Path(n))] == known
