"""Example images of a report, one exhibit per case, and how visible the changes are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExhibitImage:
    """One case of the gallery after the worst attack within one eps, recomputed for display."""

    eps: float | None
    """As in `AttackResult`."""
    attack: str
    """Name of the attack with the most damaging image; empty where none beat the clean image."""
    prediction: str
    """Class that the model predicts on this image; empty where it outlines structures."""
    probability: float | None
    """Softmax probability of that class, in [0, 1]; not a calibrated confidence. None where the
    model outlines structures."""
    success: bool
    """Whether this image reaches the attack's goal."""
    linf: float
    """L-infinity distance to the clean image, in [0, 1] pixel units."""
    l2: float
    """L2 distance to the clean image, in [0, 1] pixel units."""
    magnification: float
    """Factor by which the difference image shows each change; grey means no change. 0 where there
    is no difference image."""
    image: str
    """File name of the adversarial image within the run's gallery folder."""
    difference: str
    """File name of the magnified difference image; empty where nothing was changed."""
    psnr: float | None = None
    """Peak signal-to-noise ratio to the clean image, in dB; None where nothing was changed."""
    ssim: float | None = None
    """Structural similarity to the clean image (Wang et al. 2004), at most 1, the mean of the
    channels (of a volume, of all slices); None where nothing was changed or the image is smaller
    than the window."""
    dice: float | None = None
    """Dice of the case on this image, the mean over its structures; None for classes."""
    outlined: str = ""
    """File name of the image with outlines over it: the true ones, the model's without attack and
    under this attack; empty for classes."""


@dataclass(frozen=True)
class Exhibit:
    """One case of the gallery: the clean image and its adversarial images, eps ascending."""

    case: str
    """Identifier of the case."""
    label: str
    """Class that the case has; empty where it has outlines."""
    prediction: str
    """Class that the model predicts on the clean image; empty where it outlines structures."""
    probability: float | None
    """Softmax probability of that class, in [0, 1]; not a calibrated confidence. None where the
    model outlines structures."""
    smallest_success_eps: float | None
    """Smallest eps of the plan at which an attack of the run succeeded; None where none did."""
    norm: str
    """Norm of every eps here, as in `AttackResult`."""
    image_size: tuple[int, int]
    """Height and width of the image that was attacked, in pixels."""
    display_size: tuple[int, int]
    """Height and width of the image files, in pixels; smaller where a page would grow too large."""
    image: str
    """File name of the clean image within the run's gallery folder."""
    images: tuple[ExhibitImage, ...]
    """The adversarial images, eps ascending."""
    dice: float | None = None
    """Dice of the case without attack, the mean over its structures; None for classes."""
    shown_slice: int | None = None
    """Of a volume: number of the slice that the files show, from 1, along its first axis; the one
    in which most voxels are outlined wrongly at the largest eps. None for images."""
    slices: int | None = None
    """Number of slices of the volume; None for images."""


@dataclass(frozen=True)
class Visibility:
    """How large the changes of the worst case are, over all its successful images."""

    norm: str
    """`Linf`, `L2`, `L2-slice`, `L1` or `L0`."""
    eps: float | None
    """As in `AttackResult`."""
    images: int
    """Number of successful adversarial images measured."""
    median_linf: float
    """Median of the largest change of a pixel, in [0, 1] pixel units."""
    median_psnr: float
    """Median of the peak signal-to-noise ratio to the clean image, in dB; higher is less
    visible."""
    lowest_psnr: float
    """The same of the image that changed most, in dB."""
