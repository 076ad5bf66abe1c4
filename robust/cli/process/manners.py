"""How a command talks: `--json`, `--quiet`, `--verbose`, given before the command or after it."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import json
import math
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from robust.cli.process.streams import output_as_errors
from robust.progress import silence_progress

MESSAGES = "Messages"
"""Panel of `--help` for these options."""

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the result as JSON, and nothing else, on stdout.",
        rich_help_panel=MESSAGES,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print errors alone; files are written all the same.",
        rich_help_panel=MESSAGES,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Print the versions of all packages, and of an unexpected error where it arose.",
        rich_help_panel=MESSAGES,
    ),
]


@dataclass
class Manners:
    """How the command that runs talks."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    result: Any = None
    """What `--json` will print; None for nothing yet."""

    def ask(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        """Add what was asked for; what was asked for before the command stays."""
        if verbose and not self.verbose:
            print(versions_text(), file=sys.stderr)
        self.as_json, self.quiet = self.as_json or as_json, self.quiet or quiet
        self.verbose = self.verbose or verbose
        silence_progress(self.quiet)


_current = Manners()


def manners() -> Manners:
    """How the command that runs talks."""
    return _current


@contextlib.contextmanager
def fresh_manners() -> Iterator[None]:
    """Nothing is asked for until a command asks; as before once the block ends."""
    global _current
    before, _current = _current, Manners()
    try:
        yield
    finally:
        _current = before
        silence_progress(before.quiet)


def emit(result: Callable[[], Any]) -> None:
    """Hand over what makes the plain values that `--json` prints; not called without it."""
    if _current.as_json:
        _current.result = result()


def with_manners(command: Callable[..., None]) -> Callable[..., None]:
    """The command with these options after it.

    With `--json` whatever else is printed goes to stderr: networks and libraries print, too.
    """
    own = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
    ]
    kinds = {"as_json": AsJson, "quiet": Quiet, "verbose": Verbose}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in kinds.items()
    ]

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        asked = {one.name: arguments.pop(one.name) for one in added}
        _current.ask(**asked)
        if not _current.as_json:
            command(**arguments)
            return
        try:
            with output_as_errors():
                command(**arguments)
        finally:  # also where a gate did not pass, which ends a command
            if _current.result is not None:
                print(json_text(_current.result))

    # Typer reads the options from the signature; the wrapped command's would hide these.
    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    return run


def json_text(value: Any) -> str:
    """JSON that no terminal, CI or encoding changes or takes for a command.

    A number that is none, such as NaN, becomes null.
    """
    text = json.dumps(_finite(value), indent=1, allow_nan=False)
    return text.replace("##", "#\\u0023")  # stands in strings alone; CI read ##[...]


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions_text() -> str:
    """`robust 0.2.0, Python 3.11.7, Linux ...` and all packages that it needs, on one line."""
    parts = [
        f"robust {importlib.metadata.version('robust-audit')}",
        f"Python {platform.python_version()}",
        platform.platform(),
    ]
    for line in importlib.metadata.requires("robust-audit") or ():
        name = re.split(r"[^\w.-]", line, maxsplit=1)[0]
        if "extra ==" not in line:
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                parts.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join(parts)
