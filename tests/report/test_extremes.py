"""Reports on runs that are extreme: each is rendered in every format, and says what is true."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn
from typer.testing import CliRunner

from attacks import BIM, FGSM, PGD, CarliniWagnerL2, MarginPGD, Noise
from robust.auditing import audit, audit_plan, unfinished_report
from robust.cases import Cases, open_cases
from robust.cli.main import app
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import AttackResult, AuditedData, AuditedModel, Estimate, Report, Scores
from robust.report import FORMATS, TEMPLATES, read_report, write_report
from robust.report.formats.terminal import print_report
from robust.report.text.format import counted, of_hundred, threat_text
from robust.report.text.headline import RULE, headline, verdicts
from robust.report.text.reproduce import plan_toml
from tests.engine.nets import trained
from tests.report.test_names import Nearest, Page

SMALL = ["1/255", "2/255"]
SEVEN = [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]
LONG = "nine " * 60


@dataclass(frozen=True)
class Crash:
    """An attack that fails wherever it is run; above `works` it does nothing."""

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    passes: ClassVar[int] = 1
    works: float = 9.0

    def __call__(
        self, model: Any, x: Tensor, y: Tensor, threat: Any, streams: Any, target: Any = None
    ) -> Tensor:
        if threat.eps < self.works:
            raise IndexError("dlr needs three classes")
        return x


class Constant(nn.Module):
    """Always the first of two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        nothing = 0 * x.flatten(1).sum(1, keepdim=True) * self.unused
        return torch.tensor([[5.0, 0.0]]) + nothing


def phantoms(count: int = 24) -> Cases:
    return open_cases("phantom:chest_xray", count=count, pixels=28)


def only(cases: Cases, label: int) -> Cases:
    entries = tuple(e for e in cases.entries if e.label == label)
    return dataclasses.replace(cases, entries=entries)


def with_labels(cases: Cases, labels: list[int]) -> Cases:
    entries = tuple(dataclasses.replace(e, label=y) for e, y in zip(cases.entries, labels))
    return dataclasses.replace(cases, entries=entries)


def many_classes(classes: int, count: int, name: str = "class") -> Cases:
    names = tuple(f"{name} {i}" for i in range(classes))
    cases = dataclasses.replace(phantoms(count), classes=names, findings=())
    return with_labels(cases, [i % classes for i in range(count)])


def classifier() -> Classifier:
    return Classifier(trained(28), channels=1, head="softmax")


def nearest(cases: Cases) -> Classifier:
    """Right on the first image of each class, and on little else."""
    images = torch.stack([cases[i].image for i in range(len(cases.classes))])
    return Classifier(Nearest(images), channels=1, head="softmax")


def perfect() -> dict[str, Any]:
    """Two images, each of many patients, and a classifier that is right on both."""
    first, second = (phantoms(2).entries[i] for i in (0, 1))
    entries = tuple(
        dataclasses.replace(second if i % 2 else first, id=f"{i}", group=f"{i}", label=i % 2)
        for i in range(24)
    )
    cases = dataclasses.replace(phantoms(2), entries=entries)
    return {"classifier": nearest(cases), "cases": cases, "attacks": ["FGSM"], "eps": ["0.5/255"]}


def always_wrong(count: int) -> Cases:
    cases = phantoms(count)
    with torch.no_grad():
        said = classifier()(torch.stack([cases[i].image for i in range(count)])).argmax(1)
    return with_labels(cases, (1 - said).tolist())


def renamed(attack: Any, name: str) -> Any:
    bare: Any = type(name, (type(attack),), {})
    return dataclasses.dataclass(frozen=True)(bare)(**dataclasses.asdict(attack))


def huge() -> dict[str, Any]:
    """Twelve attacks, ten eps, names of 300 characters, six doubts."""
    cases = many_classes(3, 12, LONG)
    classes = (*cases.classes, "one without a case")
    steps = [renamed(PGD(steps=n), f"{n} {LONG}") for n in range(1, 8)]
    attacks = [*steps, FGSM(), Noise(), BIM(steps=9), BIM(steps=9).as_pgd(), Crash()]
    return {
        "classifier": nearest(dataclasses.replace(cases, classes=classes)),
        "cases": dataclasses.replace(cases, grouped=False, classes=classes),
        "attacks": attacks,
        "eps": [f"{13 * n}/255" for n in range(1, 11)],
        "title": LONG,
        "target": classes[1],
    }


