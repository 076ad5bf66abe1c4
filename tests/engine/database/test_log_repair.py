"""The damaged write-ahead log of a killed run: what follows the damage is kept, or named."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robust.engine.database.connection import DATABASE, LOG
from robust.engine.database.log_repair import mend_log
from robust.engine.run_memory import HEAD
from robust.engine.run_store import CleanPrediction, RunStore
from tests.engine.database.stores import IDENTITY, content, fill, in_child
from tests.engine.database.test_repair import flip, overwrite, told, zero

NAME = f"{DATABASE}{LOG}"
HEADER, FRAME, PAGE = 32, 24, 4096


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Any, Any]]:
    """A run that was killed with nearly everything in its log, and all that it had finished."""
    folder = tmp_path_factory.mktemp("killed") / "run"

    def act() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(RunStore, "close", lambda self: os.kill(os.getpid(), signal.SIGKILL))
            fill(folder)

    assert in_child(act) == -signal.SIGKILL
    (folder / f"{DATABASE}-shm").unlink()
    copy = Path(shutil.copytree(folder, folder.with_name("copy")))
    store = RunStore(copy)
    store.identify(IDENTITY)
    assert store.damage is None and len(store.done()) == 18
    expected = content(store)
    store.close()
    return folder, expected


def check(killed: tuple[Path, dict[Any, Any]], folder: Path, log: bytes) -> int:
    """Go on with another log: what is used was stored, what is lost is told; how much was lost."""
    whole, expected = killed
    shutil.copytree(whole, folder)
    (folder / NAME).write_bytes(log)
    reader = RunStore.open_to_read(folder)
    told(reader, expected)
    reader.close()
    store = RunStore(folder)
    store.identify(IDENTITY)
    kept = content(store)
    assert all(kept[key] == expected[key] for key in kept)
    told(store, expected)
    if store.get(HEAD) is None:
        store.put(HEAD, "softmax")
    store.close()
    again = RunStore(folder)
    again.identify(IDENTITY)
    assert again.damage is None and content(again) == kept
    again.close()
    return len(expected) - len(kept)


@pytest.mark.parametrize("mutate", [flip, overwrite, zero], ids=lambda one: one.__name__)
def test_a_damaged_log_loses_nothing_without_a_word(
    killed: tuple[Path, dict[Any, Any]], tmp_path: Path, mutate: Any
) -> None:
    for seed in range(5):
        log = bytearray((killed[0] / NAME).read_bytes())
        mutate(log, random.Random(seed))
        check(killed, tmp_path / str(seed), bytes(log))


@pytest.mark.slow
@pytest.mark.parametrize("mutate", [flip, overwrite, zero], ids=lambda one: one.__name__)
def test_two_hundred_damaged_logs(
    killed: tuple[Path, dict[Any, Any]], tmp_path: Path, mutate: Any
) -> None:
    for seed in range(100, 168):
        log = bytearray((killed[0] / NAME).read_bytes())
        mutate(log, random.Random(seed))
        check(killed, tmp_path / str(seed), bytes(log))


@pytest.mark.parametrize("place", [2, 3, 6, 9, 13, 17, 22, 25, 30])
def test_a_flipped_bit_in_the_header_of_the_log_costs_nothing(
    killed: tuple[Path, dict[Any, Any]], tmp_path: Path, place: int
) -> None:
    log = bytearray((killed[0] / NAME).read_bytes())
    log[place] ^= 1
    assert check(killed, tmp_path / "run", bytes(log)) == 0


@pytest.mark.parametrize("place", [9, 14, 17, 22])
@pytest.mark.parametrize("frame", [0, 7, -1])
def test_a_flipped_bit_in_salt_or_checksum_of_a_frame_costs_nothing(
    killed: tuple[Path, dict[Any, Any]], tmp_path: Path, place: int, frame: int
) -> None:
    log = bytearray((killed[0] / NAME).read_bytes())
    frames = range(HEADER, len(log), FRAME + PAGE)
    log[frames[frame] + place] ^= 4
    assert check(killed, tmp_path / "run", bytes(log)) == 0


def test_a_log_that_was_cut_within_a_transaction_stays_as_it_is(
    killed: tuple[Path, dict[Any, Any]], tmp_path: Path
) -> None:
    """As a kill leaves it: what was not finished is no damage."""
    log = (killed[0] / NAME).read_bytes()
    for cut in (0, 20, HEADER, HEADER + 10, len(log) - 1, len(log) - PAGE, len(log) - 5 * PAGE):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / NAME).write_bytes(log[:cut])
        assert not mend_log(folder / NAME)
        assert (folder / NAME).read_bytes() == log[:cut]
    assert not mend_log(tmp_path / NAME)


def test_frames_of_an_earlier_round_are_left_alone(tmp_path: Path) -> None:
    """After a checkpoint the log is written again from its start, over frames with other salts."""

    def act() -> None:
        store = RunStore(tmp_path)
        store.identify(IDENTITY)
        for number in range(40):
            store.add_clean(number, [CleanPrediction(number, np.zeros(900))], 0.1)
            if number == 30:
                store._database.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(act) == -signal.SIGKILL
    log = (tmp_path / NAME).read_bytes()
    salts = {log[at + 8 : at + 16] for at in range(HEADER, len(log), FRAME + PAGE)}
    assert len(salts) == 2, "both rounds are there"
    assert not mend_log(tmp_path / NAME)
    assert (tmp_path / NAME).read_bytes() == log
    store = RunStore(tmp_path)
    store.identify(IDENTITY)
    assert store.damage is None and len(store.done()) == 40
    store.close()
