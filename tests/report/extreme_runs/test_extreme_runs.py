"""Reports on runs that are extreme: each is rendered in every format, and says what is true."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from attacks import (
    BIM,
    FGSM,
    PGD,
    AttackTraits,
    CarliniWagnerL2,
    Knowledge,
    MarginPGD,
    Noise,
)
from robust.auditing import audit, audit_plan
from robust.cases import Cases, open_cases
from robust.models import Classifier
from robust.plan.load import make_plan
from robust.plan.spec import Plan
from robust.records import AttackResult, Report
from robust.records.verdicts import is_withheld
from robust.report import FORMATS, TEMPLATES, read_report, write_report
from robust.report.figures.style import ReportFigure, narrowed
from robust.report.formats.terminal import print_report
from robust.report.text.classification import RULE
from robust.report.text.format import counted, size_text, threat_text
from robust.report.text.headline import headline, verdicts
from tests.engine.nets import trained
from tests.report.hostile import ElementPage, Nearest

SMALL = ["1/255", "2/255"]
SEVEN = [0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5]
LONG = "nine " * 60


@dataclass(frozen=True)
class Crash:
    """An attack that fails wherever it is run; above `works` it does nothing."""

    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimum_norm: ClassVar[bool] = False
    knowledge: ClassVar[Knowledge] = "none"
    traits: ClassVar[AttackTraits] = AttackTraits()
    passes: ClassVar[int] = 1
    stream_key: ClassVar[str] = "Crash()"
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
    """Twelve attacks, ten eps, names of 300 characters, six warnings."""
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


def no_warnings() -> dict[str, Any]:
    return {"cases": dataclasses.replace(phantoms(130), phantom=False), "attacks": [QUICK]}


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
    "no warnings": no_warnings,
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


class Runs(Protocol):
    def __call__(self, name: str, whole: bool = False) -> Run:
        """The run of that name; `whole` with the probe and every figure, whichever it is."""


PICTURED = ("all fall", "one case", "all wrong", "nearest alone", "target", "huge", "two norms")
"""Those with a gallery."""
FILED = ("one case", "all wrong", "two norms")
"""Those with figures in files of their own, and for a phone."""
DRAWN = (
    *(*FILED, "nothing falls", "nothing allowed", "nearest alone", "nearest beside", "curve"),
    *("25 classes", "crashes at first", "L2", "huge"),
)
"""Those whose page has its figures: they differ in what there is to draw. In the others each is
put together, and not written."""
PROBED = (
    *("nothing falls", "all fall", "one case", "all wrong", "all crash", "25 classes", "miss"),
    *("target", "nothing allowed in L2", "no warnings", "two norms"),
)
"""Those with the probe: one of each kind of cases that it may be left with."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Each run by name, made when it is first asked for."""
    base = tmp_path_factory.mktemp("extremes")

    @cache
    def made(name: str, whole: bool = False) -> Run:
        folder = base / f"{'whole-' if whole else ''}{name.replace(' ', '-')}"
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
                doubts={"probe": whole or name in PROBED},
            )
        return Run(report, folder, rendered(report, folder, name, whole))

    return made


def two_norms(base: Path) -> Plan:
    save_file(trained(28).state_dict(), base / "w.safetensors")
    many = [{"name": "PGD", "steps": n, "label": f"P{n}"} for n in range(1, 4)]
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


