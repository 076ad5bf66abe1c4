"""Workers as actors of Ray: one for each GPU or group of cores, on all machines of a cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robust.auditing.workers.chunk_worker import (
    ChunkResult,
    Place,
    Refused,
    Serving,
    WorkerSettings,
)
from robust.errors import InputError, first_line
from robust.models import choose_device
from robust.plan.machines import WorkerChoice

_PATIENCE = 20.0
"""Seconds in which a cluster must answer."""
_STORE = 256 << 20
"""Bytes of memory for what actors send, of a cluster that is started here."""


class RayWorker:
    """An actor, whose death is nobody else's."""

    def __init__(self, actor: Any, settings: Any) -> None:
        self._actor = actor
        self.begun: Future[Place | Refused] = actor.begin.remote(settings).future()

    def compute(self, number: int) -> Future[ChunkResult | Refused]:
        """Attack one chunk."""
        found: Future[ChunkResult | Refused] = self._actor.compute.remote(number).future()
        return found

    def close(self, *, now: bool) -> None:
        """End the actor once it has nothing to do, or `now`."""
        import ray

        if not now:
            ray.get(self._actor.close.remote())
        ray.kill(self._actor)


class RayEngine:
    """Starts workers as actors with so many cores, and a GPU each where there are GPUs."""

    name = "ray"

    def __init__(self, settings: WorkerSettings, threads: int, gpus: int) -> None:
        import ray

        self.lost: tuple[type[BaseException], ...] = (ray.exceptions.RayActorError,)
        content = settings.settled
        if isinstance(content, Path):
            content = content.read_bytes()
        # Kept once for all actors of a machine.
        self._settings = ray.put(replace(settings, settled=content))
        self._actor = ray.remote(Serving).options(num_cpus=threads, num_gpus=gpus, max_restarts=0)

    def start(self) -> RayWorker:
        """A new worker."""
        return RayWorker(self._actor.remote(), self._settings)


@dataclass(frozen=True)
class Cluster:
    """What a cluster offers, shared out among the workers."""

    count: int
    threads: int
    gpus: int
    """Of each worker."""

    def engine(self, settings: WorkerSettings, threads: int) -> RayEngine:
        """What starts the workers; InputError where there are too few cores for them."""
        import ray

        cores = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        if self.count * threads > cores:
            raise InputError(
                f"{self.count} workers of {threads} threads need {self.count * threads} cores, and "
                f"the Ray cluster has {cores}; take fewer workers"
            )
        return RayEngine(settings, threads, self.gpus)


@contextmanager
def connected(choice: WorkerChoice, device: str) -> Iterator[Cluster]:
    """A Ray cluster, found by its address or started here and stopped at the end; InputError.

    A connection that the caller's program has made itself is used and kept.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if (Path.home() / ".ray" / "auth_token").exists():
        # `ray start` asks for the token where there is one; a driver must be told to show it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise InputError("--engine ray needs ray: pip install 'robust-audit[ray]'") from None
    address = choice.address or os.environ.get("RAY_ADDRESS") or "local"
    ours = not ray.is_initialized()
    with _quiet(), _signals_kept():
        if ours:
            try:
                _require_listening(address)
                _connect(address)
            except Exception as error:  # noqa: BLE001  (Ray raises what its parts raise)
                raise InputError(
                    f"there is no Ray cluster at {address!r}: {first_line(error)}; start one with "
                    f"ray start --head and give its token (RAY_AUTH_MODE=token), or leave the "
                    f"address out"
                ) from None
        try:
            yield _cluster(choice, device)
        finally:
            if ours:
                ray.shutdown()


def _require_listening(address: str) -> None:
    """OSError where nobody listens at `host:port`: Ray would try for many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _connect(address: str) -> None:
    import ray

    own: dict[str, Any] = {}
    if address == "local":
        own = {"include_dashboard": False, "object_store_memory": _STORE}
    ray.init(
        address=address,
        configure_logging=False,
        logging_level=logging.CRITICAL,
        log_to_driver=False,
        **own,
    )


def _cluster(choice: WorkerChoice, device: str) -> Cluster:
    import ray

    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    machines = [node for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    on_gpu = choose_device(device).type == "cuda"
    if on_gpu and not gpus:
        raise InputError("the Ray cluster has no GPU; add --device cpu")
    count = choice.count or (gpus if on_gpu else len(machines))
    most = gpus if on_gpu else cores
    if count > most:
        what = "GPUs" if on_gpu else "cores"
        raise InputError(f"{count} workers need {count} {what}, and the Ray cluster has {most}")
    smallest = min(int(node["Resources"]["CPU"]) for node in machines)
    return Cluster(count, max(1, min(cores // count, smallest)), int(on_gpu))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray's notices from the terminal: a worker that ends is told in a line of our own."""
    import ray._private.worker as worker

    logger = logging.getLogger("ray")
    level, shown = logger.level, worker.print_to_stdstream
    logger.setLevel(logging.CRITICAL)
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        logger.setLevel(level)
        worker.print_to_stdstream = shown


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces when it connects."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, TypeError):
            signal.signal(signal.SIGTERM, kept)