def no_doubts() -> dict[str, Any]:
    return {"cases": dataclasses.replace(phantoms(70), phantom=False), "attacks": [QUICK]}


QUICK = PGD(steps=6, step_size=0.4)
CW2 = CarliniWagnerL2(steps=15, binary_steps=3)

EXTREMES: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing falls": lambda: {
        "classifier": Classifier(Constant(), channels=1, head="softmax"),
        "attacks": ["FGSM", QUICK],
    },
    "perfect": perfect,
    "nothing allowed": lambda: {"attacks": ["Noise", QUICK], "eps": [0.0]},
    "nothing allowed, then something": lambda: {"attacks": [QUICK], "eps": [0.0, "2/255"]},
    "nothing allowed in L2": lambda: {"attacks": [QUICK], "eps": [0.0], "norm": "L2"},
    "all fall": lambda: {"attacks": ["Noise", QUICK], "eps": ["16/255", "32/255"]},
    "one class": lambda: {"cases": only(phantoms(), 1), "attacks": ["Noise", "FGSM"]},
    "one case": lambda: {"cases": phantoms(2)[:1], "attacks": ["Noise", "FGSM"]},
    "one group": lambda: {
        "cases": dataclasses.replace(
            phantoms(30),
            entries=tuple(dataclasses.replace(e, group="g") for e in phantoms(30).entries),
        ),
        "attacks": ["FGSM"],
    },
    "all wrong": lambda: {"cases": always_wrong(30), "attacks": ["Noise", "FGSM", CW2]},
    "all crash": lambda: {"attacks": [Crash()]},
    "one crashes": lambda: {"attacks": [Crash(), "FGSM"]},
    "crashes at first": lambda: {"attacks": [Crash(works=1.5 / 255)]},
    "25 classes": lambda: {
        "classifier": nearest(many_classes(25, 75)),
        "cases": many_classes(25, 75),
        "attacks": ["FGSM", QUICK],
        "eps": ["1/255", "20/255"],
    },
    "L2": lambda: {"attacks": ["Noise", QUICK], "norm": "L2", "eps": SEVEN},
    "nearest alone": lambda: {"cases": phantoms(20), "attacks": [CW2], "norm": "L2"},
    "nearest beside": lambda: {"attacks": ["FGSM", CW2]},
    "curve": lambda: {
        "attacks": [QUICK, MarginPGD(steps=5)],
        "cells": "curve",
        "eps": [*SMALL, "8/255"],
    },
    "miss": lambda: {"attacks": [QUICK, "Noise"], "goal": "miss"},
    "false alarm": lambda: {"attacks": [QUICK], "goal": "false alarm"},
    "miss without findings": lambda: {
        "cases": only(phantoms(), 0),
        "attacks": [QUICK],
        "goal": "miss",
    },
    "target": lambda: {
        "classifier": nearest(many_classes(3, 30)),
        "cases": many_classes(3, 30),
        "attacks": [QUICK],
        "eps": ["8/255", "128/255"],
        "target": "class 1",
    },
    "target is all": lambda: {
        "cases": only(phantoms(), 1),
        "attacks": [QUICK],
        "target": "opacity",
    },
    "no findings": lambda: {
        "cases": dataclasses.replace(phantoms(), findings=()),
        "attacks": [QUICK],
    },
    "no doubts": no_doubts,
    "huge": huge,
}


