"""Random streams: one independent generator per case, seeded from the case, attack and threat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

MANY = 1 << 18
"""Numbers in a draw for a GPU from which several threads share it."""


class Verbatim(str):
    """A text that enters a seed as it is; any other text enters with quotes around it."""

    def __repr__(self) -> str:
        return str(self)


def call_text(name: str, **fields: object) -> str:
    """`NAME(field=value, ...)`, the form of the texts that name attacks in seeds.

    Names are written out where it is called, so that no rename of a class or field changes a seed.
    """
    return f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"


def stream_seed(*parts: object) -> int:
    """A 63-bit number that depends on all parts and on nothing else (not on PYTHONHASHSEED)."""
    text = "\x1f".join(repr(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


class Streams:
    """Random numbers for a batch: row i of every draw comes from the stream of case i alone.

    Draws are made on the CPU in float32, so that neither device, dtype, batch size nor order
    changes them. A slice shares the streams: its draws advance them.
    """

    def __init__(self, generators: Sequence[torch.Generator], inside: Tensor | None = None) -> None:
        """Draws in the shape of an image have no spread outside `inside (1, *space)`, bool."""
        self._generators = list(generators)
        self._inside = inside

    @classmethod
    def of(cls, seed: int, ids: Sequence[object], *labels: object) -> Streams:
        """One stream for each id; `labels` separate independent uses.

        An attack and its threat model enter by their `stream_key`.
        """
        generators = []
        for case_id in ids:
            generator = torch.Generator()
            generator.manual_seed(stream_seed(seed, case_id, *labels))
            generators.append(generator)
        return cls(generators)

    def __len__(self) -> int:
        return len(self._generators)

    def __getitem__(self, rows: Tensor | Sequence[int]) -> Streams:
        """The streams of some rows: a boolean mask `(n,)` or indices."""
        index = torch.as_tensor(rows)
        if index.dtype == torch.bool:
            index = index.nonzero().flatten()
        return Streams([self._generators[i] for i in index.tolist()], self._inside)

    def within(self, inside: Tensor) -> Streams:
        """The same streams for attacks that may touch only the pixels `inside (1, *space)`."""
        return Streams(self._generators, inside)

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform on [0, 1), with the shape, dtype and device of `like`."""
        return self._limited(self._draw(torch.rand, like), 0.5)

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal, with the shape, dtype and device of `like`."""
        return self._limited(self._draw(torch.randn, like), 0.0)

    def _limited(self, draws: Tensor, mean: float) -> Tensor:
        """The draws, at their mean outside the pixels that an attack may touch."""
        if self._inside is None or draws.shape[2:] != self._inside.shape[1:]:
            return draws
        return torch.where(self._inside, draws, mean)

    def seed(self) -> int:
        """One seed drawn from all streams, for foreign code that draws for the whole batch."""
        draws = [int(torch.randint(2**62, (1,), generator=g)) for g in self._generators]
        return stream_seed(*draws)

    def _draw(self, kind: Callable[..., Tensor], like: Tensor) -> Tensor:
        if len(like) != len(self):
            raise ValueError(f"{len(self)} streams cannot serve a batch of {len(like)}")
        rows = torch.empty(like.shape, dtype=torch.float32, pin_memory=like.is_cuda)

        def fill(row: int) -> None:
            kind(like.shape[1:], generator=self._generators[row], out=rows[row])

        if like.is_cuda and rows.numel() >= MANY:
            # A GPU would wait longer for one thread than it takes for a step.
            with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
                list(pool.map(fill, range(len(rows))))
        else:
            for row in range(len(rows)):
                fill(row)
        return rows.to(like.device, like.dtype, non_blocking=True)
