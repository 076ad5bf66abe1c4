"""Progress where there is no terminal: a line in time, and silence where a command is quick."""

from __future__ import annotations

import threading

import pytest

from robust.progress import (
    EVERY,
    ProgressLines,
    StagedProgress,
    TimeLeft,
    progress_bar,
    silence_progress,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_at_least_every_ten_seconds_also_while_nothing_is_reported() -> None:
    clock, lines = Clock(), list[str]()
    told = ProgressLines(lines.append, clock)
    times = []
    for second in range(120):
        clock.now = 100.0 + second
        if second == 20:
            told.show(1, 4, "PGD at 1/255")
        if second == 90:
            told.show(0, 0, "t-SNE plot")
        before = len(lines)
        told.tick()
        times += [second] * (len(lines) - before)
    assert all(b - a <= 10 for a, b in zip([0, *times], times))
    assert lines[0] == "starting: (0:08 elapsed)"
    assert lines[2] == "PGD at 1/255: 25 % (0:24 elapsed, about 0:56 left)"
    assert lines[-1].startswith("t-SNE plot: (1:")


def test_a_quick_command_prints_nothing() -> None:
    clock, lines = Clock(), list[str]()
    told = ProgressLines(lines.append, clock)
    clock.now += EVERY - 0.1
    told.show(1, 2, "clean images")
    told.tick()
    assert not lines


def test_the_watching_thread_ends_with_the_block(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robust.progress.EVERY", 0.0)
    with progress_bar() as progress:
        progress(1, 2, "clean images")
        assert "progress" in {thread.name for thread in threading.enumerate()}
        threading.Event().wait(1.3)
    assert "progress" not in {thread.name for thread in threading.enumerate()}
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("clean images: 50 % (0:0")


def test_the_first_announcement_waits_for_the_second_or_for_its_time() -> None:
    """So the error of a command that is refused at once is its only line."""
    clock, lines = Clock(), list[str]()
    told = ProgressLines(lines.append, clock)
    told.announce("Run folder: run\nStage 1 of 2: clean predictions")
    assert not lines
    told.announce("Stage 2 of 2: attacks")
    assert lines == ["Run folder: run", "Stage 1 of 2: clean predictions", "Stage 2 of 2: attacks"]
    lines = list[str]()
    slow = ProgressLines(lines.append, clock)
    slow.announce("Run folder: run")
    clock.now += EVERY
    slow.tick()
    assert lines[0] == "Run folder: run" and lines[1].startswith("starting:")


def test_the_share_is_of_all_stages_and_never_falls() -> None:
    clock, seen, said = Clock(), list[float](), list[str]()
    staged = StagedProgress(
        lambda done, total, label: seen.append(done / total), said.append, clock=clock
    )
    staged.expect({"clean": 10.0, "attacks": 60.0, "probe": 30.0})
    staged.begin("clean", "Run folder: run")
    staged(1, 2, "images")
    assert seen[-1] == pytest.approx(0.05)
    clock.now += 10
    staged.begin("attacks")
    staged(1, 2, "PGD")
    assert seen[-1] == pytest.approx(0.4)
    staged.expect({"clean": 10.0, "attacks": 600.0, "probe": 300.0})  # ten times as slow as thought
    staged(1, 2, "PGD")
    clock.now += 600
    staged.begin("no such stage")
    staged.begin("probe")
    assert staged.left() == 300.0
    staged(1, 1, "probe finished")
    assert seen[-1] == pytest.approx(1.0) and seen == sorted(seen)
    assert said == [
        "Run folder: run\nStage 1 of 3: clean",
        "Stage 2 of 3: attacks",
        "Stage 3 of 3: probe",
    ]


def left(elapsed: float, share: float, now: float | None = None) -> str:
    told = TimeLeft()
    told.note(elapsed, share)
    return told.text(elapsed if now is None else now)


def test_the_time_that_is_left() -> None:
    assert left(60, 0.25) == ", about 3:00 left" and left(3600, 0.25) == ", about 3:00:00 left"
    assert left(9, 0.001) == left(9, 1.0) == left(9, 0.0) == ""


def test_the_time_that_is_left_falls_while_one_long_step_runs() -> None:
    """A share that stands still must not make the rest of the work look longer and longer."""
    assert [left(60, 0.25, now) for now in (60, 120, 200, 300)] == [
        ", about 3:00 left",
        ", about 2:00 left",
        ", about 0:40 left",
        ", longer than expected",
    ]
    told = TimeLeft()
    for elapsed, share in ((10, 0.5), (30, 0.5), (30, 0.75)):
        told.note(elapsed, share)
    assert told.text(30) == ", about 0:10 left"


def test_progress_is_silent_where_it_is_told_to_be(capfd: pytest.CaptureFixture[str]) -> None:
    silence_progress(True)
    try:
        with progress_bar() as progress:
            progress.announce("Run folder: run")
            progress.announce("Stage 1 of 2")
            progress(1, 2, "images")
    finally:
        silence_progress(False)
    assert capfd.readouterr() == ("", "")