@dataclass(frozen=True)
class Run:
    report: Report
    folder: Path
    texts: dict[str, str]
    """What a reader sees of each file, by name; figures left out."""

    def table(self) -> list[dict[str, str]]:
        with (self.folder / "outcomes.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


Runs = Callable[[str], Run]
PICTURED = ("all fall", "one case", "all wrong", "nearest alone", "target", "huge", "two norms")
"""Those with a gallery and with figures in files of their own; the page draws them in all."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Each run by name, made when it is first asked for."""
    base = tmp_path_factory.mktemp("extremes")

    @cache
    def made(name: str) -> Run:
        folder = base / name.replace(" ", "-")
        if name == "two norms":
            report = audit_plan(two_norms(base), out=folder, device="cpu")
        else:
            settings = EXTREMES[name]()
            report = audit(
                settings.pop("classifier", None) or classifier(),
                settings.pop("cases", None) or phantoms(),
                out=folder,
                device="cpu",
                **{"eps": SMALL, "gallery": 2 if name in PICTURED else 0, **settings},
            )
        return Run(report, folder, rendered(report, folder))

    return made


def two_norms(base: Path) -> Plan:
    save_file(trained(28).state_dict(), base / "w.safetensors")
    many = [{"name": "PGD", "steps": n, "label": f"P{n}"} for n in range(1, 6)]
    second = [
        {**spec, "norm": "L2", "eps": [0.1, 0.3], "label": f"Q{spec['steps']}"} for spec in many
    ]
    return make_plan(
        {
            "model": model(base),
            "data": {"path": "phantom:chest_xray", "count": 20, "pixels": 28},
            "attacks": [*many, *second, {"name": "CarliniWagnerL2", "steps": 9, "binary_steps": 2}],
            "audit": {"eps": SMALL},
            "report": {
                "images": "chest X-rays of adults in the emergency department",
                "gallery": 2,
            },
        }
    )


def model(base: Path) -> dict[str, Any]:
    factory = "tests.engine.nets:small"
    weights = str(base / "w.safetensors")
    return {"factory": factory, "weights": weights, "channels": 1, "head": "softmax"}


def rendered(report: Report, folder: Path) -> dict[str, str]:
    """Write every format in both templates."""
    texts = {}
    for template in TEMPLATES:
        figures = ("svg", "png") if folder.name.replace("-", " ") in PICTURED else ()
        formats = ("html", "md", *(("json", "latex", *figures) if template == "standard" else ()))
        assert set(formats) <= set(FORMATS)
        for path in write_report(report, folder, *formats, template=template):
            assert path.stat().st_size > 0
            if path.suffix == ".html":
                texts[path.name] = "\n".join(Page(path.read_text(encoding="utf-8")).texts)
            elif path.suffix in (".md", ".tex"):
                texts[path.name] = path.read_text(encoding="utf-8")
    out = StringIO()
    print_report(report, Console(file=out, width=80))
    texts["terminal"] = out.getvalue()
    return texts


EVERY = [*EXTREMES, "two norms"]
no_number = re.compile(r"(?<![\w.])[-+]?(None|nan|inf|NaN %|Infinity)(?!\w)")


@pytest.mark.parametrize("name", EVERY)
def test_every_format_is_written_and_shows_no_number_that_is_none(runs: Runs, name: str) -> None:
    run = runs(name)
    assert {"report.html", "report.md", "report.tex", "terminal"} <= set(run.texts)
    assert {"regulatory.html", "regulatory.md"} <= set(run.texts)
    for file, text in run.texts.items():
        found = no_number.search(text)
        assert not found, (file, text[found.start() - 60 : found.end() + 60])
        assert len(text) > 300
    assert read_report(run.folder) == run.report
    if name in PICTURED:
        drawn = {path.suffix for path in (run.folder / "figures").glob("*")}
        curves = list((run.folder / "figures").glob("robust-accuracy-*"))
        judged = any(r.scores.robust_accuracy and r.eps is not None for r in run.report.worst_cases)
        assert drawn == {".svg", ".png"} if judged else not curves
        pictures = len(list((run.folder / "gallery").glob("*")))
        assert (pictures > 0) == bool(run.report.gallery) == (name != "all wrong")


@pytest.mark.parametrize("name", EVERY)
def test_the_terminal_shows_25_lines_of_80_columns(runs: Runs, name: str) -> None:
    run = runs(name)
    out = StringIO()
    console = Console(file=out, width=80)
    print_report(run.report, console)
    console.print("\nReport: runs/first/report.html", soft_wrap=True)
    lines = out.getvalue().splitlines()
    assert len(lines) <= 25
    assert max(map(len, lines)) <= 80
    numbers = [line for line in lines if re.match(r"(clean|nearest|0|[\d.]+(/255)?): ", line)]
    assert not any("…" in line for line in numbers)
    assert not any(
        "…" in line for line in lines if line.startswith(("worst case", "  95 %", "verdict"))
    )
    assert sum("worst case" in line for line in lines) == len(
        {row.norm for row in run.report.worst_cases}
    )


def fallen(run: Run, row: AttackResult) -> float | None:
    """Of 100 attacked cases those with a successful image within this row's ball, from the table."""
    moved = "linf" if row.norm == "Linf" else "l2"
    own = [o for o in run.table() if o["attack"] != "clean" and o["norm"] == row.norm]
    judged = {
        o["case"]
        for o in own
        if not o["failure"]
        and (not o["eps"] or row.eps is None or float(o["eps"]) <= row.eps + 1e-9)
    }
    inside = {
        o["case"]
        for o in own
        if o["success"] == "1" and (row.eps is None or float(o[moved]) <= row.eps + 1e-5)
    }
    return 100 * len(inside & judged) / len(judged) if judged else None


AMOUNT = r"(?:all but )?(?:[\d.]+ \[[\d.]+, [\d.]+\]|none of them|all of them)"


def amounts(sentence: str) -> list[float]:
    """Of 100 images how many each clause says to be overturned."""
    found = re.findall(
        rf"(?:overturns|hides the finding in|invents a finding in|makes it read|\S,) ({AMOUNT})",
        sentence,
    )
    said = []
    for text in found:
        if text.startswith(("all of", "none of")):
            said.append(100.0 if text.startswith("all") else 0.0)
        else:
            number = float(re.search(r"[\d.]+", text)[0])  # type: ignore[index]
            said.append(100 - number if text.startswith("all but") else number)
    return said


@pytest.mark.parametrize("name", EVERY)
def test_the_sentences_are_whole_and_say_what_the_table_says(runs: Runs, name: str) -> None:
    run = runs(name)
    said = headline(run.report)
    for sentence in said:
        assert sentence[0].isupper() and sentence[-1] == "."
        assert "  " not in sentence and " ." not in sentence and ".." not in sentence
        assert not re.search(r"\b1 \w+s of|of 1 groups|of them of|None|\bnan\b", sentence)
    lead = run.texts["report.html"].split("\n")
    assert all(sentence in lead for sentence in said)

    clean = [o for o in run.table() if o["attack"] == "clean"]
    right = 100 * sum(o["label"] == o["prediction"] for o in clean) / len(clean)
    first = re.search(r"reads ([\d.]+) \[", said[0])
    assert first and abs(float(first[1]) - right) <= 0.51
    assert counted(len(clean), "image") in said[0]

    norm = run.report.worst_cases[0].norm
    rows = [r for r in run.report.worst_cases if r.norm == norm and fallen(run, r) is not None]
    if not rows:
        assert len(said) == 2 and not amounts(said[1])
        return
    wanted = [fallen(run, rows[0]), fallen(run, rows[-1])]
    if rows[0] is rows[-1] or wanted[0] == 100:
        wanted = wanted[:1]
    assert amounts(said[1]) == pytest.approx(wanted, abs=0.51), said[1]
    assert all(threat_text(r.eps, r.norm) in said[1] for r in (rows[0], rows[-1])[: len(wanted)])


SAYS: dict[str, tuple[str, ...]] = {
    "nothing falls": ("overturns none of them [0, ", "two parts in 255, none of them"),
    "nothing allowed": ("may change nothing overturns none of them",),
    "nothing allowed in L2": ("may change nothing overturns none of them",),
    "all fall": ("by 16 parts in 255 overturns all of them", "Then the model overlooks 100"),
    "one class": ("change the model overlooks",),  # which change depends on the processor
    "one case": ("reads 100 [3, 100] correctly", "measured on 1 image of 1 group)"),
    "one group": ("measured on 30 images of 1 group)",),
    "all wrong": ("reads 0 [", "Nothing was attacked, since there is no correct reading"),
    "all crash": ("Attacks were tried, but none came to a verdict",),
    "crashes at first": ("by two parts in 255 overturns none of them",),
    "nothing allowed, then something": ("With the larger change the model overlooks",),
    "25 classes": ("With the larger change 'class ",),
    "nearest alone": ("change the image as little as it takes overturns all of them [",),
    "miss": ("chest X-rays with a finding that it reads correctly", "hides the finding in"),
    "false alarm": ("chest X-rays without a finding that", "invents a finding in"),
    "miss without findings": ("the attacker's goal applies to none of those read correctly",),
    "target": ("that are not of 'class 1' and that it reads correctly", "as 'class 1'"),
    "target is all": ("the attacker's goal applies to none of those read correctly",),
    "two norms": ("Of 100 chest X-rays of adults in the emergency department that it reads",),
}


@pytest.mark.parametrize("name", SAYS)
def test_what_an_extreme_is_called(runs: Runs, name: str) -> None:
    said = " ".join(headline(runs(name).report))
    for words in SAYS[name]:
        assert words in said


def test_the_huge_run_is_what_it_claims_to_be(runs: Runs) -> None:
    report = runs("huge").report
    assert len({row.attack for row in report.results}) == 12
    assert len(report.worst_cases) == 10
    assert len(report.flags) >= 6
    assert len(report.title) == len(LONG) == 300
    assert "no doubts" not in EXTREMES or not runs("no doubts").report.flags
    assert len(runs("25 classes").report.clean.scores.recall) == 25
    assert {row.norm for row in runs("two norms").report.worst_cases} == {"Linf", "L2"}


def test_doubts_are_in_every_file_or_nowhere(runs: Runs) -> None:
    for name in ("nothing falls", "one case", "all crash"):
        run = runs(name)
        for flag in run.report.flags:
            for file, text in run.texts.items():
                if not file.endswith(".tex") and (file != "terminal" or len(run.report.flags) <= 3):
                    assert flag.name in text, (name, file, flag.name)
    for file, text in runs("no doubts").texts.items():
        assert "doubt" not in text.lower().replace("[doubts]", ""), file


def test_of_many_classes_those_that_suffer_most_are_shown(runs: Runs) -> None:
    run = runs("25 classes")
    last = run.report.worst.scores.recall
    for file in ("report.html", "report.md", "report.tex"):
        shown = {name for name in last if re.search(rf"\b{name}\b(?! \d)", run.texts[file])}
        assert f"all {len(last)}" in run.texts[file]
        if file != "report.tex":  # the facts name every class
            continue
        assert len(shown) == 20
        values = [e.value for name, e in last.items() if name in shown and e is not None]
        others = [e.value for name, e in last.items() if name not in shown and e is not None]
        assert max(values) <= min(others)


def judged(
    low: float, high: float, *, value: float | None = None, attacked: int = 100, failed: int = 0
) -> AttackResult:
    """A worst case of which this share still reads correctly; success is the rest."""
    middle = (low + high) / 2 if value is None else value
    kept = Estimate(middle, low, high, 90, 40)
    fell = Estimate(1 - middle, 1 - high, 1 - low, 90, 40)
    scores = Scores(accuracy=kept, robust_accuracy=kept, success=fell)
    return AttackResult(
        "worst case", "Linf", 1 / 255, "exact", scores, attacked=attacked, failed=failed
    )


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (judged(0.0, 0.09), "collapses"),
        (judged(0.0, 0.11), "breaks"),
        (judged(0.2, 0.49), "breaks"),
        (judged(0.2, 0.51), "undecided"),
        (judged(0.49, 0.8), "undecided"),
        (judged(0.51, 0.89), "weakens"),
        (judged(0.51, 0.95), "undecided"),
        (judged(0.69, 1.0, value=1.0), "undecided"),
        (judged(0.91, 1.0), "holds"),
        (judged(0.91, 1.0, failed=5), "holds"),
        (judged(0.91, 1.0, failed=6), "undecided"),
        (judged(0.0, 0.05, failed=6), "undecided"),
        (
            AttackResult(
                "worst case", "Linf", 1 / 255, "exact", Scores(None), attacked=9, failed=9
            ),
            "undecided",
        ),
    ],
)
def test_a_verdict_looks_at_the_whole_interval(runs: Runs, row: AttackResult, word: str) -> None:
    report = dataclasses.replace(runs("one case").report, worst_cases=(row,))
    assert [v.word for v in verdicts(report)] == [word]
    assert word in RULE.lower()


