"""MLflow as a client: whether it answers, whether it has this audit, logging it."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from robust.errors import InputError, excerpt, type_and_line
from robust.files import cannot
from robust.plan.endpoints import shown_uri
from robust.plan.spec import TrackSpec
from robust.records import GALLERY, Report
from robust.report import write_report
from robust.report.formats.exchange.describe import without_cases
from robust.tracking.contents import (
    CASES,
    CONTENT,
    milliseconds,
    name_part,
    tracked_metrics,
    tracked_parameters,
    tracked_tags,
)

FORMATS = ("html", "md", "json", "csv", "cyclonedx", "model-card")
"""What is logged of the report."""
FOLDER = "report"
"""Of the files within MLflow's run."""
CASE_TABLES = ("outcomes.csv", "outcomes.parquet", "certificates.csv", "corruptions.csv")
"""Files of a run directory with a line for each case."""
VARIABLE = "MLFLOW_TRACKING_URI"
_FOR_A_CLIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""A server that does not answer is said within a minute; MLflow waits for many. Nothing but the
command's own output goes to standard output, which may be JSON. The user's own values stay."""
_AT_ONCE, _METRICS_AT_ONCE = 100, 1000
"""Parameters or tags, and metrics, that MLflow takes in one request."""
_NO_SCHEME = re.compile(r"[\w.-]+:\d{1,5}(/.*)?", re.ASCII)
"""A host and a port alone, which MLflow takes for the name of a folder."""
_DATABASE_FILE = "sqlite:///"
_EXPERIMENT_DELETED = "deleted"


def require_tracking(spec: TrackSpec | None) -> None:
    """InputError where a plan wants to be tracked and MLflow is missing or does not answer.

    Called before an audit begins: hours later it would come too late.
    """
    if spec is not None:
        with _client(spec) as client:
            client.search_experiments(max_results=1)


def track_report(report: Report, run: str | Path, spec: TrackSpec) -> str:
    """Log a finished audit, unless it was logged before, and say where; InputError.

    `run` is the run directory; only with `spec.cases` is anything read from it. The user's name,
    paths and source code, which MLflow's own functions would add, are not logged.
    """
    if not report.is_finished:
        raise InputError(
            f"only a finished audit is tracked, and this one lacks {report.missing_text}; give the "
            "same audit command again"
        )
    known = tracked_tags(report, cases=spec.cases)
    name = f"experiment {spec.experiment!r} at {shown_uri(_uri(spec))}"
    with _client(spec) as client:
        experiment = _experiment(client, spec.experiment, _uri(spec))
        if (before := _logged_before(client, experiment, known)) is not None:
            return f"Tracked before: {before} in {name}"
    # Written only where it is needed, and outside of what counts as MLflow's own errors.
    with tempfile.TemporaryDirectory(prefix="robust-track-") as folder:
        _write_files(report, Path(run), Path(folder), cases=spec.cases)
        with _client(spec) as client:
            made = _log(client, experiment, report, spec, known, folder)
    return f"Tracked: {made} in {name}"


def _uri(spec: TrackSpec) -> str:
    """Where results go; InputError where neither the plan nor the environment says it."""
    uri = spec.uri or os.environ.get(VARIABLE, "").strip()
    if not uri:
        raise InputError(
            f"[track] has no uri, and the environment variable {VARIABLE} is empty; give one: "
            'uri = "sqlite:///mlflow.db", or the address of a tracking server'
        )
    if _NO_SCHEME.fullmatch(uri):
        raise InputError(
            f"the tracking uri {excerpt(uri, 200)} does not begin with http:// or https://"
        )
    try:
        parts = urlsplit(uri)
        login = parts.scheme in ("http", "https") and "@" in parts.netloc
    except ValueError:
        raise InputError(
            f"the tracking uri is not an address: {excerpt(shown_uri(uri), 200)}"
        ) from None
    if login:
        raise InputError(
            f"the tracking uri {excerpt(shown_uri(uri), 200)} holds a user or a password; put them "
            "into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    return uri


@contextlib.contextmanager
def _client(spec: TrackSpec) -> Iterator[Any]:
    """MLflow's client; whatever it raises becomes an InputError of one line without passwords."""
    uri = _uri(spec)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
    ours = {name: value for name, value in _FOR_A_CLIENT.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                from mlflow import MlflowClient
            except ModuleNotFoundError as error:
                raise InputError(
                    f"tracking needs {error.name}: pip install 'robust-audit[mlflow]'"
                ) from None
            logging.getLogger("mlflow").setLevel(logging.ERROR)
            logging.getLogger("alembic").setLevel(logging.ERROR)
            logging.getLogger("urllib3").setLevel(logging.ERROR)  # a line for each retry
            yield MlflowClient(uri)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(
            f"the tracking uri {excerpt(shown_uri(uri), 200)} needs the package {error.name}: "
            f"pip install {error.name}"
        ) from None
    except Exception as error:  # noqa: BLE001  (of MLflow, SQLAlchemy, requests, and the disk)
        raise InputError(_why(uri, error)) from None
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _why(uri: str, error: Exception) -> str:
    """One line on a tracking server that does not do as it should."""
    said = shown_uri(type_and_line(error)).replace(uri, shown_uri(uri))
    shown = excerpt(shown_uri(uri), 200)
    if re.search(r"Max retries exceeded|timed out|Connection", f"{type(error).__name__} {said}"):
        return (
            f"the tracking server {shown} does not answer; is the address right, and does it run?"
        )
    if "API request to endpoint" in said and "error code 404" in said:
        return f"{shown} answers, but not as a tracking server of MLflow; is the address right?"
    return f"MLflow at {shown} refuses: {said}"


def _experiment(client: Any, name: str, uri: str) -> str:
    """The id of the experiment, which is made where there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, _place(uri, name)))
        except Exception:  # another process has just made it, or nobody can
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == _EXPERIMENT_DELETED:
        raise InputError(
            f"the experiment {name!r} was deleted in MLflow; restore it there, or give another name"
        )
    return str(found.experiment_id)


def _place(uri: str, name: str) -> str | None:
    """Where the files of a new experiment go: beside a database file; None where a server knows.

    MLflow's own default is the folder in which the command happens to run.
    """
    database = uri.partition("?")[0].removeprefix(_DATABASE_FILE)
    if not uri.startswith(_DATABASE_FILE) or not database:
        return None
    return (Path(database).resolve().parent / "mlruns" / name_part(name)).as_uri()


def _logged_before(client: Any, experiment: str, known: dict[str, str]) -> str | None:
    """Name of a finished run of MLflow that holds the same audit; None where there is none."""
    wanted = " and ".join(f"tags.`{tag}` = '{known[tag]}'" for tag in (CONTENT, CASES))
    found = client.search_runs([experiment], f"{wanted} and attributes.status = 'FINISHED'")
    return f"run {found[0].info.run_id}" if found else None


def _log(
    client: Any,
    experiment: str,
    report: Report,
    spec: TrackSpec,
    known: dict[str, str],
    files: str,
) -> str:
    """Everything into a new run of MLflow; it counts as failed until all of it is there."""
    from mlflow.entities import Metric, Param, RunTag

    began = milliseconds(report.timings.audited)
    made = client.create_run(
        experiment, start_time=began or None, run_name=spec.run or report.title
    )
    number = made.info.run_id
    status = "FAILED"
    try:
        for some in _in_parts([RunTag(*pair) for pair in known.items()]):
            client.log_batch(number, tags=some)
        for some in _in_parts([Param(*pair) for pair in tracked_parameters(report).items()]):
            client.log_batch(number, params=some)
        values = [Metric(name, value, began, 0) for name, value in tracked_metrics(report).items()]
        for some in _in_parts(values, _METRICS_AT_ONCE):
            client.log_batch(number, metrics=some)
        client.log_artifacts(number, files, FOLDER)
        status = "FINISHED"
    finally:
        end = milliseconds(report.timings.reported)
        with contextlib.suppress(Exception) if status == "FAILED" else contextlib.nullcontext():
            client.set_terminated(number, status, end or None)
    return f"run {number}"


def _in_parts(every: list[Any], most: int = _AT_ONCE) -> Iterator[list[Any]]:
    for start in range(0, len(every), most):
        yield every[start : start + most]


def _write_files(report: Report, run: Path, folder: Path, *, cases: bool) -> None:
    """The report's files; what shows single cases only where the plan says so. InputError."""
    try:
        if not cases:
            write_report(without_cases(report), folder, *FORMATS, gallery=False)
            return
        if (run / GALLERY).is_dir():
            shutil.copytree(run / GALLERY, folder / GALLERY)
        for name in CASE_TABLES:
            if (run / name).is_file():
                shutil.copy(run / name, folder / name)
        write_report(report, folder, *FORMATS)
    except OSError as error:
        raise InputError(cannot(folder, "be written to", error)) from None
