"""Draws a synthetic fundus photograph, with the signs of diabetic retinopathy or without."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from robust.cases.phantoms.canvas import (
    Drawing,
    Field,
    absorb,
    brush,
    bump,
    clouds,
    discs,
    ellipse,
    grid,
    inside,
    mix,
    noise,
    sprout,
    wander,
)

STEPS = 36
"""Points on each vessel."""


class Eye(NamedTuple):
    """The landmarks of one eye, relative to the image's side."""

    temporal: int
    """Where the temple lies: -1 to the image's left of the disc, 1 to its right."""
    disc: tuple[float, float]
    disc_radius: float
    macula: tuple[float, float]


def fundus(anatomy: np.random.Generator, lesion: np.random.Generator | None, size: int) -> Drawing:
    """RGB (size, size, 3) in [0, 1]; with exudates and bleedings where `lesion` is given.

    Outlined are the optic disc and the vessels, where the camera sees them.
    """
    eye = _eye(anatomy)
    image = _background(anatomy, eye, size)
    image = _drusen(anatomy, eye, image)
    image, disc = _optic_disc(anatomy, eye, image)
    image, vessels = _vessels(anatomy, eye, image)
    if lesion is not None:
        image = _retinopathy(lesion, eye, image)
    image, field = _camera(anatomy, image)
    return Drawing(image, {"optic disc": disc * field, "vessels": vessels * field})


def _eye(rng: np.random.Generator) -> Eye:
    temporal = 1 if rng.random() < 0.5 else -1
    macula = (0.5 + temporal * rng.uniform(-0.01, 0.06), 0.5 + rng.normal(0.0, 0.015))
    disc = (macula[0] - temporal * rng.uniform(0.29, 0.33), macula[1] - rng.uniform(0.0, 0.05))
    return Eye(temporal, disc, rng.uniform(0.055, 0.070), macula)


def _background(rng: np.random.Generator, eye: Eye, size: int) -> Field:
    """Retina and choroid from pale orange to brown-red, darker at the macula."""
    x, y = grid(size)
    pale, brown = np.array([0.95, 0.55, 0.28]), np.array([0.74, 0.31, 0.12])
    colour = brown + (pale - brown) * rng.random()
    depth = 0.06 * clouds(rng, size, 6, 3) + 0.03 * noise(rng, size, 40)
    shade = rng.uniform(0.25, 0.5) * bump(x, y, *eye.macula, 0.055, 0.05)
    shade = shade + 0.18 * bump(x, y, *eye.macula, 0.13, 0.12)
    return absorb(colour, shade - depth, np.array([0.55, 1.0, 1.15]))


def _drusen(rng: np.random.Generator, eye: Eye, image: Field) -> Field:
    """A few faint pale spots, which come with age and are no finding."""
    n = int(rng.integers(1, 16))
    spots = np.array(eye.macula) + rng.normal(0.0, 0.12, (n, 2))
    cover = discs(len(image), spots, rng.uniform(0.003, 0.009, n), np.zeros(image.shape[:2]))
    strength = rng.uniform(0.0, 0.45)
    return mix(image, np.array([0.97, 0.80, 0.45]), strength * cover)


def _optic_disc(rng: np.random.Generator, eye: Eye, image: Field) -> tuple[Field, Field]:
    """The image with the disc, its cup and its halo, and the disc alone."""
    x, y = grid(len(image))
    (cx, cy), radius = eye.disc, eye.disc_radius
    halo = inside(ellipse(x, y, cx, cy, 1.22 * radius, 1.3 * radius), 0.02)
    image = mix(image, np.array([0.98, 0.66, 0.38]), 0.3 * halo)
    rim = inside(ellipse(x, y, cx, cy, 0.93 * radius, 1.05 * radius), 0.006)
    image = mix(image, np.array([1.0, 0.76, 0.47]), 0.92 * rim)
    cup = radius * rng.uniform(0.35, 0.6)
    bright = inside(ellipse(x, y, cx + eye.temporal * 0.15 * radius, cy, cup, cup), 0.012)
    return mix(image, np.array([1.0, 0.92, 0.72]), 0.85 * bright), rim


