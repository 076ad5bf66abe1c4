"""The command `robust bench`: what it prints, and wrong words in one line."""

from __future__ import annotations

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
    assert not call(monkeypatch, "--architecture", "resnet18", *words)
    said = capsys.readouterr().out
    for part in (
        "Preparing resnet18 and at most 2 images.",
        "2 images of (3, 32, 32) on cpu",
        "PGD. This will take about 0:",
        "of memory.",
        "PGD(steps=2",
        "robust",
        "foolbox",
        "bare passes",
    ):
        assert part in said


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
    assert call(monkeypatch, "--architecture", "resnet18", *words) == 2
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
