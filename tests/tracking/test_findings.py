"""`robust report --track` on several findings: each becomes a run of MLflow."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.records import FindingEntry, FindingsReport
from robust.report.formats.exchange.describe import content_digest
from tests.cli.commands import Robust
from tests.cli.conftest import here as here
from tests.cli.conftest import robust as robust
from tests.report.formats.exchanged import every_number

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow, SQLAlchemy and Alembic
TRACK = ("report", "run", "--track", "sqlite:///mlflow.db", "--experiment", "several")


@pytest.fixture
def several() -> FindingsReport:
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


def test_each_finding_is_a_run_of_its_own(robust: Robust, several: FindingsReport) -> None:
    answer = robust(*TRACK)
    assert answer.code == 0, answer.err
    first, second, left = answer.out.splitlines()
    assert first.startswith("Edema: Tracked: run ") and second.startswith("Mass: Tracked: run ")
    assert left == "Not tracked: Hernia was not audited: no case has it in split test"
    assert not Path("run/report.html").exists()  # nothing is written where nothing is asked for
    from mlflow import MlflowClient

    client = MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("several")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"Audit: Edema", "Audit: Mass"}
    for _, report in several.reports:
        tags = runs[report.title].data.tags
        assert tags["robust.content"] == content_digest(report)
        assert runs[report.title].info.run_id in answer.out

    again = robust(*TRACK, "--json")
    value = json.loads(again.out)
    assert [line.split(":")[:2] for line in value["tracked"]] == [
        ["Edema", " Tracked before"],
        ["Mass", " Tracked before"],
    ]
    assert [one["finding"] for one in value["findings"]] == ["Edema", "Mass", "Hernia"]
    one = json.loads(robust("report", "run/mass", *TRACK[2:], "--json").out)
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
    answer = robust(*TRACK)
    assert told == ["edema", "mass"] and answer.out == "Edema: Tracked: run 1\n"
    assert answer.code == 2
    assert answer.err == "robust: Mass: the tracking server does not answer\n"
    told.clear()
    assert robust(*TRACK, "--json").out == ""  # after an error nothing is on standard output
    missing = robust("report", "gone", *TRACK[2:])
    assert missing.code == 2 and "gone" in missing.err
