"""Settings of the process are switched on by the first thread within, and off by the last."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
import torch

from robust.models import full_precision
from robust.models.process_state import ProcessState


def test_the_last_to_leave_switches_off() -> None:
    events: list[str] = []

    @contextlib.contextmanager
    def state() -> Iterator[None]:
        events.append("on")
        yield
        events.append("off")

    shared = ProcessState(state)
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with shared():
            entered.set()
            leave.wait(10)

    with shared():
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(10)
    assert events == ["on"]  # this thread has left, the other one is within
    leave.set()
    thread.join()
    assert events == ["on", "off"]
    with pytest.raises(ValueError, match="within"), shared():
        raise ValueError("within")
    assert events == ["on", "off"] * 2


def test_full_precision_lasts_as_long_as_any_thread_needs_it() -> None:
    before = torch.backends.cudnn.deterministic
    first, second = full_precision(), full_precision()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.allow_tf32
    second.__exit__(None, None, None)
    assert torch.backends.cudnn.deterministic == before
