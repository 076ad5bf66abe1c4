"""Options that several commands share, and the panels in which `--help` groups them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robust.plan.machines import MOST_SHARDS, MOST_WORKERS

MODEL = "Model"
DATA = "Data"
ATTACKS = "Attacks"
DETECTORS = "Detectors"
BEYOND_ATTACKS = "Certificates and corruptions"
TRAINING = "Training"
RANKING = "Ranking"
HARDENING = "Adversarial training"
OUTPUT = "Output"
RUNNING = "Running"
MACHINES = "Many machines"

RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Run directory. The same command continues a run that was interrupted.",
        rich_help_panel=OUTPUT,
        show_default="runs/ and the plan's name",
    ),
]
Device = Annotated[
    str,
    typer.Option(help="cpu, cuda, or auto: a GPU if there is one.", rich_help_panel=RUNNING),
]
NoGallery = Annotated[
    bool,
    typer.Option("--no-gallery", help="Leave example images out.", rich_help_panel=OUTPUT),
]
SkipBroken = Annotated[
    bool,
    typer.Option(
        "--skip-broken",
        help="Skip images that cannot be read and count them.",
        rich_help_panel=RUNNING,
    ),
]
Gate = Annotated[
    bool,
    typer.Option(
        "--gate",
        help="Exit with code 1 unless every gate of the plan passes; writes junit.xml.",
        rich_help_panel=RUNNING,
    ),
]


AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Let a plan in a folder name code (a factory, a TorchScript or .pt2 file) or an "
        "endpoint, and let the files of a model's folder hold code.",
        rich_help_panel=RUNNING,
    ),
]


def _set_option(example: str) -> Any:
    return typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help=f"Set any field by its name in the TOML file, for example {example}. May be repeated.",
        rich_help_panel=RUNNING,
    )


PlanSettings = Annotated[list[str] | None, _set_option("detection.cases=500")]
RecipeSettings = Annotated[list[str] | None, _set_option("training.momentum=0.8")]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        help="Attack in so many processes of this machine, or with --engine ray on so many "
        "workers of the cluster.",
        min=1,
        max=MOST_WORKERS,
        rich_help_panel=MACHINES,
        show_default="this process alone; with --engine ray one for each GPU or machine",
    ),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        help="With --engine ray: address of the cluster.",
        rich_help_panel=MACHINES,
        show_default="RAY_ADDRESS, or a cluster that is started here",
    ),
]
ShardCount = Annotated[
    int | None,
    typer.Option(
        help="With --engine slurm: number of jobs, each of which takes a share of the work.",
        min=1,
        max=MOST_SHARDS,
        rich_help_panel=MACHINES,
    ),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Option of the jobs, as submitit names it: partition=gpu, gpus_per_node=1, "
        "timeout_min=600. May be repeated.",
        rich_help_panel=MACHINES,
    ),
]
NoWait = Annotated[
    bool,
    typer.Option(
        "--no-wait",
        help="Do not wait for the jobs. The same command, given later, goes on.",
        rich_help_panel=MACHINES,
    ),
]
