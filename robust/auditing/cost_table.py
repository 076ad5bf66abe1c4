"""What a dry run has found, as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from robust.auditing.cost import rounded
from robust.auditing.dry_run import DryRun
from robust.progress import clock_text
from robust.report.text.format import counted

MOST_CLASSES = 8
"""Named with their numbers of cases."""


def cost_table(found: DryRun) -> Table:
    """Cases, passes, time and disk, a line each."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("Cases", cases_text(found))
    if found.findings:
        table.add_row("Findings", _findings_text(found))
    table.add_row(
        "Attacks",
        f"{counted(found.attacks, 'attack')} at {counted(found.sizes, 'size')} (eps): "
        f"{counted(found.cells, 'run')} of an attack on all cases",
    )
    if found.black_box:
        table.add_row("Queries", f"about {rounded(found.passes)} to the black box, all stages")
    else:
        passes = f"at most {rounded(found.passes)} of single images through the network"
        table.add_row("Passes", passes)
    speed = found.speed
    if not speed.gradients:
        table.add_row("Gradients", "none: only attacks that need no gradient can run")
    shape = " x ".join(map(str, speed.shape))
    of = f" for {found.findings[0]}" if found.findings else ""
    does, well = ("reads", "correctly") if found.classes else ("outlines", "well")
    table.add_row(
        "Measured",
        f"on {counted(speed.images, 'image')} of {shape}: {_short(speed.read)} to read and predict "
        f"one, {_short(speed.each)} a pass; the model {does} {speed.correct} of {speed.images} "
        f"{well}{of}",
    )
    by = "" if found.workers == 1 else f", with {found.workers} workers"
    time = between_text(found.least_seconds, found.seconds)
    table.add_row("Time", f"{time} (minutes:seconds){by}")
    for stage, seconds in found.stages.items():
        if seconds >= max(1, 0.05 * found.seconds):
            table.add_row("", f"  {clock_text(seconds)} {stage}")
    table.add_row("Disk", f"about {disk_text(found.bytes)} in the run folder")
    return table


def between_text(least: float, most: float) -> str:
    """`at most about 5:10`; with curve cells, `about 2:00 if ..., at most 5:10`."""
    if clock_text(least) == clock_text(most):
        return f"at most about {clock_text(most)}"
    return (
        f"about {clock_text(least)} if curve cells find every case misread at a smaller eps, "
        f"at most {clock_text(most)}"
    )


def _findings_text(found: DryRun) -> str:
    """How many are audited, and which are not."""
    out = "; ".join(f"not {name}: {why}" for name, why in found.not_audited.items())
    text = f"{len(found.findings)}, each with an audit of its own"
    return f"{text}; {out}" if out else text


def cases_text(found: DryRun) -> str:
    """How many cases, of which groups and, where labels are classes, of which classes."""
    named = sorted(found.classes.items(), key=lambda one: -one[1])
    parts = [f"{name} {count}" for name, count in named[:MOST_CLASSES]]
    if len(named) > MOST_CLASSES:
        parts.append(f"{len(named) - MOST_CLASSES} more classes")
    of = f" of {found.groups} patients or lesions" if found.grouped else ", no groups known"
    return f"{found.cases}{of}" + (f" ({', '.join(parts)})" if parts else "")


def disk_text(count: int) -> str:
    """Bytes in MB, with one digit below 10."""
    size = count / 1e6
    return f"{size:.1f} MB" if size < 10 else f"{size:,.0f} MB"


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
