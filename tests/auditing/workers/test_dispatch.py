"""Chunks go to whoever is free, the dead are replaced, and another worker computes some again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from robust.auditing.workers.chunk_worker import ChunkResult, Place, Refused
from robust.auditing.workers.dispatch import MOST_DEATHS, Answer, Team
from robust.errors import InputError


class Died(Exception):
    pass


@dataclass
class Pretender:
    """A worker that answers at once, or dies."""

    number: int
    crew: Crew
    closed: bool | None = None

    def __post_init__(self) -> None:
        machine = self.crew.machines[self.number % len(self.crew.machines)]
        self.begun: Future[Place | Refused] = Future()
        if self.number in self.crew.stillborn:
            self.begun.set_exception(Died())
        else:
            self.begun.set_result(Place(f"processor {self.number}", machine))

    def compute(self, number: int) -> Future[ChunkResult | Refused]:
        self.crew.computed.append((self.number, number))
        found: Future[ChunkResult | Refused] = Future()
        if self.crew.refuses == number:
            found.set_result(Refused("a.png cannot be read"))
        elif self.crew.deadly[number] > 0:
            self.crew.deadly[number] -= 1
            found.set_exception(Died())
        else:
            found.set_result(ChunkResult(number, (), None, ()))
        return found

    def close(self, *, now: bool) -> None:
        self.closed = now


@dataclass
class Crew:
    machines: tuple[str, ...] = ("here",)
    deadly: Counter[int] = field(default_factory=Counter)
    """How many workers still die of a chunk."""
    stillborn: tuple[int, ...] = ()
    refuses: int | None = None
    computed: list[tuple[int, int]] = field(default_factory=list)
    """Worker and chunk, in order."""
    workers: list[Pretender] = field(default_factory=list)
    name: str = "pretenders"
    lost: tuple[type[BaseException], ...] = (Died,)

    def start(self) -> Pretender:
        self.workers.append(Pretender(len(self.workers), self))
        return self.workers[-1]


def run(
    crew: Crew,
    chunks: int = 12,
    again: tuple[int, ...] = (),
    count: int = 3,
    take: Callable[[Answer], None] = lambda answer: None,
) -> tuple[Team, list[Answer]]:
    answers: list[Answer] = []

    def both(answer: Answer) -> None:
        take(answer)
        answers.append(answer)

    team = Team(crew, count, lambda number: f"cases of {number}")
    team.run(range(chunks), again, both)
    return team, answers


def test_every_chunk_is_computed_once_and_some_again_by_another_worker() -> None:
    crew = Crew()
    team, answers = run(crew, again=(0, 7, 11))
    assert sorted(a.result.number for a in answers if not a.again) == list(range(12))
    assert sorted(a.result.number for a in answers if a.again) == [0, 7, 11]
    for number in (0, 7, 11):
        first, second = [worker for worker, chunk in crew.computed if chunk == number]
        assert first != second
    assert len({worker for worker, _ in crew.computed}) == 3 and not team.replaced
    assert [worker.closed for worker in crew.workers] == [False] * 3


def test_another_machine_computes_again_where_there_is_one() -> None:
    crew = Crew(machines=("here", "here", "there"))
    run(crew, again=(0, 1, 2, 3, 4))
    for number in range(5):
        first, second = [worker for worker, chunk in crew.computed if chunk == number]
        assert (first == 2) != (second == 2)


def test_what_an_earlier_call_has_computed_is_computed_again_by_anybody() -> None:
    crew = Crew()
    _, answers = run(crew, chunks=0, again=(4,), count=2)
    assert [(a.result.number, a.again) for a in answers] == [(4, True)]


def test_the_dead_are_replaced_and_their_chunk_runs_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    crew = Crew(deadly=Counter({3: MOST_DEATHS - 1, 5: 1}))
    team, answers = run(crew, again=(3,))
    assert Counter(a.result.number for a in answers if not a.again) == Counter(range(12))
    assert team.replaced == MOST_DEATHS and len(crew.workers) == 3 + MOST_DEATHS
    assert (
        caplog.messages.count(
            "robust: a worker ended while it attacked cases of 5; another one takes its place"
        )
        == 1
    )
    assert sum(worker.closed is True for worker in crew.workers) == MOST_DEATHS


def test_a_chunk_on_which_every_worker_dies_ends_the_run_in_one_line() -> None:
    crew = Crew(deadly=Counter({3: 100}))
    taken: list[int] = []
    with pytest.raises(InputError, match="3 workers ended while they attacked cases of 3") as ended:
        run(crew, take=lambda answer: taken.append(answer.result.number))
    assert "\n" not in str(ended.value) and 3 not in taken
    assert [number for _, number in crew.computed].count(3) == MOST_DEATHS
    assert all(worker.closed for worker in crew.workers)


def test_workers_that_die_before_they_begin_end_the_run_in_one_line() -> None:
    with pytest.raises(InputError, match="3 workers ended before they began"):
        run(Crew(stillborn=tuple(range(100))))
    team, answers = run(Crew(stillborn=(1,)))
    assert team.replaced == 1 and len(answers) == 12


def test_a_refused_input_or_an_interrupt_ends_all_workers() -> None:
    crew = Crew(refuses=5)
    with pytest.raises(InputError, match=r"^a\.png cannot be read$"):
        run(crew)
    assert all(worker.closed for worker in crew.workers)

    def interrupt(answer: Answer) -> None:
        raise KeyboardInterrupt

    crew = Crew()
    with pytest.raises(KeyboardInterrupt):
        run(crew, take=interrupt)
    assert all(worker.closed for worker in crew.workers)
