"""The command line `robust`: its commands, and how errors become one line and an exit code."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Annotated

import typer
from rich.markup import escape

from robust.cli import (
    attack,
    audit,
    bench,
    compare,
    demo,
    fit_detector,
    merge,
    rank,
    report,
    screen,
    sweep,
    train,
)
from robust.cli import list as listing
from robust.cli.drafts import check, init
from robust.cli.output import one_line_logs, print_errors
from robust.cli.process.failures import BAD_INPUT, explain, print_trace
from robust.cli.process.manners import (
    AsJson,
    Quiet,
    Verbose,
    fresh_manners,
    manners,
    with_manners,
)
from robust.cli.process.stopping import INTERRUPTED, as_interrupts
from robust.cli.process.streams import safe_streams
from robust.cli.publishing import schema, view
from robust.errors import InputError
from robust.files import cannot, private_files
from robust.plan.code import own_packages_first

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _register(name: str, command: Callable[..., None], example: str) -> None:
    # Docstrings are wrapped for the source file; the terminal wraps them again.
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    text = "\n\n".join(escape(paragraph.replace("\n", " ")) for paragraph in paragraphs)
    app.command(name, help=text, epilog=example)(with_manners(command))


_register("demo", demo.demo, demo.EXAMPLE)
_register("init", init.init, init.EXAMPLE)
_register("check", check.check, check.EXAMPLE)
_register("audit", audit.audit, audit.EXAMPLE)
_register("merge", merge.merge, merge.EXAMPLE)
_register("attack", attack.attack, attack.EXAMPLE)
_register("report", report.report, report.EXAMPLE)
_register("compare", compare.compare, compare.EXAMPLE)
_register("view", view.view, view.EXAMPLE)
_register("train", train.train, train.EXAMPLE)
_register("sweep", sweep.sweep, sweep.EXAMPLE)
_register("fit-detector", fit_detector.fit_detector, fit_detector.EXAMPLE)
_register("screen", screen.screen, screen.EXAMPLE)
_register("rank", rank.rank, rank.EXAMPLE)
_register("bench", bench.bench, bench.EXAMPLE)
_register("schema", schema.schema, schema.EXAMPLE)
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
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Audit a trained medical image classifier: measure its adversarial robustness."""
    manners().ask(as_json=as_json, quiet=quiet, verbose=verbose)


def main() -> None:
    """Run the command line.

    Bad input, and whatever the disk or the machine refuses, is one line on stderr and exit code 2,
    never a traceback. What it writes can be read by its owner alone.
    """
    with (
        safe_streams() as output,
        fresh_manners(),
        private_files(),
        warnings.catch_warnings(),
        one_line_logs(),
        own_packages_first(),
    ):
        if not sys.warnoptions:  # warnings of libraries would appear beside that one line
            warnings.simplefilter("ignore")
        code, line = _run()
        output.flush()
        lost = output.failure
        if lost is not None and not isinstance(lost, BrokenPipeError) and code == 0:
            code, line = BAD_INPUT, cannot("the output", "be written", lost)
        print_errors([line] if line else [])
    sys.exit(code)


def _run() -> tuple[int, str]:
    """The exit code of the command, and the line that explains it, if one is still to be said."""
    with as_interrupts() as stopped:
        try:
            code = app(prog_name="robust", standalone_mode=False) or 0
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except typer.Exit as ended:
            code = ended.exit_code
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        except Exception as error:  # noqa: BLE001  (every error ends in one line)
            if not isinstance(error, InputError):
                print_trace(error)
            return explain(error)
    if code == INTERRUPTED:  # typer turns an interrupt into this code
        return stopped.code, "interrupted; the same command continues from here"
    return code, ""
