"""Reads PNG, JPEG, TIFF and BMP files to stored pixels at their own depth and channels."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from robust.cases.case import Pixels
from robust.errors import InputError

DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I;16R")
"""Unsigned at 16 bits; whatever else Pillow reads as integers has no displayed range."""
ORIENTATION, PHOTOMETRIC = 274, 262
"""Tags of EXIF and TIFF; a photometric interpretation of 0 says that 0 is white."""
_DEEP = re.compile(";16[BLN]$")
"""Ends the name of a raw mode with 16 bits a channel; `BGR;16` has 5 or 6."""
_TRANSPARENT = "{path} is partly transparent; flatten it onto its background first"


def read_image(path: Path) -> Pixels:
    """Stored pixels, upright as a viewer shows them: `(h, w)` or `(h, w, 3)`, uint8 or uint16.

    Raises InputError naming the file where it is missing, broken, or has no one way to be shown.
    """
    if not path.is_file():
        raise InputError(f"no such image: {path}; fix the path or remove its row")
    try:
        # Opened here: Pillow maps a file that it opens by name, and scrambles a turned TIFF.
        with path.open("rb") as file, Image.open(file) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise InputError(f"{path} holds {frames} frames; split it into images")
            # Both are gone once the image is loaded.
            raw, turned = _raw_mode(image), image.getexif().get(ORIENTATION, 1) != 1
            image.load()
            if _DEEP.search(raw) and image.mode in ("RGB", "RGBA"):
                return _read_deep_colour(path, turned, grey=raw.startswith("LA"))
            return _to_pixels(image, raw, path)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image that can be read; replace or remove it") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is broken ({error}); replace or remove it") from None


def as_png(pixels: Pixels) -> bytes:
    """Stored pixels as a lossless PNG file, 8 or 16 bits, grey or colour."""
    import cv2

    done, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    if not done:
        raise InputError(f"an image of shape {pixels.shape} could not be encoded as PNG")
    return data.tobytes()


def _raw_mode(image: Image.Image) -> str:
    """How the file holds its pixels: `RGB;16B` where Pillow hands out 8 bits of 16."""
    tiles: Any = getattr(image, "tile", [])
    modes = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in tiles if tile[3]]
    return str(modes[0]) if modes else image.mode


def _read_deep_colour(path: Path, turned: bool, grey: bool) -> Pixels:
    """Colour, or grey with alpha, at 16 bits: Pillow would cut it to 8 without a word."""
    import cv2

    if turned:
        raise InputError(f"{path} has 16-bit colour and an EXIF orientation; save it upright")
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise InputError(f"{path} is not 16-bit colour as its header says; save it again")
    if pixels.shape[2] == 4:
        _refuse_transparency(pixels[:, :, 3], 65535, path)
    found = pixels[:, :, 0] if grey else pixels[:, :, 2::-1]
    return np.ascontiguousarray(found).astype(np.uint16)


def _to_pixels(image: Image.Image, raw: str, path: Path) -> Pixels:
    upright = ImageOps.exif_transpose(image)
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


def _to_deep_grey(image: Image.Image, wide: np.ndarray[Any, Any], path: Path) -> Pixels:
    """Grey at 16 bits, upright: what Pillow leaves to do of transparency and of inverted TIFF."""
    clear = image.info.get("transparency")
    if clear is not None and (wide == clear).any():
        raise InputError(_TRANSPARENT.format(path=path))
    levels = wide.astype(np.uint16)
    return 65535 - levels if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0 else levels


def _refuse_transparency(alpha: np.ndarray[Any, Any], opaque: int, path: Path) -> None:
    if (alpha != opaque).any():
        raise InputError(_TRANSPARENT.format(path=path))
