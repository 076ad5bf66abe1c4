"""Draws a synthetic dermoscopy image: a regular naevus, or a lesion with signs of a melanoma."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from robust.cases.phantoms.canvas import (
    Drawing,
    Field,
    absorb,
    brush,
    clouds,
    discs,
    ellipse,
    grid,
    inside,
    mix,
    noise,
    wander,
)

MELANIN = np.array([0.55, 1.0, 1.30])
"""How strongly pigment absorbs red, green and blue light."""

BLOOD = np.array([0.15, 1.0, 0.8])
"""The same for blood under the skin."""


class Lesion(NamedTuple):
    """What a naevus and a melanoma of the same seed share, relative to the image's side."""

    x: float
    y: float
    radius: float
    oval: float
    tilt: float
    pigment: float
    """Optical density in green, about halfway out."""
    contrast: float
    """How much darker the centre of a naevus is; where negative, how much lighter."""
    unrest: float
    """How far the border of a naevus strays from an oval, in units of the radius, and half as
    much as its tone varies."""
    softness: float
    """Half the width over which the border of a naevus fades."""


def dermoscopy(
    anatomy: np.random.Generator, lesion: np.random.Generator | None, size: int
) -> Drawing:
    """RGB (size, size, 3) in [0, 1]: a naevus, or a melanoma-like one where `lesion` is given.

    Outlined is either, without streaks and globules beyond its border.
    """
    place = _lesion(anatomy)
    image = _skin(anatomy, size)
    pattern = _network(anatomy, size, 0.5)
    texture = clouds(anatomy, size, 7, 3)
    if lesion is None:
        image, body = _naevus(place, image, pattern, texture)
    else:
        image, body = _melanoma(lesion, place, image, texture)
    image = _hairs(anatomy, image)
    return Drawing(_camera(anatomy, image), {"lesion": body})


def _lesion(rng: np.random.Generator) -> Lesion:
    x, y = 0.5 + rng.normal(0.0, 0.025, 2)
    radius = rng.uniform(0.19, 0.31)
    return Lesion(
        x,
        y,
        radius,
        oval=rng.uniform(0.75, 1.0),
        tilt=rng.uniform(0.0, math.pi),
        pigment=rng.uniform(0.6, 1.6),
        contrast=rng.uniform(-0.25, 0.6),
        unrest=rng.uniform(0.015, 0.07),
        softness=rng.uniform(0.010, 0.035),
    )


def _skin(rng: np.random.Generator, size: int) -> Field:
    """Skin from fair to brown with a fine relief and a flush of blood."""
    melanin = rng.beta(0.9, 2.4) * 1.1
    blood = rng.uniform(0.0, 0.15) + 0.03 * clouds(rng, size, 4, 2)
    relief = 0.035 * noise(rng, size, 24) + 0.025 * noise(rng, size, 60)
    fair = np.array([0.94, 0.80, 0.73])
    return absorb(absorb(fair, 0.6 * (melanin + relief), MELANIN), blood, BLOOD)


def _network(rng: np.random.Generator, size: int, disorder: float) -> Field:
    """A honeycomb of pigment lines: 1 on a line, 0 in a hole; 0 all over where pixels are few."""
    x, y = grid(size)
    cell = rng.uniform(0.030, 0.045)
    warp_x, warp_y = (disorder * cell * clouds(rng, size, 9, 2) for _ in range(2))
    turn = rng.uniform(0.0, math.pi)
    waves = np.zeros((size, size))
    for k in range(3):
        # Three waves at 120 degrees have their maxima on a honeycomb's holes.
        angle = turn + 2.0 * math.pi * k / 3.0
        along = (x + warp_x) * math.cos(angle) + (y + warp_y) * math.sin(angle)
        waves += np.cos(2.0 * math.pi / (0.87 * cell) * along)
    visible = min(max(cell * size / 2.0 - 1.0, 0.0), 1.0)
    return visible * (0.5 - 0.5 * np.tanh(1.6 * (waves - 0.1)))


def _polar(place: Lesion, size: int) -> tuple[Field, Field]:
    """Distance from the lesion's centre in units of its oval radius, and the direction."""
    x, y = grid(size)
    dx, dy = x - place.x, y - place.y
    u = dx * math.cos(place.tilt) + dy * math.sin(place.tilt)
    v = dy * math.cos(place.tilt) - dx * math.sin(place.tilt)
    # Both axes change, so that the oval's area is that of the circle.
    wide = place.radius / math.sqrt(place.oval)
    tall = place.radius * math.sqrt(place.oval)
    return np.hypot(u / wide, v / tall), np.arctan2(dy, dx)


def _tone(place: Lesion, away: Field, texture: Field) -> Field:
    """Pigment inside a lesion: one or two browns that change evenly from the centre outwards."""
    centre = np.exp(-2.0 * away**2)
    return 0.62 + place.contrast * (centre - 0.4) + 2.0 * place.unrest * texture


def _naevus(place: Lesion, image: Field, pattern: Field, texture: Field) -> tuple[Field, Field]:
    """Round or oval, brown, with a smooth border and a slight and regular network.

    The image with it, and its body.
    """
    away, _ = _polar(place, len(image))
    body = inside((1.0 + place.unrest * texture - away) * place.radius, place.softness)
    lines = 0.20 * pattern * np.clip(away**2, 0.0, 1.0) * np.clip(1.0 + texture, 0.0, 1.5)
    pigment = place.pigment * body * (_tone(place, away, texture) + lines)
    return absorb(image, pigment, MELANIN), body


