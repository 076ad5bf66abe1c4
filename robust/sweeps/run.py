"""`run_sweep`: every member of a grid trained and audited; the same call resumes what was left."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from robust.auditing import audit_plan
from robust.certificates.registry import make_certificates
from robust.detection.factory import make_detectors
from robust.engine.cells import make_attacks
from robust.engine.database.connection import InUse, lock
from robust.errors import InputError
from robust.files import cannot, make_private_folder, path_exists, read_json_table, write_atomically
from robust.plan.machines import JOBS, WorkerChoice
from robust.plan.paths import check_data_path, check_paths, require_weights, require_writable
from robust.progress import Announce, Progress, no_announcement, no_progress
from robust.records import Report
from robust.records.sweep import SWEEP, SweepAxis, SweepMember, SweepNumber, SweepReport
from robust.report import read_report
from robust.report.sweeps import SWEEP_FILES
from robust.sweeps.analyse import Analysis, analyse
from robust.sweeps.collect import read_runs, sweep_numbers, train_images, with_machines
from robust.sweeps.grid import MODELS, RUNS, Member, choose_members, levels_of, members_of
from robust.sweeps.spec import SweepSpec
from robust.training.train import train_model

LOCKS, KNOWN = "locks", "members.json"
"""Folder of a sweep with a lock for each piece of work, and the file that knows each audit's folder
by its plan and training."""
OURS = {SWEEP, *SWEEP_FILES, KNOWN, LOCKS, MODELS, RUNS, JOBS}
"""What a folder of a sweep holds."""
PAUSE = 2.0
"""Seconds until members that other processes are at are looked at again."""
NOT_YET = "not finished yet"


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep runs."""

    device: str = "auto"
    skip_broken: bool = False
    progress: Progress = no_progress
    announce: Announce = no_announcement
    workers: WorkerChoice | None = None
    """None: this process attacks."""
    allow_code: bool = False
    only: Mapping[str, list[str]] = field(default_factory=dict)
    """Levels by axis: members without one of them are left for another time."""


def run_sweep(spec: SweepSpec, out: str | Path, settings: SweepSettings) -> SweepReport:
    """Train and audit every member into a folder, and compare them.

    sweep.json is written after each member. A member that cannot be trained or audited says why,
    and the others go on. Several processes may be given the same sweep and folder: each takes the
    next member that no other is at. InputError for a sweep that cannot begin.
    """
    folder = Path(out)
    members = members_of(spec, allow_code=settings.allow_code)
    chosen = choose_members(members, settings.only)
    check_members(chosen)
    claim_folder(folder, members)
    run = _Run(spec, folder, settings, members)
    run.every(chosen)
    return run.finish()


def sweep_of_runs(runs: Sequence[Path]) -> SweepReport:
    """Finished runs side by side, as a sweep over whatever differs between them; InputError."""
    report, reports, folders = read_runs(runs)
    return analyse(Analysis(report, reports, folders))


def check_members(members: Sequence[Member]) -> None:
    """InputError for files that are missing and attacks that cannot be made, before any work."""
    seen: set[str] = set()
    for member in members:
        plan = member.plan
        key = plan.model_dump_json(exclude={"title", "audit"})
        if key not in seen:
            seen.add(key)
            make_attacks(plan.attacks)
            make_detectors(plan.detectors)
            make_certificates(plan.certificates)
            check_paths(plan)
        recipe = member.recipe
        if recipe is not None and member.training not in seen:
            seen.add(member.training)
            if recipe.data is None or not recipe.data.path:
                raise InputError("the recipe names no images; give path in [recipe.data]")
            check_data_path(recipe.data)
            if recipe.network.weights is not None:
                require_weights(Path(recipe.network.weights))


def claim_folder(out: Path, members: Sequence[Member]) -> None:
    """Make the folder of the sweep; InputError where it holds another one, or other files."""
    require_writable(out)
    present = {one.name for one in out.iterdir()} if path_exists(out) else set()
    foreign = sorted(n for n in present - OURS if not n.startswith("."))
    if foreign:
        raise InputError(
            f"{out} holds other files ({foreign[0]}); name a new or empty folder for the sweep"
        )
    digests = {member.folder: member.digest() for member in members}
    known = read_json_table(out / KNOWN) if KNOWN in present else {}
    for member in members:
        if known.get(member.folder, digests[member.folder]) != digests[member.folder]:
            raise InputError(
                f"{out} holds a sweep whose {member.name} has another plan or recipe; name a new "
                f"folder, or take the change back"
            )
    try:
        make_private_folder(out)
        write_atomically(out / KNOWN, json.dumps({**known, **digests}, indent=1) + "\n")
    except OSError as error:
        raise InputError(cannot(out, "be written", error)) from None


