"""Search along straight lines: with, against and across the gradient, for what steps pass over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks._starts import grid_shape
from attacks._tracking import ActiveCases
from attacks.contract import Model
from attacks.losses import AttackLoss, beyond_rounding, climb, margin
from attacks.streams import Streams
from attacks.threat import ThreatModel, per_case

FINE, COARSE = 32, 8
"""Points on a line that gradients name, and on one that they do not."""
REFINED = 4
"""Further points beside the best of a line's local maxima."""
NARROW = 1 / 8
"""Length of a misread stretch, in eps, that steps of a tenth of eps easily pass over."""
AVERAGED, FAR = 6, 3.0
"""Gradients in an average, and how far from the image they are taken, in eps."""
GRIDS = (0, 4, 1, 2, 0, 8, 4, 0)
"""Cells along each side of the random directions, in turn; 0: as many as there are pixels."""

COARSE_PASSES = COARSE + REFINED + 1
"""Forward passes per case at most on a random line, or on one to another image."""
LOCAL_PASSES = 2 + 2 * (FINE + REFINED + 1)
FURTHER_PASSES = 1 + AVERAGED + FINE + REFINED + 1 + len(GRIDS) * COARSE_PASSES
"""Forward passes per case at most, without lines to other images."""


@dataclass(frozen=True)
class Lines:
    """What a search along lines found, case by case; all but the images are `(n,)` bool."""

    x_adv: Tensor
    """The first point that succeeds beyond rounding; the most damaging one where none does."""
    found: Tensor
    """Whether it succeeds."""
    narrow: Tensor
    """Whether the misread stretch of its line is short, and ends before the line does."""
    away: Tensor
    """Whether the gradient points away from it: the line leads against the gradient, or its margin
    falls at first."""


def search_lines(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    streams: Streams,
    target: Tensor | None = None,
    *,
    towards: Sequence[Tensor] = (),
    local: bool = True,
    further: bool = True,
) -> Lines:
    """Scan lines from each image `x (n, c, h, w)` to the surface of the ball.

    The images are classified correctly. `local` lines lead along and against the gradient,
    `further` ones along an averaged gradient, to the images of each of `towards`, a batch like `x`
    of other classes, and at random. A case leaves at its first success. Raises what a backward
    pass raises.
    """
    with torch.no_grad():
        logits = model(x)
    before = margin(logits, y, target).to(x)
    nothing = x.new_zeros(len(x), dtype=torch.bool)
    found = Lines(x.clone(), nothing, nothing.clone(), nothing.clone())
    best = before.clone()
    active = ActiveCases.of(x, y, streams, target)
    plans = [_local_lines(model, active, threat)] if local else []
    plans += [_further_lines(model, threat, towards)] if further else []
    for points, against, direction in chain.from_iterable(plans):
        rest = ~found.found
        if not bool(rest.any()):
            break
        part = active.take(rest)
        line = _scan(model, part, before[rest], direction(part), points, threat)
        if against:
            line.away[line.found] = True
        better = line.value > best[rest]
        for name in ("x_adv", "found", "narrow", "away"):
            whole, new = getattr(found, name), getattr(line, name)
            whole[rest] = torch.where(per_case(better, new), new, whole[rest])
        best[rest] = torch.where(better, line.value, best[rest])
    return found


Direction = Callable[[ActiveCases], Tensor]
"""Directions `(n, c, h, w)` of length 1 in the norm, for some of the cases."""


Plan = Iterator[tuple[int, bool, Direction]]
"""Each line's number of points, whether it leads against the gradient, and its direction."""


def _local_lines(model: Model, every: ActiveCases, threat: ThreatModel) -> Plan:
    gradient = threat.steepest(_gradient(model, every.x, every))
    yield FINE, True, lambda part: -gradient[part.rows]
    yield FINE, False, lambda part: gradient[part.rows]


