"""Draws a synthetic frontal chest X-ray, with patchy opacities in its lungs or without.

Attenuations add along the ray, as in the real projection, and a saturating film turns them into
grey values: so a rib crosses a lung brightly and the heart hardly at all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from robust.cases.phantoms.canvas import (
    Drawing,
    Field,
    brush,
    bump,
    clouds,
    ellipse,
    grid,
    inside,
    sprout,
    wander,
)


class Thorax(NamedTuple):
    """The measures of one chest, relative to the image's side; sides are those of the image."""

    middle: float
    half_width: float
    top: float
    bottom: float
    hilum: float
    """Height at which the large vessels enter the lungs."""
    left_rise: float
    """How far the liver lifts the diaphragm on the image's left above that on its right."""
    heart: tuple[float, float, float, float]


def chest(anatomy: np.random.Generator, lesion: np.random.Generator | None, size: int) -> Drawing:
    """Grey values (size, size) in [0, 1]; with opacities where `lesion` is given.

    Outlined are the left lung, which is the patient's and so lies on the image's right, the right
    lung, both without the heart's shadow, and the opacity in them.
    """
    x, y = grid(size)
    thorax = _thorax(anatomy)
    lungs = _lungs(thorax, x, y)
    heart = _heart(thorax, x, y)
    body = _body(anatomy, thorax, x, y)
    markings = _markings(anatomy, thorax, size)
    bones = _bones(anatomy, thorax, size)
    soft = _soft_tissue(anatomy, thorax, x, y)

    air = np.clip(lungs.sum(0), 0.0, 1.0)
    aerated = air * (1.0 - 0.93 * heart)
    density = body * (1.02 + 0.16 * y) + 0.22 * heart + soft * body
    # How deep a breath was taken changes the lungs' mean grey as much as an opacity does.
    breath = anatomy.uniform(0.76, 0.96)
    density = density - breath * aerated + markings * aerated + bones * (0.25 + 0.75 * body)
    density = density + 0.04 * clouds(anatomy, size, 5, 3) * body
    opacity = np.zeros((size, size))
    if lesion is not None:
        added, opacity = _opacities(lesion, thorax, aerated, size)
        density = density + added
    on_left, on_right = lungs * (1.0 - heart)
    structures = {
        "left lung": on_right,
        "right lung": on_left,
        "opacity": opacity * (np.maximum(on_left, on_right) > 0.5),
    }
    return Drawing(_film(anatomy, np.maximum(density, 0.0), x, y), structures)


def _thorax(rng: np.random.Generator) -> Thorax:
    middle = 0.5 + rng.normal(0.0, 0.012)
    half_width = rng.uniform(0.375, 0.455)
    top = rng.uniform(0.04, 0.10)
    bottom = top + rng.uniform(0.72, 0.82)
    heart_radius = half_width * rng.uniform(0.40, 0.53)
    return Thorax(
        middle=middle,
        half_width=half_width,
        top=top,
        bottom=bottom,
        hilum=top + 0.43 * (bottom - top),
        left_rise=rng.uniform(0.0, 0.04),
        heart=(
            middle + heart_radius * rng.uniform(0.30, 0.45),
            bottom - heart_radius * rng.uniform(0.75, 0.95),
            heart_radius,
            heart_radius * rng.uniform(0.80, 0.98),
        ),
    )


def _cage(thorax: Thorax, y: Field) -> Field:
    """Half the inner width of the rib cage at height y."""
    down = np.clip((y - thorax.top) / (thorax.bottom - thorax.top), 0.0, 1.0)
    return thorax.half_width * np.sqrt(1.0 - (1.0 - down) ** 2.9)


def _dome(thorax: Thorax, side: int, out: Field) -> Field:
    """Height of the diaphragm at distance `out` from the midline on a side, -1 left or 1 right."""
    peak = thorax.bottom - 0.09 - (thorax.left_rise if side < 0 else 0.0)
    return peak + 0.40 * (out - 0.42 * thorax.half_width) ** 2 / thorax.half_width


def _lungs(thorax: Thorax, x: Field, y: Field) -> Field:
    """Where there is lung, (2, size, size): that on the image's left, then that on its right."""
    lungs = []
    for side in (-1, 1):
        out = side * (x - thorax.middle)
        lateral = inside(_cage(thorax, y) - out, 0.010)
        medial = inside(out - 0.055 - 0.03 * bump(out, y, 0.0, thorax.hilum, 1.0, 0.08), 0.014)
        lungs.append(lateral * medial * inside(_dome(thorax, side, out) - y, 0.008))
    return np.stack(lungs)


