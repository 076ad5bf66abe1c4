"""Fuzzes what robust reads: every damaged file ends in one line, soon and in little memory.

    python -m tests.fuzz [--target NAME] [--count N] [--seed S] [--workers N]
    python -m tests.fuzz png=500 dicom=20000
    python -m tests.fuzz --target dicom --files ../shared/data/dicom
    python -m tests.fuzz --replay fuzz-finds/png-0-17.zip

Mutants depend on the seed and their number alone. A find is an exception that is no InputError, a
crash, more than ten seconds, more than 1.5 GiB, a message that is not one line, or a result that
breaks a promise. Each is printed and saved as a file; exit code 1 where there is any.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from functools import lru_cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: a fork has one thread

import torch

from robust.cases.phantoms import cases as phantom_cases
from tests.fuzz import machine
from tests.fuzz.machine import Outcome, Tally, Target
from tests.fuzz.targets import TARGETS

PROGRESS = 10.0
"""Seconds between two lines on a target."""


def fuzz(target: Target, count: int, given: argparse.Namespace) -> Tally:
    """Run the mutants of one target, printing as they go."""
    began = said = time.monotonic()
    seed, first = given.seed, given.first
    tally = Tally(target.name, seed)
    with tempfile.TemporaryDirectory(dir=machine.memory_folder()) as home:
        subject = target.prepare(Path(home))
        if given.files is not None:
            subject = machine.with_files(subject, given.files)

        def make(number: int) -> machine.Files:
            return subject.mutant(target.name, seed, number)

        for outcome in machine.run(subject, make, range(first, first + count), given.workers):
            if tally.add(outcome):
                files = make(outcome.number)
                path = machine.save(outcome, files, target.name, seed, given.finds)
                print(f"FIND {path}: {outcome}", flush=True)
            if time.monotonic() > said + PROGRESS:
                said = time.monotonic()
                counts = dict(tally.counts)
                print(f"{target.name}: {tally.counts.total()} of {count}, {counts}", flush=True)
    tally.seconds = time.monotonic() - began
    print(tally, flush=True)
    return tally


def replay(path: Path) -> Outcome:
    """Use the files of a saved find again."""
    name, number, files = machine.load(path)
    with tempfile.TemporaryDirectory(dir=machine.memory_folder()) as home:
        subject = TARGETS[name].prepare(Path(home))
        (outcome,) = machine.run(subject, lambda _: files, [number], workers=1)
    return outcome


def _counts(parser: argparse.ArgumentParser, given: argparse.Namespace) -> dict[str, int]:
    """How many mutants of which targets."""
    pairs = [text.partition("=") for text in given.counts]
    for name, _, count in pairs:
        if name not in TARGETS or not count.isdigit():
            parser.error(f"{name}: NAME=COUNT, where the names are {', '.join(TARGETS)}")
    chosen = {name: int(count) for name, _, count in pairs}
    for name in given.target or (() if pairs else TARGETS):
        chosen[name] = TARGETS[name].count if given.count is None else given.count
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "counts", nargs="*", metavar="NAME=COUNT", help="targets, each with a count"
    )
    parser.add_argument("--target", action="append", choices=list(TARGETS), metavar="NAME")
    parser.add_argument("--count", type=int, help="mutants of each target; default: its own")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=Path, help="a folder of files of your own as further seeds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--finds", type=Path, default=Path("fuzz-finds"))
    parser.add_argument("--tally", type=Path, help="a JSON file for the counts of each target")
    parser.add_argument("--replay", type=Path, help="a saved find")
    given = parser.parse_args()
    torch.set_num_threads(1)
    # A fork has the phantoms that its seeds were made of: every mutant of a run reads them again.
    phantom_cases.phantom = lru_cache(maxsize=256)(phantom_cases.phantom)
    if given.replay is not None:
        outcome = replay(given.replay)
        print(f"{given.replay}: {outcome}")
        sys.exit(outcome.found)
    chosen = _counts(parser, given)
    tallies = [fuzz(TARGETS[name], count, given) for name, count in chosen.items()]
    for tally in tallies:
        print(tally)
    if given.tally is not None:
        counts = {tally.name: tally.counts for tally in tallies}
        given.tally.write_text(json.dumps(counts), encoding="utf-8")
    sys.exit(any(tally.finds for tally in tallies))


if __name__ == "__main__":
    main()
