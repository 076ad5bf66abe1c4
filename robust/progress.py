"""Progress of a long command: a bar on a terminal, lines where output goes to a file or a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from robust.printable import one_line

Progress = Callable[[float, float, str], None]
"""Called with the work done, the whole work, and what runs now."""
Announce = Callable[[str], None]
"""Called with lines that stay: the folder and the cost of a run, then each stage as it begins."""


def no_progress(done: float, total: float, label: str) -> None:
    """Show nothing."""


def no_announcement(line: str) -> None:
    """Say nothing."""


EVERY = 8.0
"""Seconds between two lines in a log; a wait of a second more keeps them below ten."""
_TELLING = 0.02
"""Share of the work below which the time that is left is not estimated."""
_silent = False


def silence_progress(silent: bool) -> None:
    """Let `progress_bar` show nothing from now on, or show it again."""
    global _silent
    _silent = silent


@dataclass
class StagedProgress:
    """Progress of a whole run from that of its stages: call it with the news of the present one.

    What it hands on never goes back, and reaches the whole with the last stage alone.
    """

    show: Progress = no_progress
    announce: Announce = no_announcement
    _expected: dict[str, float] = field(default_factory=dict)
    """Seconds of the stages that have not ended, in their order."""
    _names: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _ended: float = 0.0
    """Seconds that the stages before the present one took."""
    _stage: str = ""
    _share: float = 0.0

    def __post_init__(self) -> None:
        self._began = self.clock()

    def expect(self, seconds: Mapping[str, float]) -> None:
        """Set how long the stages to come will take; stages that have ended are left out."""
        for name in seconds:
            if name not in self._names:
                self._names.append(name)
        gone = self._names[: self._names.index(self._stage)] if self._stage else []
        self._expected = {name: s for name, s in seconds.items() if name not in gone}

    def left(self) -> float:
        """Expected seconds of the present stage and those after it."""
        return sum(self._expected.values())

    def begin(self, stage: str, *before: str) -> None:
        """Announce a stage, after the lines `before`; nothing where it is not expected.

        All stages before it have ended.
        """
        if stage not in self._names:
            return
        for name in list(self._expected):
            if name == stage:
                break
            del self._expected[name]
        self._ended, self._stage = self.clock() - self._began, stage
        place = f"Stage {self._names.index(stage) + 1} of {len(self._names)}: {stage}"
        self.announce("\n".join([*before, place]))
        self(0, 0, stage)

    def __call__(self, done: float, total: float, label: str) -> None:
        """News of the present stage: its work done, its whole work, and what runs now."""
        own = self._expected.get(self._stage, 0.0)
        within = own * min(done / total, 1.0) if total else 0.0
        whole = self._ended + self.left()
        self._share = max(self._share, (self._ended + within) / whole if whole else 0.0)
        self.show(self._share, 1.0, label)


class Shown:
    """What a command shows: call it with news of the work, or let it announce a line."""

    def __init__(self, show: Progress, announce: Announce) -> None:
        self._show = show
        self.announce = announce

    def __call__(self, done: float, total: float, label: str) -> None:
        """Show how far the work is."""
        self._show(done, total, label)


@contextmanager
def progress_bar() -> Iterator[Shown]:
    """Show progress on stderr until the block ends; what it yields takes the news.

    On a terminal this is a bar with the time that is left. Elsewhere it is a line every few
    seconds, also while one stage runs long; a command that is done before prints nothing but what
    is announced. After `silence_progress` it shows nothing.
    """
    if _silent:
        yield Shown(no_progress, no_announcement)
        return
    console = Console(stderr=True)
    with _bar(console) if console.is_terminal else _lines() as shown:
        yield shown


class TimeLeft:
    """The time that is left, from the whole time so far: stages differ too much for a speed.

    While one long step runs nothing is reported: then it falls with the clock.
    """

    def __init__(self) -> None:
        self._share = self._elapsed = 0.0

    def note(self, elapsed: float, share: float) -> None:
        """Take in the share of the work that is done after `elapsed` seconds."""
        if share != self._share:
            self._share, self._elapsed = share, elapsed

    def text(self, elapsed: float) -> str:
        """`, about 1:20 left`; empty at the start and at the end of the work."""
        share = self._share
        if not _TELLING <= share < 1:
            return ""
        left = self._elapsed * (1 - share) / share - (elapsed - self._elapsed)
        return f", about {clock_text(left)} left" if left >= 1 else ", longer than expected"


class _Left(ProgressColumn):
    """The time that is left, on a terminal."""

    def __init__(self) -> None:
        super().__init__()
        self._left = TimeLeft()

    def render(self, task: Task) -> Text:
        """As minutes and seconds."""
        elapsed = task.elapsed or 0.0
        self._left.note(elapsed, task.completed / task.total if task.total else 0.0)
        return Text(f"{clock_text(elapsed)} elapsed{self._left.text(elapsed)}")


@contextmanager
def _bar(console: Console) -> Iterator[Shown]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        _Left(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: float, total: float, label: str) -> None:
            if total:
                bar.update(task, completed=done, total=total, description=one_line(label))
            else:
                bar.update(task, description=one_line(label))

        def announce(line: str) -> None:
            for part in line.splitlines():
                bar.console.print(one_line(part), markup=False, highlight=False, soft_wrap=True)

        yield Shown(show, announce)


@contextmanager
def _lines() -> Iterator[Shown]:
    lines, over = ProgressLines(_print), threading.Event()

    def watch() -> None:
        try:
            while not over.wait(1.0):
                lines.tick()
        except (OSError, ValueError):  # nobody reads stderr any more
            return

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield Shown(lines.show, lines.announce)
        lines.release()
    finally:
        over.set()
        watcher.join()


def _print(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)


class ProgressLines:
    """Prints what runs and how far it is, whenever `EVERY` seconds have gone by.

    What is announced is printed at once, but the first announcement waits for the second, or for
    `EVERY` seconds: of a command whose input is refused at once, the error is the only line.
    """

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._began = self._printed = clock()
        self._now: tuple[float, float, str] = (0.0, 0.0, "starting")
        self._left = TimeLeft()
        self._held: str | None = None
        self._opened = False
        self._lock = threading.Lock()

    def show(self, done: float, total: float, label: str) -> None:
        """Note where the work is; nothing is printed here."""
        self._now = (done, total, label)
        self._left.note(self._clock() - self._began, done / total if total else 0.0)

    def announce(self, line: str) -> None:
        """Print lines, the first of all a little later."""
        if not self._opened:
            self._opened, self._held = True, line
            return
        self.release()
        self._printed = self._clock()
        for part in line.splitlines():
            self._write(part)

    def release(self) -> None:
        """Print what still waits."""
        with self._lock:
            held, self._held = self._held, None
        for part in (held or "").splitlines():
            self._write(part)

    def tick(self) -> None:
        """Print a line if it is time for one."""
        now = self._clock()
        if now - self._printed < EVERY:
            return
        self._printed = now
        self.release()
        done, total, label = self._now
        share = f" {100 * done / total:.0f} %" if total else ""
        elapsed = now - self._began
        self._write(f"{label}:{share} ({clock_text(elapsed)} elapsed{self._left.text(elapsed)})")


def clock_text(seconds: float) -> str:
    """`1:05` or `2:01:05`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
