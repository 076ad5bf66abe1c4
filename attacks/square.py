"""Square Attack, a score-based random search: Andriushchenko et al. 2020 (arXiv 1912.00049)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from attacks._prospects import Prospects
from attacks._tracking import ActiveCases, BestSoFar
from attacks.contract import AttackTraits, Knowledge, Model, require_fit, require_positive
from attacks.losses import margin
from attacks.streams import Streams, call_text
from attacks.threat import ThreatModel, per_case

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries, of 10,000, after which the area of the square is halved."""
FIRST = 256
"""Queries after which a search that may give up is judged first."""


@dataclass(frozen=True)
class Square:
    """A black box that reads logits alone, `queries` times at most, and stops at success.

    Use it beside a gradient attack: masked gradients do not mislead it. In L-inf it begins with
    vertical stripes; each query gives one square of the image a new sign, which is kept if the
    margin grew. In L2 it begins with a grid of bumps; each query moves the budget of one window
    into another. In a volume squares are cubes. On dense logits the margin is minus Dice: a move
    is kept if Dice fell, which was better in trials than to follow a loss of the pixels.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "scores"
    traits: ClassVar[AttackTraits] = AttackTraits(dense=True)

    queries: int = 1000
    """Images shown to the model per case, at most."""
    share: float = 0.8
    """Share of the image (its area, a volume's volume) in the first square; the paper takes less on
    easy models."""

    def __post_init__(self) -> None:
        require_positive(self, "queries", "share")
        if self.share > 1:
            raise ValueError(f"Square: share must be at most 1, not {self.share}")

    @property
    def stream_key(self) -> str:
        """As the first release wrote it."""
        return call_text("Square", queries=self.queries, share=self.share)

    @property
    def passes(self) -> int:
        """One per query."""
        return self.queries

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None = None,
    ) -> Tensor:
        """The image with the largest margin of all that were shown."""
        require_fit(self, threat, y.ndim > 1)
        return self.search(model, x, y, threat, streams, target)

    @torch.no_grad()
    def search(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: ThreatModel,
        streams: Streams,
        target: Tensor | None,
        reached: Tensor | None = None,
    ) -> Tensor:
        """The same.

        With `reached (n,)`, the largest margins that attacks with gradients reached, a case ends
        where the search lies behind them and would not, as it has risen, get to zero
        (`_prospects`): where gradients mislead, a black box is ahead of them.
        """
        n, channels = x.shape[:2]
        # Drawn at once, so that a case's numbers do not depend on when attacks on others succeed.
        rolls = streams.uniform(x.new_empty(n, self.queries, _places(x) + channels))
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        prospects = Prospects(self.queries, FIRST, share=0.0)
        bump = cache(lambda side: _double_bump(side, x))  # few sides, many queries
        candidate = _stripes(batch, threat) if threat.norm == "Linf" else _bumps(batch, threat)
        for query in range(1, self.queries + 1):
            logits = model(candidate)
            active = ~best_so_far.offer(batch, candidate, logits)
            if reached is not None:
                hopeless = prospects.offer(query, margin(logits, batch.y, batch.target))
                behind = best_so_far.margin[batch.rows] < reached[batch.rows]
                active &= ~(hopeless & behind)
                prospects.take(active)
            batch = batch.take(active)
            if query == self.queries or not len(batch.rows):
                break
            area = (
                self.share
                * x[0, 0].numel()
                / 2 ** sum(10_000 * query / self.queries > halving for halving in HALVINGS)
            )
            query_rolls, best = rolls[batch.rows, query], best_so_far.x_adv[batch.rows]
            if threat.norm == "Linf":
                candidate = _propose_linf(best, batch.x, threat, area, query_rolls)
            else:
                candidate = _propose_l2(best, batch.x, threat, area, query_rolls, bump)
        return best_so_far.x_adv


def _places(x: Tensor) -> int:
    """Random numbers per query beside one per channel: two corners and an orientation."""
    return 2 * (x.ndim - 2) + 1


def _side(area: float, x: Tensor, least: int) -> int:
    """The side of a square of so many pixels (of a cube, in a volume), inside the image."""
    side: int = max(round(area ** (1 / (x.ndim - 2))), least)
    longest: int = min(x.shape[2:])
    return min(side, longest)


def _stripes(batch: ActiveCases, threat: ThreatModel) -> Tensor:
    """Stripes along the first axis: each column of each channel at +eps or -eps."""
    signs = _signs(batch.streams.uniform(batch.x[:, :, :1]))
    return threat.project(batch.x + threat.eps * signs, batch.x)


def _propose_linf(
    best: Tensor, x: Tensor, threat: ThreatModel, area: float, rolls: Tensor
) -> Tensor:
    """One square at +eps or -eps, with one sign per channel."""
    side = _side(area, x, 1)
    window = _window(_offsets(x, side, rolls), side)
    signs = _per_channel(_signs(rolls[:, _places(x) :]), x)
    return threat.project(torch.where(window, x + threat.eps * signs, best), x)


def _bumps(batch: ActiveCases, threat: ThreatModel) -> Tensor:
    """A grid of about five by five double bumps, with one sign per channel and bump."""
    x = batch.x
    space = x.shape[2:]
    side = max(min(space) // 5, 1)
    tiled, cells = _double_bump(side, x), []
    for axis, length in enumerate(space):
        place = torch.arange(length, device=x.device)
        tiled = tiled.index_select(axis, place % side)
        cells.append(place // side)
    grid = x.new_empty(*x.shape[:2], *(int(cell[-1]) + 1 for cell in cells))
    signs = _signs(batch.streams.uniform(grid))
    for axis, cell in enumerate(cells):
        signs = signs.index_select(2 + axis, cell)
    return _scaled_to_eps(tiled * signs, x, threat)


def _propose_l2(
    best: Tensor,
    x: Tensor,
    threat: ThreatModel,
    area: float,
    rolls: Tensor,
    double_bump: Callable[[int], Tensor],
) -> Tensor:
    """Clear the second window and move its budget into a double bump in the first."""
    axes, count = x.ndim - 2, _places(x)
    side = _side(area, x, 3)
    places = _offsets(x, side, rolls)
    first, second = _window(places, side), _window(_offsets(x, side, rolls[:, axes:]), side)
    delta = best - x
    pattern = double_bump(side)
    bump = _placed(pattern, places, first)
    transposed = _placed(pattern.transpose(0, 1), places, first)
    bump = torch.where(per_case(rolls[:, count - 1] < 0.5, x), bump, transposed)
    old = torch.where(first, delta, 0.0)
    tiny = torch.finfo(x.dtype).tiny
    image, channel = tuple(range(1, x.ndim)), tuple(range(2, x.ndim))
    new = bump * _per_channel(_signs(rolls[:, count:]), x)
    new = new + old / _norm(old, image).clamp_min(tiny)
    spare = (threat.eps**2 - _norm(delta, image) ** 2).clamp_min(0) / x.shape[1]
    held = _norm(torch.where(first | second, delta, 0.0), channel) ** 2
    new = new / _norm(new, channel).clamp_min(tiny) * (spare + held).sqrt()
    delta = torch.where(first, new, torch.where(second, 0.0, delta))
    return _scaled_to_eps(delta, x, threat)


def _scaled_to_eps(delta: Tensor, x: Tensor, threat: ThreatModel) -> Tensor:
    """`x + delta` with the change stretched or shrunk to eps, then brought into ball and box."""
    return threat.project(x + threat.eps * threat.steepest(delta), x)


def _window(offsets: list[Tensor], side: int) -> Tensor:
    """The square that the offsets count from the corner of: `(n, 1, *space)` bool."""
    within = [(offset >= 0) & (offset < side) for offset in offsets]
    inside = within[0]
    for along in within[1:]:
        inside = inside & along
    return inside


def _placed(pattern: Tensor, offsets: list[Tensor], window: Tensor) -> Tensor:
    """The pattern in its window, zero elsewhere: `(n, 1, *space)`."""
    places = [offset.clamp(0, len(pattern) - 1) for offset in offsets]
    return torch.where(window, pattern[tuple(places)], 0.0)


def _offsets(x: Tensor, side: int, rolls: Tensor) -> list[Tensor]:
    """Along each axis of space, places counted from the corner of each image's square.

    Each has the length of its axis there, and 1 along all others but the first.
    """
    offsets = []
    for axis, length in enumerate(x.shape[2:]):
        corner = (rolls[:, axis] * (length - side + 1)).long().clamp_max(length - side)
        shape = [1] * x.ndim
        shape[2 + axis] = length
        offsets.append(torch.arange(length, device=x.device).view(shape) - per_case(corner, x))
    return offsets


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """View `(n, c)` as `(n, c, 1, 1, ...)`."""
    return values.view(*values.shape, *[1] * (like.ndim - 2))


def _double_bump(side: int, like: Tensor) -> Tensor:
    """Two bumps of opposite sign above each other, of Euclidean length 1: `(side, side)`.

    In a volume `(side, side, side)`.
    """
    axes = like.ndim - 2
    upper = side // 2
    bump = torch.zeros([side] * axes, dtype=like.dtype, device=like.device)
    for first, rows, sign in ((0, upper, 1.0), (upper, side - upper, -1.0)):
        away = [torch.arange(n) - n // 2 for n in (rows, *[side] * (axes - 1))]
        ring = torch.stack(torch.meshgrid(away, indexing="ij")).abs().amax(0)
        # A sum over rings: ring r lies within all squares of radius r and more.
        weights = 1 / torch.arange(1, side + 2, dtype=torch.float64) ** 2
        height = weights.flip(0).cumsum(0).flip(0)
        bump[first : first + rows] = sign * height[ring].to(bump)
    scaled: Tensor = bump / bump.norm().clamp_min(torch.finfo(bump.dtype).tiny)
    return scaled


def _norm(v: Tensor, dims: tuple[int, ...]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(v, dim=dims, keepdim=True)
    return length


def _signs(rolls: Tensor) -> Tensor:
    return torch.where(rolls < 0.5, -1.0, 1.0).to(rolls)
