"""What an audit will cost: passes of single images through the network, and seconds by stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from attacks.image_agnostic.patch import AdversarialPatch
from attacks.image_agnostic.universal import UniversalPerturbation
from attacks.repeated_passes import AGAIN, JUDGING_PASSES, passes_climbing_means
from robust.auditing.request import AuditRequest
from robust.certificates.run import certificate_passes
from robust.corruptions.run import corruption_passes
from robust.detection.adaptive.evaluate import adaptive_attacks
from robust.detection.benign_changes import BENIGN_CHANGES
from robust.detection.feature_log import logged_cells
from robust.diagnostics.probe import MAX_CASES
from robust.engine.cells import Cell, running_order
from robust.engine.run_memory import DETECTION, RANDOM
from robust.engine.run_memory import PROBE as PROBE_RESULTS
from robust.engine.runner import RANDOM_QUERIES
from robust.engine.session import Session
from robust.models import Adapter
from robust.plan.spec import Plan
from robust.progress import StagedProgress, clock_text
from robust.report.text.format import counted
from robust.scenarios.spatial import grid_of
from robust.scenarios.twin import query_budget, shown_cells
from robust.storage.survival import is_measured

CLEAN = "clean predictions"
REFERENCE = "features of clean images"
ATTACKS = "attacks"
CONTROLS = "features of control images"
DETECTORS = "evaluating detectors"
ADAPTIVE = "adaptive attacks on detectors"
CERTIFICATES = "certificates"
CORRUPTIONS = "corruptions"
SCENARIOS = "scenarios"
DEPLOYED = "deployed version"
PROBE = "probe of the model"
RESULTS = "results by case, storage and intervals"
GALLERY = "example images"
STAGES = (
    *(CLEAN, REFERENCE, ATTACKS, CONTROLS, DETECTORS, ADAPTIVE),
    *(CERTIFICATES, CORRUPTIONS, SCENARIOS, DEPLOYED, PROBE, RESULTS),
)
"""In their order; `GALLERY` follows where there is one."""

ONE_PASS = (
    "The model answers the same image alike: eot changes nothing, and attacks see single passes"
)
PROBE_PASSES = 1200
"""For each case that is probed: finite differences, attacks without bounds, longer attacks."""
STORAGE_PASSES = 6
"""For each case and cell: quantised, rounded by the attacker, and as JPEG."""
_PASS = 5e-4
"""Seconds of one pass of one image, until it has been measured."""
_BACKWARD = 1.4
"""A pass of an attack against one without gradients: half of them go backward."""
_READ = 5e-3
"""Seconds to read or to draw an image and to predict it."""
_SCORED = 0.02
"""Seconds to score a detector on one image set, with the intervals of its figures."""
_MAP = 2.0
"""Seconds of the plots of a feature space."""
_SHOWN = 3.0
"""Seconds for the example images."""


@dataclass(frozen=True)
class Cost:
    """An estimate from a plan, before or during its run."""

    passes: Mapping[str, float]
    """By stage: forward and backward passes of single images, at most."""
    other: Mapping[str, float]
    """By stage: seconds of work beside the network."""

    curves: float = 0.0
    """Of the passes of attacks, those of curve cells: none of them is made where every case has
    fallen before."""

    def least(self) -> Cost:
        """What is left where curve cells find every case fallen."""
        passes = dict(self.passes)
        if ATTACKS in passes:
            passes[ATTACKS] -= self.curves
        return Cost(passes, self.other)

    def until_attacks(self) -> Cost:
        """Of the stages up to the attacks alone."""
        first = STAGES[: STAGES.index(ATTACKS) + 1]
        return Cost(
            {name: n for name, n in self.passes.items() if name in first},
            {name: seconds for name, seconds in self.other.items() if name in first},
            self.curves,
        )

    def seconds(self, per_pass: float = _PASS) -> dict[str, float]:
        """By stage, in their order, without stages that have nothing to do."""
        both = {
            name: self.passes.get(name, 0.0) * per_pass + self.other.get(name, 0.0)
            for name in (*STAGES, GALLERY)
        }
        return {name: found for name, found in both.items() if found}


@dataclass(frozen=True)
class RunSize:
    """How much there is to audit."""

    cases: int
    reference: int = 0
    """Images that detectors may learn from."""
    detectors: int = 0
    pictures: bool = False
    """Whether example images are drawn."""
    black_box: bool = False
    """Whether every pass is a query to a black box."""
    budget: int | None = None
    """Most queries that the plan allows."""
    read: float = _READ
    """Seconds to read an image and to predict it."""


def estimate(plan: Plan, cells: Sequence[Cell], size: RunSize) -> Cost:
    """The cost of a plan, before anything has run."""
    if size.black_box:
        return _queries(plan, cells, size.cases)
    own, cases = running_order(cells), size.cases
    measured = sum(map(is_measured, own))
    passes = {
        CLEAN: float(cases),
        ATTACKS: float(2 * sum(_passes(cell, plan) for cell in own) + STORAGE_PASSES * measured)
        * cases,
        CERTIFICATES: sum(certificate_passes(one, cases) for one in plan.certificates),
        CORRUPTIONS: corruption_passes(plan.corruptions, cases),
        SCENARIOS: _scenario_passes(plan, cases),
    }
    curves = float(2 * sum(_passes(cell, plan) for cell in own if not cell.exact)) * cases
    if plan.twin is not None:
        passes[DEPLOYED] = _twin_passes(plan, own, cases)
    other = {CLEAN: size.read * cases, RESULTS: 0.5 + 1e-3 * cases * len(own)}
    if plan.doubts.probe:
        passes[PROBE] = float(PROBE_PASSES * min(MAX_CASES, cases))
    if size.pictures:
        other[GALLERY] = _SHOWN
    if size.detectors:
        logged = logged_cells(cells)
        scored = min(cases, plan.detection.cases)
        sets = 2 * len(logged) + len(BENIGN_CHANGES)
        learned = min(size.reference, plan.detection.reference_cases)
        passes[REFERENCE] = float(learned + scored)
        other[REFERENCE] = size.read * learned
        passes[ATTACKS] += float(len(logged) * scored)
        passes[CONTROLS] = float((len(logged) + len(BENIGN_CHANGES)) * scored)
        other[DETECTORS] = _SCORED * size.detectors * len(logged) * sets + _MAP
        most = plan.detection.adaptive_steps
        steps = 2 * most * len(adaptive_attacks(most, median_clean_margin=1.0))
        passes[ADAPTIVE] = float(size.detectors * min(scored, plan.detection.adaptive) * steps)
    return Cost(passes, other, curves)


def _passes(cell: Cell, plan: Plan) -> int:
    """Forward passes of an attack on a case, as if the network's outputs were random."""
    eot = plan.audit.eot or 1
    return passes_climbing_means(cell.attack, eot) if eot > 1 else cell.attack.passes