def _further_lines(model: Model, threat: ThreatModel, towards: Sequence[Tensor]) -> Plan:
    wide = ThreatModel(threat.norm, FAR * threat.eps)

    def averaged(part: ActiveCases) -> Tensor:
        total = torch.zeros_like(part.x)
        for _ in range(AVERAGED):
            # Each with the same weight: where gradients vanish, they differ by orders of magnitude.
            total += threat.steepest(_gradient(model, wide.random(part.x, part.streams), part))
        return threat.steepest(total)

    def to(image: Tensor) -> Direction:
        return lambda part: threat.steepest(image[part.rows] - part.x)

    def drawn(cells: int) -> Direction:
        return lambda part: threat.steepest(_blocks(part, cells))

    yield FINE, False, averaged
    for image in towards:
        yield COARSE, False, to(image)
    for cells in GRIDS:
        yield COARSE, False, drawn(cells)


def _gradient(model: Model, x: Tensor, part: ActiveCases) -> Tensor:
    """Of the margin, where it is finite."""
    _, gradient = climb(model, x, AttackLoss("margin", part.y, part.target))
    return torch.nan_to_num(gradient, 0.0, 0.0, 0.0)


def _blocks(part: ActiveCases, cells: int) -> Tensor:
    """A random sign for every cell of a grid, and every channel."""
    draws = part.streams.uniform(part.x.new_empty(grid_shape(part.x, cells))) - 0.5
    return F.interpolate(draws.sign(), part.x.shape[2:], mode="nearest")


@dataclass(frozen=True)
class _Line(Lines):
    """One line: its best point, with the margin there."""

    value: Tensor


@torch.no_grad()
def _scan(
    model: Model,
    part: ActiveCases,
    before: Tensor,
    direction: Tensor,
    points: int,
    threat: ThreatModel,
) -> _Line:
    """Equal steps along one line, then closer looks at its best local maximum."""
    values, wins = [before], [torch.zeros_like(before, dtype=torch.bool)]

    def look(place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = threat.project(part.x + threat.eps * per_case(place, part.x) * direction, part.x)
        logits = model(x)
        value = margin(logits, part.y, part.target).to(before)
        return x, value, beyond_rounding(value, logits)

    place = torch.zeros_like(before)
    for i in range(1, points + 1):
        _, value, success = look(torch.full_like(place, i / points))
        values.append(value)
        wins.append(success)
    value, won = torch.stack(values), torch.stack(wins)
    hit = won.any(0)
    first = won.int().argmax(0)
    index = torch.arange(points + 1, device=won.device)[:, None]
    beyond = ~won & (index > first)
    end = torch.where(beyond.any(0), beyond.int().argmax(0), points + 1)
    narrow = hit & (end <= points) & (end - first <= NARROW * points)
    step = max(points // 8, 1)
    away = value[step] < value[0]
    peak = torch.where(hit, (first + end - 1) // 2, value.argmax(0))
    place = torch.where(hit & ~won.gather(0, peak[None])[0], first, peak).to(before) / points
    x, top, success = look(place)
    inner, width = _local_maximum(value), 1 / points
    spot = inner.to(before) / points
    peak_value = value.gather(0, inner[None])[0]
    for turn in range(REFINED if bool((~hit & (inner > 0)).any()) else 0):
        side = width / 2 ** (turn // 2 + 1) * (1 if turn % 2 else -1)
        z, new, wins_here = look((spot + side).clamp(0, 1))
        closer = ~hit & (inner > 0) & (new > peak_value)
        spot = torch.where(closer, spot + side, spot)
        peak_value = torch.where(closer, new, peak_value)
        take = closer & (new > top)
        x = torch.where(per_case(take, x), z, x)
        top = torch.where(take, new, top)
        success = torch.where(take, wins_here, success)
        narrow |= take & wins_here
    return _Line(x, success, narrow & success, away & success, top)


def _local_maximum(value: Tensor) -> Tensor:
    """The best point `(n,)` of a line that both neighbours lie below; 0 where there is none."""
    inside = value[1:-1]
    peaks = (inside > value[:-2]) & (inside >= value[2:])
    best = torch.where(peaks, inside, -torch.inf).argmax(0) + 1
    return torch.where(peaks.any(0), best, 0)
