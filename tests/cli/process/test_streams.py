"""Output in any encoding, to a stream that fails, and without commands to a terminal or a CI."""

from __future__ import annotations

import errno
import io
import os
import signal
from typing import Any

import pytest

from robust.cli.process.stopping import as_interrupts
from robust.cli.process.streams import PLAIN, Output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_an_encoding_lacks(encoding: str) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding, errors=PLAIN)
    output = Output(stream)
    output.write("L∞ ≤ 1 → 雪")
    output.flush()
    assert content.getvalue() == b"Linf <= 1 -> \\u96ea"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("::error::x\n", ": :error::x\n"),
        ("a\n  ::stop\n", "a\n  : :stop\n"),
        ("a ::b\n", "a ::b\n"),
        ("x ##vso[task]y ##[error]\n", "x ## vso[task]y ## [error]\n"),
        ("\x1b[8m\x1b]0;t\x07", "\\x1b[8m\\x1b]0;t\\x07"),
    ],
)
def test_no_line_is_a_command(written: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    stream = io.StringIO()
    Output(stream).write(written)
    assert stream.getvalue() == shown
    parts = io.StringIO()
    output = Output(parts)
    for part in ("a", "::b\n", "::c"):
        output.write(part)
    assert parts.getvalue() == "a::b\n: :c"


def test_a_stream_that_fails_ends_nothing() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "full")

    output = Output(Full())
    output.write("a")
    output.write("b")
    assert output.failure is not None and output.failure.errno == errno.ENOSPC
    closed: Any = Output(None)
    closed.write("a")
    assert closed.failure is not None
    closed.close()


def test_a_signal_is_an_interrupt() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with as_interrupts() as stopped, pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert stopped.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
