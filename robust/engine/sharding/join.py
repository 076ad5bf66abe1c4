"""Joins the shards of a run: all of them verified and compared first, then taken in or none."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robust.engine.database.connection import DATABASE, InUse
from robust.engine.database.repair import chunk_words
from robust.engine.run_memory import (
    ACCELERATION,
    BEGAN,
    CASES_AT_ONCE,
    PROVENANCE,
    REPAIRED,
    SHARD,
    SHARD_ATTACKED,
    START,
    CasesAtOnce,
)
from robust.engine.run_store import RunStore
from robust.engine.session import note_damage
from robust.errors import InputError, first_line
from robust.files import cannot
from robust.plan.machines import SETTLED, SHARDS, Shard


@dataclass(frozen=True)
class Wanted:
    """What a whole run consists of."""

    identity: Mapping[str, str]
    chunks: Collection[tuple[str, int]]
    """Cell and number of every chunk of clean predictions and attacks."""
    chunk: int
    """Cases of a chunk."""
    cases: int


@dataclass(frozen=True)
class _Source:
    """An open store, and what it is called."""

    name: str
    store: RunStore


def join_shards(whole: RunStore, run: Path, wanted: Wanted, *, incomplete: bool) -> None:
    """Take every chunk of the shards in `run` into the store of the whole run.

    InputError, with the store as it was, where a shard is of another run, still at work or was
    settled apart, where a chunk differs from shard to shard, and, unless `incomplete`, where
    anything is missing.
    """
    whole.identify(wanted.identity)
    try:
        _join(whole, run, wanted, incomplete=incomplete)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # of a forged memo
        raise InputError(
            f"the shards in {run / SHARDS} do not hold what robust writes "
            f"({type(error).__name__}: {first_line(error)}); run them again"
        ) from None


def _join(whole: RunStore, run: Path, wanted: Wanted, *, incomplete: bool) -> None:
    with ExitStack() as stack:
        shards: dict[Shard, _Source] = {}
        for folder in _folders(run):
            store = stack.enter_context(closing(_open(folder, wanted)))
            shards[_shard_of(folder, store, shards)] = _Source(str(folder), store)
        sources = [_Source(str(run), whole), *shards.values()]
        _require_equal(sources, wanted)
        memos = _memos(sources)
        if not incomplete:
            done = {one for source in sources for one in source.store.done()}
            _require_all(set(wanted.chunks) - done, next(iter(shards)).count, run)
        whole.absorb([one.store for one in shards.values()], memos)


def _folders(run: Path) -> list[Path]:
    """The folders of shards, by number."""
    try:
        names = [one.name for one in (run / SHARDS).iterdir() if (one / DATABASE).exists()]
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise InputError(cannot(run / SHARDS, "be read", error)) from None
    numbers = sorted(int(name) for name in names if name.isascii() and name.isdecimal())
    if not numbers:
        raise InputError(
            f"{run / SHARDS} holds no shard; run them first: robust audit PLAN --shard 1/16 "
            f"--out {run}"
        )
    return [run / SHARDS / str(number) for number in numbers]


def _open(folder: Path, wanted: Wanted) -> RunStore:
    """The verified store of one shard, which nobody writes to meanwhile."""
    try:
        store = RunStore(folder)
    except InUse:
        raise InputError(f"{folder} is still at work; wait until it has finished") from None
    try:
        if name := store.other_than(wanted.identity):
            raise InputError(
                f"{folder} is of another run: its {name} differs from that of the plan; run this "
                f"shard again in an empty folder"
            )
        store.identify(wanted.identity)
        note_damage(store, wanted.chunk, wanted.cases, f"{folder}: ")
    except BaseException:
        store.close()
        raise
    return store


def _shard_of(folder: Path, store: RunStore, others: Collection[Shard]) -> Shard:
    shard = store.get(SHARD)
    if shard is None or str(shard.number) != folder.name:
        raise InputError(f"{folder} does not hold shard {folder.name}; put the right folder there")
    for other in others:
        if other.count != shard.count:
            raise InputError(
                f"{folder} holds {shard.name}, and {folder.with_name(str(other.number))} holds "
                f"{other.name}; all shards must be of the same number"
            )
    return shard


def _require_equal(sources: Sequence[_Source], wanted: Wanted) -> None:
    """InputError where a chunk of two stores has other rows in one than in the other."""
    known: dict[tuple[str, int], tuple[_Source, int, bytes]] = {}
    for source in sources:
        twice: dict[_Source, list[tuple[tuple[str, int], int, int]]] = {}
        for chunk, (part, checksum) in source.store.chunk_sums().items():
            first, its_part, its_sum = known.setdefault(chunk, (source, part, checksum))
            if its_sum != checksum:
                twice.setdefault(first, []).append((chunk, its_part, part))
        for first, chunks in twice.items():
            theirs = first.store.content_sums([part for _, part, _ in chunks])
            mine = source.store.content_sums([part for *_, part in chunks])
            for chunk, its_part, part in chunks:
                if theirs[its_part] != mine[part]:
                    raise InputError(
                        f"{chunk_words(*chunk, wanted.chunk, wanted.cases)}, differ between "
                        f"{first.name} and {source.name}; nothing was merged: delete the wrong one "
                        f"and run it again"
                    )


def _require_all(missing: Collection[tuple[str, int]], count: int, run: Path) -> None:
    if not missing:
        return
    numbers = sorted({number % count + 1 for _, number in missing})
    names = ", ".join(map(str, numbers[:20])) + (", ..." if len(numbers) > 20 else "")
    several = len(numbers) > 1
    raise InputError(
        f"shard{'s' * several} {names} of {count} {'are' if several else 'is'} not finished; run "
        f"{'them' if several else 'it'} (robust audit PLAN --shard {numbers[0]}/{count} --out "
        f"{run}), or add --incomplete to run here what is missing"
    )


def _memos(sources: Sequence[_Source]) -> dict[str, str]:
    """By key what the joined store remembers; InputError where shards were settled apart."""
    found: dict[str, list[tuple[_Source, str]]] = {}
    for source in sources:
        for key, text in source.store.memos().items():
            found.setdefault(key, []).append((source, text))
    for own in (SHARD, SHARD_ATTACKED):
        found.pop(own.key, None)
    joined = {}
    for key, values in found.items():
        compared = _COMPARED.get(key, str)
        first, text = values[0]
        for other, its_text in values[1:]:
            if compared(its_text) != compared(text):
                raise InputError(
                    f"{first.name} and {other.name} were settled apart, and differ in "
                    f"{_WORDS.get(key, key.split('|')[0])}; give every machine a copy of one "
                    f"{SETTLED} before it begins, and run one of them again"
                )
        joined[key] = _JOINED.get(key, _first)([text for _, text in values])
    if REPAIRED.key in found:  # a joined store has counted those of its shards already
        counts = [(one is sources[0], int(text)) for one, text in found[REPAIRED.key]]
        sums = [sum(n for own, n in counts if own is whole) for whole in (True, False)]
        joined[REPAIRED.key] = str(max(sums))
    return joined


def _first(texts: Sequence[str]) -> str:
    return texts[0]


def _sizes(texts: Sequence[str]) -> str:
    """Of every shape of images; where memory was short on a machine, its number."""
    found = [CASES_AT_ONCE.from_json(text) for text in texts]
    return CASES_AT_ONCE.to_json(functools.reduce(CasesAtOnce.joined, found))


def _without(*names: str) -> Callable[[str], Any]:
    return lambda text: {k: v for k, v in json.loads(text).items() if k not in names}


def _only(*names: str) -> Callable[[str], Any]:
    return lambda text: {k: v for k, v in json.loads(text).items() if k in names}


def _nothing(text: str) -> None:
    """Compared with nothing."""


_COMPARED: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys((BEGAN.key, PROVENANCE.key, REPAIRED.key, CASES_AT_ONCE.key), _nothing),
    ACCELERATION.key: _without("gain"),
    START.key: _only("threads", "robust", "torch"),
}
"""What of a memo must be equal in all shards; all of it where the key is not listed."""
_JOINED: dict[str, Callable[[Sequence[str]], str]] = {
    BEGAN.key: min,
    CASES_AT_ONCE.key: _sizes,
}
"""How the texts of a memo become one; the first where the key is not listed."""
_WORDS = {START.key: "threads or versions"}
