"""Time to join the shards of 100,000 cases x 40 cells, in stores filled with made-up outcomes.

    python -m experiments.speed.merging --cases 100000 --cells 40 --shards 16

Each shard has its clean predictions, with a fingerprint and a digest of each image, and the
outcomes of its chunks, all with valid checksums. Timed is `join_shards` alone: every shard
verified and compared, all of them taken in. Loading a network and the stages of an audit after the
merge are not in it.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robust.engine.run_memory import SHARD
from robust.engine.run_store import CleanPrediction, KnownCase, Outcome, RunStore
from robust.engine.sharding.join import Wanted, join_shards
from robust.plan.machines import Shard

IDENTITY = {"plan": "p" * 64, "model": "m" * 64, "data": "d" * 64, "device": "cpu"}
CHUNK = 64


@dataclass(frozen=True)
class Size:
    """How large the run is."""

    cases: int
    cells: int
    shards: int

    @property
    def chunks(self) -> int:
        return -(-self.cases // CHUNK)

    @property
    def keys(self) -> list[str]:
        return [f"attack {n}|Linf|{(n + 1) / 255!r}" for n in range(self.cells)]

    def rows(self, number: int) -> range:
        return range(number * CHUNK, min((number + 1) * CHUNK, self.cases))


def fill(run: Path, size: Size, number: int) -> None:
    """The store of one shard."""
    shard, rng = Shard(number, size.shards), np.random.default_rng(number)
    store = RunStore(shard.folder(run))
    store.identify(IDENTITY)
    store.put(SHARD, shard)
    store._database.execute("PRAGMA synchronous = OFF")  # making them is not timed
    for chunk in shard.chunks(size.chunks):
        rows = size.rows(chunk)
        logits = rng.normal(size=(len(rows), 2))
        clean = [CleanPrediction(r, v, f"{r:064x}") for r, v in zip(rows, logits, strict=True)]
        cases = [
            KnownCase(r, f"case{r:08}", r % 2, f"group{r // 2:08}", 150_528, False, {}, f"{r:064x}")
            for r in rows
        ]
        store.add_clean(chunk, clean, 0.5, cases, {row: bytes(64) for row in rows})
        for key in size.keys:
            values = rng.normal(size=(len(rows), 4))
            outcomes = [
                Outcome(r, v[:2], abs(v[2]), abs(v[3]), abs(v[3]), r % 3 > 0, False, 40.0)
                for r, v in zip(rows, values, strict=True)
            ]
            store.add_outcomes(key, chunk, outcomes, 1.0)
    store.close()


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds that a block took, and those of the processor alone."""
    began, worked = time.perf_counter(), time.process_time()
    yield
    wall, own = time.perf_counter() - began, time.process_time() - worked
    print(f"{what}: {wall:.1f} s, of which this process computed {own:.1f} s", flush=True)


def measure(size: Size, folder: Path) -> None:
    with ProcessPoolExecutor() as pool:
        list(pool.map(fill, *zip(*((folder, size, k + 1) for k in range(size.shards)))))
    keys = ["clean", *size.keys]
    wanted = Wanted(
        identity=IDENTITY,
        chunks={(key, number) for key in keys for number in range(size.chunks)},
        chunk=CHUNK,
        cases=size.cases,
    )
    whole = RunStore(folder)
    with timed("joining the shards"):
        join_shards(whole, folder, wanted, incomplete=False)
    assert whole.done() == wanted.chunks
    assert whole.totals(size.keys[-1]).cases == size.cases
    whole.close()
    again = RunStore(folder)
    with timed("verifying the joined run once more"):
        again.identify(IDENTITY)
    assert again.damage is None
    again.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--shards", type=int, default=16)
    given = parser.parse_args()
    size = Size(given.cases, given.cells, given.shards)
    folder = Path(tempfile.mkdtemp(prefix="merging-"))
    try:
        print(f"{size.cases} cases x {size.cells} cells in {size.shards} shards")
        measure(size, folder)
        mebibytes = (folder / "outcomes.sqlite").stat().st_size / (1 << 20)
        print(f"the joined database: {mebibytes:.0f} MiB")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
