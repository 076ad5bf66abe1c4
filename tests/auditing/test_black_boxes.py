"""Whole audits of black boxes: by the command line against a real server, and of any callable."""

from __future__ import annotations

import base64
import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from attacks import Square
from robust import BlackBox
from robust.auditing import audit
from robust.errors import BlackBoxFailure, InputError
from robust.models import Classifier
from robust.models.gradients.gradient_free import fitting_plan
from robust.plan.load import make_plan
from robust.records import Report
from tests.engine.nets import classifier, phantoms, trained
from tests.models.blackbox.server import Served, serving
from tests.warm import Done, Warm

PLAN = """
[model]
{model}
[data]
path = "phantom:chest_xray"
count = 24
pixels = 28
[audit]
eps = ["4/255", "8/255"]
chunk = 8
{attacks}
[scenarios]
queries = [30]
cases = 8
[doubts]
probe = {probe}
{more}
"""
SQUARE = """
[[attacks]]
name = "Noise"
[[attacks]]
name = "Square"
queries = 30
"""
NOISE = '[[attacks]]\nname = "Noise"\n'
FILE = 'factory = "tests.engine.nets:small"\nweights = "net.safetensors"\nhead = "softmax"'


def box(served: Served, more: str = "") -> str:
    return f'endpoint = "{served.url}"\nendpoint_patience = 0.5\nhead = "softmax"\n{more}'


def write(
    folder: Path, model: str, attacks: str = SQUARE, more: str = "", *, probe: bool = False
) -> None:
    save_file(trained(28).state_dict(), folder / "net.safetensors")
    asked = {"model": model, "attacks": attacks, "more": more, "probe": str(probe).lower()}
    text = PLAN.format(**asked)
    (folder / "plan.toml").write_text(text, encoding="utf-8")


RUN = ("audit", "plan.toml", "--out", "run")


def report_in(folder: Path) -> Report:
    return Report.load(folder / "run" / "report.json")


def asked(report: Report) -> dict[str, int]:
    assert report.timings.queries is not None
    return dict(report.timings.queries.answered)


def names(report: Report) -> set[str]:
    return {flag.name for flag in report.flags}