def rendered(report: Report, folder: Path, name: str, whole: bool) -> dict[str, str]:
    """Write every format in both templates; both show the same figures, drawn for the first."""
    texts = {}
    drawn = ReportFigure.svg

    def some(figure: ReportFigure, *, narrow: bool = False, **options: Any) -> str:
        if name in DRAWN and not narrow:
            return drawn(figure, **options)
        assert (narrowed(figure.draw()) if narrow else figure.draw()).axes
        return "<svg></svg>"

    for template in ("standard", "regulatory", "iso-24029"):  # that with most kinds of evidence
        assert template in TEMPLATES
        figures = ("svg", "png") if whole or name in FILED else ()
        others = ("json", "latex", "cyclonedx", "model-card", *figures)
        formats = ("html", "md", *(others if template == "standard" else ()))
        assert set(formats) <= set(FORMATS)
        with pytest.MonkeyPatch.context() as patch:
            if template != "standard":
                patch.setattr(ReportFigure, "svg", lambda figure, **_: "<svg></svg>")
            elif not (whole or name in FILED):
                patch.setattr(ReportFigure, "svg", some)
            written = write_report(report, folder, *formats, template=template)
        for path in written:
            assert path.stat().st_size > 0
            if path.suffix == ".html":
                texts[path.name] = "\n".join(ElementPage(path.read_text(encoding="utf-8")).texts)
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
    is_whole_in_every_format(runs(name), name, filed=name in FILED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTREMES)
def test_the_probe_and_every_figure_bear_it_too(runs: Runs, name: str) -> None:
    is_whole_in_every_format(runs(name, whole=True), name, filed=True)