def _queries(plan: Plan, cells: Sequence[Cell], cases: int, answers: int = 1) -> Cost:
    """Queries to a black box, at most; `answers` are those of which one prediction is made.

    The effect of saving is not measured, the probe compares answers alone, and example images are
    attacked again where the plan asks for them.
    """
    own, spec = running_order(cells), plan.scenarios
    used = min(cases, spec.cases)
    attempts = sum(_passes(cell, plan) for cell in own)
    curves = float(sum(_passes(cell, plan) for cell in own if not cell.exact)) * cases
    scenarios = len(spec.queries) * 2 + sum(spec.queries) + max(spec.queries, default=0)
    scenarios += _spatial_passes(plan)
    if spec.surrogate is not None:
        scenarios += 2
    passes = {
        CLEAN: float(answers * cases + plan.audit.chunk + (AGAIN + 1) * RANDOM_QUERIES),
        ATTACKS: float(attempts + answers * len(own)) * cases,
        CORRUPTIONS: float(answers) * corruption_passes(plan.corruptions, cases),
        SCENARIOS: float(answers * scenarios * used),
    }
    if plan.doubts.probe:
        passes[PROBE] = float((AGAIN + 2) * min(MAX_CASES, cases))
    if plan.report.gallery:
        passes[GALLERY] = float(plan.report.gallery * (attempts + answers * len(own)))
    return Cost(passes, {CLEAN: _READ * cases, RESULTS: 0.5 + 1e-3 * cases * len(own)}, curves)