def last_line(done: Done) -> str:
    return done.err.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def from_file(commands: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model audited as a file by the same attacks."""
    folder = tmp_path_factory.mktemp("file")
    write(folder, FILE, more="[report]\ngallery = 0")
    assert commands.run(folder, *RUN).code == 0
    return folder


@pytest.fixture(scope="module")
def from_endpoint(
    commands: Warm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Served, Done]]:
    folder = tmp_path_factory.mktemp("endpoint")
    with serving(trained(28)) as served:
        write(folder, box(served))
        done = commands.run(folder, *RUN)
        yield folder, served, done


def same_results(one: Report, two: Report) -> None:
    """The results of two audits of the same model, but for the last digits of float32."""
    assert one.clean == two.clean and one.worst_cases == two.worst_cases
    for a, b in zip(one.rows, two.rows, strict=True):
        assert (a.attack, a.eps, a.scores, a.attacked) == (b.attack, b.eps, b.scores, b.attacked)
        assert a.passes == pytest.approx(b.passes)
    assert one.scenarios == two.scenarios


def test_an_endpoint_gives_the_numbers_of_its_model_as_a_file(
    from_file: Path, from_endpoint: tuple[Path, Served, Done]
) -> None:
    folder, _, done = from_endpoint
    assert done.code == 0, done.err
    same_results(report_in(folder), report_in(from_file))
    worst = report_in(folder).worst.scores.accuracy
    assert worst is not None and worst.value < report_in(folder).clean.scores.accuracy.value  # type: ignore[union-attr]


def test_every_query_is_counted_and_none_is_above_the_bound(
    from_endpoint: tuple[Path, Served, Done],
) -> None:
    folder, served, done = from_endpoint
    counts = asked(report_in(folder))
    assert sum(counts.values()) == served.answered
    for attack in ("Noise", "Square"):
        for eps in ("4/255", "8/255"):
            assert counts[f"{attack} at {eps}"] > 0
    row = report_in(folder).result("Square", 8 / 255)
    # With the cases that are misread when clean, and one confirmation each.
    assert counts["Square at 8/255"] >= (row.passes + 1) * row.attacked
    (cost,) = [line for line in done.err.splitlines() if line.startswith("Cost: ")]
    most = int(cost.split("at most ")[1].split(" queries")[0].replace(",", ""))
    assert served.answered <= most < 3 * served.answered
    assert "left out: the effect of saving" in cost
    page = (folder / "run" / "report.md").read_text(encoding="utf-8")
    assert f"{served.answered:,}, each one image that was answered" in page


def test_what_a_black_box_is_not_asked_for_is_not_in_its_report(
    from_endpoint: tuple[Path, Served, Done],
) -> None:
    report = report_in(from_endpoint[0])
    assert report.survival == () and report.gallery == ()
    assert report.missing_stages == ()
    assert not {"gradients vanish", "attacks fail without bounds"} & names(report)


def test_a_finished_audit_asks_a_few_images_again_and_no_more(
    commands: Warm, from_endpoint: tuple[Path, Served, Done]
) -> None:
    folder, served, _ = from_endpoint
    before = served.answered
    assert commands.run(folder, *RUN).code == 0
    assert served.answered - before <= 16
    assert sum(asked(report_in(folder)).values()) == served.answered


# --- faults ---


def undated(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text("utf-8"))
    for table in (content["plan"]["model"], content["model"]["source"]):
        table.pop("endpoint")
    return {name: value for name, value in content.items() if name != "timings"}


@pytest.mark.parametrize(
    "after",
    [pytest.param(2, marks=pytest.mark.slow), 30, pytest.param(150, marks=pytest.mark.slow)],
)
def test_a_server_that_dies_ends_the_run_in_one_line_and_it_goes_on_to_the_same_report(
    after: int, commands: Warm, tmp_path: Path, from_endpoint: tuple[Path, Served, Done]
) -> None:
    with serving(trained(28), dies_after=after) as served:
        write(tmp_path, box(served))
        done = commands.run(tmp_path, *RUN)
        first = served.answered
    assert done.code == 2
    assert "does not answer" in last_line(done) and "Traceback" not in done.err
    with serving(trained(28)) as served:
        write(tmp_path, box(served))
        assert commands.run(tmp_path, *RUN).code == 0
        assert sum(asked(report_in(tmp_path)).values()) in range(
            served.answered, served.answered + first + 1
        )
    assert undated(tmp_path) == undated(from_endpoint[0])


@pytest.mark.slow
def test_a_killed_run_goes_on_and_keeps_its_count(
    commands: Warm, tmp_path: Path, from_endpoint: tuple[Path, Served, Done]
) -> None:
    with serving(trained(28)) as served:
        write(tmp_path, box(served))
        running = commands.start(tmp_path, *RUN)
        end = time.monotonic() + 60
        while served.requests < 60 and time.monotonic() < end:
            time.sleep(0.002)
        running.send(signal.SIGTERM)
        assert running.wait().code != 0
        database = sqlite3.connect(tmp_path / "run" / "outcomes.sqlite")
        (kept,) = database.execute("SELECT value FROM meta WHERE key = 'asked'").fetchone()
        database.close()
        in_flight = served.answered - sum(json.loads(kept).values())
        assert 0 <= in_flight <= 8  # what arrives after the signal has not been counted
        assert commands.run(tmp_path, *RUN).code == 0
        assert sum(asked(report_in(tmp_path)).values()) == served.answered - in_flight
    assert undated(tmp_path) == undated(from_endpoint[0])


@pytest.mark.slow
def test_what_the_probe_asks_is_counted_too(
    commands: Warm, tmp_path: Path, from_endpoint: tuple[Path, Served, Done]
) -> None:
    with serving(trained(28)) as served:
        write(tmp_path, box(served), probe=True)
        assert commands.run(tmp_path, *RUN).code == 0
    counts = asked(report_in(tmp_path))
    assert sum(counts.values()) == served.answered > from_endpoint[1].answered


@pytest.mark.slow
def test_another_model_behind_the_same_address_is_noticed(commands: Warm, tmp_path: Path) -> None:
    other = trained(28)
    with torch.no_grad():
        other[-1].bias += torch.tensor([3.0, -3.0])  # type: ignore[index]
    with serving(trained(28), dies_after=40) as served:
        write(tmp_path, box(served))
        assert commands.run(tmp_path, *RUN).code == 2
    with serving(other) as served:
        write(tmp_path, box(served))
        done = commands.run(tmp_path, *RUN)
    assert done.code == 2 and "computes something else than when this run began" in last_line(done)


@pytest.mark.parametrize(
    ("wrong", "said"), [("nan", "NaN or infinite"), ("rows", "rows for"), ("500", "status 500")]
)
def test_a_wrong_answer_in_the_middle_is_no_prediction(
    wrong: str, said: str, commands: Warm, tmp_path: Path
) -> None:
    with serving(trained(28), wrong=wrong) as served:
        write(tmp_path, box(served))
        done = commands.run(tmp_path, *RUN)
    assert done.code == 2 and said in last_line(done)
    assert not (tmp_path / "run" / "report.json").exists()


def test_a_budget_ends_the_run_and_a_larger_one_lets_it_go_on(
    commands: Warm, tmp_path: Path, from_endpoint: tuple[Path, Served, Done]
) -> None:
    with serving(trained(28)) as served:
        write(tmp_path, box(served, "queries = 700"))
        done = commands.run(tmp_path, *RUN)
        assert done.code == 2 and "the budget of 700 queries is used up" in last_line(done)
        assert "the plan allows 700, where the audit stops" in done.err
        assert served.answered <= 700
        write(tmp_path, box(served, "queries = 100000"))
        assert commands.run(tmp_path, *RUN).code == 0
        counts = report_in(tmp_path).timings.queries
        assert counts is not None and counts.budget == 100_000
        assert sum(counts.answered.values()) == served.answered
    one, two = undated(tmp_path), undated(from_endpoint[0])
    for content in (one, two):
        content["plan"]["model"].pop("queries")
        content["model"]["source"].pop("queries", None)
    assert one == two


def test_token_and_password_are_in_no_file_of_the_run(commands: Warm, tmp_path: Path) -> None:
    basic = base64.b64encode(b"me:pass-w0rd").decode()
    with serving(trained(28), token=f"Basic {basic}") as served:
        address = served.url.replace("127", "me:pass-w0rd@127") + "?code=qzx9key"
        model = f'endpoint = "{address}"\nhead = "softmax"\nendpoint_token_env = "BOX_TOKEN"'
        write(tmp_path, model, NOISE)
        done = commands.run(tmp_path, *RUN, env={"BOX_TOKEN": "X-Api-Key: s3cret-Token"})
    assert done.code == 0, done.err
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    everything = b"".join(path.read_bytes() for path in files) + (done.out + done.err).encode()
    assert len(files) > 4 and served.url.encode() in everything
    for secret in (b"s3cret", b"w0rd", b"qzx9key", basic.encode()):
        assert secret not in everything


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--attack", "PGD"),
            "PGD follows gradients, and this model gives none; use Square or Noise",
        ),
        (("--set", "scenarios.patch=[0.1]"), "patch needs gradients"),
        (("--detector", "MaxSoftmax"), "detectors read a network"),
        (("--workers", "2"), "asked by one process"),
        (("--shard", "1/2"), "asked by one process"),
    ],
)
def test_what_a_black_box_cannot_give_is_refused_in_one_line(
    options: Sequence[str], said: str, commands: Warm, tmp_path: Path
) -> None:
    with serving(trained(28)) as served:
        write(tmp_path, box(served))
        done = commands.run(tmp_path, *RUN, *options)
        assert done.code == 2 and said in last_line(done)
        assert served.answered == 0


# --- labels, and scores that are less than they seem ---


def test_labels_alone_are_audited_by_attacks_that_need_no_more(
    commands: Warm, tmp_path: Path
) -> None:
    with serving(trained(28), labels="INT64") as served:
        model = box(served, "outputs = 2")
        write(tmp_path, model, SQUARE)
        done = commands.run(tmp_path, *RUN)
        assert done.code == 2
        assert "Square reads scores, and this model gives labels alone; use Noise, " in last_line(
            done
        )
        write(tmp_path, model, NOISE)
        assert commands.run(tmp_path, *RUN).code == 0
    report = report_in(tmp_path)
    assert "labels in place of scores" in names(report)
    assert "clipped outputs" not in names(report)
    assert all(word.startswith("no verdict") for word in report.verdicts)
    (queries,) = report.scenarios
    assert queries.name == "queries" and queries.failure == ""


FORMS: dict[str, tuple[dict[str, Any], str, str]] = {
    "rounded": ({"softmax": True, "digits": 2}, "scores are rounded", "2 digits"),
    "rounded logits": ({"digits": 1}, "scores are rounded", "1 digit behind"),
    "one-hot": ({"labels": "one-hot"}, "labels in place of scores", "labels in disguise"),
    "the best class": (
        {"softmax": True, "top": 1},
        "scores of the best classes alone",
        "1 of 2 classes",
    ),
    "clipped": ({"softmax": True, "clip": 0.4}, "clipped outputs", "the same extreme value"),
    "probabilities": ({"softmax": True}, "probabilities instead of logits", "was observed"),
    "random": ({"random": 0.2}, "random outputs", "differ by"),
    "bytes": ({"datatype": "UINT8"}, "input is rounded", "256 grey levels"),
}


@pytest.mark.parametrize("form", FORMS)
def test_scores_that_are_less_than_they_seem_raise_their_doubt(
    form: str, commands: Warm, tmp_path: Path
) -> None:
    switches, flag, said = FORMS[form]
    with serving(trained(28), **switches) as served:
        model = box(served).replace('head = "softmax"', 'head = "auto"')
        write(tmp_path, model, NOISE, more="[report]\ngallery = 0", probe=form == "random")
        done = commands.run(tmp_path, *RUN, "--set", "scenarios.queries=[]")
        assert done.code == 0, done.err
        report = report_in(tmp_path)
        assert sum(asked(report).values()) == served.answered
    (raised,) = [one for one in report.flags if one.name == flag]
    assert said in raised.observed
    forms = {name for _, name, _ in FORMS.values()} - {"probabilities instead of logits"}
    assert names(report) & forms == {flag} - {"probabilities instead of logits"}


# --- callables ---

QUIET: dict[str, Any] = {"device": "cpu", "eps": ["8/255"], "gallery": 0}


def run(model: Classifier, **options: Any) -> Report:
    return audit(model, phantoms(24), **{**QUIET, "doubts": {"probe": False}, **options})


def scores(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        found: np.ndarray[Any, Any] = trained(28)(torch.from_numpy(x)).numpy()
    return found


def tensors(x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = trained(28)(x)
    return found


def labels(x: np.ndarray[Any, Any]) -> list[int]:
    found: list[int] = scores(x).argmax(1).tolist()
    return found


def factory() -> Callable[..., Any]:
    trained(28)
    return scores


def test_any_callable_gives_the_numbers_of_its_network() -> None:
    options: dict[str, Any] = {
        "attacks": ["Noise", Square(queries=60)],
        "scenarios": {"queries": [30], "cases": 8},
    }
    plain = run(classifier(head="softmax"), **options)
    for model in (
        BlackBox(scores, channels=1, head="softmax"),
        BlackBox(tensors, takes="tensor", at_once=5, channels=1, head="softmax"),
    ):
        found = run(model, **options)
        same_results(found, plain)
        assert sum(asked(found).values()) > 24


def test_default_attacks_are_those_that_a_black_box_allows() -> None:
    by_scores = BlackBox(scores, channels=1)
    plan = fitting_plan(make_plan({}), by_scores)
    assert [one.name for one in plan.attacks] == ["Noise", "Square"]
    by_labels = BlackBox(labels, answers="labels", outputs=2, channels=1)
    plan = fitting_plan(make_plan({}), by_labels)
    assert [one.name for one in plan.attacks] == ["Noise"] and plan.scenarios.queries == (1000,)
    with pytest.raises(InputError, match="Square reads scores, and this model gives labels alone"):
        run(by_labels, attacks=["Square"])


def test_images_of_another_model_are_shown_to_a_callable() -> None:
    report = run(
        BlackBox(labels, answers="labels", outputs=2, channels=1),
        attacks=["Noise"],
        surrogate=classifier(),
        scenarios={"cases": 10},
    )
    (transfer,) = report.scenarios
    assert transfer.name == "transfer" and transfer.fooled.value > transfer.control.value


def test_a_callable_that_fails_ends_the_audit_and_not_an_attack() -> None:
    calls = 0

    def failing(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise RuntimeError("the licence has ended")
        return scores(x)

    with pytest.raises(BlackBoxFailure, match="RuntimeError: the licence has ended"):
        run(BlackBox(failing, channels=1, head="softmax"), attacks=["Noise", "Square"])


def test_each_audit_of_one_black_box_counts_and_limits_its_own_queries() -> None:
    black_box = BlackBox(scores, channels=1, head="softmax", queries=400)
    counts = [asked(run(black_box, attacks=["Noise"])) for _ in range(2)]
    assert counts[0] == counts[1] and 24 < sum(counts[0].values()) <= 400
    with pytest.raises(BlackBoxFailure, match="the budget of 400 queries"):
        run(black_box, attacks=["Square"])


@pytest.mark.slow
def test_a_factory_of_a_plan_may_return_a_function(
    commands: Warm, tmp_path: Path, from_file: Path
) -> None:
    model = 'factory = "tests.auditing.test_black_boxes:factory"\nchannels = 1\nhead = "softmax"'
    write(tmp_path, model)
    assert commands.run(tmp_path, *RUN).code == 0
    same_results(report_in(tmp_path), report_in(from_file))
