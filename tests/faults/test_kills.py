"""Killed at random moments of every phase and started again, an audit ends in the same report."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.small_audit import AUDIT, Calm, finished, one_line, outcome, phase_of, resumed
from tests.warm import Done, Running, Warm

IN_ORDER = (
    *("start", "clean", "features", "attacks", "detectors", "adaptive"),
    *("scenarios", "probe", "report", "writing"),
)
"""The phases of an audit in the order in which they come."""
PLACES = {phase: place for place, phase in enumerate(IN_ORDER)}


def stop_in(running: Running, phase: str, after: float, number: signal.Signals) -> tuple[str, Done]:
    """Send a signal so many seconds after a phase began; the phase that it hit, and the end."""
    while running.code() is None:
        stages = running.stages()
        if phase == "start" or any(PLACES[phase_of(one)] >= PLACES[phase] for _, one in stages):
            break
        time.sleep(0.005)
    time.sleep(after)
    running.send(number)
    done = running.wait()
    stages = running.stages()
    return phase_of(stages[-1][1]) if stages else "start", done


@dataclass
class Killer:
    """Kills audits at random moments, and counts the phases that it hit."""

    commands: Warm
    calm: Calm
    inputs: Callable[[str], Path]
    rng: random.Random
    hit: Counter[str] = field(default_factory=Counter)
    runs: int = 0

    def chain(self, phases: Sequence[str], share: float = 1.0) -> None:
        """Kill a new audit once in each of these phases, going on in between, then let it end.

        `share`: the kill comes within this share of the time that the phase took undisturbed.
        """
        self.runs += 1
        folder = self.inputs(f"killed{self.runs}")
        before = finished(folder / "run")
        for phase in phases:
            running = self.commands.start(folder, *AUDIT)
            after = self.rng.uniform(0, share * self.calm.seconds[phase])
            found, done = stop_in(running, phase, after, signal.SIGKILL)
            assert done.code in (0, -signal.SIGKILL), done
            if done.code:
                self.hit[found] += 1
            chunks, memos = finished(folder / "run")
            assert before[0] <= chunks and before[1].items() <= memos.items()
            before = chunks, memos
        resumed(self.commands, folder, self.calm)

    def until_each_is_hit(self) -> None:
        """Kill in the phases that were not hit yet; earlier and earlier, for a busy machine."""
        for attempt in range(6):
            missing = [phase for phase in IN_ORDER if not self.hit[phase]]
            if missing:
                self.chain(missing, 0.5**attempt)
        assert set(self.hit) == set(IN_ORDER), self.hit


def test_a_kill_in_each_phase_changes_nothing(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    killer = Killer(commands, calm, inputs, random.Random(0))
    killer.chain(IN_ORDER, 0.1)  # soon: what a phase survives is not hit, and goes again
    killer.until_each_is_hit()


@pytest.mark.slow
def test_sixty_kills_change_nothing(
    commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    killer = Killer(commands, calm, inputs, random.Random(1))
    for _ in range(4):
        killer.chain(IN_ORDER)
    for phase in IN_ORDER * 2:
        killer.chain([phase])
    killer.until_each_is_hit()
    print(f"kills by phase: {dict(killer.hit)}")
    assert sum(killer.hit.values()) >= 50


@pytest.mark.slow
def test_a_kill_while_a_patch_is_made(commands: Warm, inputs: Callable[[str], Path]) -> None:
    """The small audit has none: every other test would make one."""
    found = []
    for name in ("calm", "killed"):
        folder = inputs(name)
        plan = (folder / "plan.toml").read_text(encoding="utf-8")
        plan = plan.replace("[scenarios]", "[scenarios]\npatch = [0.1]")
        (folder / "plan.toml").write_text(plan, encoding="utf-8")
        if name == "killed":
            running = commands.start(folder, *AUDIT)
            while not any(label.startswith("adversarial patch") for _, label in running.stages()):
                assert running.code() is None
                time.sleep(0.005)
            running.send(signal.SIGKILL)
            assert running.wait().code == -signal.SIGKILL
        assert commands.run(folder, *AUDIT).code == 0
        found.append(outcome(folder / "run"))
    assert any(one["name"] == "patch" for one in found[0].report["scenarios"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_signal_is_one_line_and_the_run_goes_on(
    number: signal.Signals, code: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder, rng = inputs("signalled"), random.Random(number)
    for phase in ("attacks", "scenarios"):
        running = commands.start(folder, *AUDIT)
        # Soon, since the undisturbed run may have been slower than this one.
        _, done = stop_in(running, phase, rng.uniform(0, 0.05), number)
        one_line(done, code, "interrupted; the same command continues")
    resumed(commands, folder, calm)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_in_any_phase_is_one_line(
    number: signal.Signals, code: int, commands: Warm, calm: Calm, inputs: Callable[[str], Path]
) -> None:
    folder, rng = inputs("signalled"), random.Random(number)
    for phase in IN_ORDER[1:-1]:
        running = commands.start(folder, *AUDIT)
        _, done = stop_in(running, phase, rng.uniform(0, calm.seconds[phase]), number)
        if done.code:
            one_line(done, code, "interrupted; the same command continues")
    resumed(commands, folder, calm)
