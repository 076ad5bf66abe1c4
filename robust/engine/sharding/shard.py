"""`Shard`: one of the parts that the chunks of a run are dealt out to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from robust.errors import InputError

SHARDS = "shards"
"""Folder of a run directory with a run directory for each shard."""
MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """`shard 3 of 16`."""
        return f"shard {self.number} of {self.count}"

    def chunks(self, every: int) -> range:
        """Its chunks, of so many: every `count`-th, as cases are often in the order of a class."""
        return range(self.number - 1, every, self.count)

    def folder(self, run: Path) -> Path:
        """Its run directory within that of the run."""
        return run / SHARDS / str(self.number)

    @staticmethod
    def parse(text: str) -> Shard:
        """The shard of a text such as `3/16`; InputError."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip(), re.ASCII)
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count <= MOST_SHARDS:
            raise InputError(
                f"{text!r} is no shard; write its number and how many there are: 1/16 to 16/16"
            )
        return Shard(number, count)
