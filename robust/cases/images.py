"""Image files to stored pixels: PNG, JPEG, TIFF and BMP at their own depth and channels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from robust.cases.case import Pixels
from robust.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_image(path: Path) -> Pixels:
    """Stored pixels, upright as a viewer shows them: `(h, w)` or `(h, w, 3)`, uint8 or uint16.

    Raises InputError naming the file where it is missing, broken, or has no one way to be shown.
    """
    if not path.is_file():
        raise InputError(f"no such image: {path}; mend the path or take its row out")
    try:
        with Image.open(path) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise InputError(f"{path} holds {frames} frames; split it into images")
            deep_colour = image.mode in ("RGB", "RGBA") and _sixteen_bits(image)
            image.load()
            if deep_colour:
                return _read_deep_colour(path)
            return _to_pixels(image, path)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{path} is not an image that can be read; replace or remove it") from None
    except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is broken ({error}); replace or remove it") from None


def write_image(path: Path, pixels: Pixels) -> None:
    """Write stored pixels as PNG, which loses nothing at 8 or 16 bits, grey or colour."""
    import cv2

    done, data = cv2.imencode(".png", pixels if pixels.ndim == 2 else pixels[:, :, ::-1])
    if not done:
        raise InputError(f"{path} could not be encoded as PNG")
    path.write_bytes(data.tobytes())


def _sixteen_bits(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, although Pillow would hand out 8."""
    tiles: Any = getattr(image, "tile", [])
    return any("16" in str(tile[3]) for tile in tiles)


def _read_deep_colour(path: Path) -> Pixels:
    """Colour at 16 bits: Pillow would cut it to 8 without a word."""
    import cv2

    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise InputError(f"{path} is not colour at 16 bits as its header says; save it anew")
    if pixels.shape[2] == 4:
        _refuse_transparency(pixels[:, :, 3], 65535, path)
    return np.ascontiguousarray(pixels[:, :, 2::-1]).astype(np.uint16)


def _to_pixels(image: Image.Image, path: Path) -> Pixels:
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA" if upright.mode not in ("LA", "L") else "LA")
        _refuse_transparency(np.asarray(upright)[:, :, -1], 255, path)
        upright = upright.convert("RGB" if upright.mode == "RGBA" else "L")
    if upright.mode in ("L", "RGB"):
        return np.asarray(upright, dtype=np.uint8)
    if upright.mode in ("1", "P", "CMYK", "YCbCr", "LAB", "HSV"):
        return np.asarray(upright.convert("L" if upright.mode == "1" else "RGB"), dtype=np.uint8)
    if upright.mode.startswith("I"):
        wide = np.asarray(upright)
        if wide.min() >= 0 and wide.max() <= 65535:
            return wide.astype(np.uint16)
    raise InputError(
        f"{path} has pixels of mode {upright.mode}, which have no displayed range; "
        f"save it with 8 or 16 bits a channel"
    )


def _refuse_transparency(alpha: np.ndarray[Any, Any], opaque: int, path: Path) -> None:
    if (alpha != opaque).any():
        raise InputError(f"{path} is partly transparent; flatten it onto its background first")
