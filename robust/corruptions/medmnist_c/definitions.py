"""The corruptions that MedMNIST-C defines of each data set, made from its tables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from robust.corruptions.contract import Corruption
from robust.corruptions.medmnist_c.blur.defocus_blur import DefocusBlur
from robust.corruptions.medmnist_c.blur.gaussian_blur import GaussianBlur
from robust.corruptions.medmnist_c.blur.motion_blur import MotionBlur
from robust.corruptions.medmnist_c.blur.zoom_blur import ZoomBlur
from robust.corruptions.medmnist_c.colour.brightness import Brightness
from robust.corruptions.medmnist_c.colour.contrast import Contrast
from robust.corruptions.medmnist_c.colour.saturate import Saturate
from robust.corruptions.medmnist_c.digital.jpeg_compression import JPEGCompression
from robust.corruptions.medmnist_c.digital.pixelate import Pixelate
from robust.corruptions.medmnist_c.noise.gaussian_noise import GaussianNoise
from robust.corruptions.medmnist_c.noise.impulse_noise import ImpulseNoise
from robust.corruptions.medmnist_c.noise.shot_noise import ShotNoise
from robust.corruptions.medmnist_c.noise.speckle_noise import SpeckleNoise
from robust.corruptions.medmnist_c.tables import KIND_NOTES, NOTES, SEVERITY_TABLES
from robust.corruptions.medmnist_c.task.black_corner import BlackCorner
from robust.corruptions.medmnist_c.task.bubble import Bubble
from robust.corruptions.medmnist_c.task.characters import Characters
from robust.corruptions.medmnist_c.task.gamma_correction import GammaCorrection
from robust.corruptions.medmnist_c.task.stain_deposit import StainDeposit

_KINDS: Mapping[str, Callable[..., Corruption]] = {
    "pixelate": Pixelate,
    "jpeg_compression": JPEGCompression,
    "gaussian_noise": GaussianNoise,
    "speckle_noise": SpeckleNoise,
    "impulse_noise": ImpulseNoise,
    "shot_noise": ShotNoise,
    "defocus_blur": DefocusBlur,
    "motion_blur": MotionBlur,
    "zoom_blur": ZoomBlur,
    "gaussian_blur": GaussianBlur,
    "brightness_up": functools.partial(Brightness, "brightness_up"),
    "brightness_down": functools.partial(Brightness, "brightness_down"),
    "contrast_up": functools.partial(Contrast, "contrast_up"),
    "contrast_down": functools.partial(Contrast, "contrast_down"),
    "saturate": Saturate,
    "stain_deposit": StainDeposit,
    "bubble": Bubble,
    "black_corner": BlackCorner,
    "characters": Characters,
    "gamma_corr_up": functools.partial(GammaCorrection, "gamma_corr_up"),
    "gamma_corr_down": functools.partial(GammaCorrection, "gamma_corr_down"),
}


def _note(data_set: str, kind: str) -> str:
    notes = NOTES.get((data_set, kind)), KIND_NOTES.get(kind)
    return "; ".join(note for note in notes if note)


MEDMNIST_C: Mapping[str, tuple[Corruption, ...]] = {
    data_set: tuple(
        _KINDS[kind](f"MedMNIST-C, {data_set}", levels, _note(data_set, kind))
        for kind, levels in kinds.items()
    )
    for data_set, kinds in SEVERITY_TABLES.items()
}
"""By data set, in the order of its tables."""
