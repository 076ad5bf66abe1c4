"""`robust fit-detector`: fit a detector to a classifier and save it for `robust screen`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robust.cli.output import make_console
from robust.cli.plan_options.options import ATTACKS, DETECTORS, OUTPUT, AllowCode, Device
from robust.cli.process.manners import emit
from robust.errors import InputError
from robust.plan.paths import GUARD_RECORD
from robust.progress import progress_bar
from robust.records.estimate import TOO_FEW

if TYPE_CHECKING:
    from robust.guard.artifact import AUC, Record, TrainingAttack

EXAMPLE = (
    "Example (after robust demo): robust fit-detector demo-report/plan.toml --detector LID "
    "--attack PGD --eps 2/255 --out guards/lid"
)


def fit_detector(
    plan: Annotated[Path, typer.Argument(help="Plan in TOML. Its model and data are used.")],
    detector: Annotated[
        str,
        typer.Option(
            help="Name of the detector, or its label in the plan.", rich_help_panel=DETECTORS
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="New folder for the detector.", rich_help_panel=OUTPUT),
    ],
    attack: Annotated[
        str | None,
        typer.Option(
            help="Attack to learn from. Some detectors need none.", rich_help_panel=ATTACKS
        ),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(help="Size (eps) of that attack, for example 1/255.", rich_help_panel=ATTACKS),
    ] = None,
    false_alarms: Annotated[
        str,
        typer.Option(
            help="Share of clean images that may be flagged: 5% or 0.05.",
            rich_help_panel=DETECTORS,
        ),
    ] = "5%",
    split: Annotated[
        str, typer.Option(help="Split that sets the threshold.", rich_help_panel=DETECTORS)
    ] = "val",
    device: Device = "auto",
    allow_code: AllowCode = False,
) -> None:
    """Fit a detector to a classifier and save it for robust screen.

    The detector learns from the train split. Its threshold is set on clean images of another split.
    """
    share = parse_share(false_alarms)
    from robust.plan.load import load_plan
    from robust.plan.paths import check_paths, require_new

    loaded = load_plan(plan, allow_code=allow_code)
    check_paths(loaded)
    require_new(out, " for the detector")
    with progress_bar() as progress:
        from robust.guard.fit import fit_detector

        stored = fit_detector(
            loaded,
            detector,
            attack=attack,
            eps=eps,
            false_alarms=share,
            split=split,
            out=out,
            device=device,
            progress=progress,
        )
    emit(lambda: record_values(stored.record, out))
    make_console(wrap=False).print(summary(stored.record, out))


def record_values(record: Record, out: Path) -> dict[str, Any]:
    """What detector.json says of the detector, without what the classifier is known by."""
    fitted = record.model_dump(mode="json", exclude={"classifier"})
    return {"folder": str(out), "record": str(out / GUARD_RECORD), "detector": fitted}


def parse_share(text: str) -> float:
    """`5%`, `5 %` or `0.05`, above 0 and below 1; InputError."""
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        raise InputError(f"--false-alarms {text!r}: write a share of the images, as 5% or 0.05")
    return share


def share_text(share: float) -> str:
    """A share in percent: `0.3`, `12`."""
    return f"{100 * share:.{1 if share < 0.1 else 0}f}"


def _separation_lines(trained: TrainingAttack) -> list[str]:
    """The paired AUC first; what else it says where which cases fall explains the other."""
    if trained.paired_auc is None or trained.auc is None:
        return []
    line = (
        f"Against the clean images of the same cases, these attacked images have an AUC of "
        f"{_auc_text(trained.paired_auc)} (0.5 is chance); against all clean images "
        f"{_auc_text(trained.auc)}"
    )
    if (control := trained.selection_auc) is None:
        return [f"{line}."]
    line += f"; without any attack, the cases that fall against the others {_auc_text(control)}."
    if not trained.explained_by_selection:
        return [line]
    return [line, "It notices which cases fall, and not the attack: expect no detection of it."]


def _auc_text(auc: AUC) -> str:
    ends = "no interval" if auc.low is None else f"{auc.low:.2f}, {auc.high:.2f}"
    return f"{auc.value:.2f} [{ends}]"


def summary(record: Record, out: Path) -> str:
    """What was fitted and on how many images, and how often it flags attacked ones."""
    alarms, trained = record.false_alarms, record.training_attack
    groups = "" if alarms.groups == alarms.images else f" in {alarms.groups} groups"
    lines = [
        f"Saved {record.label} to {out}. Its threshold is {record.threshold:.6g}, set for "
        f"{100 * alarms.requested:.3g} % false alarms on {alarms.images} clean images of "
        f"{alarms.split}{groups}: of further clean images it flags {share_text(alarms.low)} to "
        f"{share_text(alarms.high)} % (95 % interval)."
    ]
    if trained is not None:
        if trained.fitted_on:
            lines.append(f"It learned from {trained.fitted_on} images of {trained}.")
        few = " (too few to rely on)" if trained.held_out < TOO_FEW else ""
        ends = trained.held_out_low, trained.held_out_high
        share = (
            ""
            if ends[0] is None or ends[1] is None
            else f", {share_text(ends[0])} to {share_text(ends[1])} % (95 % interval)"
        )
        lines.append(
            f"It flags {trained.held_out_flagged} of {trained.held_out} other images of {trained}, "
            f"which it did not learn from{share}{few}, and {trained.originals_flagged} of their "
            "originals."
        )
        lines += _separation_lines(trained)
    if record.left_out:
        lines.append(f"{record.left_out} copies or near copies of other images were left out.")
    return "\n".join(lines)