@pytest.mark.parametrize("name", EVERY)
def test_no_verdict_contradicts_its_numbers(runs: Runs, name: str) -> None:
    run = runs(name)
    for verdict in verdicts(run.report):
        success = verdict.row.scores.success
        if success is None:
            assert verdict.word == "undecided"
        elif success.value == 0:
            assert verdict.word in ("holds", "undecided")
        elif success.value == 1:
            assert verdict.word in ("collapses", "breaks", "undecided")
        assert verdict.word in run.texts["terminal"] or name == "huge"


def classes(before: dict[str, float], after: dict[str, float]) -> Report:
    def rate(value: float) -> Estimate:
        return Estimate(value, max(0, value - 0.1), min(1, value + 0.1), 50, 50)

    def row(recall: dict[str, float], attack: str) -> AttackResult:
        scores = Scores(
            rate(0.5), rate(0.5), rate(0.5), recall={k: rate(v) for k, v in recall.items()}
        )
        return AttackResult(attack, "Linf", 1 / 255, "exact", scores, attacked=50)

    plain = row(before, "clean")
    audit_ = {"target": None, "goal": "error"}
    return Report(
        "t", plain, (), (row(after, "worst case"),), (), (), {"audit": audit_},
        AuditedModel({}, "", "softmax", 0.5), AuditedData("", "test", 50, 50, {}), {}, "",
    )  # fmt: skip


