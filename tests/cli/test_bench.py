"""The command `robust bench`: what it prints, and wrong words in one line."""

from __future__ import annotations

import sys

import pytest

from robust.cli import app as cli


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
        "2 images of (3, 32, 32) on cpu",
        "PGD(steps=2",
        "robust",
        "foolbox",
        "bare passes",
    ):
        assert part in said


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
