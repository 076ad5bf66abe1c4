"""Draws a synthetic CT of an upper abdomen: an organ, with a dark lesion in it or without.

Lengths are relative to the width of the field of view, of which the slices cover three quarters.
"""

from __future__ import annotations

import numpy as np

from robust.cases.phantoms.canvas import Drawing, Field, inside, lattice_weights

HEIGHT = 0.75
"""What the slices cover, in widths of the field of view."""
MILLIMETRES = 160.0
"""Width of the field of view; it varies by a tenth to either side."""


def abdomen(anatomy: np.random.Generator, lesion: np.random.Generator | None, size: int) -> Drawing:
    """Grey values (size // 2, size, size) in [0, 1]; with a lesion where `lesion` is given.

    Outlined are the lesion, and the organ without it. Slices are thicker than pixels are wide.
    """
    depth = size // 2
    z = ((np.arange(depth) + 0.5) / depth * HEIGHT)[:, None, None]
    y = ((np.arange(size) + 0.5) / size)[None, :, None]
    x = ((np.arange(size) + 0.5) / size)[None, None, :]

    organ, centre, radii = _organ(anatomy, z, y, x)
    image = _surroundings(anatomy, z, y, x)
    image = image + (anatomy.uniform(0.56, 0.72) - image) * organ
    image = image + 0.012 * _noise(anatomy, size, 12)
    body = np.zeros_like(organ)
    if lesion is not None:
        body = organ * _lesion(lesion, centre, radii, z, y, x)
        image = image - lesion.uniform(0.12, 0.28) * body
    width = MILLIMETRES * anatomy.uniform(0.9, 1.1)
    spacing = (round(HEIGHT * width / depth, 4), *2 * (round(width / size, 4),))
    return Drawing(image, {"organ": organ * (body <= 0.5), "lesion": body}, spacing)


def _organ(rng: np.random.Generator, z: Field, y: Field, x: Field) -> tuple[Field, Field, Field]:
    """A lobed ellipsoid on the image's left: where it is, its centre and its radii (z, y, x)."""
    centre = np.array([0.375, 0.48, 0.40]) + rng.normal(0.0, (0.02, 0.02, 0.015))
    radii = rng.uniform((0.19, 0.17, 0.17), (0.26, 0.24, 0.23))
    bulge = 0.022 * _noise(rng, y.shape[1], 3)
    return inside(_ellipsoid(centre, radii, z, y, x) + bulge, 0.004), centre, radii


def _lesion(
    rng: np.random.Generator, centre: Field, radii: Field, z: Field, y: Field, x: Field
) -> Field:
    """A ragged ball in the inner two thirds of the organ."""
    way = rng.standard_normal(3)
    place = centre + rng.uniform(0.1, 0.6) * radii * way / np.linalg.norm(way)
    size = rng.uniform(0.05, 0.095) * rng.uniform(0.85, 1.15, 3)
    return inside(_ellipsoid(place, size, z, y, x) + 0.008 * _noise(rng, y.shape[1], 8), 0.004)


def _surroundings(rng: np.random.Generator, z: Field, y: Field, x: Field) -> Field:
    """Air, a rim of fat, soft tissue, the spine, the aorta and two loops of bowel."""
    rx, ry = rng.uniform(0.44, 0.49), rng.uniform(0.40, 0.45)
    flat = np.ones_like(z)
    skin = _ellipsoid(np.array([0.0, 0.5, 0.5]), np.array([1e3, ry, rx]), 0 * z, y, x)
    image = 0.20 * inside(skin, 0.006) + 0.22 * inside(skin - rng.uniform(0.03, 0.06), 0.006)
    spine = _ellipsoid(np.array([0.0, 0.79, 0.52]), np.array([1e3, 0.07, 0.075]), 0 * z, y, x)
    image = (image + rng.uniform(0.35, 0.5) * inside(spine, 0.006)) * flat
    aorta = _ellipsoid(np.array([0.0, 0.67, 0.57]), np.array([1e3, 0.03, 0.03]), 0 * z, y, x)
    image = image + rng.uniform(0.12, 0.3) * inside(aorta, 0.005)
    for _ in range(2):
        place = np.array([rng.uniform(0.1, 0.65), rng.uniform(0.33, 0.55), rng.uniform(0.70, 0.78)])
        loop = inside(_ellipsoid(place, rng.uniform(0.06, 0.10, 3), z, y, x), 0.006)
        image = image + rng.uniform(-0.3, 0.2) * loop
    return image


def _ellipsoid(centre: Field, radii: Field, z: Field, y: Field, x: Field) -> Field:
    """Depth below its surface: positive inside, near to a distance close to the surface."""
    squares = sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), centre, radii, strict=True))
    return np.asarray((1.0 - np.sqrt(squares)) * radii.min())


def _noise(rng: np.random.Generator, size: int, cells: int) -> Field:
    """A smooth field (size // 2, size, size) of variance 1; features are 1 / cells wide."""
    lattice = rng.standard_normal((cells + 4,) * 3)
    slices, plane = lattice_weights(size // 2, cells), lattice_weights(size, cells)
    found = np.einsum("dk,hl,wm,klm->dhw", slices, plane, plane, lattice, optimize=True)
    return np.asarray(found)
