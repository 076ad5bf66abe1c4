"""How an error that ends a command becomes one line and an exit code."""

from __future__ import annotations

import errno
import os
import re
import traceback

from robust.cli.process.manners import manners
from robust.errors import InputError, excerpt, first_line
from robust.files import cannot

BAD_INPUT, FAULT = 2, 70

_NO_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory|cannot allocate")
_NO_NAME = re.compile("embedded null (byte|character)|null byte")


def explain(error: Exception) -> tuple[int, str]:
    """Exit code and line: 2 for what the user, the disk or the machine did, else 70."""
    if isinstance(error, InputError):
        return BAD_INPUT, str(error)
    if _is_usage_error(error):
        return BAD_INPUT, _usage(error)
    if _is_about_memory(error):
        return BAD_INPUT, (
            "there is not enough memory; close other programs, or take fewer or smaller images "
            "(--limit, --set audit.chunk=16, --set data.size=224)"
        )
    if isinstance(error, OSError):
        return BAD_INPUT, _system_line(error)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return BAD_INPUT, (
            "no more threads can be started; raise the limits of processes and of memory "
            "(ulimit -u, ulimit -v)"
        )
    if isinstance(error, ValueError) and _NO_NAME.search(str(error)):
        return BAD_INPUT, "a file name holds a zero byte; check the names"
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        return BAD_INPUT, (
            f"the name {excerpt(error.object)} cannot be written in {error.encoding}, the encoding "
            f"of this system; set PYTHONUTF8=1 or choose another name"
        )
    return FAULT, (
        f"this is a fault in robust: {type(error).__name__}: {excerpt(error, 500)}; "
        f"--verbose shows where"
    )


def print_trace(error: Exception) -> None:
    """Where an error arose, on stderr, with `--verbose` or ROBUST_TRACEBACK=1; else nothing.

    Not of what the user mistyped.
    """
    wanted = manners().verbose or os.environ.get("ROBUST_TRACEBACK")
    if wanted and not _is_usage_error(error):
        traceback.print_exception(error)


def _is_usage_error(error: Exception) -> bool:
    """Whether typer found the mistake; its classes have no public home in every version."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage(error: Exception) -> str:
    """Typer's message; empty where it has already printed the help in its place."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    message: str = error.format_message()  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", None) or "robust"
    return f"{excerpt(message, 600).removesuffix('.')}; see {excerpt(path)} --help"


def _is_about_memory(error: Exception) -> bool:
    """Whether memory was refused; torch has its own errors for it, pyarrow another."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(first_line(error).lower()))


def _system_line(error: OSError) -> str:
    name = error.filename if error.filename is not None else error.filename2
    if name is None:
        return cannot("a file or connection", "be used", error)
    shown = os.fsdecode(name) if isinstance(name, str | bytes) else str(name)
    return cannot(shown, "be used", error)
