"""Shards of an audit: the values that all begin with are settled, then each is attacked alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from robust.auditing import cost
from robust.auditing.attack_stage import (
    AttackStage,
    computing,
    ignore_session,
    prepare_attacks,
)
from robust.auditing.request import AuditRequest, RunSettings, open_request
from robust.engine.cells import misread_cells, running_order
from robust.engine.database.connection import DATABASE, require_idle
from robust.engine.identity.surroundings import require_same_versions
from robust.engine.provenance import PACKAGES
from robust.engine.run_directory import open_run, require_place_for_shards
from robust.engine.run_memory import SHARD, SHARD_ATTACKED
from robust.engine.run_store import RunStore
from robust.engine.session import Session
from robust.engine.sharding.join import Wanted, join_shards
from robust.engine.sharding.settled import settled_values
from robust.errors import InputError
from robust.files import path_exists
from robust.models import choose_device
from robust.models.environment import find_environment
from robust.plan.machines import Shard
from robust.plan.spec import Plan


def settle(
    request: AuditRequest,
    store: RunStore,
    started: Callable[[Session], None] = ignore_session,
) -> AttackStage:
    """Fill a store with what every part of a run begins with; returns the stage, settled.

    That is all that is measured once, the clean predictions of the first cases and, where there are
    detectors, of all cases: which of them detectors are evaluated on depends on them all. `started`
    is told the session before the detectors start.
    """
    every = request.inputs.reference is not None
    stage = prepare_attacks(request, store, None if every else (), started)
    stage.settle()
    return stage


def from_settled(request: AuditRequest, store: RunStore, chunks: Collection[int]) -> AttackStage:
    """The stage that attacks these chunks, from a store that begins with settled values.

    InputError for a store of another run, or other versions of what computes.
    """
    store.identify(request.identity)
    require_same_versions(find_environment(choose_device(request.device), PACKAGES), store)
    return prepare_attacks(request, store, chunks)


def _claim_shard(request: AuditRequest, store: RunStore, shard: Shard) -> None:
    """InputError for a store of another run, or of another shard."""
    store.identify(request.identity)
    known = store.memo(SHARD, lambda: shard)
    if known != shard:
        raise InputError(f"the folder holds {known.name}, not {shard.name}; choose another --out")


def audit_shard(plan: Plan, shard: Shard, settings: RunSettings) -> Path:
    """Attack one shard of a plan in `shards/N` of the run directory; returns that folder.

    The shard that comes first also makes `settled.sqlite` there, and the others wait for it.
    """
    request = open_request(plan, settings)
    request.check(parts=True)
    if request.out is None:
        raise InputError("a shard needs a run directory; name it with --out")
    run, chunks = Path(request.out), shard.chunks(request.chunk_count)
    require_place_for_shards(run)
    folder, costs = shard.folder(run), cost.told_cost(request, chunks)
    stage = costs.announce(folder)
    if not chunks:
        request.progress.announce(
            f"{shard.name} has nothing to do: the cases make {request.chunk_count} chunks"
        )
    with computing(request.device):
        begin_with = None
        if not path_exists(folder / DATABASE):
            begin_with = settled_values(run, lambda new: settle(request, new), request.progress)
        directory = open_run(folder, begin_with=begin_with)
        keep, attacking = True, False
        try:
            _claim_shard(request, directory.store, shard)
            attacks = from_settled(request, directory.store, chunks)
            attacking = True
            costs.measure(attacks.session)
            stage(cost.ATTACKS)
            attacks.run(chunks)
            directory.store.put(SHARD_ATTACKED, True)
        except InputError:
            keep = attacking
            raise
        finally:
            directory.close(keep=keep)
    return folder


def attacked_shards(run: Path, count: int) -> set[int]:
    """Numbers of the shards, of so many, that are finished; InputError where one is at work."""
    done = set()
    for shard in (Shard(number, count) for number in range(1, count + 1)):
        folder = shard.folder(run)
        if not path_exists(folder / DATABASE):
            continue
        require_idle(folder)
        store = RunStore.open_to_read(folder)
        if store.damage is None and store.get(SHARD) == shard and store.get(SHARD_ATTACKED):
            done.add(shard.number)
        store.close()
    return done


def join_request(request: AuditRequest, store: RunStore, run: Path, incomplete: bool) -> None:
    """Take the shards in a run directory into the store of the run; InputError: it stays as it was.

    With `incomplete` what is missing stays so, and is attacked as in a run that goes on.
    """
    cells = request.cells
    keys = ["clean", *(cell.key for cell in running_order(cells)), *misread_cells(cells)]
    wanted = Wanted(
        identity=request.identity,
        chunks={(key, number) for key in keys for number in range(request.chunk_count)},
        chunk=request.plan.audit.chunk,
        cases=len(request.inputs.cases),
    )
    request.progress(0, 0, "joining the shards")
    join_shards(store, run, wanted, incomplete=incomplete)