def _heart(thorax: Thorax, x: Field, y: Field) -> Field:
    cx, cy, rx, ry = thorax.heart
    # Sheared: the apex points down and to the image's right.
    shadow = inside(ellipse(x, y - 0.25 * (x - cx), cx, cy, rx, ry), 0.013)
    knob = inside(ellipse(x, y, thorax.middle + 0.045, thorax.top + 0.23, 0.045, 0.05), 0.010)
    trunk = inside(ellipse(x, y, thorax.middle + 0.04, cy - 0.7 * ry, 0.075, 0.12), 0.02)
    return np.maximum(np.maximum(shadow, knob), trunk)


def _body(rng: np.random.Generator, thorax: Thorax, x: Field, y: Field) -> Field:
    """Thickness of the patient, 0 in the air around to 1."""
    out = np.abs(x - thorax.middle)
    shoulder = rng.uniform(0.02, 0.07)
    slope = shoulder + 0.09 * np.clip((out - 0.14) / 0.3, 0.0, None) ** 1.2
    neck = inside(0.13 + 0.06 * y - out, 0.012)
    trunk = inside(y - slope, 0.010)
    flank = inside(thorax.half_width + rng.uniform(0.05, 0.11) - out, 0.015)
    arms = inside(0.46 + rng.uniform(-0.08, 0.08) - y, 0.06)
    return np.maximum(neck, trunk * np.maximum(flank, arms))


def _markings(rng: np.random.Generator, thorax: Thorax, size: int) -> Field:
    """Vessels that fan out from both hila, each with a few branches, as added density."""
    total = np.zeros((size, size))
    for side in (-1, 1):
        n = 11
        hilum = np.array([thorax.middle + side * 0.085, thorax.hilum + 0.015 * side])
        starts = hilum + rng.normal(0.0, (0.008, 0.03), (n, 2))
        fan = np.linspace(-1.25, 1.3, n) + rng.normal(0.0, 0.12, n)
        headings = fan if side > 0 else math.pi - fan
        lengths = thorax.half_width * rng.uniform(0.5, 0.8, n)
        taper = np.linspace(1.0, 0.2, 24)
        paths = wander(rng, starts, headings, lengths, rng.normal(0.0, 0.3, n), 0.5)
        widths = rng.uniform(0.011, 0.020, (n, 1)) * taper
        total += brush(size, paths, widths, rim=-1.5)
        starts, headings, parents = sprout(rng, paths, widths, 4, 0.55)
        m = len(starts)
        twigs = wander(rng, starts, headings, 0.13 * parents / 0.013, np.zeros(m), 0.6)
        total += brush(size, twigs, 0.7 * parents[:, None] * taper, rim=-1.5)
    x, y = grid(size)
    hila = bump(np.abs(x - thorax.middle), y, 0.085, thorax.hilum, 0.028, 0.055)
    return rng.uniform(0.08, 0.16) * np.minimum(total, 2.0) + 0.26 * hila


def _bones(rng: np.random.Generator, thorax: Thorax, size: int) -> Field:
    """Ribs, clavicles, shoulder blades and spine, as added density."""
    strength = rng.uniform(0.8, 1.25)
    bones = 0.15 * strength * _ribs(rng, thorax, size)
    bones += 0.20 * strength * _clavicles(rng, thorax, size)
    x, y = grid(size)
    out = np.abs(x - thorax.middle)
    blade = inside(out - 0.72 * thorax.half_width - 0.30 * np.abs(y - thorax.top - 0.26), 0.008)
    blade = blade * inside(0.46 - y, 0.02) * inside(y - thorax.top - 0.12, 0.02)
    heads = inside(ellipse(out, y, thorax.half_width + 0.08, thorax.top + 0.13, 0.065, 0.07), 0.008)
    discs = 0.6 + 0.4 * np.tanh(3.0 * np.sin(2.0 * math.pi * y / 0.058))
    spine = inside(0.042 - out, 0.006) * (0.6 + 0.4 * discs)
    return bones + strength * (0.09 * blade + 0.18 * heads + 0.09 * spine)


def _ribs(rng: np.random.Generator, thorax: Thorax, size: int) -> Field:
    """Nine pairs of loops: behind from the spine outwards, in front down and inwards again."""
    t = np.linspace(0.0, 1.0, 40)
    tilt = rng.uniform(0.07, 0.12)
    back, front = [], []
    for row in range(9):
        level = thorax.top + 0.015 + row * (thorax.bottom - thorax.top) / 9.0
        for side in (-1, 1):
            jitter = rng.normal(0.0, 0.003)
            reach = _cage(thorax, np.array(level + tilt)) * 1.01
            out = 0.04 + (reach - 0.04) * np.sin(0.5 * math.pi * t)
            rise = -0.03 * np.sin(math.pi * np.minimum(1.4 * t, 1.0))
            fall = level + jitter + rise + tilt * t**2.2
            back.append(np.stack([thorax.middle + side * out, fall], axis=1))
            out = reach * (1.0 - (0.62 - 0.03 * row) * t**1.6)
            fall = level + jitter + tilt + (0.10 + 0.006 * row) * t**0.8
            front.append(np.stack([thorax.middle + side * out, fall], axis=1))
    width = np.full((18, 40), rng.uniform(0.021, 0.027))
    behind = brush(size, np.stack(back), width, rim=0.9)
    return behind + 0.55 * brush(size, np.stack(front), 1.1 * width, rim=0.5)


