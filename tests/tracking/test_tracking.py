"""What MLflow's own client reads of a tracked audit, and what is said where tracking fails."""

from __future__ import annotations

import dataclasses
import functools
import http.server
import json
import logging
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robust.auditing import api, audit
from robust.cases import open_cases
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import load_plan, make_plan
from robust.plan.public import public_plan
from robust.plan.spec import TrackSpec
from robust.records import FindingEntry, FindingsReport, Report
from robust.report.formats.exchange.describe import content_digest
from robust.report.numbers import reported_numbers
from robust.tracking import require_tracking, server, track_report
from robust.tracking.contents import (
    MOST_NAME,
    tracked_metrics,
    tracked_parameters,
    tracked_tags,
)
from tests.cli.commands import Robust
from tests.cli.conftest import here as here
from tests.cli.conftest import robust as robust
from tests.report.formats.exchanged import every_number
from tests.report.hostile import NAMES

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow, SQLAlchemy and Alembic
WORST = "robust_accuracy/worst case Linf 4_255"
SECRET = "pa55word"


@dataclass(frozen=True)
class Tracked:
    """An audit that was tracked once."""

    report: Report
    folder: Path
    spec: TrackSpec
    client: Any
    said: str

    def runs(self) -> Any:
        """MLflow's runs of the experiment."""
        experiment = self.client.get_experiment_by_name(self.spec.experiment)
        return self.client.search_runs([experiment.experiment_id])

    def files(self, run: Any) -> dict[str, Path]:
        """The files that MLflow keeps of a run."""
        place = Path(self.client.download_artifacts(run.info.run_id, ""))
        return {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "gallery").mkdir()
    (folder / "gallery" / "ward-7.png").write_bytes(b"the image of a patient")
    (folder / "outcomes.csv").write_text("case\nward-7\n", encoding="utf-8")
    report = every_number()
    spec = TrackSpec(uri=f"sqlite:///{folder / 'mlflow.db'}", experiment="audits")
    said = track_report(report, folder, spec)
    from mlflow import MlflowClient

    yield Tracked(report, folder, spec, MlflowClient(spec.uri), said)


