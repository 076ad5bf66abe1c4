"""Square Attack, a score-based random search: Andriushchenko et al. 2020 (arXiv 1912.00049)."""

from __future__ import annotations

from dataclasses import dataclass
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
ROLLS = 5
"""Random numbers per query beside one per channel: two corners and an orientation."""


@dataclass(frozen=True)
class Square:
    """A black box that reads logits alone, `queries` times at most, and stops at success.

    Use it beside a gradient attack: masked gradients do not mislead it. In L-inf it begins with
    vertical stripes; each query gives one square of the image a new sign, which is kept if the
    margin grew. In L2 it begins with a grid of bumps; each query moves the budget of one window
    into another.
    """

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "scores"
    traits: ClassVar[AttackTraits] = AttackTraits()

    queries: int = 1000
    """Images shown to the model per case, at most."""
    share: float = 0.8
    """Share of the image's area in the first square; the paper takes less on easy models."""

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
        require_fit(self, threat)
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
        rolls = streams.uniform(x.new_empty(n, self.queries, ROLLS + channels))
        best_so_far, batch = BestSoFar(x), ActiveCases.of(x, y, streams, target)
        prospects = Prospects(self.queries, FIRST, share=0.0)
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
            move = _propose_linf if threat.norm == "Linf" else _propose_l2
            candidate = move(best, batch.x, threat, area, query_rolls)
        return best_so_far.x_adv


def _stripes(batch: ActiveCases, threat: ThreatModel) -> Tensor:
    """Vertical stripes: each column of each channel at +eps or -eps."""
    signs = _signs(batch.streams.uniform(batch.x[:, :, :1]))
    return threat.project(batch.x + threat.eps * signs, batch.x)


def _propose_linf(
    best: Tensor, x: Tensor, threat: ThreatModel, area: float, rolls: Tensor
) -> Tensor:
    """One square at +eps or -eps, with one sign per channel."""
    height, width = x.shape[2:]
    side = min(max(round(area**0.5), 1), height, width)
    window = _window(x, side, rolls)
    signs = _signs(rolls[:, ROLLS:])[:, :, None, None]
    return threat.project(torch.where(window, x + threat.eps * signs, best), x)


def _bumps(batch: ActiveCases, threat: ThreatModel) -> Tensor:
    """A grid of about five by five double bumps, with one sign per channel and bump."""
    x = batch.x
    n, channels, height, width = x.shape
    side = max(min(height, width) // 5, 1)
    down, across = torch.arange(height) // side, torch.arange(width) // side
    bump = _double_bump(side, x)
    tiled = bump[torch.arange(height) % side][:, torch.arange(width) % side]
    grid = x.new_empty(n, channels, int(down[-1]) + 1, int(across[-1]) + 1)
    signs = _signs(batch.streams.uniform(grid))
    return _scaled_to_eps(tiled * signs[:, :, down][:, :, :, across], x, threat)


def _propose_l2(best: Tensor, x: Tensor, threat: ThreatModel, area: float, rolls: Tensor) -> Tensor:
    """Clear the second window and move its budget into a double bump in the first."""
    height, width = x.shape[2:]
    side = min(max(round(area**0.5), 3), height, width)
    first, second = _window(x, side, rolls[:, :2]), _window(x, side, rolls[:, 2:4])
    delta = best - x
    bump = _placed(_double_bump(side, x), x, side, rolls)
    transposed = _placed(_double_bump(side, x).T, x, side, rolls)
    bump = torch.where(per_case(rolls[:, 4] < 0.5, x), bump, transposed)
    old = torch.where(first, delta, 0.0)
    tiny = torch.finfo(x.dtype).tiny
    new = bump * _signs(rolls[:, ROLLS:])[:, :, None, None]
    new = new + old / _norm(old, (1, 2, 3)).clamp_min(tiny)
    spare = (threat.eps**2 - _norm(delta, (1, 2, 3)) ** 2).clamp_min(0) / x.shape[1]
    held = _norm(torch.where(first | second, delta, 0.0), (2, 3)) ** 2
    new = new / _norm(new, (2, 3)).clamp_min(tiny) * (spare + held).sqrt()
    delta = torch.where(first, new, torch.where(second, 0.0, delta))
    return _scaled_to_eps(delta, x, threat)


def _scaled_to_eps(delta: Tensor, x: Tensor, threat: ThreatModel) -> Tensor:
    """`x + delta` with the change stretched or shrunk to eps, then brought into ball and box."""
    return threat.project(x + threat.eps * threat.steepest(delta), x)


def _window(x: Tensor, side: int, rolls: Tensor) -> Tensor:
    """A square at a random place in each image: `(n, 1, h, w)` bool."""
    down, across = _offsets(x, side, rolls)
    inside = ((down >= 0) & (down < side))[:, :, None] & ((across >= 0) & (across < side))[:, None]
    return inside[:, None]


def _placed(pattern: Tensor, x: Tensor, side: int, rolls: Tensor) -> Tensor:
    """The pattern where `_window` puts the square, zero elsewhere: `(n, 1, h, w)`."""
    down, across = _offsets(x, side, rolls)
    shown = pattern[down.clamp(0, side - 1)[:, :, None], across.clamp(0, side - 1)[:, None]]
    return torch.where(_window(x, side, rolls), shown[:, None], 0.0)


def _offsets(x: Tensor, side: int, rolls: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `(n, h)` and columns `(n, w)` counted from the corner of each image's square."""
    height, width = x.shape[2:]
    top = (rolls[:, 0] * (height - side + 1)).long().clamp_max(height - side)
    left = (rolls[:, 1] * (width - side + 1)).long().clamp_max(width - side)
    down = torch.arange(height, device=x.device) - top[:, None]
    return down, torch.arange(width, device=x.device) - left[:, None]


def _double_bump(side: int, like: Tensor) -> Tensor:
    """Two bumps of opposite sign above each other, of Euclidean length 1: `(side, side)`."""
    upper = side // 2
    bump = torch.zeros(side, side, dtype=like.dtype, device=like.device)
    for first, rows, sign in ((0, upper, 1.0), (upper, side - upper, -1.0)):
        down = (torch.arange(rows) - rows // 2).abs()[:, None]
        across = (torch.arange(side) - side // 2).abs()[None]
        ring = torch.maximum(down, across)
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
