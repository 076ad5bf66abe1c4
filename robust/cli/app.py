"""The command line `robust`: its commands, and how errors become one line and an exit code."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from robust.cli import attack, audit, bench, compare, demo, fit_detector, report, screen, train
from robust.cli import list as listing
from robust.errors import InputError

BAD_INPUT, BUG, INTERRUPTED = 2, 70, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register(name: str, command: Callable[..., None], example: str) -> None:
    # Docstrings are wrapped for the source file; the terminal wraps them again.
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    text = "\n\n".join(escape(paragraph.replace("\n", " ")) for paragraph in paragraphs)
    app.command(name, help=text, epilog=example)(command)


_register("demo", demo.demo, demo.EXAMPLE)
_register("audit", audit.audit, audit.EXAMPLE)
_register("attack", attack.attack, attack.EXAMPLE)
_register("report", report.report, report.EXAMPLE)
_register("compare", compare.compare, compare.EXAMPLE)
_register("train", train.train, train.EXAMPLE)
_register("fit-detector", fit_detector.fit_detector, fit_detector.EXAMPLE)
_register("screen", screen.screen, screen.EXAMPLE)
_register("bench", bench.bench, bench.EXAMPLE)
_register("list", listing.list_, listing.EXAMPLE)


def _version(requested: bool) -> None:
    if requested:
        import importlib.metadata

        print(f"robust {importlib.metadata.version('robust-audit')}")
        raise typer.Exit


@app.callback()
def _robust(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Audit a trained medical image classifier: measure its adversarial robustness."""


def main() -> None:
    """Run the command line. Bad input is one line on stderr and exit code 2, never a traceback."""
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:  # warnings of libraries would appear beside that one line
                warnings.simplefilter("ignore")
            app()
    except InputError as error:
        _fail(" ".join(str(error).split()), BAD_INPUT)
    except (KeyboardInterrupt, SystemExit) as ended:
        # Typer turns an interrupt into a silent exit.
        if isinstance(ended, SystemExit) and ended.code != INTERRUPTED:
            raise
        _fail("interrupted; the same command continues from here", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if os.environ.get("ROBUST_TRACEBACK"):
            raise
        line = " ".join(f"{type(error).__name__}: {error}".split())
        _fail(f"this is a fault in robust: {line}; ROBUST_TRACEBACK=1 shows where", BUG)


def _fail(message: str, code: int) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"robust: {message}", markup=False)
    sys.exit(code)