@dataclass
class _Run:
    """A sweep at work."""

    spec: SweepSpec
    out: Path
    settings: SweepSettings
    members: list[Member]
    reports: dict[str, Report] = field(default_factory=dict)
    """By member."""
    why_not: dict[str, str] = field(default_factory=dict)
    untrained: dict[str, str] = field(default_factory=dict)
    """Why not, by training."""

    def every(self, chosen: list[Member]) -> None:
        """Do the work of these members; those that another process is at come again later."""
        waiting, busy = deque(chosen), 0
        while waiting:
            member = waiting.popleft()
            self.settings.progress(len(chosen) - len(waiting) - 1, len(chosen), member.name)
            try:
                self._work(member, f"{chosen.index(member) + 1} of {len(chosen)}")
            except InUse:
                waiting.append(member)
                busy += 1
                if busy >= len(waiting):
                    time.sleep(PAUSE)
                    busy = 0
                continue
            busy = 0
            self._collected().save(self.out)

    def finish(self) -> SweepReport:
        """The report with differences, spread and learning curves, written to the folder."""
        self.settings.announce("Comparing the members")
        runs = {member.name: member.run_folder(self.out) for member in self.members}
        wanted = self.spec.learning_curve.wanted
        while True:
            report = analyse(Analysis(self._collected(), self.reports, runs, wanted))
            report.save(self.out)
            # Another process may have written a page with more members meanwhile.
            if not self._read_others():
                return report

    def _read_others(self) -> bool:
        """Know what other processes have finished; whether there is anything new."""
        unknown = [member for member in self.members if member.name not in self.reports]
        for member in unknown:
            self._read_finished(member)
        return any(member.name in self.reports for member in unknown)

    def _read_finished(self, member: Member) -> None:
        """Know the report of a trained member that was audited before.

        One that is not trained here may have other weights since: its audit sees to that.
        """
        folder = member.run_folder(self.out)
        if member.recipe is not None and path_exists(folder / "report.json"):
            report = read_report(folder)
            if report.is_finished:
                self.reports[member.name] = report

    def _work(self, member: Member, place: str) -> None:
        """Train and audit one member, unless it is finished."""
        if member.name not in self.reports:  # another process may have finished it since
            self._read_finished(member)
        if member.name in self.reports:
            return
        try:
            with self._holding(member.folder):
                self._train(member)
                self.settings.announce(f"Member {place}: {member.name}")
                self.reports[member.name] = audit_plan(
                    member.plan_in(self.out),
                    out=member.run_folder(self.out),
                    device=self.settings.device,
                    skip_broken=self.settings.skip_broken,
                    progress=self.settings.progress,
                    workers=self.settings.workers,
                )
        except InUse:
            raise
        except InputError as error:
            self.why_not[member.name] = str(error)
            self.settings.announce(f"Member {place}: {member.name}: {error}")

    def _train(self, member: Member) -> None:
        """Train the model of a member; InputError, also where it failed for another one."""
        if member.recipe is None:
            return
        if member.training in self.untrained:
            raise InputError(self.untrained[member.training])
        with self._holding(member.training):
            folder = member.model_folder(self.out)
            if not path_exists(folder / "model.json"):
                self.settings.announce(f"Training: {member.name}")
            try:
                train_model(member.recipe, folder, device=self.settings.device, progress=False)
            except InputError as error:
                self.untrained[member.training] = str(error)
                raise

    @contextmanager
    def _holding(self, work: str) -> Iterator[None]:
        """Keep other processes from this piece of work; InUse where one is at it."""
        held = lock(self.out / LOCKS / work)
        try:
            yield
        finally:
            held.release()

    def _collected(self) -> SweepReport:
        """What is known so far, without comparisons."""
        self._read_others()
        axes = tuple(
            SweepAxis(
                axis.name,
                tuple(level.text for level in levels_of(axis, trains=self.spec.trains)),
                "random" if axis.is_random else "fixed",
            )
            for axis in self.spec.axes
        )
        axes, members = with_machines(axes, [*map(self._record, self.members)], self.reports)
        numbers: list[SweepNumber] = []
        for member in members:
            if member.name in self.reports:
                numbers += sweep_numbers(member.name, self.reports[member.name])
        return SweepReport(self.spec.title, axes, members, tuple(numbers))

    def _record(self, member: Member) -> SweepMember:
        report = self.reports.get(member.name)
        return SweepMember(
            name=member.name,
            levels=dict(member.levels),
            run=f"{RUNS}/{member.folder}",
            training=f"{MODELS}/{member.training}" if member.training else "",
            train_images=train_images(member.model_folder(self.out)) if member.training else None,
            flags=() if report is None else tuple(flag.name for flag in report.flags),
            why_not="" if report else self.why_not.get(member.name, NOT_YET),
        )
