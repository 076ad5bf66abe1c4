"""`--json`, `--quiet`, `--verbose`, colours and shell completion, as a user calls them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robust.cli import app as cli
from robust.cli.list import LISTS
from robust.cli.process.manners import json_text, versions_text
from tests.cli.commands import RUN, Answer, Robust, contents, refused, write_plan
from tests.cli.conftest import here as here
from tests.cli.conftest import robust as robust

COMMAND = f"""#!/bin/sh
exec {sys.executable} -c "import sys; sys.argv[0] = 'robust'; from robust.cli import main; main()" "$@"
"""


def only_json(answer: Answer) -> object:
    """What a command printed on stdout, which must be one JSON value."""
    return json.loads(answer.out)


# --- --json ---


@pytest.mark.parametrize("what", [name for name in LISTS if name != "models"])
def test_every_list_as_json_has_the_rows_of_the_table(robust: Robust, what: str) -> None:
    table, before, after = (
        robust("list", what), robust("--json", "list", what), robust("list", what, "--json")
    )  # fmt: skip
    rows = only_json(after)
    assert isinstance(rows, list) and len(rows) > 1 and before.out == after.out
    flat = re.sub(r"\s+", "", table.out)
    for row in rows:
        name = next(iter(row.values()))
        assert name and re.sub(r"\s+", "", name) in flat


def test_an_audit_prints_its_whole_report_and_its_gates(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plan()
    Path("plan.toml").write_text(
        Path("plan.toml").read_text() + "\n[gates]\nclean_accuracy = 0.99\n", encoding="utf-8"
    )
    for name in ("READING_SECONDS", "PASSING_SECONDS"):
        monkeypatch.setattr(f"robust.auditing.dry_run.{name}", 0.01)
    dry = only_json(robust("audit", "plan.toml", "--dry-run", "--json"))
    assert isinstance(dry, dict) and dry["cases"] == 8
    assert dry["seconds"] == pytest.approx(sum(dry["stages"].values()))

    answer = robust(*RUN, "--gate", "--json")
    assert answer.code == 1  # the gate did not pass, and the result is there all the same
    assert "robust: " in answer.err
    result = only_json(answer)
    assert isinstance(result, dict) and result["run"] == "run"
    assert result["report"] == json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert [gate["passed"] for gate in result["gates"]] == [False]
    assert all(Path(name).is_file() for name in result["files"])

    Path("run/report.html").unlink()
    shown = only_json(robust("report", "run", "--json"))
    assert isinstance(shown, dict) and shown["report"] == result["report"] and not shown["files"]
    assert not Path("run/report.html").exists()
    written = only_json(robust("--json", "report", "run", "--template", "fda", "--format", "md"))
    assert isinstance(written, dict) and written["files"] == ["run/fda.md"]

    shutil.copytree("run", "other")
    compared = robust("compare", "run", "other", "--json")
    assert only_json(compared) == json.loads(
        robust("compare", "run", "other", "--format", "json").out
    )


def test_an_error_prints_nothing_on_stdout(robust: Robust) -> None:
    refused(robust("report", "nowhere", "--json"), "nowhere")


def test_what_code_and_libraries_write_to_the_handle_is_no_result(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robust.auditing.dry_run.PASSING_SECONDS", 0.01)
    Path("loud.py").write_text(
        "import os, toy_factory\n"
        "def build():\n"
        "    print('loading')\n"
        "    os.write(1, b'by hand\\n')\n"
        "    os.system('echo by another process')\n"
        "    return toy_factory.build()\n",
        encoding="utf-8",
    )
    write_plan({"factory": "loud:build"})
    answer = robust(*RUN, "--json")
    assert isinstance(only_json(answer), dict)
    for said in ("loading", "by hand", "by another process"):
        assert said in answer.err
    assert "by hand" in robust("audit", "plan.toml", "--dry-run").out  # goes there again


def test_json_holds_nothing_that_a_ci_takes_for_a_command() -> None:
    value = {"title": "##[error]x\n::error::y", "nan": float("nan"), "é": [1.5, None]}
    text = json_text(value)
    assert "##[" not in text and text.isascii()
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    assert json.loads(text) == {**value, "nan": None}


# --- --quiet ---


def test_a_quiet_audit_prints_nothing_and_writes_everything(robust: Robust) -> None:
    write_plan()
    assert robust(*RUN, "--quiet") == Answer(0, "", "")
    assert {"report.html", "report.json", "outcomes.csv"} <= set(contents(Path("run")))
    assert robust("-q", "report", "run", "--format", "text") == Answer(0, "", "")
    assert "still correct" in robust("report", "run", "--format", "text").out  # talks again


def test_a_quiet_command_still_says_what_is_wrong(robust: Robust) -> None:
    refused(robust("report", "nowhere", "--quiet"), "nowhere")


# --- --verbose ---


def test_verbose_shows_where_an_unexpected_error_arose(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pattern: str) -> None:
        raise RuntimeError("a fault")

    monkeypatch.delenv("ROBUST_TRACEBACK", raising=False)
    monkeypatch.setitem(LISTS, "formats", broken)  # type: ignore[arg-type]
    plain = robust("list", "formats")
    assert plain.code == 70 and "Traceback" not in plain.err
    assert plain.err.count("\n") == 1 and "--verbose shows where" in plain.err
    for call in (("--verbose", "list", "formats"), ("list", "formats", "-v")):
        answer = robust(*call)
        assert answer.code == 70 and answer.out == ""
        assert "Traceback" in answer.err and "in broken" in answer.err
        assert answer.err.splitlines()[0] == versions_text()
        assert "torch 2." in versions_text() and "Python 3." in versions_text()
    monkeypatch.setenv("ROBUST_TRACEBACK", "1")
    assert "in broken" in robust("list", "formats").err


def test_verbose_shows_no_trace_of_wrong_input(robust: Robust) -> None:
    for call in (("list", "nothing", "--verbose"), ("list", "--no-such-option", "--verbose")):
        answer = robust(*call)
        assert answer.code == 2 and "Traceback" not in answer.err


def test_the_options_stand_in_the_help_of_every_command(robust: Robust) -> None:
    for info in cli.app.registered_commands:
        shown = robust(info.name, "--help").out
        assert all(option in shown for option in ("--json", "--quiet", "--verbose")), info.name


# --- colours ---


def in_terminal(tmp_path: Path, **environment: str) -> str:
    """What `robust --help` prints to a terminal."""
    pty = pytest.importorskip("pty")
    primary, secondary = pty.openpty()
    ours = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "robust", "--help"],
        env={**ours, "TERM": "xterm-256color", **environment},
        stdout=secondary,
        stderr=secondary,
        cwd=tmp_path,
    )
    os.close(secondary)
    text = b""
    while True:
        try:
            part = os.read(primary, 4096)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        text += part
    os.close(primary)
    assert process.wait() == 0
    return text.decode()


def test_no_colour_where_none_is_wanted(tmp_path: Path) -> None:
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]")
    assert colour.search(in_terminal(tmp_path))
    plain = in_terminal(tmp_path, NO_COLOR="1")
    assert "Usage" in plain and not colour.search(plain)


# --- shell completion ---


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("robust com", {"compare"}),
        ("robust audit --dry", {"--dry-run"}),
        ("robust report run --template eu", {"eu-ai-act"}),
        ("robust report run --format ht", {"html"}),
        ("robust list temp", {"templates"}),
    ],
)
def test_words_are_completed(
    robust: Robust, monkeypatch: pytest.MonkeyPatch, words: str, expected: set[str]
) -> None:
    monkeypatch.setenv("_ROBUST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    answer = robust()
    assert answer.code == 0 and set(answer.out.split()) == expected and answer.err == ""


def test_completion_is_installed_for_bash_and_works(
    robust: Robust, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script that is installed asks the command, and the shell gets its answer."""
    shell = "/bin/bash"
    if not Path(shell).exists():
        pytest.skip("no bash here")
    home, bin = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    bin.mkdir()
    (bin / "robust").write_text(COMMAND, encoding="utf-8")
    (bin / "robust").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", shell))
    shown = robust("--show-completion")
    assert shown.code == 0 and "_ROBUST_COMPLETE=complete_bash" in shown.out
    installed = robust("--install-completion")
    assert installed.code == 0 and "bash completion installed" in installed.out
    (script,) = home.rglob("robust.sh")
    assert str(script) in (home / ".bashrc").read_text(encoding="utf-8")
    ask = f"""
    source {script}
    COMP_WORDS=(robust aud) COMP_CWORD=1
    $(complete -p robust | sed 's/.*-F \\([^ ]*\\).*/\\1/') robust
    echo "${{COMPREPLY[@]}}"
    """
    answered = subprocess.run(
        [shell, "--norc", "-c", ask],
        env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert answered.stdout.split() == ["audit"], answered.stderr
