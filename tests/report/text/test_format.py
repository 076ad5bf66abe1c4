"""Numbers as text."""

from __future__ import annotations

import pytest

from robust.records import Estimate
from robust.report.text.format import (
    counted,
    decimal,
    distance_text,
    listed,
    of_hundred,
    percent,
    threat_text,
    told_apart,
)
from robust.units import eps_text


def test_numbers_in_words() -> None:
    rate = Estimate(0.9338, 0.9071, 0.9549, 624, 624)
    assert percent(rate) == "93.4 % [90.7, 95.5]"
    assert decimal(rate) == "0.934 [0.907, 0.955]"
    assert eps_text(0.5 / 255) == "0.5/255"
    assert eps_text(8 / 255) == "8/255"
    assert eps_text(0.03) == "0.03"
    assert eps_text(1.0, "L2") == "1"
    assert distance_text(Estimate(0.004 / 255, 0, 1, 1, 1), "Linf") == "0.004/255"
    assert distance_text(Estimate(2 / 255, 0, 1, 1, 1), "Linf") == "2.00/255"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (1, "100"), (0.17, "17"), (0.004, "0.4"), (0.0004, "0.04"), (0.9996, "99.96"),
     (0.996, "99.6"), (0.505, "50"), (1e-9, "0"), (1 - 1e-9, "100")],
)  # fmt: skip
def test_of_a_hundred_images_none_is_said_of_none_alone(share: float, text: str) -> None:
    assert of_hundred(share) == text


@pytest.mark.parametrize(
    ("eps", "norm", "text"),
    [
        (None, "L2", "change the image as little as needed"),
        (0.0, "Linf", "change nothing"),
        (0.5 / 255, "Linf", "change each pixel by up to 0.5 of 255 grey levels"),
        (8 / 255, "Linf", "change each pixel by up to 8 of 255 grey levels"),
        (0.03, "Linf", "change each pixel by up to 7.65 of 255 grey levels"),
        (0.5, "L2", "change the image by an L2 distance of up to 0.5"),
    ],
)
def test_what_an_attacker_may_do(eps: float | None, norm: str, text: str) -> None:
    assert threat_text(eps, norm) == text


def test_counted_nouns() -> None:
    assert (counted(1, "image"), counted(2, "image")) == ("1 image", "2 images")
    assert counted(3, "query", "queries") == "3 queries"


def test_names_are_cut_where_they_stay_apart() -> None:
    long = [f"Chest X-rays of 2018: {kind}" + 20 * "." for kind in ("random", "pretrained")]
    assert told_apart(long) == [name[:31] + "…" for name in long]
    alike = [f"Chest X-rays: 2, pretrained, seed {seed}" for seed in range(3)]
    assert told_apart(alike) == alike
    assert told_apart(["a", "a"]) == ["a", "a"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a, 1"], "a, 1"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d", "e"], "a, b and 3 more"),
        (["1,000 images", "b"], "1,000 images and b"),
        (["a, seed 0", "b"], "a, seed 0; and b"),
        (["a, seed 0", "a, seed 1", "b", "c"], "a, seed 0; a, seed 1; and 2 more"),
    ],
)
def test_names_in_a_sentence_stay_apart(names: list[str], text: str) -> None:
    assert listed(names) == text