def test_the_class_that_suffers_most_is_the_one_that_lost_most() -> None:
    (*_, last) = headline(classes({"a": 0.2, "b": 0.9, "c": 1.0}, {"a": 0.2, "b": 0.5, "c": 0.8}))
    assert last == (
        "Then 'b' suffers most: of 100 images of it, 50 [40, 60] are read as such, "
        "down from 90 [80, 100]."
    )
    assert len(headline(classes({"a": 0.2, "b": 0.9}, {"a": 0.2, "b": 0.9}))) == 2


@pytest.mark.parametrize(
    ("fell", "said"),
    [
        (0.0, "overturns none of them [0, 5]."),
        (0.004, "overturns 0.4 [0, 5] of them."),
        (0.5, "overturns 50 [45, 55] of them."),
        (0.89, "overturns 89 [84, 94] of them."),
        (0.94, "overturns all but 6 [1, 11]."),
        (0.9996, "overturns all but 0.04 [0, 5]."),
        (1.0, "overturns all of them [95, 100]."),
    ],
)
def test_so_many_are_overturned(fell: float, said: str) -> None:
    made = classes({"a": 1.0}, {"a": 1.0})
    success = Estimate(fell, max(0.0, fell - 0.05), min(1.0, fell + 0.05), 50, 50)
    (row,) = made.worst_cases
    row = dataclasses.replace(row, scores=dataclasses.replace(row.scores, success=success))
    sentence = headline(dataclasses.replace(made, worst_cases=(row,)))[1]
    assert sentence == (
        "Of 100 images that it reads correctly, an attacker who may change each pixel by one part "
        f"in 255 {said}"
    )


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (1, "100"), (0.17, "17"), (0.004, "0.4"), (0.0004, "0.04"), (0.9996, "99.96"),
     (0.996, "99.6"), (0.505, "50"), (1e-9, "0"), (1 - 1e-9, "100")],
)  # fmt: skip
def test_of_a_hundred_images_none_is_said_of_none_alone(share: float, text: str) -> None:
    assert of_hundred(share) == text


