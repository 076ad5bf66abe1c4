"""The command `robust bench`: what it prints, and wrong words in one line."""

from __future__ import annotations

import json
import statistics
import sys

import pytest

from robust.cli import app as cli
from robust.errors import InputError


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    monkeypatch.setattr(sys, "argv", ["robust", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--limit", "2", "--rounds", "1", "--steps", "2", "--size", "32")
    assert not call(monkeypatch, "--architecture", "test_resnet", *words)
    said = capsys.readouterr().out
    for part in (
        "Preparing test_resnet and at most 2 images.",
        "2 images of (3, 32, 32) on cpu",
        "PGD. This will take about 0:",
        "of memory.",
        "PGD(steps=2",
        "robust",
        "foolbox",
        "bare passes",
    ):
        assert part in said


def test_the_table_in_long_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--limit", "2", "--rounds", "2", "--steps", "2", "--size", "32", "--json")
    attacks = ("--attack", "PGD", "--attack", "CarliniWagnerL2", "--eps", "2/255")
    assert not call(monkeypatch, "--architecture", "test_resnet", *words, *attacks)
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["shape"], found["device"]) == (2, [3, 32, 32], "cpu")
    assert [(one["attack"], one["norm"], one["eps"]) for one in found["attacks"]] == [
        ("PGD", "Linf", 2 / 255),
        ("CarliniWagnerL2", "L2", None),
    ]
    for attack, strength in (("PGD", "robust_accuracy"), ("CarliniWagnerL2", "median_l2")):
        rows = [row for row in found["rows"] if row["attack"] == attack]
        ours = [row for row in rows if row["library"] == "robust"]
        seconds = [row["value"] for row in ours if row["measure"] == "seconds"]
        assert [row["round"] for row in ours if row["measure"] == "seconds"] == [1, 2]
        values = {row["measure"]: row["value"] for row in ours if row["round"] is None}
        assert values.keys() >= {"time / robust", "time / floor", "peak MiB"}
        assert values["time / robust"] == 1
        floor = [
            row["value"]
            for row in rows
            if row["library"] == "bare passes, as quick" and row["measure"] == "seconds"
        ]
        ratio = statistics.median(seconds) / statistics.median(floor)
        assert values["time / floor"] == pytest.approx(ratio)
        assert strength in {row["measure"] for row in rows}
        assert "foolbox" in {row["library"] for row in rows}
        for row in rows:
            assert bool(row["failed"]) == (row["value"] is None)


def test_what_it_will_take_is_said_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from robust.benchmark import contest as module

    said: list[str] = []

    def begun(*given: object, **more: object) -> object:
        said.append(capsys.readouterr().out)
        raise InputError("the contest has begun")

    monkeypatch.setattr(module, "contest", begun)
    words = ("--limit", "2", "--rounds", "1", "--steps", "2", "--size", "32")
    assert call(monkeypatch, "--architecture", "test_resnet", *words) == 2
    assert "This will take about" in said[0]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("", "give a plan, or --architecture"),
        ("--architecture resnet1", "unknown architecture 'resnet1'"),
        ("--architecture resnet18 --attack PDG", "did you mean PGD"),
        ("--architecture resnet18 --precision half", "auto, float32 or bfloat16"),
        ("--architecture resnet18 --eps x", "is not a number"),
    ],
)
def test_wrong_words_are_one_line(
    wrong: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *wrong.split()) == 2
    assert says in " ".join(capsys.readouterr().err.split())
