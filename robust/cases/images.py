"""Reads PNG, JPEG, TIFF, BMP, WebP and GIF files to pixels at their own depth and channels."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from robust.cases.formats import DOWNSAMPLE, MOST_SAMPLES, format_name, image_bytes
from robust.cases.stored_pixels import Pixels
from robust.cases.structure import (
    Malformed,
    check_gif,
    check_jpeg,
    check_tiff,
    png_chunks,
    webp_size,
)
from robust.errors import InputError, first_line

DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I;16R")
"""Unsigned at 16 bits; whatever else Pillow reads as integers has no displayed range."""
ORIENTATION, PHOTOMETRIC, TILE_WIDTH, TILE_LENGTH, SUBFILE = 274, 262, 322, 323, 254
"""Tags of EXIF and TIFF; a photometric interpretation of 0 says that 0 is white."""
SMALLER_OR_MASK = 0b101
"""Bits of the subfile type: a smaller version of the first page, or its mask."""
MOST_PAGES = 16
"""Of a TIFF, to be looked at: a pyramid has about ten."""
MOST_BYTES = 1 << 28
"""Of a file: `MOST_SAMPLES` at 16 bits without compression, and as much again for metadata."""
MOST_RLE_SAMPLES, MOST_RLE_BYTES = 1 << 22, 1 << 22
"""Of a BMP with run lengths, which are read one by one."""
OPENERS: dict[str, Callable[[BytesIO], Image]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
}
"""Pillow's readers of what is offered, and no others: of PostScript it would start another program.
The reader of JPEG shows the first picture of a file with several (MPO), as every viewer does.
Without `Image.open`, whose limit of pixels only warns; `MOST_SAMPLES` is the one that counts."""
GREY_IN_COLOUR = {"GIF": 0, "WebP": 1}
"""Formats without grey images, and by how many levels the channels of one differ there: WebP rounds
them on the way from YUV."""
_DEEP = re.compile(";16[BLN]$")
"""Ends the name of a raw mode with 16 bits a channel; `BGR;16` has 5 or 6."""
_TRANSPARENT = "{path} is partly transparent; flatten it onto its background first"


def read_image(path: Path) -> Pixels:
    """Stored pixels, upright as a viewer shows them: `(h, w)` or `(h, w, 3)`, uint8 or uint16.

    The format is that of the content, whatever the suffix says. Raises InputError naming the file
    where it is missing, broken, too large, or has no one way to be shown.
    """
    return _read(path, indices=False)


def read_numbers(path: Path) -> Pixels:
    """As `read_image`, but of a palette of colours the indices, which a mask means."""
    return _read(path, indices=True)


def _read(path: Path, *, indices: bool) -> Pixels:
    data = image_bytes(path, MOST_BYTES)
    try:
        return _decode(data, path, indices)
    except InputError:
        raise
    except MemoryError:
        wrong = "needs more memory than there is"
    except Malformed as error:
        wrong = str(error)
    except Exception as error:  # noqa: BLE001  (a broken file makes a decoder raise anything)
        wrong = first_line(error)
    raise InputError(f"{path} is broken ({wrong}); replace or remove it")


def _decode(data: bytes, path: Path, indices: bool) -> Pixels:
    kind = format_name(data)
    if kind is None:
        raise InputError(f"{path} is not an image that can be read; replace or remove it")
    if kind not in OPENERS:
        raise InputError(
            f"{path} is in the format {kind}; save it as PNG, JPEG or TIFF, or replace or remove it"
        )
    if kind == "PNG":
        chunks = list(png_chunks(data))
    elif kind == "JPEG":
        check_jpeg(data)
    elif kind == "TIFF":
        check_tiff(data)
    elif kind == "GIF":
        check_gif(data)
    elif kind == "WebP":  # its reader takes the memory for all pixels as it opens the file
        _require_few(*webp_size(data), 4, path)
    # In memory: Pillow maps a file that it opens by name, and scrambles a turned TIFF.
    with OPENERS[kind](BytesIO(data)) as image:
        _check_size(image, len(data), path)
        if getattr(image, "is_animated", False) and not _is_one_picture(image):
            raise InputError(f"{path} holds several frames; split it into images")
        # Both are gone once the image is loaded.
        raw, turned = _raw_mode(image), image.getexif().get(ORIENTATION, 1) != 1
        image.load()
        if _DEEP.search(raw) and image.mode in ("RGB", "RGBA"):
            if kind == "PNG":
                data = data[:8] + b"".join(c for k, c in chunks if k in _NEEDED)
            size = image.size
            image.close()
            return _read_deep_colour(data, size, path, turned, grey=raw.startswith("LA"))
        upright = ImageOps.exif_transpose(image) if turned else image
        if indices and upright.mode == "P" and not _is_grey(upright):
            return np.asarray(upright, dtype=np.uint8)
        pixels = _to_pixels(image, upright, raw, path)
        if kind in GREY_IN_COLOUR and pixels.ndim == 3:
            if int(np.ptp(pixels, 2).max()) <= GREY_IN_COLOUR[kind]:
                return np.ascontiguousarray(pixels[:, :, 1], np.uint8)
        return pixels


def _check_size(image: Image, size: int, path: Path) -> None:
    """InputError where an image, of a file of so many bytes, is too large to be decoded."""
    width, height = image.size
    channels = 3 if image.mode in ("P", "PA") else len(image.getbands())
    tags: Any = getattr(image, "tag_v2", {})
    tile = int(tags.get(TILE_WIDTH, 1)) * int(tags.get(TILE_LENGTH, 1))
    _require_few(width, height, channels, path, tile)
    packed = [tile[0] for tile in getattr(image, "tile", [])] == ["bmp_rle"]
    if packed and (width * height > MOST_RLE_SAMPLES or size > MOST_RLE_BYTES):
        raise InputError(f"{path} is a large BMP of run lengths; save it without compression")


def _require_few(width: int, height: int, channels: int, path: Path, tile: int = 0) -> None:
    """InputError where an image, or a tile of it, has more values than are read."""
    if max(width * height, tile) * channels > MOST_SAMPLES:
        raise InputError(
            f"{path} has {width} x {height} pixels of {channels} channels; at most "
            f"{MOST_SAMPLES // 1_000_000} million values are read: {DOWNSAMPLE}"
        )


def _is_one_picture(image: Image) -> bool:
    """Whether all further pages of a TIFF are smaller versions of its first one, or its masks."""
    if not isinstance(image, TiffImageFile):
        return False
    try:
        for page in range(1, MOST_PAGES):
            image.seek(page)
            if not int(image.tag_v2.get(SUBFILE, 0)) & SMALLER_OR_MASK:
                return False
    except EOFError:
        return True
    finally:
        image.seek(0)
    return False


def as_png(pixels: Pixels) -> bytes:
    """Stored pixels as a lossless PNG file, 8 or 16 bits, grey or colour."""
    import cv2

    done, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    if not done:
        raise InputError(f"an image of shape {pixels.shape} could not be encoded as PNG")
    return data.tobytes()


_NEEDED = (b"IHDR", b"tRNS", b"IDAT", b"IEND")
"""Chunks of a PNG that make its pixels."""


def _raw_mode(image: Image) -> str:
    """How the file holds its pixels: `RGB;16B` where Pillow hands out 8 bits of 16."""
    tiles: Any = getattr(image, "tile", [])
    modes = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in tiles if tile[3]]
    return str(modes[0]) if modes else image.mode


def _read_deep_colour(
    data: bytes, size: tuple[int, int], path: Path, turned: bool, grey: bool
) -> Pixels:
    """Colour, or grey with alpha, at 16 bits: Pillow would cut it to 8 without a word."""
    import cv2

    if turned:
        raise InputError(f"{path} has 16-bit colour and an EXIF orientation; save it upright")
    with _quiet_cv2():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.shape[:2] != size[::-1]:
        raise InputError(f"{path} is not 16-bit colour as its header says; save it again")
    if pixels.shape[2] == 4:
        _refuse_transparency(pixels[:, :, 3], 65535, path)
    return np.ascontiguousarray(pixels[:, :, 0] if grey else pixels[:, :, 2::-1], np.uint16)


@contextlib.contextmanager
def _quiet_cv2() -> Iterator[None]:
    """OpenCV says what is wrong with a file on standard error, beside our one line."""
    from cv2.utils import logging

    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)


def _is_grey(image: Image) -> bool:
    """Whether a palette holds greys alone."""
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _to_pixels(image: Image, upright: Image, raw: str, path: Path) -> Pixels:
    if raw in DEEP_GREY:
        return _to_deep_grey(image, np.asarray(upright), path)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA" if upright.mode not in ("LA", "L") else "LA")
        _refuse_transparency(np.asarray(upright)[:, :, -1], 255, path)
        upright = upright.convert("RGB" if upright.mode == "RGBA" else "L")
    if upright.mode in ("L", "RGB"):
        return np.asarray(upright, dtype=np.uint8)
    if upright.mode in ("1", "P", "CMYK", "YCbCr", "LAB", "HSV") and not _DEEP.search(raw):
        return np.asarray(upright.convert("L" if upright.mode == "1" else "RGB"), dtype=np.uint8)
    raise InputError(
        f"{path} has pixels of mode {raw}, which cannot be displayed in one way; "
        f"save it as grey or RGB with 8 or 16 bits a channel"
    )


def _to_deep_grey(image: Image, wide: np.ndarray[Any, Any], path: Path) -> Pixels:
    """Grey at 16 bits, upright: what Pillow leaves to do of transparency and of inverted TIFF."""
    clear = image.info.get("transparency")
    if clear is not None and (wide == clear).any():
        raise InputError(_TRANSPARENT.format(path=path))
    levels = wide.astype(np.uint16, copy=False)
    return 65535 - levels if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0 else levels


def _refuse_transparency(alpha: np.ndarray[Any, Any], opaque: int, path: Path) -> None:
    if (alpha != opaque).any():
        raise InputError(_TRANSPARENT.format(path=path))
