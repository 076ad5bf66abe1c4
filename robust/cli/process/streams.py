"""Standard output and error that never end a command, in any encoding, read by any CI."""

from __future__ import annotations

import codecs
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO, cast

from robust.printable import printable

PLAIN = "robust-plain"
"""Name of the error handler for characters that an encoding does not have."""

_IN_ASCII = {
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "±": "+-",
    "×": "x",  # noqa: RUF001
    "·": "*",
    "•": "*",
    "−": "-",  # noqa: RUF001
    "‐": "-",  # noqa: RUF001
    "‑": "-",  # noqa: RUF001
    "–": "-",  # noqa: RUF001
    "—": "-",
    "…": "...",
    "‘": "'",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "“": '"',
    "”": '"',
    "→": "->",
    "←": "<-",
    "↑": "^",
    "↓": "v",
    "²": "^2",
    "³": "^3",
    "µ": "u",
    "μ": "u",
    "σ": "sigma",  # noqa: RUF001
    "ε": "eps",
    "√": "sqrt",
    "━": "-",
    "─": "-",
    "╸": "-",
    "╺": "-",
    "│": "|",
    "\N{NO-BREAK SPACE}": " ",
    "\N{REPLACEMENT CHARACTER}": "?",
}
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")
_CONTROL = re.compile(r"(\x1b\[[0-9;?]*[A-Za-z]|\r)")
"""What a progress bar sends to a terminal, colours among it."""
_COLOURED = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "CLICOLOR_FORCE", "TTY_COMPATIBLE")
"""Variables with which rich or typer colours output that goes to no terminal."""
_COLON_COMMAND = re.compile(r"^((?:[^\S\n]|\x1b\[[0-9;]*m)*):(?=:)", re.MULTILINE)
"""`::error::` at the start of a line, blanks before it allowed: a command to GitHub Actions."""
_HASH_COMMAND = re.compile(r"##(?=\w*\[)")
"""`##[error]`, `##vso[task...]`, `##teamcity[...]`: commands wherever they stand in a line."""


def in_plain_text(error: UnicodeError) -> tuple[str, int]:
    """Characters that an encoding lacks as ASCII: those of reports by a sign, others escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    escaped = (
        _IN_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode("ascii") for c in missing
    )
    return "".join(escaped), error.end


codecs.register_error(PLAIN, in_plain_text)


class Output:
    """A text stream for one command: writing to it never fails, and no text on it is a command.

    A pipe that nobody reads or a full disk must not keep a report from being finished or a gate
    from being judged: what can no longer be written is dropped, and `failure` says why.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.failure: OSError | None = None
        self._closed = stream is None
        self._stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self._line_starts = True

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write printable text, in which no line is a command to a CI."""
        safe = self._without_commands(self._shown(text))
        if self._closed:
            self._fail(OSError(errno.EBADF, "the stream is closed"))
        if self.failure is None:
            self._attempt(lambda: self._stream.write(safe))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each of them."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is kept back."""
        if self.failure is None:
            self._attempt(self._stream.flush)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            self._fail(error)
        except ValueError:  # closed meanwhile
            self._fail(OSError(errno.EBADF, "the stream is closed"))

    def _fail(self, error: OSError) -> None:
        if self.failure is not None:
            return
        self.failure = error
        try:  # The interpreter flushes at its end what the stream still holds.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except (OSError, ValueError):
            return

    def _shown(self, text: str) -> str:
        """Printable text, with the colours and cursor movements of rich where it sends them."""
        if self._stream.isatty():
            kept = _CONTROL
        elif any(os.environ.get(name) for name in _COLOURED):
            kept = _COLOUR
        else:
            return printable(text)
        parts = kept.split(text)
        return "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))

    def _without_commands(self, text: str) -> str:
        head, end, rest = ("", "", text) if self._line_starts else text.partition("\n")
        safe = _HASH_COMMAND.sub("## ", head + end + _COLON_COMMAND.sub(r"\1: ", rest))
        line = text.rpartition("\n")[2]
        blank = not _COLOUR.sub("", line).strip()
        self._line_starts = blank and ("\n" in text or self._line_starts)
        return safe


@contextmanager
def safe_streams() -> Iterator[Output]:
    """Let standard output and error be an `Output` until the block ends; yields the former."""
    before = sys.stdout, sys.stderr
    _occupy_standard_handles()
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN)
    output, errors = (Output(stream) for stream in before)
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before
        for stream, own in zip(before, (output, errors), strict=True):
            if stream is None:
                own.close()


@contextmanager
def output_as_errors() -> Iterator[None]:
    """Until the block ends, what goes to standard output goes to standard error.

    Also that of libraries in C and of worker processes, which write to the handle itself.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _occupy_standard_handles() -> None:
    """Open the null device in place of closed standard streams.

    The next file that is opened would take their number, and a library's message would go to it.
    """
    try:
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(handle, True)
    except OSError:  # no null device for this user, or no handle left
        return
    os.close(handle)
