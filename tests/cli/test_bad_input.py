"""Bad input at the command line: one line that says what, which and what to do, and no traces.

Each case here ends with exit code 2, nothing on stdout, one line on stderr and no run directory.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robust.auditing import audit_plan
from robust.cli import app as cli
from robust.plan.load import load_plan
from tests.cli.commands import (
    DATA,
    MODEL,
    RUN,
    Answer,
    Robust,
    contents,
    refused,
    write_cases,
    write_plan,
)


def test_the_plan_that_all_these_spoil_works(robust: Robust) -> None:
    write_plan(probe=True)
    answer = robust(*RUN)
    assert answer.code == 0 and answer.err.startswith("Run folder: run\nCost: 8 cases x 1 attack")
    assert {"report.html", "report.md", "report.json", "outcomes.csv"} <= set(os.listdir("run"))
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert report["data"]["cases"] == 8 and report["data"]["skipped_broken"] == 0


# --- the plan itself ---


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ("no such plan: plan.toml", "`robust demo` writes an example")),
        (b"[model\nfactory = 3", ("plan.toml is not valid TOML", "line 1")),
        (bytes(range(128, 256)), ("plan.toml is not a text file in UTF-8",)),
        (b"", ("plan.toml has no [model] table",)),
        (b"[model]\nfactory = 'a:b'", ("plan.toml has no [data] table",)),
        (b"[data]\npath = 'x'", ("plan.toml has no [model] table",)),
        (b"model = 3\ndata = 4", ("plan.toml: model: must be a table (got 3)",)),
        (b"attacks = []\n[model]\n[data]\npath = 'x'", ("no [[attacks]]; name one",)),
        (b"attacks = 3\n[model]\n[data]\npath = 'x'", ("attacks: must be a list in brackets",)),
    ],
)
def test_a_plan_that_is_none(robust: Robust, content: bytes | None, said: tuple[str, ...]) -> None:
    if content is not None:
        Path("plan.toml").write_bytes(content)
    refused(robust(*RUN), *said)


def test_a_plan_that_is_a_folder_or_below_a_file(robust: Robust) -> None:
    refused(robust("audit", ".", "--out", "run"), ". is a folder; give the TOML file in it")
    path = "toy_factory.py/plan.toml"
    refused(robust("audit", path, "--out", "run"), f"no such plan: {path}")
    refused(robust("audit", "two\nlines.toml", "--out", "run"), "no such plan: two lines.toml")
    refused(robust("audit"), "give a plan, or --architecture", "robust demo")


BAD_PLANS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    # Entries that nobody knows.
    ("top", {"top": 'tilte = "x"'}, ("unknown entry tilte; did you mean title?",)),
    ("model entry", {"model": MODEL | {"arhitecture": "x"}}, ("arhitecture", ": architecture")),
    ("data entry", {"data": DATA | {"groups": "x"}}, ("data.groups; nearest of", "group")),
    ("audit entry", {"audit": {"ep": 1}}, ("unknown entry audit.ep; did you mean eps?",)),
    ("idle entry", {"data": DATA | {"label": "x"}}, ("[data] label = 'x' does not apply",)),
    # Attacks.
    ("attack", {"attacks": [{"name": "PDG"}]}, ("unknown attack 'PDG'; did you mean PGD?",)),
    ("field", {"attacks": [{"name": "PGD", "stepps": 3}]}, ("'stepps'; did you mean steps?",)),
    ("steps", {"attacks": [{"name": "PGD", "steps": 0}]}, ("PGD: steps must be above 0, not 0",)),
    ("norm", {"attacks": [{"name": "PGD", "norm": "L7"}]}, ("attacks.0.norm", "(got 'L7')")),
    ("no name", {"attacks": [{"nmae": "PGD"}]}, ("attacks.0.name is missing",)),
    ("twice", {"attacks": [{"name": "PGD"}] * 2}, ("called 'PGD'; give each its own label",)),
    ("row", {"attacks": [{"name": "PGD", "label": "clean"}]}, ("a row 'clean' of its own",)),
    # eps.
    ("eps < 0", {"audit": {"eps": ["-1/255"]}}, ("eps -1/255 is below 0", "units of [0, 1]")),
    ("eps > 1", {"audit": {"eps": [8]}}, ("eps 8 is above 1", "write '8/255'")),
    ("own eps", {"attacks": [{"name": "PGD", "eps": ["5"]}]}, ("eps 5 is above 1",)),
    (
        "eps text",
        {"audit": {"eps": ["one"]}},
        ("eps 'one' is not a number; write 0.01 or '1/255'",),
    ),
    ("eps / 0", {"audit": {"eps": ["1/0"]}}, ("eps '1/0' is not a number",)),
    ("eps nan", {"audit": {"eps": ["nan"]}}, ("eps 'nan' is not a number",)),
    ("eps true", {"audit": {"eps": [True]}}, ("eps True is not a number",)),
    ("no eps", {"audit": {"eps": []}}, ("eps is empty; give at least one",)),
    ("eps alone", {"audit": {"eps": "1/255"}}, ("audit.eps: must be a list in brackets",)),
    # What is asked.
    ("goal", {"audit": {"goal": "mis"}}, ("audit.goal", "'miss'", "(got 'mis')")),
    ("target", {"audit": {"target": "opactiy"}}, ("not a class; did you mean opacity?",)),
    ("both", {"audit": {"target": "opacity", "goal": "miss"}}, ("either goal or target",)),
    (
        "threshold",
        {"audit": {"threshold": 1.5}},
        ("audit.threshold", "must be below 1.0 (got 1.5)"),
    ),
    ("twofold", {"audit": {"threshold": 0.3, "sensitivity": 0.9}}, ("either threshold or sens",)),
    ("seed", {"audit": {"seed": -1}}, ("audit.seed", "(got -1)")),
    ("chunk", {"audit": {"chunk": 0}}, ("audit.chunk", "(got 0)")),
    ("limit", {"data": DATA | {"limit": 0}}, ("data.limit", "(got 0)")),
    # Data that are not there.
    ("folder", {"data": {"path": "nowhere"}}, ("no such folder or file: nowhere; check the path",)),
    (
        "a file",
        {"data": {"path": "toy_factory.py"}},
        ("neither a folder of images, a table nor a MedMN",),
    ),
    ("phantom", {"data": {"path": "phantom:chest"}}, ("'chest'; did you mean chest_xray?",)),
    ("count", {"data": DATA | {"count": 0}}, ("count must be at least 2",)),
    ("phantom seed", {"data": DATA | {"seed": -1}}, ("synthetic images: seed must be at least 0",)),
    ("split", {"data": DATA | {"split": "tset"}}, ("no split 'tset'; did you mean test?",)),
    ("data size", {"data": DATA | {"size": 0}}, ("[data] size must be 1 to 8192 pixels",)),
    ("findings", {"data": DATA | {"findings": ["opactiy"]}}, ("did you mean opacity?",)),
    ("all found", {"data": DATA | {"findings": ["normal", "opacity"]}}, ("every class is named",)),
    # Models that are none.
    (
        "none",
        {"model": {}},
        ("exactly one of architecture, file, factory, folder and endpoint; got none",),
    ),
    ("two", {"model": MODEL | {"file": "x.pt"}}, ("got file and factory",)),
    ("no weights", {"model": {"architecture": "resnet18"}}, ("weights file or pretrained = true",)),
    (
        "name",
        {"model": {"architecture": "resnet81", "weights": "toy_factory.py"}},
        ("resnet18", "nearest of"),
    ),
    ("weights", {"model": MODEL | {"weights": "x.pth"}}, ("no such weights file: x.pth",)),
    ("file", {"model": {"file": "x.pt"}}, ("no such model file: x.pt; check the path",)),
    ("form", {"model": {"factory": "toy_factory"}}, ("must look like package.module:function",)),
    (
        "module",
        {"model": {"factory": "tyo:build"}},
        ("No module named 'tyo'; run from the folder",),
    ),
    ("function", {"model": {"factory": "toy_factory:biuld"}}, ("'biuld'; did you mean build?",)),
    (
        "raises",
        {"model": {"factory": "toy_factory:failing"}},
        ("factory toy_factory:failing failed: RuntimeError: the checkpoint is gone",),
    ),
    (
        "number",
        {"model": {"factory": "toy_factory:number"}},
        ("returns a int, neither an nn.Module",),
    ),
    # Models that do not fit.
    ("head", {"model": MODEL | {"head": "sofmax"}}, ("'sofmax'; did you mean softmax?",)),
    ("sigmoid", {"model": MODEL | {"head": "sigmoid"}}, ("has 1 output, this one has 2",)),
    ("multi", {"model": MODEL | {"head": "multilabel"}}, ("needs the finding",)),
    ("output", {"model": MODEL | {"finding": 5}}, ("finding 5 is out of range", "2 outputs")),
    ("unnamed", {"model": MODEL | {"finding": "mass"}}, ("'mass'", "outputs = [...]")),
    ("softmax", {"model": {"factory": "toy_factory:one", "head": "softmax"}}, ("use sigmoid",)),
    ("channels", {"model": MODEL | {"channels": 2}}, ("channels must be 1 or 3, not 2",)),
    ("colour", {"model": MODEL | {"channels": 3}}, ("fails on images of shape (3, 28, 28)",)),
    ("size", {"model": MODEL | {"size": 0}}, ("size must be 1 or more",)),
    ("tiny", {"model": MODEL | {"size": 2}}, ("of shape (1, 2, 2)", "set its channels and size")),
    ("mean", {"model": MODEL | {"mean": [0.1, 0.2]}}, ("mean must be one number or three",)),
    ("std", {"model": MODEL | {"std": 0}}, ("std must be above 0",)),
    ("nan", {"model": {"factory": "toy_factory:nan"}}, ("NaN or infinite logits on 8 of 8",)),
    (
        "classes",
        {"model": {"factory": "toy_factory:three"}},
        ("the model has 3 outputs, the data 2 classes (normal, opacity)", "so that both agree"),
    ),
]


@pytest.mark.parametrize(
    ("spoilt", "said"), [p[1:] for p in BAD_PLANS], ids=[p[0] for p in BAD_PLANS]
)
def test_a_spoilt_plan(robust: Robust, spoilt: dict[str, Any], said: tuple[str, ...]) -> None:
    write_plan(**spoilt)
    refused(robust(*RUN), *said)


# --- flags ---


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--eps", "-1/255"), "eps -1/255 is below 0"),
        (("--eps", "2"), "write '2/255'"),
        (("--eps", "1/255;2/255"), "eps '1/255;2/255' is not a number"),
        (("--eps", "1/255,"), "eps '' is not a number"),
        (("--attack", "PDG"), "did you mean PGD?"),
        (("--mean", "a,b"), "--mean 'a,b': write one number or three with commas"),
        (("--limit", "0"), "data.limit"),
        (("--set", "audit.chunk=0"), "audit.chunk"),
        (("--size", "0"), "size must be 1 or more"),
        (("--threshold", "0"), "audit.threshold"),
        (("--finding", "7"), "finding 7 is out of range"),
        (("--target", "tumour"), "target 'tumour' is not a class; there are: normal, opacity"),
        (("--head", "logits"), "unknown head 'logits'"),
        (("--device", "cuda:77"), "device 'cuda:77' is not available here; use cpu, cuda or auto"),
        (("--device", "gpu"), "device 'gpu' is not available"),
    ],
)
def test_a_flag_that_spoils_a_good_plan(robust: Robust, flags: tuple[str, str], said: str) -> None:
    write_plan()
    refused(robust(*RUN, *flags), said)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(robust: Robust) -> None:
    write_plan()
    refused(robust(*RUN, "--device", "cuda"), "device 'cuda' is not available here; use cpu")


def test_a_flag_of_zero_is_not_taken_for_none(robust: Robust) -> None:
    write_plan(audit={"seed": 5})
    assert robust(*RUN, "--seed", "0").code == 0
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert report["plan"]["audit"]["seed"] == 0


def test_other_commands(robust: Robust) -> None:
    write_plan()
    Path("notes.txt").write_text("mine", encoding="utf-8")
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine", encoding="utf-8")
    for arguments, said in (
        (("report", "nowhere"), "no report at nowhere"),
        (("report", "full", "--format", "docx"), "unknown format 'docx'"),
        (("list", "modles"), "cannot list 'modles'; did you mean models?"),
        (("list", "models", "--filter", "zzz*"), "no architecture matches 'zzz*'"),
        (("demo", "--modality", "fundsu", "--out", "run"), "did you mean fundus?"),
        (("demo", "--out", "notes.txt"), "notes.txt is a file; name a folder"),
        (("attack", "plan.toml", "--out", "run", "--attack", "PDG"), "did you mean PGD?"),
        (("attack", "plan.toml", "--out", "run", "--bits", "9"), "bits must be 8 or 16, not 9"),
        (("attack", "plan.toml", "--out", "full"), "full exists and is not empty"),
        (("attack", "plan.toml", "--out", "run", "--eps", "1/255,2/255"), "one attack at one eps"),
        (("attack", "nowhere.toml", "--out", "run"), "no such plan: nowhere.toml"),
    ):
        refused(robust(*arguments), said)
    assert Path("full/notes.txt").read_text(encoding="utf-8") == "mine"


# --- images and tables ---


def test_a_broken_image_among_good_ones_is_named(robust: Robust) -> None:
    data = write_cases([i % 2 for i in range(8)])
    good = Path("images/5.png").read_bytes()
    Path("images/3.png").write_bytes(good[: len(good) // 2])
    Path("images/5.png").write_text("not an image", encoding="utf-8")
    write_plan(data=data)
    refused(robust(*RUN), "images/3.png is broken", "--skip-broken")
    refused(robust("attack", "plan.toml", "--out", "run"), "images/3.png is broken")
    answer = robust(*RUN, "--skip-broken")
    assert answer.code == 0
    lines = [line for line in answer.err.splitlines() if line.startswith("robust: ")]
    assert [line.partition(" is ")[0] for line in lines] == [
        "robust: skipped: images/3.png",
        "robust: skipped: images/5.png",
    ]
    report = json.loads(Path("run/report.json").read_text(encoding="utf-8"))
    assert report["data"]["skipped_broken"] == 2 and report["data"]["cases"] == 6
    (flag,) = [f for f in report["flags"] if f["name"] == "broken files"]
    assert flag["observed"].startswith("2 of 8 images could not be read")
    table = Path("run/outcomes.csv").read_text(encoding="utf-8")
    assert table.count("file could not be read") == 2


def test_a_broken_tiff_is_named_wherever_it_breaks_off(robust: Robust) -> None:
    data = write_cases([0, 1, 0, 1])
    Image.open("images/1.png").save("images/1.tif")
    Path("images/cases.csv").write_text(
        "file,label,group\n0.png,0,a\n1.tif,1,b\n", encoding="utf-8"
    )
    content = Path("images/1.tif").read_bytes()
    write_plan(data=data)
    for share in (0.02, 0.5, 0.97):
        Path("images/1.tif").write_bytes(content[: int(len(content) * share)])
        refused(robust(*RUN), "images/1.tif", "replace or remove it")


def test_only_broken_images_are_nothing_to_audit(robust: Robust) -> None:
    data = write_cases([0, 1, 0])
    for i in range(3):
        Path(f"images/{i}.png").write_text("no", encoding="utf-8")
    write_plan(data=data)
    answer = robust(*RUN, "--skip-broken")
    assert answer.code == 2 and answer.out == ""
    *skipped, last = answer.err.splitlines()
    assert len(skipped) == 3 and all(line.startswith("robust: skipped: ") for line in skipped)
    assert "none of the images could be read" in last


def test_folders_without_images(robust: Robust) -> None:
    Path("images").mkdir()
    write_plan(data={"path": "images", "group": "none"})
    refused(robust(*RUN), "images has neither cases.csv nor subfolders", "write a cases.csv")
    Path("images/a").mkdir()
    refused(robust(*RUN), "no images under images", "PNG")


def test_images_without_patients(robust: Robust) -> None:
    data = write_cases([0, 1], columns="file,label")
    write_plan(data=data)
    refused(robust(*RUN), "no group column 'group'", 'group = "none"')
    Path("images/cases.csv").unlink()
    Path("images/a").mkdir()
    Path("images/0.png").rename("images/a/0.png")
    refused(robust(*RUN), "images does not name patients", "group_pattern", 'group = "none"')


@pytest.mark.parametrize(
    ("labels", "more", "said"),
    [
        ([0, 1, 7], {"classes": ["a", "b"]}, "label 7 is out of range for the 2 classes a, b"),
        ([0, 1, 7], {}, "the model has 2 outputs, the data 8 classes"),
        ([0, 1, -1], {}, "label -1 is out of range"),
        ([0, 1, 0.5], {}, "label 0.5 is out of range"),
        ([0, 1, ""], {}, "2.png has no label, as 1 of 3 rows; fill it in"),
        (["well", "sick", "sikc"], {"classes": ["well", "sick"]}, "did you mean sick?"),
        ([0, 1], {"label": "lable"}, "no label column 'lable'; did you mean label?"),
        ([0, 1], {"subgroups": ["sex"]}, "no subgroup column 'sex'; there are: file"),
        ([0, 1], {"where": "age > 3"}, "a column 'age' that cases.csv does not have"),
        ([0, 1], {"where": "label > 3"}, "matches no row"),
        ([0, 1], {"split": "test"}, "no split column 'split'"),
    ],
)
def test_a_table_that_does_not_fit(
    robust: Robust, labels: list[object], more: dict[str, Any], said: str
) -> None:
    write_plan(data=write_cases(labels) | more)
    refused(robust(*RUN), said)


def test_colour_images_for_a_grey_network(robust: Robust) -> None:
    write_plan(data=write_cases([0, 1, 0, 1], shape=(28, 28, 3)))
    refused(robust(*RUN), "fails on images of shape (3, 28, 28)", "set its channels and size")
    assert robust(*RUN, "--channels", "1").code == 0


def test_three_classes_have_no_threshold_and_no_finding_of_their_own(robust: Robust) -> None:
    data = write_cases([i % 3 for i in range(9)])
    model = {"factory": "toy_factory:three"}
    for more, audit, said in (
        ({}, {"threshold": 0.3}, "a threshold applies to two classes only"),
        ({}, {"goal": "miss"}, "goal 'miss' needs findings: name them in [data]"),
        ({}, {"goal": "false alarm"}, "goal 'false alarm' needs findings"),
        ({"findings": ["9"]}, {"goal": "miss"}, "finding '9' is not a class; there are: 0, 1, 2"),
    ):
        write_plan(model=model, data=data | more, audit=audit)
        refused(robust(*RUN), said)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"file,label,group\n",
        b"file,label,group\na.png,0,1\nb.png,0,1,2,3\n",
        bytes(range(128, 256)) * 9,
    ],
)
def test_a_table_that_is_none(robust: Robust, content: bytes) -> None:
    Path("images").mkdir()
    Path("images/cases.csv").write_bytes(content)
    write_plan(data={"path": "images"})
    refused(robust(*RUN), "images/cases.csv")


@pytest.mark.parametrize("suffix", ["npz", "pth", "safetensors", "pt", "pt2"])
def test_binary_garbage(robust: Robust, suffix: str) -> None:
    name = f"garbage.{suffix}"
    for content in (b"", np.random.default_rng(0).bytes(700), b"words\n" * 50):
        Path(name).write_bytes(content)
        if suffix == "npz":
            write_plan(data={"path": name, "group": "none"})
        elif suffix in ("pth", "safetensors"):
            write_plan(model=MODEL | {"weights": name})
        else:
            write_plan(model={"file": name})
        refused(robust(*RUN), name)


class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(Path.cwd() / "sprung"),)


def test_a_pickled_network_is_refused_and_its_code_does_not_run(robust: Robust) -> None:
    import toy_factory  # type: ignore[import-not-found]

    net = toy_factory.build()
    torch.save(net, "whole.pth")
    net.extra = Trap()
    torch.save(net, "trap.pth")
    for name in ("whole.pth", "trap.pth"):
        for model in (MODEL | {"weights": name}, {"file": name}):
            write_plan(model=model)
            refused(robust(*RUN), f"{name} holds a pickled", "torch.save(model.state_dict()")
    assert not Path("sprung").exists()
    torch.load("trap.pth", weights_only=False)
    assert Path("sprung").exists(), "the trap works"


def test_weights_of_another_network(robust: Robust) -> None:
    import toy_factory

    torch.save(toy_factory.build().state_dict(), "w.pth")
    write_plan(model={"factory": "toy_factory:three", "weights": "w.pth"})
    refused(robust(*RUN), "w.pth: head.weight has shape (2, 2), the network needs (3, 2)")
    write_plan(model={"file": "w.pth"})
    refused(robust(*RUN), "weights without an architecture")


def test_pretrained_weights_that_are_not_to_be_had(
    robust: Robust, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as hub

    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(Path.cwd() / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd() / "torch"))
    for name in ("test_resnet.r160_in1k", "torchvision:squeezenet1_1"):
        write_plan(model={"architecture": name, "pretrained": True})
        answer = robust(*RUN)._replace(out="")  # torchvision says what it is about to fetch
        refused(answer, "could not be downloaded", "python -c", "pretrained = true")


# --- the run directory ---


def finish() -> None:
    """A finished run of plan.toml, without its pages."""
    audit_plan(load_plan("plan.toml"), out="run")


def test_a_run_of_another_plan_stays_as_it_was(robust: Robust) -> None:
    write_plan()
    finish()
    before = contents(Path("run"))
    shutil.copytree("run", "kept")
    for spoilt, said in (
        ({"audit": {"seed": 5}}, "its plan differs"),
        ({"model": MODEL | {"mean": 0.3}}, "its model differs"),
        ({"data": DATA | {"count": 6}}, "its plan differs"),
    ):
        write_plan(**spoilt)
        answer = robust(*RUN)
        assert contents(Path("run")) == before
        Path("run").rename("aside")
        refused(answer, "run belongs to another run", said, "choose another folder with --out")
        Path("aside").rename("run")
    write_plan()
    assert robust(*RUN).code == 0, "the same plan goes on with it"


def test_a_run_of_another_model_or_other_images_stays_as_it_was(robust: Robust) -> None:
    """The plan is the same, what it names is not."""
    write_plan(data=write_cases([i % 2 for i in range(6)]))
    finish()
    before = contents(Path("run"))
    factory = Path("toy_factory.py").read_text(encoding="utf-8")
    Path("toy_factory.py").write_text(factory.replace("seed(0)", "seed(1)"), encoding="utf-8")
    sys.modules.pop("toy_factory", None)
    shutil.rmtree("__pycache__", ignore_errors=True)
    answer = robust(*RUN)
    assert contents(Path("run")) == before
    assert answer.code == 2 and "its model differs" in answer.err
    Path("toy_factory.py").write_text(factory, encoding="utf-8")
    sys.modules.pop("toy_factory", None)
    shutil.rmtree("__pycache__", ignore_errors=True)
    Image.new("L", (28, 29)).save("images/2.png")
    answer = robust(*RUN)
    assert contents(Path("run")) == before
    assert answer.code == 2 and "its data differs" in answer.err


def test_a_folder_with_other_files_is_left_alone(robust: Robust) -> None:
    write_plan()
    Path("full").mkdir()
    Path("full/notes.txt").write_text("mine", encoding="utf-8")
    refused(robust("audit", "plan.toml", "--out", "full"), "full holds other files", "new or empty")
    assert contents(Path("full")) == {"notes.txt": b"mine"}
    refused(robust("audit", "plan.toml", "--out", "full/notes.txt"), "is a file; name a folder")
    refused(robust("audit", "plan.toml", "--out", "full/notes.txt/run"), "cannot be written")
    assert contents(Path("full")) == {"notes.txt": b"mine"}


def test_a_run_that_another_process_is_at_work_on(robust: Robust) -> None:
    write_plan()
    finish()
    before = contents(Path("run"))
    with Path("run/run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = robust(*RUN)
    assert contents(Path("run")) == before
    assert answer.code == 2 and len(answer.err.splitlines()) == 1
    assert "another process is using run; wait until it has finished" in answer.err


def test_a_run_whose_database_is_broken(robust: Robust) -> None:
    write_plan()
    finish()
    Path("run/outcomes.sqlite").write_bytes(np.random.default_rng(0).bytes(4096))
    before = contents(Path("run"))
    answer = robust(*RUN)
    assert answer.code == 0 and "the run file is damaged" in answer.err, answer.err
    after = contents(Path("run"))
    assert after["outcomes.sqlite.damaged"] == before["outcomes.sqlite"]
    assert after["outcomes.csv"] == before["outcomes.csv"], "it ran again, with the same result"


# --- as a user meets it ---


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"attacks": [{"nmae": "PGD"}]}, "robust: plan.toml: attacks.0.name is missing"),
        pytest.param(
            {"attacks": [{"name": "PDG"}]},
            "robust: unknown attack 'PDG'; did you mean PGD?",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model": {"file": "garbage.pt2"}},
            "robust: garbage.pt2 is not an exported program",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"data": {"path": "images", "group": "none"}},
            "1.tif is broken (truncated)",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_in_a_process_of_its_own(here: Path, spoilt: dict[str, Any], said: str) -> None:
    """With all that the libraries would log and warn of."""
    Path("garbage.pt2").write_bytes(np.random.default_rng(0).bytes(700))
    Path("images/a").mkdir(parents=True)
    Path("images/a/1.tif").write_bytes(b"II*\0\x08\0\0\0")  # Pillow warns of such a TIFF
    write_plan(**spoilt)
    repository = str(Path(cli.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-m", "robust", *RUN],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"PYTHONPATH": repository, "OMP_NUM_THREADS": "1"},
    )
    # On a slow machine the command says that it is starting.
    lines = (line for line in done.stderr.splitlines(True) if " elapsed" not in line)
    refused(Answer(done.returncode, done.stdout, "".join(lines)), said)
