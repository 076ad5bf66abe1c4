"""The attack stage of an audit: what is ready before any attack, and the attacks on any chunks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from robust.auditing.request import AuditRequest
from robust.detection.detection_run import DetectionRun
from robust.detection.record import attack_features
from robust.detection.start import start_detection
from robust.engine.cells import Cell
from robust.engine.identity.surroundings import threads_restored
from robust.engine.run_memory import RANDOM
from robust.engine.run_store import Observations, Outcome, RunStore
from robust.engine.session import Session, start_session
from robust.models import choose_device, full_precision
from robust.models.acceleration.memory import keep_freed_memory
from robust.models.gradients.backward import backward_errors
from robust.models.gradients.gradient_free import has_gradients
from robust.storage.survival import StorageCheck
from robust.tasks.contract import Batch


@contextmanager
def computing(device: str) -> Iterator[None]:
    """The settings of the whole process under which every number of an audit is computed."""
    with (
        threads_restored(),
        full_precision(),
        keep_freed_memory(choose_device(device)),
        backward_errors(),
    ):
        yield


@dataclass(frozen=True)
class AttackStage:
    """A session whose chunks can be attacked, each on its own and in any order."""

    session: Session
    detection: DetectionRun | None
    """None where the plan has no detectors."""
    seed: int

    def run(self, chunks: Collection[int] | None = None) -> None:
        """Attack every chunk, or these; store survival after storage and the detectors' features.

        Clean images of theirs that have not been predicted yet are predicted first. A chunk that
        the store has already is not attacked again.
        """
        session, run = self.session, self.detection
        done = session.store.done()
        if new := [number for number in chunks or () if ("clean", number) not in done]:
            session.runner.predict_clean(new)
        black_box = session.classifier.origin.is_black_box  # saving is not worth its queries
        storage = StorageCheck(
            session.runner.logits,
            session.task,
            gradients=has_gradients(session.classifier),
            random=session.store.get(RANDOM) is True,
            chunk=max(map(len, session.runner.chunks), default=1),
        )

        def observe(
            cell: Cell, batch: Batch, x_adv: Tensor, outcomes: Sequence[Outcome]
        ) -> Observations:
            survival = [] if black_box else storage.observe(cell, batch, x_adv, outcomes)
            features = attack_features(run, cell, x_adv, outcomes) if run else ()
            return Observations(features, survival)

        session.runner.attack(session.cells, self.seed, observe, chunks)

    def settle(self) -> None:
        """Settle, before any attack, how attacks run the network."""
        self.session.runner.settle(self.session.cells)


def ignore_session(session: Session) -> None:
    """Nothing is to be done between session and detectors."""


def prepare_attacks(
    request: AuditRequest,
    store: RunStore,
    chunks: Collection[int] | None = None,
    started: Callable[[Session], None] = ignore_session,
) -> AttackStage:
    """Predict the clean images of all chunks, or of those that are attacked here; fit detectors.

    Which cases detectors are evaluated on depends on the clean predictions of all of them: where
    there are detectors, `chunks` needs a store that has been settled. `started` is told the session
    before the detectors start.
    """
    plan, inputs = request.plan, request.inputs
    session = start_session(plan, inputs, store, request.options, chunks)
    started(session)
    detection = None
    if inputs.reference is not None:
        detection = start_detection(
            session, request.detectors, inputs.reference, plan.detection, plan.audit
        )
    return AttackStage(session, detection, plan.audit.seed)