def _clavicles(rng: np.random.Generator, thorax: Thorax, size: int) -> Field:
    """A pair of slight S shapes from the breastbone up to the shoulders."""
    t = np.linspace(0.0, 1.0, 30)
    paths = []
    rise = rng.uniform(0.02, 0.07)
    for side in (-1, 1):
        out = 0.035 + (thorax.half_width + 0.04) * t
        y = thorax.top + 0.10 + rng.normal(0.0, 0.006) - rise * t - 0.014 * np.sin(2 * math.pi * t)
        paths.append(np.stack([thorax.middle + side * out, y], axis=1))
    width = np.tile(0.026 + 0.012 * np.abs(2.0 * t - 1.0) ** 3, (2, 1))
    return brush(size, np.stack(paths), width, rim=0.9)


def _soft_tissue(rng: np.random.Generator, thorax: Thorax, x: Field, y: Field) -> Field:
    """Mediastinum, windpipe, abdomen, stomach bubble and breasts, as added density."""
    out = np.abs(x - thorax.middle)
    chest_wall = 0.10 * (out / thorax.half_width) ** 4
    mediastinum = 0.16 * bump(out, y, 0.0, 0.5, 0.06, 0.8)
    windpipe = -0.20 * inside(0.018 - np.abs(x - thorax.middle + 0.006), 0.006)
    windpipe = windpipe * inside(thorax.top + 0.20 - y, 0.03)
    abdomen = 0.22 * inside(y - thorax.bottom, 0.03)
    bubble = -rng.uniform(0.0, 0.35) * inside(
        ellipse(x, y, thorax.middle + rng.uniform(0.13, 0.2), thorax.bottom + 0.05, 0.07, 0.035),
        0.01,
    )
    breast = rng.uniform(0.08, 0.22) if rng.random() < 0.5 else 0.0
    level, radius = rng.uniform(0.62, 0.72), rng.uniform(0.15, 0.19)
    breasts = breast * inside(ellipse(out, y, 0.24, level, radius, radius), 0.012)
    breasts = breasts * inside(y - level + 0.06, 0.08)
    return chest_wall + mediastinum + windpipe + abdomen + bubble + breasts


def _opacities(
    rng: np.random.Generator, thorax: Thorax, aerated: Field, size: int
) -> tuple[Field, Field]:
    """One to three ill-defined patches of consolidated lung: added density, and its extent."""
    x, y = grid(size)
    total, extent = np.zeros((size, size)), np.zeros((size, size))
    side = 1 if rng.random() < 0.5 else -1
    texture = clouds(rng, size, 9, 3)
    for _ in range(rng.integers(1, 4)):
        level = thorax.top + (thorax.bottom - thorax.top) * rng.uniform(0.22, 0.82)
        # Further out on the heart's side, whose shadow would swallow a patch.
        inner = 0.30 if side < 0 else 0.50
        out = rng.uniform(inner, 0.82) * float(_cage(thorax, np.array(level)))
        rx, ry = rng.uniform(0.05, 0.11, 2)
        hill = bump(x, y, thorax.middle + side * out, level, rx, ry)
        # The texture eats into the hill's flank, so that no patch has a drawn border.
        patch = inside(hill - 0.42 + 0.16 * texture, 0.22) * np.sqrt(hill)
        total = np.maximum(total, rng.uniform(0.14, 0.62) * patch)
        extent = np.maximum(extent, patch)
        side = side if rng.random() < 0.6 else -side
    return total * (0.1 + 0.9 * aerated), extent


def _film(rng: np.random.Generator, density: Field, x: Field, y: Field) -> Field:
    """Grey values from attenuation: exposure, contrast and a slight tilt of the beam."""
    tilt = 1.0 + rng.normal(0.0, 0.05) * (x - 0.5) + rng.normal(0.0, 0.05) * (y - 0.5)
    gain = rng.uniform(0.8, 2.0)
    # The densest tissue is 1.6 or so: stretched to white, as a viewer's window does.
    grey = (1.0 - np.exp(-gain * density * tilt)) / (1.0 - math.exp(-gain * 1.6))
    black, white = rng.uniform(0.0, 0.06), rng.uniform(0.84, 1.0)
    return black + (white - black) * grey ** rng.uniform(0.8, 1.3)
