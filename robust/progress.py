"""Progress of a long command: a bar on a terminal, lines where output goes to a file or a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from robust.printable import one_line

Progress = Callable[[float, float, str], None]
"""Called with the work done, the whole work, and what runs now."""


def no_progress(done: float, total: float, label: str) -> None:
    """Show nothing."""


EVERY = 8.0
"""Seconds between two lines; a wait of a second more keeps them below ten."""


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show progress on stderr until the block ends; what it yields takes the news.

    On a terminal this is a bar with the time that is left. Elsewhere it is a line every few
    seconds, also while one stage runs long; a command that is done before prints nothing.
    """
    console = Console(stderr=True)
    with _bar(console) if console.is_terminal else _lines() as show:
        yield show


@contextmanager
def _bar(console: Console) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)

        def show(done: float, total: float, label: str) -> None:
            bar.update(task, completed=done, total=total, description=one_line(label))

        yield show


@contextmanager
def _lines() -> Iterator[Progress]:
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
        yield lines.show
    finally:
        over.set()
        watcher.join()


def _print(line: str) -> None:
    print(one_line(line), file=sys.stderr, flush=True)


class ProgressLines:
    """Prints what runs and how far it is, whenever `EVERY` seconds have gone by."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._began = self._printed = clock()
        self._now: tuple[float, float, str] = (0.0, 0.0, "starting")

    def show(self, done: float, total: float, label: str) -> None:
        """Note where the work is; nothing is printed here."""
        self._now = (done, total, label)

    def tick(self) -> None:
        """Print a line if it is time for one."""
        now = self._clock()
        if now - self._printed < EVERY:
            return
        self._printed = now
        done, total, label = self._now
        share = f" {100 * done / total:.0f} %" if total else ""
        minutes, seconds = divmod(int(now - self._began), 60)
        self._write(f"{label}:{share} ({minutes}:{seconds:02} elapsed)")