CHUNK, COUNT = 8, 24


class Stop:
    """Interrupts a run once so many cells have been begun after the clean images."""

    def __init__(self, cells: int) -> None:
        self.left = cells

    def __call__(self, done: float, total: float, label: str) -> None:
        self.left -= " at " in label
        if self.left < 0:
            raise KeyboardInterrupt


def cut_short_plan(base: Path) -> Plan:
    save_file(trained(28).state_dict(), base / "w.safetensors")
    return make_plan(
        {
            "title": "A run",
            "model": model(base),
            "data": {"path": "phantom:chest_xray", "count": COUNT, "pixels": 28},
            "attacks": [{"name": "Noise"}, {"name": "FGSM"}, {"name": "PGD"}],
            "audit": {"eps": ["1/255", "4/255"], "chunk": CHUNK},
        }
    )


def interrupt(plan: Plan, out: Path, cells: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        audit_plan(plan, out=out, device="cpu", progress=Stop(cells))


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, Path]]:
    """A run of three chunks that was interrupted in its third, after two cells of six."""
    base = tmp_path_factory.mktemp("cut")
    plan = cut_short_plan(base)
    interrupt(plan, base / "run", 14)
    yield plan, base / "run"


def test_a_run_cut_short_is_reported_on_as_its_finished_cases(cut: tuple[Plan, Path]) -> None:
    _, folder = cut
    before = sorted(path.name for path in folder.iterdir())
    found = unfinished_report(folder)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert found.flags[0].name == "run cut short"
    assert f"{2 * CHUNK} of {COUNT} cases" in found.flags[0].observed
    assert (found.data.cases, found.data.unfinished) == (2 * CHUNK, CHUNK)
    assert found.table_sha256 == ""
    alone = audit(
        classifier(),
        phantoms(COUNT).select(range(2 * CHUNK)),
        attacks=["Noise", "FGSM", "PGD"],
        eps=["1/255", "4/255"],
        chunk=CHUNK,
        device="cpu",
    )
    for field in ("clean", "results", "worst_cases", "difficulty"):
        assert getattr(found, field) == getattr(alone, field), field
    assert [f for f in found.flags if f.name != "run cut short"] == list(alone.flags)
    assert found.data.pixels_sha256 == alone.data.pixels_sha256