@pytest.fixture
def json_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the files are not what is looked at, one of them is written."""
    monkeypatch.setattr(server, "FORMATS", ("json",))


def test_mlflow_has_the_plan_every_number_and_its_ends(tracked: Tracked) -> None:
    (run,) = tracked.runs()
    assert run.info.status == "FINISHED" and run.info.run_id in tracked.said
    assert run.info.run_name == tracked.report.title
    assert run.info.start_time == 1795697162000  # 2026-11-26T12:46:02Z
    assert run.data.params == tracked_parameters(tracked.report)
    assert run.data.params["audit.seed"] == "3" and run.data.params["attacks.0.steps"] == "20"
    found = run.data.metrics
    assert found == pytest.approx(tracked_metrics(tracked.report))
    ends = (found[WORST], found[f"{WORST} low"], found[f"{WORST} high"])
    assert ends == pytest.approx((0.3, 0.25, 0.35))
    assert found["robust_accuracy/Noise Linf 4_255"] == pytest.approx(0.95)
    assert found["warnings"] == 1
    assert run.data.tags["robust.verdict/worst case Linf 4_255"] == "mostly fooled"
    assert run.data.tags["robust.warnings"] == "copies of images"
    assert run.data.tags["robust.weights_sha256"] == "a" * 64
    assert "mlflow.user" not in run.data.tags and "mlflow.source.name" not in run.data.tags


def test_each_number_has_a_metric_of_its_own(tracked: Tracked) -> None:
    numbers = reported_numbers(tracked.report)
    ends = sum(2 for one in numbers if one.estimate.interval)
    assert len(tracked_metrics(tracked.report)) == len(numbers) + ends + 3
    assert {one.estimate.value for one in numbers} <= set(tracked_metrics(tracked.report).values())


def test_files_lie_beside_the_database_wherever_the_command_ran(tracked: Tracked) -> None:
    (run,) = tracked.runs()
    place = (tracked.folder / "mlruns" / "audits").resolve().as_uri()
    assert run.info.artifact_uri.startswith(f"{place}/")


def test_no_single_case_is_logged(tracked: Tracked) -> None:
    (run,) = tracked.runs()
    files = tracked.files(run)
    assert {"report/report.html", "report/report.json", "report/report.cdx.json"} <= files.keys()
    assert {"report/model-card.md", "report/results.csv", "report/report.md"} <= files.keys()
    assert not [name for name in files if "outcomes" in name or "gallery" in name]
    for name, path in files.items():
        assert b"ward-7" not in path.read_bytes(), name
    assert "ward-7" not in str(run.data)
    assert Report.load(files["report/report.json"]).rows == tracked.report.rows


def test_the_same_audit_is_logged_once_and_with_cases_again(tracked: Tracked) -> None:
    later = dataclasses.replace(tracked.report, timings=type(tracked.report.timings)(9.0))
    (run,) = tracked.runs()
    said = track_report(later, tracked.folder, tracked.spec)
    assert said.startswith(f"Tracked before: run {run.info.run_id}")
    assert len(tracked.runs()) == 1
    spec = tracked.spec.model_copy(update={"experiment": "with cases", "cases": True})
    track_report(tracked.report, tracked.folder, spec)
    other = dataclasses.replace(tracked, spec=spec)
    (run,) = other.runs()
    names = other.files(run).keys()
    assert {"report/outcomes.csv", "report/gallery/ward-7.png"} <= names


def test_hostile_names_become_names_that_mlflow_takes(tracked: Tracked, json_alone: None) -> None:
    rows = tuple(
        dataclasses.replace(tracked.report.rows[1], attack=name) for name in NAMES.values()
    )
    hostile = dataclasses.replace(
        tracked.report,
        rows=rows,
        title=NAMES["lines"],
        plan={**tracked.report.plan, NAMES["tex"]: {"..": [NAMES["at"]]}},
    )
    spec = tracked.spec.model_copy(update={"experiment": "hostile"})
    track_report(hostile, tracked.folder, spec)
    (run,) = dataclasses.replace(tracked, spec=spec).runs()
    assert len(run.data.metrics) == len(tracked_metrics(hostile))
    assert all(len(name) <= MOST_NAME for name in tracked_metrics(hostile))


# --- several findings: `robust report --track` makes each a run of MLflow ---


@pytest.fixture
def several(json_alone: None) -> FindingsReport:
    """In the folder `run`: two findings that were audited, and one that was not."""
    made = every_number()
    entries = (
        FindingEntry("Edema", "edema"),
        FindingEntry("Mass", "mass"),
        FindingEntry("Hernia", "hernia", "no case has it in split test"),
    )
    reports = []
    for number, entry in enumerate(entries[:2]):
        accuracy = made.clean.scores.accuracy
        assert accuracy is not None
        scores = dataclasses.replace(
            made.clean.scores, accuracy=dataclasses.replace(accuracy, value=accuracy.low)
        )
        clean = made.clean if number else dataclasses.replace(made.clean, scores=scores)
        one = dataclasses.replace(made, title=f"Audit: {entry.finding}", clean=clean)
        Path("run", entry.folder).mkdir(parents=True)
        one.save(Path("run", entry.folder, "report.json"))
        reports.append((entry, one))
    found = FindingsReport("Audit", entries, tuple(reports))
    found.save("run")
    return found


def test_each_finding_is_a_run_of_its_own(
    tracked: Tracked, robust: Robust, several: FindingsReport
) -> None:
    track = ("--track", tracked.spec.uri, "--experiment", "several")
    answer = robust("report", "run", *track)
    assert answer.code == 0, answer.err
    first, second, left = answer.out.splitlines()
    assert first.startswith("Edema: Tracked: run ") and second.startswith("Mass: Tracked: run ")
    assert left == "Not tracked: Hernia was not audited: no case has it in split test"
    assert not Path("run/report.html").exists()  # nothing is written where nothing is asked for
    spec = tracked.spec.model_copy(update={"experiment": "several"})
    runs = {run.info.run_name: run for run in dataclasses.replace(tracked, spec=spec).runs()}
    assert runs.keys() == {"Audit: Edema", "Audit: Mass"}
    for _, report in several.reports:
        tags = runs[report.title].data.tags
        assert tags["robust.content"] == content_digest(report)
        assert runs[report.title].info.run_id in answer.out

    again = robust("report", "run", *track, "--json")
    value = json.loads(again.out)
    assert [line.split(":")[:2] for line in value["tracked"]] == [
        ["Edema", " Tracked before"],
        ["Mass", " Tracked before"],
    ]
    assert [one["finding"] for one in value["findings"]] == ["Edema", "Mass", "Hernia"]
    one = json.loads(robust("report", "run/mass", *track, "--json").out)
    assert one["tracked"][0].startswith("Tracked before: run ")


def test_an_error_names_the_finding(
    robust: Robust, several: FindingsReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def second_fails(report: object, run: Path, spec: object) -> str:
        told.append(run.name)
        if len(told) == 2:
            raise InputError("the tracking server does not answer")
        return "Tracked: run 1"

    monkeypatch.setattr("robust.tracking.track_report", second_fails)
    track = ("--track", "sqlite:///mlflow.db")
    answer = robust("report", "run", *track)
    assert told == ["edema", "mass"] and answer.out == "Edema: Tracked: run 1\n"
    assert answer.code == 2
    assert answer.err == "robust: Mass: the tracking server does not answer\n"
    told.clear()
    assert (
        robust("report", "run", *track, "--json").out == ""
    )  # after an error nothing is on standard output
    missing = robust("report", "gone", *track)
    assert missing.code == 2 and "gone" in missing.err


# --- where it fails ---


def refused(spec: TrackSpec, *said: str) -> None:
    with pytest.raises(InputError) as raised:
        require_tracking(spec)
    text = str(raised.value)
    assert "\n" not in text and SECRET not in text
    for part in said:
        assert part in text, text


def test_without_the_extra_one_line_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    refused(TrackSpec(uri="sqlite:///m.db"), "pip install 'robust-audit[mlflow]'")


def test_a_server_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    refused(TrackSpec(uri=f"http://127.0.0.1:{port}"), f"127.0.0.1:{port} does not answer")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        (f"http://me:{SECRET}@127.0.0.1:9", "MLFLOW_TRACKING_PASSWORD"),
        (f"postgresql://me:{SECRET}@127.0.0.1:9/runs", "postgresql://127.0.0.1:9/runs"),
        ("foo://bar", "foo://bar"),
        ("127.0.0.1:5000", "does not begin with http:// or https://"),
        ("mlflow.example.org:5000/path", "does not begin with http:// or https://"),
    ],
)
def test_addresses_that_cannot_be_used(uri: str, said: str) -> None:
    refused(TrackSpec(uri=uri), said)


def test_a_server_of_something_else_is_named(tmp_path: Path) -> None:
    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Silent, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(InputError, match="but not as a tracking server of MLflow") as raised:
            track_report(every_number(), tmp_path, TrackSpec(uri=address))
        server.shutdown()
    assert address in str(raised.value) and "\n" not in str(raised.value)


def test_an_address_must_be_given_somewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    refused(TrackSpec(), "MLFLOW_TRACKING_URI")


def test_nothing_is_asked_where_no_plan_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    require_tracking(None)


def test_an_unfinished_audit_is_not_tracked(tracked: Tracked) -> None:
    cut = dataclasses.replace(tracked.report, missing_stages=("probe",))
    with pytest.raises(InputError, match="lacks the probe"):
        track_report(cut, tracked.folder, tracked.spec)


def test_a_run_of_mlflow_that_broke_off_counts_as_failed(
    tracked: Tracked, json_alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    spec = tracked.spec.model_copy(update={"experiment": "broken"})
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifacts", full)
        with pytest.raises(InputError, match="No space left on device"):
            track_report(tracked.report, tracked.folder, spec)
    assert track_report(tracked.report, tracked.folder, spec).startswith("Tracked: ")
    states = [run.info.status for run in dataclasses.replace(tracked, spec=spec).runs()]
    assert sorted(states) == ["FAILED", "FINISHED"]


# --- from the plan to the end of an audit ---


def small_audit(out: Path, **settings: Any) -> Report:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    cases = open_cases("phantom:chest_xray", count=8, pixels=28)
    doubts = {"probe": False}
    return audit(
        Classifier(net, channels=1), cases, attacks=["FGSM"], eps=["2/255"], out=out, gallery=0,
        device="cpu", doubts=doubts, **settings,
    )  # fmt: skip


def test_a_finished_audit_is_tracked_and_says_where(tracked: Tracked, tmp_path: Path) -> None:
    told: list[str] = []
    uri = str(tracked.spec.uri)
    report = small_audit(tmp_path / "run", track={"uri": uri}, announce=told.append)
    assert told[-1].startswith("Tracked: run ") and uri in told[-1]
    assert report.plan["track"] is None and uri not in report.to_json()
    assert tracked_tags(report, cases=False)["robust.cases"] == "no"


def test_an_audit_is_not_lost_where_tracking_fails(
    tracked: Tracked,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down(*_: object) -> str:
        raise InputError("the tracking server does not answer")

    monkeypatch.setattr(api, "track_report", down)
    uri = tracked.spec.uri
    with caplog.at_level(logging.WARNING):
        report = small_audit(tmp_path / "run", track={"uri": uri})
    assert Report.load(tmp_path / "run" / "report.json") == report
    (line,) = [r.getMessage() for r in caplog.records if "not tracked" in r.getMessage()]
    assert "does not answer" in line and f"robust report {tmp_path / 'run'} --track" in line


def test_tracking_changes_neither_the_run_nor_what_a_report_keeps_of_a_plan() -> None:
    raw = {"model": {"factory": "a:b"}, "data": {"path": "images"}}
    plain = make_plan(raw)
    plan = make_plan({**raw, "track": {"uri": f"http://me:{SECRET}@host"}})
    assert plan.digest() == plain.digest() and plan.short_name() == plain.short_name()
    assert public_plan(plan).track is None


def test_the_plan_of_a_folder_does_not_choose_where_results_go(tmp_path: Path) -> None:
    text = '[model]\narchitecture = "resnet18"\n[data]\npath = "images"\n[track]\n'
    text += f'uri = "http://me:{SECRET}@elsewhere"\n'
    (tmp_path / "plan.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="tracking server http://elsewhere") as raised:
        load_plan(tmp_path)
    assert SECRET not in str(raised.value)
    assert load_plan(tmp_path / "plan.toml").track is not None
