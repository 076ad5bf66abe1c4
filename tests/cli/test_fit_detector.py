"""`robust fit-detector`, with good input and with bad."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from robust.cli.fit_detector import parse_share
from robust.errors import InputError
from tests.cli.commands import Robust, contents, refused, write_cases, write_plan
from tests.cli.detectors import COUNT, write_images


def test_nothing_of_a_patient_is_stored(robust: Robust) -> None:
    data = write_cases([0, 1] * 20, columns="file,label,group,split")
    lines = ["file,label,group,split"]
    for i in range(40):
        os.rename(f"images/{i}.png", f"images/Doe_{i}.png")
        lines.append(f"Doe_{i}.png,{i % 2},Jane Doe {i},{'train' if i < 16 else 'val'}")
    Path("images/cases.csv").write_text("\n".join(lines), encoding="utf-8")
    write_plan(data=data)
    answer = robust("fit-detector", "plan.toml", "--detector", "Mahalanobis", "--out", "guard")
    assert answer.code == 0, answer.err
    assert len(contents(Path("guard"))) == 2
    assert not [name for name, content in contents(Path("guard")).items() if b"Doe" in content]


def test_the_record_as_json(robust: Robust) -> None:
    write_plan(data={"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    fit = ("fit-detector", "plan.toml", "--detector", "MaxSoftmax", "--false-alarms", "20%")
    answer = robust(*fit, "--attack", "FGSM", "--eps", "8/255", "--out", "guard", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert (found["folder"], found["record"]) == ("guard", "guard/detector.json")
    stored = json.loads(Path("guard/detector.json").read_text(encoding="utf-8"))
    assert found["detector"] == {name: stored[name] for name in found["detector"]}
    alarms = found["detector"]["false_alarms"]
    assert alarms["requested"] == 0.2 and 0 <= alarms["low"] < alarms["high"]
    assert found["detector"]["training_attack"]["attack"] == "FGSM"
    assert "classifier" not in found["detector"]  # its probe may have a million numbers


def test_a_patient_on_both_sides_and_a_copy(robust: Robust) -> None:
    data = write_cases([0, 1] * 20, columns="file,label,group,split") | {"keep_names": True}
    lines = [f"{i}.png,{i % 2},p{i},{'train' if i < 16 else 'val'}" for i in range(40)]
    table = Path("images/cases.csv")
    table.write_text("\n".join(["file,label,group,split", *lines]), encoding="utf-8")
    write_plan(data=data)
    shutil.copy("images/3.png", "images/20.png")
    shutil.copy("images/30.png", "images/31.png")
    fit = ("fit-detector", "plan.toml", "--detector", "Energy", "--out", "run")
    answer = robust(*fit)
    assert "on 22 clean images" in answer.out and "2 copies or near copies of other" in answer.out
    shutil.rmtree("run")
    lines[25] = "25.png,1,p7,val"
    table.write_text("\n".join(["file,label,group,split", *lines]), encoding="utf-8")
    refused(
        robust(*fit), "1 group (patients or lesions, 2 images)", "1 in train and val", "keep all"
    )


BAD_FITS: list[tuple[tuple[str, ...], str]] = [
    (("--detector", "MaxSoftmx"), "unknown detector 'MaxSoftmx'; did you mean MaxSoftmax?"),
    (("--false-alarms", "5"), "--false-alarms '5': write a share of the images, as 5% or 0.05"),
    (("--false-alarms", "0%"), "write a share of the images"),
    (("--false-alarms", "nan"), "write a share of the images"),
    (("--false-alarms", "1%"), "60 clean images in 30 groups are left to set the threshold"),
    (("--split", "vall"), "no split 'vall'; did you mean val?"),
    (("--split", "train"), "name another split with --split"),
    (("--attack", "PDG"), "unknown attack 'PDG'; did you mean PGD?"),
    (("--attack", "PGD", "--eps", "3"), "eps 3 is above 1"),
    (("--attack", "PGD", "--eps", "x"), "eps 'x' is not a number"),
    (("--device", "gpu"), "device 'gpu' is not available"),
    (("--out", "images"), "images exists and is not empty"),
    (("--out", "plan.toml"), "plan.toml exists and is not empty"),
    (("--out", "plan.toml/x"), "plan.toml/x cannot be written"),
]


@pytest.mark.parametrize(("flags", "said"), BAD_FITS, ids=[" ".join(b[0]) for b in BAD_FITS])
def test_a_fit_that_cannot_be(robust: Robust, flags: tuple[str, ...], said: str) -> None:
    write_plan(data={"path": "phantom:chest_xray", "count": COUNT, "pixels": 28})
    write_images(2)
    given = {"--detector": "MaxSoftmax", "--out": "run"} | dict(zip(flags[::2], flags[1::2]))
    arguments = [part for pair in given.items() for part in pair]
    refused(robust("fit-detector", "plan.toml", *arguments), said)
    refused(robust("fit-detector", "nowhere.toml", *arguments), "")


def test_a_reference_of_one_class(robust: Robust) -> None:
    data = write_cases([0, 1] * 20, columns="file,label,group,split")
    lines = [f"{i}.png,{i % 2},p{i},{'val' if i % 2 or i > 19 else 'train'}" for i in range(40)]
    text = "\n".join(["file,label,group,split", *lines])
    Path("images/cases.csv").write_text(text, encoding="utf-8")
    write_plan(data=data)
    fit = ("fit-detector", "plan.toml", "--detector", "Mahalanobis", "--out", "run")
    refused(robust(*fit), "a reference needs 2 classes or more, this one has 1")


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), (" 5 % ", 0.05), ("0.05", 0.05), ("0.1%", 0.001)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)
    with pytest.raises(InputError, match="write a share"):
        parse_share(text + "5x")