def shell(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_calls_it_unfinished_in_every_format(cut: tuple[Plan, Path]) -> None:
    _, folder = cut
    formats = [part for name in (*FORMATS, "text") for part in ("--format", name)]
    out = shell("report", str(folder), *formats)
    assert "Doubt: run cut short: 16 of 24 cases are finished" in out
    shell("report", str(folder), "--format", "html", "--format", "md", "--template", "regulatory")
    written = {path.name for path in folder.iterdir()}
    assert {f"unfinished.{end}" for end in ("html", "md", "json", "tex")} <= written
    assert {"unfinished-regulatory.html", "unfinished-regulatory.md", "figures"} <= written
    assert not [name for name in written if name.startswith(("report", "regulatory", "outcomes.c"))]
    for name in sorted(written):
        if name.endswith((".html", ".md")):
            text = (folder / name).read_text(encoding="utf-8")
            assert "run cut short" in text and "16 of 24 cases are finished" in text, name
            seen = "\n".join(Page(text).texts) if name.endswith(".html") else text
            assert not no_number.search(seen), name
            assert "SHA-256 \n" not in seen and not re.search(r"SHA-256\s*$", seen, re.M), name
    assert Report.load(folder / "unfinished.json") == dataclasses.replace(
        unfinished_report(folder), timings=Report.load(folder / "unfinished.json").timings
    )
    with pytest.raises(InputError, match="not finished"):
        read_report(folder)


def test_a_run_cut_before_its_first_case_says_so(tmp_path: Path) -> None:
    plan = cut_short_plan(tmp_path)
    interrupt(plan, tmp_path / "run", 3)
    with pytest.raises(InputError, match="no case is finished yet"):
        unfinished_report(tmp_path / "run")


def kept(folder: Path) -> tuple[Any, bytes, list[str]]:
    """What a finished run leaves, timings aside."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    del report["timings"]
    gallery = sorted(path.name for path in (folder / "gallery").iterdir())
    return report, (folder / "outcomes.csv").read_bytes(), gallery


def test_the_same_command_goes_on_to_the_same_report(tmp_path: Path) -> None:
    plan = cut_short_plan(tmp_path)
    audit_plan(plan, out=tmp_path / "calm", device="cpu")
    for cells in (3, 9, 14):
        interrupt(plan, tmp_path / "cut", cells)
    found = unfinished_report(tmp_path / "cut")
    write_report(found, tmp_path / "cut")
    (tmp_path / "plan.toml").write_text(plan_toml(found), encoding="utf-8")
    run = ("audit", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "cut"))
    lines = shell(*run, "--device", "cpu").splitlines()
    assert len(lines) <= 25 and lines[-1] == f"Report: {tmp_path / 'cut' / 'report.html'}"
    assert kept(tmp_path / "cut") == kept(tmp_path / "calm")
    assert not read_report(tmp_path / "cut").data.unfinished