def _scenario_passes(plan: Plan, cases: int) -> float:
    spec = plan.scenarios
    used = min(cases, spec.cases)
    total = 0.0
    for attack, count in (
        (UniversalPerturbation(), len(spec.universal)),
        (AdversarialPatch(), len(spec.patch)),
    ):
        # Two halves, and a fit for each of two labels or more.
        total += count * 4 * (2 * attack.steps * attack.batch + 2 * used)
    total += used * (sum(spec.queries) + _spatial_passes(plan))
    total += 40 * used if spec.surrogate is not None else 0
    return total


def _spatial_passes(plan: Plan) -> int:
    """For each case, at most: every move of the grid and the control."""
    spec = plan.scenarios.spatial
    return 0 if spec is None else grid_of(spec).count + 1


def _twin_passes(plan: Plan, cells: Sequence[Cell], cases: int) -> float:
    used = min(cases, plan.scenarios.cases)
    shown = sum(2 * cell.attack.passes + 1 for cell in shown_cells(cells))
    direct = 2 * query_budget(plan.scenarios) * (len(plan.audit.eps) + 1)
    return float(cases + used * (shown + direct))


@dataclass
class ToldCost:
    """Announces the cost of a run, and keeps its progress in step with it."""

    plan: Plan
    cells: Sequence[Cell]
    size: RunSize
    progress: StagedProgress
    chunks: Collection[int] | None = None
    """Of a shard, which ends with its attacks, the chunks that it attacks."""
    workers: int = 1
    """How many attack at the same time."""
    notes: tuple[str, ...] = ()
    """What the user is told of the model as it was loaded."""

    def announce(self, folder: Path | None) -> Callable[[str], None]:
        """Name the run folder, the cost and the first stage; returns what begins a stage."""
        self._cost = self._estimate(self.plan)
        lines = [f"Model: {note}" for note in self.notes]
        lines += [] if folder is None else [f"Run folder: {folder}"]
        lines.append(cost_text(self._cost, self.cells, self.size))
        self.progress.expect(self._cost.seconds())
        self.progress.begin(CLEAN, *lines)
        return self.progress.begin

    def _estimate(self, plan: Plan) -> Cost:
        whole = estimate(plan, self.cells, self.size)
        return whole if self.chunks is None else whole.until_attacks()

    def measure(self, session: Session) -> None:
        """Announce the time that is left, from the speed of the network and what is finished."""
        store = session.store
        if self.plan.audit.eot is not None and store.get(RANDOM) is False:
            audit = self.plan.audit.model_copy(update={"eot": None})
            self._cost = self._estimate(self.plan.model_copy(update={"audit": audit}))
            self.progress.announce(ONE_PASS)
        if self.size.black_box and store.get(RANDOM):
            self._cost = _queries(self.plan, self.cells, self.size.cases, JUDGING_PASSES)
            self.progress.announce(_random_text(self._cost))
        done = store.done()
        own = running_order(self.cells)
        work = {
            (cell.key, n): cell.attack.passes
            for cell in own
            for n in (range(len(session.runner.chunks)) if self.chunks is None else self.chunks)
        }
        finished = sum(passes for key, passes in work.items() if key in done)
        seconds = self._cost.seconds(_speed(session, own))
        if ATTACKS in seconds:  # a shard may have nothing to do
            seconds[ATTACKS] *= (1 - finished / max(sum(work.values()), 1)) / self.workers
        if store.get(DETECTION) is not None:
            seconds.update(dict.fromkeys((CONTROLS, DETECTORS, ADAPTIVE), 0.0))
        if store.get(PROBE_RESULTS) is not None and PROBE in seconds:
            seconds[PROBE] = 0.0
        self.progress.expect(seconds)
        self.progress.announce(time_text(self.progress.left() - seconds.get(CLEAN, 0.0)))


