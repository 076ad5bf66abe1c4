"""A tracking server of MLflow: an audit goes there over HTTP, and comes back as it was.

The extra brings MLflow's client alone. The server is a package of its own, in an environment of its
own; MLFLOW_SERVER names its command:

    python3 -m venv mlf && mlf/bin/pip install mlflow
    MLFLOW_SERVER=mlf/bin/mlflow python -m pytest tests/tracking/test_server.py
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.plan.spec import TrackSpec
from robust.records import Report
from robust.tracking import require_tracking, track_report
from robust.tracking.contents import tracked_metrics, tracked_parameters, tracked_tags
from tests.cli.commands import Robust
from tests.cli.conftest import here as here
from tests.cli.conftest import robust as robust
from tests.report.formats.exchanged import every_number
from tests.tracking.test_tracking import Tracked, small_audit

COMMAND = os.path.abspath(os.environ["MLFLOW_SERVER"]) if "MLFLOW_SERVER" in os.environ else ""
PATIENCE = 600
"""Seconds until a server that does not start counts as broken."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of MLflow
    pytest.mark.skipif(not COMMAND, reason="MLFLOW_SERVER names no command of MLflow's server"),
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that takes files over HTTP, as servers do by default."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(COMMAND, "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"),
        *("--artifacts-destination", str(folder / "kept")),
    ]
    others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    own = {**others, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=own, stdout=log, stderr=log, start_new_session=True
        )
        try:
            found = f"http://127.0.0.1:{port}"
            _wait(found, server, folder / "log")
            yield found
        finally:
            os.killpg(server.pid, 15)
            server.wait()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def sent(address: str, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    from mlflow import MlflowClient

    report, folder = every_number(), tmp_path_factory.mktemp("run")
    report.save(folder / "report.json")
    spec = TrackSpec(uri=address, experiment="Röntgen: Lunge / 2")
    require_tracking(spec)
    said = track_report(report, folder, spec)
    return Tracked(report, folder, spec, MlflowClient(address), said)


def test_everything_arrives(sent: Tracked) -> None:
    (run,) = sent.runs()
    assert run.info.status == "FINISHED" and run.info.run_id in sent.said
    assert run.data.params == tracked_parameters(sent.report)
    assert run.data.metrics == pytest.approx(tracked_metrics(sent.report))
    assert tracked_tags(sent.report, cases=False).items() <= run.data.tags.items()
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    files = sent.files(run)
    assert Report.load(files["report/report.json"]).rows == sent.report.rows
    names = ("report.html", "report.md", "results.csv", "report.cdx.json", "model-card.md")
    assert {f"report/{name}" for name in names} < files.keys()


def test_the_command_line_says_it_and_no_more(sent: Tracked, robust: Robust) -> None:
    """MLflow's client prints addresses by itself, which would spoil JSON."""
    other = dataclasses.replace(sent.report, title="Another audit of the same model")
    Path("run").mkdir()
    other.save(Path("run/report.json"))
    uri = str(sent.spec.uri)
    told = robust("report", "run", "--track", uri, "--experiment", "cli", "--json")
    assert told.code == 0 and json.loads(told.out)["run"] == "run", told.err
    told = robust("report", "run", "--track", uri, "--experiment", "cli")
    assert told.code == 0 and told.out.startswith("Tracked before: run "), told.err
    assert len(told.out.splitlines()) == 1


def test_a_plan_sends_its_audit(address: str, tmp_path: Path) -> None:
    told: list[str] = []
    spec = {"uri": address, "experiment": "by a plan"}
    small_audit(tmp_path / "run", track=spec, announce=told.append)
    assert told[-1].startswith("Tracked: run ") and f"'by a plan' at {address}" in told[-1]


def test_an_experiment_that_was_deleted(sent: Tracked) -> None:
    sent.client.delete_experiment(sent.client.create_experiment("gone"))
    spec = sent.spec.model_copy(update={"experiment": "gone"})
    with pytest.raises(InputError, match="'gone' was deleted in MLflow; restore it there"):
        track_report(sent.report, sent.folder, spec)
