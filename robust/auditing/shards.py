"""Shards of an audit: the values that all begin with are settled, then each is attacked alone."""

from __future__ import annotations

from pathlib import Path

from robust.auditing.attack_stage import AttackStage, computing, prepare_attacks
from robust.auditing.request import AuditRequest, RunSettings, open_request
from robust.engine.identity.surroundings import require_same_versions
from robust.engine.provenance import PACKAGES
from robust.engine.run_directory import open_run
from robust.engine.run_memory import SHARD
from robust.engine.run_store import RunStore
from robust.engine.session import identity_of_run
from robust.engine.sharding.settled import settled_values
from robust.engine.sharding.shard import Shard
from robust.errors import InputError
from robust.models import choose_device
from robust.models.environment import find_environment
from robust.plan.spec import Plan


def settle(request: AuditRequest, store: RunStore) -> AttackStage:
    """Fill a store with what every part of a run begins with; returns the stage, settled.

    That is all that is measured once, the clean predictions of the first cases and, where there are
    detectors, of all cases: which of them detectors are evaluated on depends on them all.
    """
    stage = prepare_attacks(request, store, chunks=None if request.detectors else ())
    stage.settle()
    return stage


def from_settled(request: AuditRequest, store: RunStore, shard: Shard) -> AttackStage:
    """The stage that attacks the chunks of a shard, from a store that begins with settled values.

    InputError for a store of another run, another shard, or other versions of what computes.
    """
    store.identify(identity_of_run(request.plan, request.inputs, request.device))
    known = store.memo(SHARD, lambda: shard)
    if known != shard:
        raise InputError(f"the folder holds {known.name}, not {shard.name}; choose another --out")
    require_same_versions(find_environment(choose_device(request.device), PACKAGES), store)
    return prepare_attacks(request, store, shard.chunks(request.chunk_count))


def audit_shard(plan: Plan, shard: Shard, settings: RunSettings) -> Path:
    """Attack one shard of a plan in `shards/N` of the run directory; returns that folder.

    The shard that comes first also makes `settled.sqlite` there, and the others wait for it.
    """
    request = open_request(plan, settings)
    request.check()
    if request.out is None:
        raise InputError("a shard needs a run directory; name it with --out")
    run = Path(request.out)
    with computing(request.device):
        settled = settled_values(run, lambda store: settle(request, store), request.progress)
        folder = shard.folder(run)
        directory = open_run(folder, begin_with=settled)
        keep, attacking = True, False
        try:
            stage = from_settled(request, directory.store, shard)
            attacking = True
            stage.run(shard.chunks(request.chunk_count))
        except InputError:
            keep = attacking
            raise
        finally:
            directory.close(keep=keep)
    return folder