def _melanoma(
    rng: np.random.Generator, place: Lesion, image: Field, texture: Field
) -> tuple[Field, Field]:
    """Ragged and asymmetric, several colours, a coarse broken network, blotches and streaks.

    The image with it, and its body.
    """
    size = len(image)
    # Every sign grows out of the naevus of the same seed, so that the mildest are hard to tell.
    severity = rng.uniform(0.15, 1.0)
    away, angle = _polar(place, size)
    edge = 1.0 + (place.unrest + 0.06 * severity) * texture
    for k in range(1, 8):
        swing = severity * rng.normal(0.0, 0.13 if k < 4 else 0.06)
        edge = edge + swing * np.cos(k * angle + rng.uniform(0.0, 2.0 * math.pi))
    # Abrupt on one side and fading on the other.
    fade = 0.5 + 0.5 * np.cos(angle - rng.uniform(0.0, 2.0 * math.pi))
    beyond = away - np.clip(edge, 0.45, 1.6)
    body = inside(-beyond * place.radius, place.softness + 0.045 * severity * fade)

    patches = severity * clouds(rng, size, 5, 3)
    network = _network(rng, size, 0.75) * np.clip(0.6 - patches, 0.0, 1.0)
    tone = _tone(place, away, texture) + 0.36 * patches + 0.36 * severity * network
    pigment = place.pigment * body * np.maximum(tone, 0.15)
    image = absorb(image, pigment, MELANIN)
    for colour, share in (
        ((0.07, 0.05, 0.05), 0.9),
        ((0.40, 0.46, 0.54), 0.75),
        ((0.68, 0.30, 0.28), 0.6),
        ((0.86, 0.74, 0.70), 0.6),
    ):
        # Each colour has its own place, off the centre, and is missing in some lesions.
        where = inside(0.2 * (clouds(rng, size, 4, 3) - rng.uniform(0.4, 1.6)), 0.12)
        image = mix(image, np.array(colour), severity * share * where * body)
    return _streaks(rng, place, severity, beyond, image), body


def _streaks(
    rng: np.random.Generator, place: Lesion, severity: float, beyond: Field, image: Field
) -> Field:
    """Spokes that run out of a part of the border, and globules along it.

    beyond is the distance outside the border in units of the radius, (size, size).
    """
    size, n = len(image), 16
    angle = rng.uniform(0.0, 2.0 * math.pi) + rng.uniform(-1.1, 1.1, n)
    out = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    centre = np.array([place.x, place.y])
    starts = centre + 0.5 * place.radius * out
    paths = wander(rng, starts, angle, np.full(n, place.radius), rng.normal(0.0, 0.25, n), 0.3)
    widths = rng.uniform(0.010, 0.022, (n, 1)) * np.linspace(1.3, 0.6, paths.shape[1])
    dark = np.minimum(brush(size, paths, widths, rim=-1.5), 1.0)
    spots = centre + place.radius * rng.uniform(0.6, 1.3, (n, 1)) * out
    round_spots = discs(size, spots, rng.uniform(0.006, 0.015, n), 0.25 * noise(rng, size, 40))
    dark = np.maximum(dark, round_spots) * np.exp(-(((beyond - 0.02) / 0.14) ** 2))
    dark = dark * (severity * rng.uniform(0.2, 1.2))
    return absorb(image, dark, MELANIN)


def _hairs(rng: np.random.Generator, image: Field) -> Field:
    """None to a dozen dark hairs, of much the same direction."""
    n = int(rng.integers(1, 13))
    starts = rng.uniform(-0.1, 1.1, (n, 2))
    headings = rng.uniform(0.0, 2.0 * math.pi) + rng.normal(0.0, 0.5, n)
    lengths = rng.uniform(0.3, 0.9, n)
    paths = wander(rng, starts, headings, lengths, rng.normal(0.0, 0.7, n), 0.1)
    widths = np.full(paths.shape[:2], rng.uniform(0.004, 0.008))
    dark = np.minimum(brush(len(image), paths, widths), 1.0)
    shown = 0.85 if rng.random() < 0.5 else 0.0
    return mix(image, np.array([0.16, 0.11, 0.09]), shown * dark)


def _camera(rng: np.random.Generator, image: Field) -> Field:
    """Uneven light, exposure, white balance and sometimes the dark rim of the lens."""
    x, y = grid(len(image))
    cx, cy = 0.5 + rng.normal(0.0, 0.06, 2)
    light = rng.uniform(0.75, 1.08) * np.exp(
        -rng.uniform(0.1, 0.8) * ((x - cx) ** 2 + (y - cy) ** 2)
    )
    image = image * light[..., None] * rng.normal(1.0, 0.025, 3)
    radius = rng.uniform(0.53, 0.62)
    shown = inside(ellipse(x, y, 0.5, 0.5, radius, radius), 0.012)
    rim = 0.95 if rng.random() < 0.4 else 0.0
    return image * (1.0 - rim * (1.0 - shown))[..., None]
