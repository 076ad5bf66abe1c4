"""`robust view` and `robust schema` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import Robust
from tests.records.test_report import report


def test_view_writes_one_page_and_says_where(robust: Robust) -> None:
    Path("runs/one").mkdir(parents=True)
    report().save(Path("runs/one/report.json"))
    answer = robust("view", "runs")
    assert (answer.code, answer.out) == (0, "wrote runs/index.html\n")
    page = Path("runs/index.html")
    assert "Overview of runs" in page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o077 == 0
    assert robust("view", "runs").code == 0  # its own page is written anew
    assert robust("view", "runs", "--out", "all.html").out == "wrote all.html\n"
    assert robust("view", "runs", "--quiet").out == ""
    values = json.loads(robust("view", "runs", "--json").out)
    assert values["page"] == "runs/index.html" and values["unreadable"] == []
    (run,) = values["runs"]
    assert run["worst"]["robust_accuracy"]["low"] == run["accuracy"]["low"] == 0.25
    assert (run["folder"], run["page"], run["flags"]) == ("runs/one", None, 1)


def test_view_refuses_in_a_line(robust: Robust) -> None:
    Path("empty").mkdir()
    for arguments, said in (
        (("empty",), "no run below empty; name a folder in which robust audit has written"),
        (("nothing",), "no such folder: nothing"),
    ):
        answer = robust("view", *arguments)
        assert answer.code == 2 and answer.out == ""
        (line,) = answer.err.splitlines()
        assert said in line
    report().save(Path("empty/report.json"))
    Path("empty/index.html").write_text("<p>mine</p>", encoding="utf-8")
    answer = robust("view", "empty")
    assert answer.code == 2 and "is a page of something else" in answer.err
    assert Path("empty/index.html").read_text(encoding="utf-8") == "<p>mine</p>"
    assert "is a folder; name a file" in robust("view", "empty", "--out", "empty").err


def test_schema_prints_json_or_writes_it(robust: Robust) -> None:
    for kind in ("plan", "recipe", "sweep", "report"):
        answer = robust("schema", kind)
        assert answer.code == 0 and json.loads(answer.out)["properties"], kind
    assert json.loads(robust("schema", "plan", "--json").out)["properties"]
    assert robust("schema", "plan", "--out", "plan.schema.json").code == 0
    assert json.loads(Path("plan.schema.json").read_text(encoding="utf-8"))
    answer = robust("schema", "plann")
    assert answer.code == 2 and "no schema of 'plann'; did you mean plan" in answer.err
