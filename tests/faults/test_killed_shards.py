"""Shards that start at once, some killed at random moments and started again, merge to one report."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.small_audit import Calm, messages, same_outcome
from tests.warm import Running, Warm

MOST_KILLS = 3
"""Of one shard; then it is left alone."""


def run_shards(
    commands: Warm, folder: Path, count: int, rng: random.Random, at_once: int = 4
) -> int:
    """Run all shards in random order, a few at once, and kill at random; returns the kills."""
    waiting = [(k, 0) for k in range(1, count + 1)]
    rng.shuffle(waiting)
    running: list[tuple[Running, int, int, float]] = []
    kills = 0
    while waiting or running:
        while waiting and len(running) < at_once:
            number, tries = waiting.pop()
            command = ("audit", "plan.toml", "--shard", f"{number}/{count}", "--out", "run")
            # At first early, which also a machine that is done in a second does not escape.
            longest = 4 if tries else 0.5
            life = rng.uniform(0, longest) if tries < MOST_KILLS else float("inf")
            dies = time.monotonic() + life
            running.append((commands.start(folder, *command), number, tries, dies))
        time.sleep(0.01)
        for one in list(running):
            process, number, tries, dies = one
            if process.code() is None and time.monotonic() > dies:
                process.send(signal.SIGKILL)
                process.wait()
            if process.code() is not None:
                running.remove(one)
                done = process.wait()
                assert done.code in (0, -signal.SIGKILL), done
                if done.code:
                    kills += 1
                    waiting.insert(rng.randrange(len(waiting) + 1), (number, tries + 1))
    return kills


def merged(commands: Warm, folder: Path, calm: Calm) -> None:
    done = commands.run(folder, "merge", "run", "plan.toml")
    assert done.code == 0, done
    assert not messages(done)
    same_outcome(folder / "run", calm)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_killed_shards_merge_to_the_report_of_a_single_run(
    count: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder, rng = inputs(f"shards{count}"), random.Random(count)
    kills = run_shards(commands, folder, count, rng)
    print(f"{count} shards: {kills} kills")
    assert kills >= min(count, 4), "shards ended before they could be killed"
    merged(commands, folder, calm)


@pytest.mark.slow
def test_a_merge_that_is_killed_goes_on(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder, rng = inputs("merged"), random.Random(0)
    run_shards(commands, folder, 2, rng)
    for _ in range(4):
        running = commands.start(folder, "merge", "run", "plan.toml")
        while running.code() is None and not running.stages():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 3))
        running.send(signal.SIGKILL)
        assert running.wait().code in (0, -signal.SIGKILL)
    merged(commands, folder, calm)