def told_cost(request: AuditRequest, chunks: range | None = None) -> ToldCost:
    """The cost of a request, or of the shard of it that attacks these chunks."""
    plan, inputs = request.plan, request.inputs
    cases = len(inputs.cases)
    size = RunSize(
        cases=cases if chunks is None else min(len(chunks) * plan.audit.chunk, cases),
        reference=0 if inputs.reference is None else len(inputs.reference),
        detectors=len(request.detectors),
        pictures=request.out is not None and plan.report.gallery != 0,
        black_box=request.queries is not None,
        budget=None if request.queries is None else request.queries.budget,
    )
    return ToldCost(
        plan,
        request.cells,
        size,
        request.progress,
        chunks,
        notes=(
            *_notes(inputs.classifier),
            *(n for name, other in inputs.others.items() for n in _notes(other, f"the {name}: ")),
        ),
    )


def _notes(model: Adapter, before: str = "") -> tuple[str, ...]:
    """What the user should know of a model as it was loaded."""
    return tuple(before + note for note in model.origin.notes)


def _speed(session: Session, cells: Sequence[Cell]) -> float:
    """Seconds of one pass of one image: of finished attacks, else of clean predictions."""
    totals = {cell.key: session.store.totals(cell.key) for cell in cells}
    passes = sum(total.passes for total in totals.values())
    seconds = session.store.seconds()
    spent = sum(seconds.get(key, 0.0) for key in totals)
    if passes and spent:
        return spent / passes
    measured = session.runner.forward_seconds
    return _PASS if measured is None else _BACKWARD * measured


def cost_text(cost: Cost, cells: Sequence[Cell], size: RunSize) -> str:
    """What is told before work begins: `200 cases x 5 attacks x 5 eps: at most ... passes`."""
    attacks = len({cell.label for cell in cells})
    sizes = len({(cell.threat.norm, cell.threat.eps) for cell in cells})
    total = sum(cost.passes.values())
    what = (
        f"at most {rounded(total)} passes of single images through the network, all stages together"
    )
    if size.black_box:
        bounded = all(cell.attack.traits.counts_passes for cell in cells)
        most = "at most" if bounded else "perhaps more than"
        what = (
            f"{most} {total:,.0f} queries to the black box, all stages together"
            f"{_left_out(total, size)}"
        )
    return (
        f"Cost: {counted(size.cases, 'case')} x {counted(attacks, 'attack')} x {sizes} eps, "
        f"{counted(len(running_order(cells)), 'run')} of an attack on all cases: "
        f"{what}"
    )


def _left_out(total: float, size: RunSize) -> str:
    """What a black box is not asked for, and that its budget may end before the audit does."""
    text = "; left out: the effect of saving, tests of gradients, example images unless asked for"
    if size.budget is not None and size.budget < total:
        text += f"; the plan allows {size.budget:,}, where the audit stops if it needs more"
    return text


def _random_text(cost: Cost) -> str:
    return (
        f"The black box gives other answers to the same image: each prediction is the mean of "
        f"{JUDGING_PASSES} answers, so that at most {sum(cost.passes.values()):,.0f} "
        f"queries are needed"
    )


def time_text(seconds: float) -> str:
    """What is told once the speed of the network is known."""
    return f"Time: about {clock_text(seconds)} (minutes:seconds) at the speed measured so far"


def rounded(number: float) -> str:
    """Three digits, as the number is an estimate: `1,230,000`."""
    digits = max(len(f"{number:.0f}") - 3, 0)
    return f"{round(number, -digits):,.0f}"
