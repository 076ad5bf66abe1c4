"""Example images of a report: one exhibit per case, one frame per image."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExhibitImage:
    """One case of the gallery as the worst attack within one eps left it, attacked anew."""

    eps: float | None
    """As in `Row`."""
    attack: str
    """The attack whose image was the most damaging; empty where none came nearer than no attack."""
    prediction: str
    probability: float
    """Of the predicted class: the classifier's own softmax, not a calibrated confidence."""
    success: bool
    """Whether this picture reaches the attack's goal."""
    linf: float
    l2: float
    magnified: float
    """The factor by which the difference picture shows each change; grey means none. 0: none."""
    image: str
    """File name of the attacked image within the run's gallery folder."""
    difference: str
    """File name of the magnified difference; empty where nothing was changed."""


@dataclass(frozen=True)
class Exhibit:
    """One case of the gallery: the clean image and, eps ascending, what attacks made of it."""

    case: str
    label: str
    prediction: str
    probability: float
    fell_at: float | None
    """The least eps of the plan at which an attack of the run succeeded; None: it held."""
    norm: str
    pixels: tuple[int, int]
    """Height and width of the image that was attacked."""
    shown: tuple[int, int]
    """Height and width of the pictures, reduced where a page would grow too large."""
    image: str
    frames: tuple[ExhibitImage, ...]
