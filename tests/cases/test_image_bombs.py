"""Images that promise more than they hold, or that are something else: one line, before any work."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from robust.cases.formats import is_dicom
from robust.cases.images import OPENERS, read_image
from robust.cases.structure import MOST_BLOCKS
from robust.errors import InputError


def png(
    width: int, height: int, bits: int, colour: int, *more: bytes, interlaced: int = 0
) -> bytes:
    """A PNG that declares a size and holds hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), *more, chunk(b"IDAT", zlib.compress(bytes(99)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def jpeg(*, scans: int = 0, segments: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:2] + b"\xff\xe5\0\2" * segments + whole[2:-2] + last * scans + b"\xff\xd9"


def tiff(*tags: tuple[int, int, int, int]) -> bytes:
    listed = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + listed + bytes(400)


def bmp(width: int, height: int, compression: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 99, 0, 0, 256, 0)
    return struct.pack("<2sIHHI", b"BM", 1177, 0, 0, 1078) + header + bytes(1024) + b"\xff\0" * 49


def pages(count: int) -> bytes:
    file, page = io.BytesIO(), Image.new("L", (4, 4))
    page.save(file, "TIFF", save_all=True, append_images=[page] * count)
    return file.getvalue()


TEXT = zlib.compress(bytes(20_000_000), 9)
SIZED = [(256, 4, 1, 100), (257, 4, 1, 100), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
BOMBS = {
    "grey.png": (png(13000, 13000, 8, 0), "13000 x 13000 pixels of 1 channels; at most 80 million"),
    "colour.png": (png(9000, 9000, 8, 2), "9000 x 9000 pixels of 3 channels"),
    "deep.png": (png(13000, 13000, 16, 2), "13000 x 13000 pixels"),
    "lines.png": (png(13000, 13000, 8, 0, interlaced=1), "13000 x 13000 pixels"),
    "palette.png": (png(60000, 60000, 1, 3, chunk(b"PLTE", bytes(6))), "60000 x 60000 pixels"),
    "text.png": (png(8, 8, 8, 0, chunk(b"zTXt", b"a\0\0" + TEXT)), "too large"),
    "profile.png": (png(8, 8, 16, 2, chunk(b"iCCP", b"a\0\0" + TEXT)), "too large"),
    "chunks.png": (png(8, 8, 8, 0, chunk(b"teXt", b"") * 140_000), "more than 131072 chunks"),
    "bent.png": (png(8, 8, 8, 0).replace(b"IDAT", b"IDAU"), "a checksum does not fit"),
    "scans.jpg": (jpeg(scans=200), "more than 32 scans"),
    "segments.jpg": (jpeg(segments=9000), "more than 4096 segments"),
    "cut.jpg": (jpeg()[:-2], "truncated"),
    "lie.tif": (tiff((256, 4, 1, 2**31), (257, 4, 1, 2**31), *SIZED[2:]), "2147483648 x"),
    "tile.tif": (
        tiff(*SIZED, (322, 4, 1, 40000), (323, 4, 1, 40000), (324, 4, 1, 300), (325, 4, 1, 9)),
        "at most 80 million",
    ),
    "strips.tif": (tiff(*SIZED, (273, 4, 9_000_000, 200)), "more than 131072 values in a tag"),
    "pages.tif": (pages(300), "holds several frames"),
    "rle.bmp": (bmp(5000, 5000, 1), "large BMP of run lengths"),
    "huge.bmp": (bmp(2**31 - 1, 2**31 - 1, 0), "at most 80 million"),
}


@pytest.mark.parametrize(("name", "content", "said"), [(k, *v) for k, v in BOMBS.items()])
def test_a_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, name: str, content: bytes, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match=said) as caught:
        read_image(tmp_path / name)
    assert name in str(caught.value) and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
        (b"%PDF-1.7", "PDF"),
        (b"8BPS\0\1", "Photoshop"),
        (b"SIMPLE  =", "FITS"),
        (b"\0\0\0\x18ftypheic", "HEIF or AVIF"),
        (bytes(128) + b"DICM", "DICOM"),
    ],
)
def test_a_format_that_is_not_offered_is_named(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"x\.png is in the format {kind}; save it as PNG"):
        read_image(tmp_path / "x.png")


def test_a_jpeg_under_another_suffix_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(jpeg())
    assert read_image(tmp_path / "x.png").shape == (16, 16)


def test_a_pipe_or_a_very_large_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    os.mkfifo(tmp_path / "x")
    assert not is_dicom(tmp_path / "x")
    with pytest.raises(InputError, match="is a pipe or a device"):
        read_image(tmp_path / "x.png")
    with (tmp_path / "y.png").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(InputError, match="is larger than 256 MiB"):
        read_image(tmp_path / "y.png")


@pytest.mark.parametrize("chunk", ["VP8X", "VP8L", "VP8 "])
def test_a_webp_of_very_many_pixels_is_refused_before_its_reader_takes_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: str
) -> None:
    side = 16_000
    body = {
        "VP8X": bytes(4) + (side - 1).to_bytes(3, "little") * 2,
        "VP8L": b"\x2f" + ((side - 1) | (side - 1) << 14).to_bytes(4, "little") + bytes(5),
        "VP8 ": bytes(3) + b"\x9d\x01\x2a" + side.to_bytes(2, "little") * 2,
    }[chunk]
    data = b"WEBP" + chunk.encode() + (10).to_bytes(4, "little") + body
    (tmp_path / "x.webp").write_bytes(b"RIFF" + len(data).to_bytes(4, "little") + data)
    monkeypatch.setitem(OPENERS, "WebP", lambda file: pytest.fail("it was opened"))
    with pytest.raises(InputError, match=r"x\.webp has 16000 x 16000 pixels"):
        read_image(tmp_path / "x.webp")


def test_a_gif_of_very_many_blocks_is_refused(tmp_path: Path) -> None:
    head = b"GIF89a" + b"\1\0\1\0\x80\0\0" + bytes(6)
    frame = b"\x2c" + bytes(4) + b"\1\0\1\0\0" + b"\2"
    (tmp_path / "x.gif").write_bytes(head + frame + b"\1\0" * (MOST_BLOCKS + 9) + b"\0;")
    with pytest.raises(InputError, match="more than 1048576 blocks"):
        read_image(tmp_path / "x.gif")
