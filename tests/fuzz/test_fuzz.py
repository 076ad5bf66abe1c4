"""Thirty mutants of every target end in one line or in a result; `make fuzz` runs thousands."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robust.errors import InputError
from tests.fuzz import machine, mutations
from tests.fuzz.machine import Files, Outcome, Subject, promise
from tests.fuzz.targets import TARGETS
from tests.warm import Warm

COUNT = 20
FEWER = {"run": 6, "trained": 10, "report.json": 8, "where": 30}
"""Targets of which more take more than ten seconds, or of which fewer are all refused; `make slow`
runs all of them."""
ROOT = Path(__file__).parent.parent.parent


def fuzz(
    commands: Warm, folder: Path, counts: dict[str, int]
) -> tuple[dict[str, dict[str, int]], str]:
    """Counts by target and kind, and what was printed; in a process that forks with one thread."""
    tally = folder / "tally.json"
    given = [f"{name}={count}" for name, count in counts.items()]
    options = ("--workers", 1, "--finds", folder, "--tally", tally)
    running = commands.start(ROOT, *given, *options, module="tests.fuzz")
    done = running.wait(seconds=3600)
    assert tally.exists(), done.out + done.err
    return json.loads(tally.read_text(encoding="utf-8")), done.out


@pytest.fixture(scope="module")
def results(
    commands: Warm, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, dict[str, int]], str]:
    """Of every target of which a test was chosen, one after another in one process."""
    chosen = [item.callspec.params["name"] for item in _items(request) if hasattr(item, "callspec")]
    counts = {name: FEWER.get(name, COUNT) for name in dict.fromkeys(chosen)}
    return fuzz(commands, tmp_path_factory.mktemp("fuzz"), counts)


def _items(request: pytest.FixtureRequest) -> list[Any]:
    wanted = test_mutants_end_in_one_line_or_a_result.__name__
    return [i for i in request.session.items if getattr(i, "originalname", "") == wanted]


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_end_in_one_line_or_a_result(
    name: str, results: tuple[dict[str, dict[str, int]], str]
) -> None:
    counts, printed = results
    assert set(counts[name]) <= {"accepted", "refused"}, printed
    assert sum(counts[name].values()) == FEWER.get(name, COUNT)
    # A target that refuses everything, or nothing, tests nothing.
    assert min(counts[name].get("accepted", 0), counts[name].get("refused", 0)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FEWER)
def test_as_many_mutants_of_what_takes_long(name: str, commands: Warm, tmp_path: Path) -> None:
    counts, printed = fuzz(commands, tmp_path, {name: COUNT})
    assert set(counts[name]) <= {"accepted", "refused"}, printed


# --- the fuzzer itself ---


def obey(folder: Path) -> None:
    """Does what the only file of a mutant says."""
    word = (folder / "order").read_text(encoding="utf-8")
    orders: dict[str, Callable[[], Any]] = {
        "accept": lambda: None,
        "die": lambda: os.kill(os.getpid(), signal.SIGSEGV),
        "exit": lambda: os._exit(3),
        "sleep": lambda: time.sleep(60),
        "grow": lambda: b"\1" * (200 << 20),
        "fail": lambda: {}[word],
        "break": lambda: promise(False, "kept nothing"),
        "refuse": lambda: _raise("no such word"),
        "mumble": lambda: _raise(""),
        "chat": lambda: _raise("one", "two"),
    }
    orders[word]()


def _raise(*lines: str) -> None:
    error = InputError("")
    error.args = ("\n".join(lines),)
    raise error


def outcomes(*words: str, workers: int = 2) -> dict[int, Outcome]:
    subject = Subject([{"order": word.encode()} for word in words], lambda files, _: files, obey)
    found = machine.run(subject, lambda n: subject.seeds[n], range(len(words)), workers)
    return {outcome.number: outcome for outcome in found}


def test_every_kind_of_find_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """And after each the next mutant has its turn: silence above means something."""
    monkeypatch.setattr(machine, "HANG", 0.5)
    monkeypatch.setattr(machine, "MOST_GROWTH", 100)
    words = ("accept", "die", "refuse", "sleep", "exit", "grow", "fail", "break", "mumble", "chat")
    kinds = [outcome.kind for _, outcome in sorted(outcomes(*words).items())]
    assert kinds == [
        *("accepted", "crash", "refused", "hang", "crash", "memory", "traceback", "promise"),
        *("message", "message"),
    ]


def test_a_traceback_names_our_innermost_line() -> None:
    (outcome,) = outcomes("fail").values()
    assert outcome.place.startswith("tests/fuzz/test_fuzz.py:") and "KeyError: 'fail'" in str(
        outcome
    )


def test_a_find_is_saved_and_loaded(tmp_path: Path) -> None:
    files: Files = {"a/b.txt": b"\0\xff", "c": b""}
    path = machine.save(Outcome(7, "crash", "SIGSEGV"), files, "png", 3, tmp_path / "finds")
    assert machine.load(path) == ("png", 7, files)


def test_mutants_depend_on_seed_and_number_alone() -> None:
    def damage(files: Files, rng: random.Random) -> Files:
        return {name: mutations.mutate_bytes(data, rng) for name, data in files.items()}

    subject = Subject([{"a": bytes(range(99))}, {"a": b"x" * 99}], damage, lambda folder: None)
    made = [subject.mutant("x", 0, number) for number in range(20)]
    assert made == [subject.mutant("x", 0, number) for number in range(20)]
    assert made != [subject.mutant("x", 1, number) for number in range(20)]
    assert len({mutant["a"] for mutant in made}) > 15
