"""Progress where there is no terminal: a line in time, and silence where a command is quick."""

from __future__ import annotations

import threading

import pytest

from robust.progress import EVERY, ProgressLines, progress_bar


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
    assert lines[2] == "PGD at 1/255: 25 % (0:24 elapsed)"
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
