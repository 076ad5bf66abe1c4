"""Signals that end a command: each is an interrupt, so that what is finished is kept."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C; of another signal it is 128 and its number."""


class Stopped:
    """Which signal asked the command to end."""

    def __init__(self) -> None:
        self.code = INTERRUPTED


@contextmanager
def as_interrupts() -> Iterator[Stopped]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt until the block ends.

    A signal that is ignored, as by nohup, stays so; processes that this one forks end at once.
    """
    stopped, owner, before = Stopped(), os.getpid(), {}

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        stopped.code = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