def _vessels(rng: np.random.Generator, eye: Eye, image: Field) -> tuple[Field, Field]:
    """Veins, wide and dark, and arteries, narrow and lighter, each with two orders of branches.

    The image with the vessels, and how much of each pixel they cover.
    """
    size = len(image)
    x, y = grid(size)
    # The fovea has no vessels.
    seen = 1.0 - bump(x, y, *eye.macula, 0.05, 0.05)
    vessels = np.zeros((size, size))
    for width, loss in ((0.0150, (0.42, 0.78, 0.72)), (0.0105, (0.25, 0.62, 0.62))):
        paths = _arcades(rng, eye)
        widths = width * np.linspace(1.0, 0.3, STEPS) * rng.uniform(0.85, 1.1, (4, 1))
        cover = brush(size, paths, widths)
        for each, reach in ((7, 0.26), (3, 0.13)):
            starts, headings, parents = sprout(rng, paths, widths, each, 0.75)
            n = len(starts)
            lengths = reach * rng.uniform(0.5, 1.1, n) * np.sqrt(parents / (0.7 * width))
            paths = wander(rng, starts, headings, lengths, rng.normal(0.0, 0.6, n), 0.8, STEPS)
            widths = 0.62 * parents[:, None] * np.linspace(1.0, 0.3, STEPS)
            cover = np.maximum(cover, brush(size, paths, widths))
        cover = np.minimum(cover, 1.0) * seen
        image = image * (1.0 - cover[..., None] * np.array(loss))
        vessels = np.maximum(vessels, cover)
    return image, vessels


def _arcades(rng: np.random.Generator, eye: Eye) -> Field:
    """Four trunks (4, STEPS, 2): two that arch around the macula and two towards the nose."""
    t = np.linspace(0.0, 1.0, STEPS)[:, None]
    bezier = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    trunks = []
    for up in (-1, 1):
        arch, end = rng.uniform(0.28, 0.36), rng.uniform(0.06, 0.18)
        nasal = rng.uniform(0.34, 0.48)
        for controls in (
            [(0.0, 0.0), (0.0, 0.24), (0.34, arch), (0.85, end)],
            [(0.0, 0.0), (-0.02, 0.12), (-0.08, 0.24), (-0.40, nasal)],
        ):
            # From the disc's centre, towards the temple and away from the horizontal.
            points = np.array(controls) + rng.normal(0.0, 0.012, (4, 2))
            trunks.append(np.array(eye.disc) + bezier @ points * np.array([eye.temporal, up]))
    sway = rng.standard_normal((4, STEPS, 2)).cumsum(1) / math.sqrt(STEPS)
    return np.stack(trunks) + 0.012 * sway


def _retinopathy(rng: np.random.Generator, eye: Eye, image: Field) -> Field:
    """Blot bleedings and microaneurysms, dark red, and hard exudates, yellow and in clusters."""
    size = len(image)
    ragged = 0.35 * noise(rng, size, 48)
    # From a handful of microaneurysms, which a careful reader finds, to the full picture.
    severity = rng.uniform(0.12, 1.0) ** 1.2
    macula = np.array(eye.macula)

    blots = macula + rng.normal(0.0, 0.17, (round(14 * severity), 2))
    radii = 0.006 + 0.016 * rng.beta(1.0, 2.0, len(blots))
    bleeding = discs(size, blots, radii, ragged)
    dots = macula + rng.normal(0.0, 0.15, (4 + round(30 * severity), 2))
    bleeding = np.maximum(bleeding, discs(size, dots, rng.uniform(0.003, 0.006, len(dots)), ragged))
    image = mix(image, np.array([0.40, 0.06, 0.04]), 0.75 * bleeding)

    clusters = macula + rng.normal(0.0, 0.12, (round(5 * severity), 2))
    spots = np.repeat(clusters, 22, axis=0)
    spread = np.repeat(rng.uniform(0.012, 0.034, (len(clusters), 1)), 22, axis=0)
    spots = spots + spread * rng.standard_normal(spots.shape)
    radii = 0.0025 + 0.009 * rng.beta(1.0, 2.0, len(spots))
    exudates = discs(size, spots, radii, ragged)
    return mix(image, np.array([0.98, 0.88, 0.50]), rng.uniform(0.75, 0.95) * exudates)


def _camera(rng: np.random.Generator, image: Field) -> tuple[Field, Field]:
    """Uneven light, exposure and white balance in a round field of view; and that field."""
    x, y = grid(len(image))
    cx, cy = 0.5 + rng.normal(0.0, 0.05, 2)
    falloff = rng.uniform(0.8, 2.0) * ((x - cx) ** 2 + (y - cy) ** 2)
    light = rng.uniform(0.72, 1.15) * np.exp(-falloff)
    image = (image * light[..., None]) ** rng.uniform(0.85, 1.2)
    image = image * rng.normal(1.0, 0.04, 3)
    radius = rng.uniform(0.465, 0.51)
    # Some cameras cut the circle off at the top and the bottom.
    crop = rng.uniform(0.40, 0.45) if rng.random() < 0.3 else 0.6
    field = inside(ellipse(x, y, 0.5, 0.5, radius, radius), 0.004)
    field = field * inside(crop - np.abs(y - 0.5), 0.003)
    return 0.015 + field[..., None] * image, field
