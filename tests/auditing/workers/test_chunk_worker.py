"""A worker finds for each chunk, in any order, what a single run finds, and keeps nothing of it."""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

import pytest
import torch

from robust.auditing import audit_plan
from robust.auditing.attack_stage import computing
from robust.auditing.request import RunSettings, open_request
from robust.auditing.shards import settle
from robust.auditing.workers.chunk_worker import (
    ChunkWorker,
    Place,
    Refused,
    Serving,
    WorkerSettings,
)
from robust.engine.run_directory import open_run
from robust.engine.run_store import RunStore
from robust.errors import InputError
from tests.auditing.workers.small import plan, write_plans


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plans(tmp_path_factory.mktemp("workers"))


@pytest.fixture(autouse=True)
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def settings(folder: Path, tmp_path: Path) -> WorkerSettings:
    request = open_request(plan(folder, "short"), RunSettings(device="cpu"))
    directory = open_run(tmp_path / "settling")
    with computing("cpu"):
        stage = settle(request, directory.store)
    keys = [cell.key for cell in stage.session.cells]
    (tmp_path / "shared").mkdir()
    settled = tmp_path / "shared" / "settled.sqlite"
    directory.store.snapshot(settled, without=keys)
    directory.close(keep=True)
    return WorkerSettings(request.plan, "cpu", False, settled, str(folder), tuple(sys.path))


def test_a_worker_finds_what_a_single_run_finds(
    folder: Path, settings: WorkerSettings, tmp_path: Path
) -> None:
    audit_plan(plan(folder, "short"), out=tmp_path / "run", device="cpu")
    whole = RunStore.open_to_read(tmp_path / "run")
    keys = {cell for cell, _ in whole.done()}
    order = list(range(6))
    random.Random(0).shuffle(order)
    handlers, threads = logging.getLogger("robust").handlers, torch.get_num_threads()
    worker = ChunkWorker(settings)
    for number in [*order, order[0]]:
        result = worker.compute(number)
        assert result.number == number and not result.warnings and result.sizes is not None
        # The first chunk was predicted when the run was settled.
        assert {rows.cell for rows in result.rows} == keys - ({"clean"} if number == 0 else set())
        for rows in result.rows:
            first, stop = 8 * number, 8 * number + 8
            if rows.cell == "clean":
                expected = [str(one) for one in whole.clean(first, stop)]
                assert [str(one) for one in rows.clean()] == expected
            else:
                expected = [str(one) for one in whole.outcomes(rows.cell, first, stop)]
                assert [str(one) for one in rows.outcomes()] == expected
        assert worker._store.done() == {("clean", 0)}
    whole.close()
    worker.close()
    assert [one.name for one in (tmp_path / "shared").iterdir()] == ["settled.sqlite"]
    assert logging.getLogger("robust").handlers is handlers
    assert torch.get_num_threads() == threads


def test_an_image_that_cannot_be_read_is_an_answer(
    folder: Path, settings: WorkerSettings, tmp_path: Path
) -> None:
    serving = Serving()
    assert isinstance(serving.begin(settings), Place)
    image = folder / "images" / "test40.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:50])
    try:
        found = serving.compute(5)
        assert isinstance(found, Refused) and "test40.png" in found.line
    finally:
        image.write_bytes(whole)
    serving.close()


def test_a_folder_that_another_machine_lacks_is_named(settings: WorkerSettings) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match="a worker does not find the folder /no/such"):
        ChunkWorker(replace(settings, folder="/no/such"))
    answer = Serving().begin(replace(settings, folder="/no/such"))
    assert isinstance(answer, Refused)
