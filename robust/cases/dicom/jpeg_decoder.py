"""Decodes JPEG and JPEG-LS frames by imagecodecs (libjpeg-turbo and CharLS): a plugin of pydicom.

Colours are left as the file holds them; pydicom turns them into RGB.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

PLUGIN = "imagecodecs"
JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
DECODER_DEPENDENCIES = dict.fromkeys((*JPEG, *JPEG_LS), ("imagecodecs",))
"""Asked for by pydicom, as is `is_available`."""


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here."""
    return syntax in DECODER_DEPENDENCIES


def decode_frame(code: bytes, runner: DecodeRunner) -> bytes:
    """The pixels of an encoded frame, as bytes; tells the runner how they lie."""
    if runner.transfer_syntax in JPEG_LS:
        found = imagecodecs.jpegls_decode(code)
    else:
        # The same space on both sides: nothing is converted.
        space = "YCBCR" if runner.samples_per_pixel == 3 else None
        found = imagecodecs.jpeg8_decode(code, colorspace=space, outcolorspace=space)
    pixels = np.asarray(found)
    runner.set_option("bits_allocated", 8 * pixels.itemsize)
    if runner.samples_per_pixel > 1:
        planes = pixels.shape == (runner.samples_per_pixel, runner.rows, runner.columns)
        runner.set_option("planar_configuration", int(planes))
    return pixels.tobytes()


def register() -> None:
    """Make the plugin known to pydicom, once."""
    for syntax in DECODER_DEPENDENCIES:
        decoder = get_decoder(syntax)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
