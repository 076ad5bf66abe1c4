"""Hands chunks out to workers as they become free; replaces the dead; computes some again."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from robust.auditing.workers.chunk_worker import ChunkResult, Place, Refused
from robust.errors import InputError

MOST_DEATHS = 3
"""So many workers may end on one chunk, or one after another before they have begun."""

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """A worker that has been started."""

    begun: Future[Place | Refused]
    """Where it works, once it has opened the run."""

    def compute(self, number: int) -> Future[ChunkResult | Refused]:
        """Attack one chunk."""

    def close(self, *, now: bool) -> None:
        """End it: once it has nothing to do, or `now`."""


class Engine(Protocol):
    """Starts workers."""

    name: str
    lost: tuple[type[BaseException], ...]
    """Errors that say that a worker has ended."""

    def start(self) -> Worker:
        """A new worker."""


@dataclass(frozen=True)
class Answer:
    """What a worker found for a chunk."""

    result: ChunkResult
    place: Place
    again: bool
    """Whether another worker has computed it before."""


@dataclass
class _Member:
    """A worker of the team; it becomes another one when it is replaced."""

    worker: Worker
    number: int
    place: Place | None = None
    """None until it has begun."""


@dataclass
class Team:
    """Workers of one engine, and the chunks that they still have to compute."""

    engine: Engine
    count: int
    describe: Callable[[int], str] = "chunk {}".format
    """What a chunk is called in an error: its cases."""
    replaced: int = 0
    """How many workers ended before their work was done."""
    _members: list[_Member] = field(default_factory=list)
    _started: int = 0

    def run(
        self, chunks: Sequence[int], again: Iterable[int], take: Callable[[Answer], None]
    ) -> None:
        """Compute `chunks`, and those of `again` once more on another worker than the first.

        `take` is called with every answer as it comes. InputError where a worker refuses its input,
        or where too many end on one chunk.
        """
        try:
            self._run(deque(chunks), set(again), take)
        except BaseException:
            self._close(now=True)
            raise
        self._close(now=False)

    def _run(self, fresh: deque[int], again: set[int], take: Callable[[Answer], None]) -> None:
        first: dict[int, _Seen] = {n: _Seen(-1, "") for n in again - set(fresh)}
        repeats = deque(sorted(first))
        deaths: Counter[int] = Counter()
        busy: _Busy = {}
        for _ in range(self.count):
            self._members.append(self._start(busy))
        while fresh or repeats or any(task.number is not None for task in busy.values()):
            self._hand_out(fresh, repeats, first, busy)
            for future in wait(list(busy), return_when=FIRST_COMPLETED).done:
                task = busy.pop(future)
                try:
                    found = future.result()
                except self.engine.lost:
                    self._replace(task, deaths, busy)
                    if task.number is not None:
                        (repeats if task.again else fresh).appendleft(task.number)
                    continue
                if isinstance(found, Refused):
                    raise InputError(found.line)
                member = task.member
                if isinstance(found, Place):
                    member.place = found
                    continue
                assert member.place is not None, "a worker computes only after it has begun"
                if not task.again and found.number in again:
                    first[found.number] = _Seen(member.number, member.place.machine)
                    repeats.append(found.number)
                take(Answer(found, member.place, task.again))

    def _hand_out(
        self,
        fresh: deque[int],
        repeats: deque[int],
        first: dict[int, _Seen],
        busy: _Busy,
    ) -> None:
        """Give every free worker a chunk to compute again, or else a fresh one."""
        at_work = {id(task.member) for task in busy.values()}
        for member in self._members:
            if member.place is None or id(member) in at_work:
                continue
            number = next((n for n in repeats if self._may_repeat(member, first[n])), None)
            again = number is not None
            if number is not None:
                repeats.remove(number)
            elif fresh:
                number = fresh.popleft()
            else:
                continue
            busy[member.worker.compute(number)] = _Task(member, number, again)

    def _may_repeat(self, member: _Member, first: _Seen) -> bool:
        """Whether it is another worker; on another machine, where there is one."""
        assert member.place is not None, "only workers that have begun are asked"
        if member.number == first.worker:
            return False
        machines = {one.place.machine for one in self._members if one.place is not None}
        return member.place.machine != first.machine or machines == {first.machine}

    def _start(self, busy: _Busy) -> _Member:
        worker = self.engine.start()
        member = _Member(worker, self._started)
        self._started += 1
        busy[worker.begun] = _Task(member, None, again=False)
        return member

    def _replace(
        self,
        task: _Task,
        deaths: Counter[int],
        busy: _Busy,
    ) -> None:
        """Start another worker for one that has ended; InputError where that helps no more."""
        self.replaced += 1
        with suppress(*self.engine.lost):
            task.member.worker.close(now=True)
        deaths[-1 if task.number is None else task.number] += 1
        if task.number is None and deaths[-1] >= MOST_DEATHS:
            raise InputError(
                f"{MOST_DEATHS} workers ended before they began, perhaps for lack of memory; take "
                f"fewer workers"
            )
        if task.number is not None and deaths[task.number] >= MOST_DEATHS:
            raise InputError(
                f"{MOST_DEATHS} workers ended while they attacked {self.describe(task.number)}, "
                f"perhaps for lack of memory; take fewer workers or a smaller chunk "
                f"(--set audit.chunk=16), or give the command without workers to see the error"
            )
        what = "began" if task.number is None else f"attacked {self.describe(task.number)}"
        _log.warning("robust: a worker ended while it %s; another one takes its place", what)
        self._members[self._members.index(task.member)] = self._start(busy)

    def _close(self, *, now: bool) -> None:
        for member in self._members:
            with suppress(*self.engine.lost):
                member.worker.close(now=now or member.place is None)


@dataclass(frozen=True)
class _Task:
    """What a worker is doing: it begins, or computes a chunk."""

    member: _Member
    number: int | None
    again: bool


@dataclass(frozen=True)
class _Seen:
    """Who has computed a chunk first; the worker -1 is of an earlier call."""

    worker: int
    machine: str


_Busy = dict[Future[Any], _Task]
"""What every worker is doing, by the future of its answer."""
