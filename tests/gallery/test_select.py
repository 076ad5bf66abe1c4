"""The gallery shows the cases that it says it shows, as the attacks left them."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from robust.auditing import audit
from robust.cases import Cases
from robust.gallery.select import choose_cases, shown_eps
from robust.metrics.scores import Condition, margins
from robust.metrics.worst_case import WorstCase
from robust.records import GALLERY, Report
from tests.engine import nets
from tests.engine.nets import classifier, trained

UNPROBED: dict[str, Any] = {"doubts": {"probe": False}}


def phantoms(count: int = 60, **changes: Any) -> Cases:
    return dataclasses.replace(nets.phantoms(count), **changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    out = tmp_path_factory.mktemp("gallery") / "run"
    eps = ["1/255", "4/255", "12/255"]
    settings: dict[str, Any] = {"attacks": ["FGSM", "PGD"], "eps": eps, **UNPROBED}
    return audit(classifier(), phantoms(), out=out, **settings), out


def read(path: Path) -> torch.Tensor:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None, None]


def test_pictures_show_the_case_and_what_the_model_says_of_it(run: tuple[Report, Path]) -> None:
    report, out = run
    cases = {case.id: case for case in phantoms()}
    model = trained(28).eval()
    names = list(report.data.classes)
    assert len(report.gallery) == 6
    for exhibit in report.gallery:
        case = cases[exhibit.case]
        assert exhibit.label == names[case.label] == exhibit.prediction
        clean = read(out / GALLERY / exhibit.image)
        assert torch.equal(clean[0], (case.image * 255).round() / 255)
        for frame in exhibit.images:
            x_adv = read(out / GALLERY / frame.image)
            assert frame.eps is not None and frame.linf <= frame.eps + 1e-6
            # Rounded to 8 bits the picture is within half a level of what was judged.
            assert float((x_adv - clean).abs().max()) <= frame.linf + 0.5 / 255 + 1e-6
            with torch.no_grad():
                said = model(x_adv).softmax(1)[0]
            assert float(said[names.index(frame.prediction)]) == pytest.approx(
                frame.probability, abs=0.08
            )
            assert frame.success == (frame.prediction != exhibit.label)
            shown = read(out / GALLERY / frame.difference)
            change = (shown - 0.5) / frame.magnification
            assert (
                float((clean + change - x_adv).abs().max()) <= 0.5 / 255 + 1 / frame.magnification
            )


def test_first_to_fall_and_last_to_hold(run: tuple[Report, Path]) -> None:
    report, _ = run
    eps = [row.eps for row in report.worst_cases]
    places = [
        len(eps) if e.smallest_success_eps is None else eps.index(e.smallest_success_eps)
        for e in report.gallery
    ]
    assert places[:3] == [0, 0, 0]
    assert min(places[3:]) > 0 and places[3:] == sorted(places[3:])
    missed = [e.label == "opacity" and e.images[0].prediction != e.label for e in report.gallery]
    assert missed[:3] == sorted(missed[:3], reverse=True) and any(missed)
    for exhibit in report.gallery:
        for frame in exhibit.images:
            fallen = exhibit.smallest_success_eps is not None and exhibit.smallest_success_eps <= (
                frame.eps or 0
            )
            assert frame.success == fallen


def test_cases_are_chosen_by_eps_and_then_by_margin() -> None:
    """Four cases: falls at once by little, at once by much, later, never; a fifth not attacked."""
    labels = np.zeros(5, int)
    leads = np.array([[0.1, 2, -1, -3, 9], [1, 3, 0.5, -2, 9]])
    worst = []
    for lead in leads:
        condition = Condition.clean(np.stack([np.zeros(5), lead], 1))
        attacked = np.array([True] * 4 + [False])
        condition = dataclasses.replace(condition, attacked=attacked, success=(lead > 0) & attacked)
        worst.append(WorstCase(condition, np.zeros(5, int)))
    assert [
        (c.place, c.first_success)
        for c in choose_cases(worst, labels, (), 2, partial(margins, labels=labels))
    ] == [
        (1, 0),
        (3, None),
    ]
    assert [
        (c.place, c.first_success)
        for c in choose_cases(worst, labels, (), 4, partial(margins, labels=labels))
    ] == [
        (1, 0),
        (0, 0),
        (2, 1),
        (3, None),
    ]
    assert [
        c.place for c in choose_cases(worst, labels, (), 9, partial(margins, labels=labels))
    ] == [1, 0, 2, 3]
    assert choose_cases(worst, labels, (), 0, partial(margins, labels=labels)) == []


def test_missed_findings_come_first_and_the_smallest_eps_is_among_them() -> None:
    """Of six fooled cases the false alarms fall first; a missed finding falls at each later eps."""
    labels = np.array([0, 0, 0, 1, 1, 1])
    fell = np.array([0, 0, 1, 1, 2, 2])
    worst = []
    for step in range(3):
        fooled = fell <= step
        read = np.where(fooled, 1 - labels, labels)
        logits = np.eye(2)[read] * (1 + np.arange(6))[:, None]
        condition = dataclasses.replace(
            Condition.clean(logits), attacked=np.ones(6, bool), success=fooled
        )
        worst.append(WorstCase(condition, np.zeros(6, int)))
    for count, wanted in ((1, [1]), (2, [4, 1]), (4, [3, 5, 4, 1]), (6, [3, 5, 4, 1, 0, 2])):
        assert [
            c.place
            for c in choose_cases(worst, labels, (1,), count, partial(margins, labels=labels))
        ] == wanted, count
    assert shown_eps(5, [3, None]) == [0, 1, 2, 3, 4]
    many = shown_eps(40, [3, None, 39])
    assert len(many) == 8 and 3 in many and many[-1] == 39 and many[0] == 0


def test_off_where_a_picture_may_carry_a_name_unless_asked(tmp_path: Path) -> None:
    cases = phantoms(20, showable=False)
    for gallery, wanted in ((None, 0), (2, 2), (0, 0)):
        out = tmp_path / str(gallery)
        report = audit(classifier(), cases, attacks=["FGSM"], out=out, gallery=gallery, **UNPROBED)
        assert len(report.gallery) == wanted
        assert (out / GALLERY).exists() == bool(wanted)


def test_a_finished_run_takes_its_gallery_down_and_hangs_it_again(tmp_path: Path) -> None:
    def again(gallery: int | None) -> Report:
        settings: dict[str, Any] = {"attacks": ["FGSM"], "gallery": gallery, **UNPROBED}
        return audit(classifier(), phantoms(20), out=tmp_path, **settings)

    first = again(None)
    (tmp_path / GALLERY / "1-clean.png").unlink()
    assert again(None).gallery == first.gallery
    assert (tmp_path / GALLERY / "1-clean.png").exists()
    assert again(0).gallery == () and not (tmp_path / GALLERY).exists()
