"""The attack stage of an audit on workers: the driver settles, hands out, and alone writes."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from robust.auditing.attack_stage import AttackStage
from robust.auditing.request import AuditRequest
from robust.auditing.workers.chunk_worker import WorkerSettings
from robust.auditing.workers.dispatch import Answer, Engine, Team
from robust.auditing.workers.processes import Processes
from robust.engine.cells import misread_cells, running_order
from robust.engine.run_memory import AGAIN, CASES_AT_ONCE, START, WORKERS
from robust.engine.run_store import RunStore
from robust.engine.sharding.again import chosen_chunks, compare
from robust.models import choose_device
from robust.plan.machines import WorkerChoice
from robust.records import ComputedAgain, Workers

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Crew:
    """The workers that there will be."""

    count: int
    threads: int
    """Threads of each, where the run does not have a number yet."""
    engine: Callable[[WorkerSettings, int], Engine]
    """What starts them, from the number of their threads."""


@contextmanager
def gather(choice: WorkerChoice, device: str) -> Iterator[Crew]:
    """The workers that were asked for; InputError where there cannot be so many."""
    if choice.engine == "ray":
        from robust.auditing.workers.ray_cluster import connected

        with connected(choice, device) as cluster:
            yield Crew(cluster.count, cluster.threads, cluster.engine)
        return
    assert choice.count is not None, "WorkerChoice has a number of processes"
    devices = [device]
    if choose_device(device).type == "cuda" and torch.device(choose_device(device)).index is None:
        devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    threads = max(1, torch.get_num_threads() // choice.count)
    yield Crew(choice.count, threads, lambda settings, _: Processes(settings, tuple(devices)))


def settle_threads(request: AuditRequest, store: RunStore, crew: Crew) -> None:
    """Let the run, the driver included, compute with the threads of one worker from its start."""
    store.identify(request.identity)
    if store.get(START) is None:
        torch.set_num_threads(crew.threads)


def attack_on_workers(request: AuditRequest, stage: AttackStage, crew: Crew) -> None:
    """Attack all chunks that are not finished, and one in a hundred again on another worker.

    `stage` is settled. InputError where a worker refuses its input or too many end.
    """
    driver = _Driver(request, stage, crew)
    with tempfile.TemporaryDirectory(prefix="robust-", ignore_cleanup_errors=True) as scratch:
        settled = Path(scratch) / "settled.sqlite"
        stage.session.store.snapshot(settled, without=driver.keys)
        driver.run(settled)


class _Driver:
    """Takes the answers of workers into the store of the run."""

    def __init__(self, request: AuditRequest, stage: AttackStage, crew: Crew) -> None:
        self.request, self.crew = request, crew
        self.session = stage.session
        self.store, self.seed = stage.session.store, stage.seed
        own = {cell.key: cell for cell in running_order(stage.session.cells)}
        self.cells = {**own, **misread_cells(list(own.values()))}
        self.keys = list(self.cells)
        """Keys of the outcomes of every attack."""
        self.chunks = stage.session.runner.chunks
        self.done = self.store.done()
        self.first_processor: dict[int, str] = {}

    def run(self, settled: Path) -> None:
        """Hand out what is left."""
        left = [n for n in range(len(self.chunks)) if not self._finished(n)]
        again: list[int] = []
        if self.crew.count > 1:
            chosen = chosen_chunks(len(self.chunks), self.seed)
            again = [n for n in chosen if self.store.get(AGAIN.of(n)) is None]
        if not left and not again:
            return
        threads = torch.get_num_threads()
        settings = WorkerSettings(
            plan=self.request.plan,
            device=self.request.device,
            skip_broken=self.request.skip_broken,
            settled=settled,
            folder=os.getcwd(),
            modules=tuple(sys.path),
        )
        engine = self.crew.engine(settings, threads)
        team = Team(engine, min(self.crew.count, max(len(left), 2)), self._cases)
        known = self.store.get(WORKERS)
        self.workers = Workers(
            count=self.crew.count,
            engine=engine.name,
            threads=threads,
            processors=known.processors if known else (),
            chunks=len(self.chunks),
            replaced=known.replaced if known else 0,
        )
        self.total, self.answers = len(left) + len(again), 0
        self._show()
        team.run(left, again, self._take)
        replaced = self.workers.replaced + team.replaced
        self.store.put(WORKERS, replace(self.workers, replaced=replaced))

    def _finished(self, number: int) -> bool:
        return all((key, number) in self.done for key in ("clean", *self.keys))

    def _take(self, answer: Answer) -> None:
        result, processor = answer.result, answer.place.processor
        for line in () if answer.again else result.warnings:
            _log.warning("%s", line)
        if answer.again:
            self._compare(answer)
        else:
            for rows in result.rows:
                if (rows.cell, rows.chunk) not in self.done:
                    self.store.add_rows(rows)
            self.first_processor[result.number] = processor
        if result.sizes is not None:
            known = self.store.get(CASES_AT_ONCE)
            joined = result.sizes if known is None else known.joined(result.sizes)
            if joined != known:
                self.store.put(CASES_AT_ONCE, joined)
        if processor not in self.workers.processors:
            processors = (*self.workers.processors, processor)
            self.workers = replace(self.workers, processors=processors)
            self.store.put(WORKERS, self.workers)
        self.answers += 1
        self._show()

    def _compare(self, answer: Answer) -> None:
        number, second = answer.result.number, answer.place.processor
        cells = compare(
            *(self.store, self.cells, answer.result.rows, self.chunks[number]),
            *(self.session.task, self.session.cases.entries),
        )
        first = self.first_processor.get(number, second)
        both = tuple(dict.fromkeys((first, second)))
        self.store.put(AGAIN.of(number), ComputedAgain(1, both, cells))

    def _show(self) -> None:
        label = f"attacks on {self.crew.count} workers"
        self.session.progress(self.answers, self.total, label)

    def _cases(self, number: int) -> str:
        rows = self.chunks[number]
        return f"cases {rows.start + 1} to {rows.stop}"