def is_whole_in_every_format(run: Run, name: str, *, filed: bool) -> None:
    """Every file is there, and none shows a number that is none."""
    assert {"report.html", "report.md", "report.tex", "terminal"} <= set(run.texts)
    assert {"regulatory.html", "regulatory.md"} <= set(run.texts)
    for file, text in run.texts.items():
        found = no_number.search(text)
        assert not found, (file, text[found.start() - 60 : found.end() + 60])
        assert len(text) > 300
    assert read_report(run.folder) == run.report
    if filed:
        drawn = {path.suffix for path in (run.folder / "figures").glob("*")}
        curves = list((run.folder / "figures").glob("robust-accuracy-*"))
        judged = any(r.scores.robust_accuracy and r.eps is not None for r in run.report.worst_cases)
        assert drawn == {".svg", ".png"} if judged else not curves
    if name in PICTURED:
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
    numbers = ("worst ", "  95 %", "verdict", "without attack", "L∞ ", "L2 ", "At 5 %")
    assert not any("…" in line for line in lines if line.startswith(numbers))
    assert sum(bool(re.match(r"worst (case|of \d+ attacks)", line)) for line in lines) == len(
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


INTERVAL = r"\[(?:[\d.]+, [\d.]+|no interval: about \d+ groups needed)\]"
AMOUNT = rf"(?:all but )?(?:[\d.]+ {INTERVAL}|none of them|all of them)"
VERBS = "changes the reading of|hides the finding in|report a finding in|makes the model read"


def amounts(sentence: str) -> list[float]:
    """Of 100 images how many each clause says to be misread."""
    found = re.findall(rf"(?:{VERBS}|; with [^,]+,) ({AMOUNT})", sentence)
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
        assert not re.search(r"\b1 \w+s of|of 1 groups|None|\bnan\b", sentence)
    lead = run.texts["report.html"].replace("\N{NO-BREAK SPACE}", " ").split("\n")
    assert all(sentence in lead for sentence in said)

    clean = [o for o in run.table() if o["attack"] == "clean"]
    right = 100 * sum(o["label"] == o["prediction"] for o in clean) / len(clean)
    first = re.search(r"reads ([\d.]+) of 100 ", said[0])
    assert first and abs(float(first[1]) - right) <= 0.51
    assert counted(len(clean), "image") in said[0]

    norm = run.report.worst_cases[0].norm
    rows = [r for r in run.report.worst_cases if r.norm == norm and fallen(run, r) is not None]
    if not rows:
        assert len(said) == 2 and not amounts(said[1])
        return
    if any(map(is_withheld, run.report.verdicts)):
        assert any(sentence.startswith("No verdict on robustness is given") for sentence in said)
        return
    wanted = [fallen(run, rows[0]), fallen(run, rows[-1])]
    if rows[0] is rows[-1] or wanted[0] == 100:
        wanted = wanted[:1]
    assert amounts(said[1]) == pytest.approx(wanted, abs=0.51), said[1]
    assert threat_text(rows[0].eps, rows[0].norm) in said[1]
    if len(wanted) > 1 and rows[-1].eps is not None:
        assert size_text(rows[-1].eps, norm) in said[1]


SAYS: dict[str, tuple[str, ...]] = {
    "nothing falls": (
        "No verdict on robustness is given: clean accuracy no better than a constant (50.0 % ",
    ),
    "nothing allowed": ("may change nothing changes the reading of none of them",),
    "nothing allowed in L2": ("may change nothing changes the reading of none of them",),
    "all fall": (
        "by up to 16 of 255 grey levels changes the reading of all of them",
        "Under this attack, the model misses 100",
    ),
    "one class": ("change, the model misses",),  # which change depends on the processor
    "one case": (
        "reads 100 of 100",
        "(no 95 % interval: about 5 groups needed; measured on 1 image of 1 group)",
    ),
    "one group": ("measured on 30 images of 1 group)",),
    "all wrong": ("reads 0 of 100", "No image was attacked, because the model reads none"),
    "all crash": ("Attacks were run, but none could be evaluated",),
    "crashes at first": ("by up to 2 of 255 grey levels changes the reading of none of them",),
    "nothing allowed, then something": ("With the larger change, the model misses",),
    "25 classes": ("No verdict on robustness is given: more steps still help (of ",),
    "nearest alone": ("is given: clean accuracy no better than a constant (",),
    "miss": ("with a finding that the model reads correctly", "hides the finding in"),
    "false alarm": (
        "without a finding that the model reads",
        "makes the model report a finding in",
    ),
    "miss without findings": ("the attack goal applies to none of the images that the model",),
    "target": ("is given: clean accuracy no better than a constant (",),
    "target is all": ("the attack goal applies to none of the images that the model",),
    "two norms": (
        "of 100 chest X-rays of adults in the emergency department correctly",
        "is given: clean accuracy no better than a constant (",
    ),
}


@pytest.mark.parametrize("name", SAYS)
def test_what_an_extreme_is_called(runs: Runs, name: str) -> None:
    said = " ".join(headline(runs(name).report))
    for words in SAYS[name]:
        assert words in said


def test_the_huge_run_is_what_it_claims_to_be(runs: Runs) -> None:
    report = runs("huge").report
    assert len({row.attack for row in report.rows}) == 12
    assert len(report.worst_cases) == 10
    assert len(report.flags) >= 6
    assert len(report.title) == len(LONG) == 300
    assert "no warnings" not in EXTREMES or not runs("no warnings").report.flags
    assert len(runs("25 classes").report.clean.scores.recall) == 25
    assert {row.norm for row in runs("two norms").report.worst_cases} == {"Linf", "L2"}


def test_warnings_are_in_every_file_or_nowhere(runs: Runs) -> None:
    for name in ("nothing falls", "one case", "all crash"):
        run = runs(name)
        for flag in run.report.flags:
            for file, text in run.texts.items():
                if not file.endswith(".tex") and (file != "terminal" or len(run.report.flags) <= 3):
                    assert flag.name in text, (name, file, flag.name)
    for file, text in runs("no warnings").texts.items():
        if file.startswith("iso-24029"):  # its points ask what warnings say
            continue
        # The rule of verdicts, which every page has, says what a warning does.
        assert "warning" not in " ".join(text.split()).replace(RULE, "").lower(), file


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


@pytest.mark.parametrize("name", EVERY)
def test_no_verdict_contradicts_its_numbers(runs: Runs, name: str) -> None:
    run = runs(name)
    for verdict in verdicts(run.report):
        success = verdict.worst_case.scores.success
        if success is None:
            assert verdict.word == "undecided"
        elif is_withheld(verdict.word):
            name_of_flag = verdict.word.removeprefix("no verdict: ")
            assert name_of_flag in {flag.name for flag in run.report.flags}
        elif success.value == 0:
            assert verdict.word in ("robust", "undecided")
        elif success.value == 1:
            assert verdict.word in ("fails", "mostly fooled", "undecided")
        assert verdict.word.split()[0] in run.texts["terminal"] or name == "huge"
