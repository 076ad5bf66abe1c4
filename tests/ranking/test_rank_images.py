"""Ranking by a model: distances of a linear model, copies, patients, and a search that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robust.cases.case import Cases, Entry
from robust.errors import InputError
from robust.models import Classifier
from robust.ranking import RankedImages, rank_images
from robust.ranking import collect as collecting
from robust.ranking.rank import spread_over_groups
from tests.toys import linear_cases

N = 24


def opened(network: nn.Module) -> Classifier:
    return Classifier(network, mean=0.0, std=1.0, channels=1, head="softmax")


def as_cases(x: Tensor) -> Cases:
    """Images of 16 bits, as files hold them."""
    pixels = (x[:, 0] * 65535).round().numpy().astype(np.uint16)
    names = [f"image {row:03d}" for row in range(len(x))]
    entries = tuple(Entry(name, 0, name, {}, row) for row, name in enumerate(names))
    return Cases("tests", (), entries, lambda row: pixels[row])


def rows_of(ranked: RankedImages) -> list[int]:
    return [int(one.id.split()[1]) for one in ranked.images]


@pytest.fixture(scope="module")
def linear() -> tuple[Classifier, Tensor, Tensor]:
    """The classifier, images so far inside the box that it never binds, and z(x)."""
    model, x, _ = linear_cases("free", N)
    x = (x * 65535).round() / 65535
    with torch.no_grad():
        logits = model(x)
    return opened(model.float()), x, logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("norm", ["L2", "Linf"])
def test_the_distance_of_a_linear_model_is_its_margin_over_the_dual_norm(
    linear: tuple[Classifier, Tensor, Tensor], norm: str
) -> None:
    classifier, x, z = linear
    weight = classifier.network.weight.double()
    exact = z.abs() / (weight.norm() if norm == "L2" else weight.abs().sum())
    ranked = rank_images(classifier, as_cases(x), norm=norm, device="cpu")
    found = {row: one.values[0] for row, one in zip(rows_of(ranked), ranked.images, strict=True)}
    distances = np.array([found[row] for row in range(N)], float)
    true = exact.detach().numpy()
    np.testing.assert_allclose(distances, true, rtol=0.01)
    assert (distances >= true * (1 - 1e-4)).all()  # an adversarial image cannot lie nearer
    place = {row: number for number, row in enumerate(rows_of(ranked))}
    apart = [(i, j) for i in range(N) for j in range(N) if true[i] * 1.02 < true[j]]
    assert len(apart) > 200 and all(place[i] < place[j] for i, j in apart)
    assert ranked.columns == (f"distance ({norm}, pixels from 0 to 1)",)
    assert all(one.prediction == ("1" if z[row] > 0 else "0")
               for row, one in zip(rows_of(ranked), ranked.images, strict=True))  # fmt: skip


def test_neither_batch_nor_order_of_the_rows_matters(
    linear: tuple[Classifier, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, x, _ = linear
    cases = as_cases(x)
    labelled = as_cases(1 - x[:4])
    by = ["distance", "feature-distance", "o-medal"]
    told: dict[str, Any] = {
        "by": by,
        "labelled": labelled,
        "steps": 20,
        "layer": ":logits",
        "device": "cpu",
    }
    first = rank_images(classifier, cases, **told)
    monkeypatch.setattr(collecting, "BATCH", 5)
    turned = cases.select([*range(N)][::-1])
    second = rank_images(classifier, turned, **told)
    assert [one.id for one in first.images] == [one.id for one in second.images]
    for one, other in zip(first.images, second.images, strict=True):
        # None, then nan, outside a shortlist.
        found, again = np.array(one.values, float), np.array(other.values, float)
        np.testing.assert_allclose(found, again, rtol=1e-4)


def test_copies_come_last_with_the_reason(linear: tuple[Classifier, Tensor, Tensor]) -> None:
    classifier, x, _ = linear
    x = torch.stack([x[row] for row in (0, 1, 2, 3, 1, 5)])
    ranked = rank_images(
        classifier,
        as_cases(x),
        by="feature-distance",
        labelled=as_cases(x[:1]),
        layer=":logits",
        device="cpu",
    )
    assert [(one.id, one.note) for one in ranked.images[-2:]] == [
        ("image 000", "same pixels as the labelled image 000"),
        ("image 004", "same pixels as image 001"),
    ]
    assert ranked.images[-1].values == (None,)
    assert [one.rank for one in ranked.images] == list(range(1, 7))


class Steady(nn.Module):
    """The same answer to every image, with a gradient that is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 2)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.bias.copy_(torch.tensor([1.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


def test_no_number_is_made_up_where_the_attack_finds_nothing() -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    ranked = rank_images(opened(Steady()), as_cases(x), steps=3, device="cpu")
    assert [one.values for one in ranked.images] == [(None,)] * 3
    assert {one.note for one in ranked.images} == {"the attack found no image of another class"}


def test_patients_take_turns() -> None:
    order = np.array([4, 0, 1, 3, 2])
    groups = ["a", "a", "a", "b", "a"]
    assert spread_over_groups(order, groups, 1).tolist() == [4, 3, 0, 1, 2]
    assert spread_over_groups(order, groups, 2).tolist() == [4, 0, 3, 1, 2]
    assert spread_over_groups(order, groups, 9).tolist() == order.tolist()


def test_a_search_goes_on_where_it_was_killed(
    linear: tuple[Classifier, Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier, x, _ = linear
    cases, table = as_cases(x), tmp_path / "ranked.csv"
    kept = tmp_path / "ranked.csv.distances"
    whole = rank_images(classifier, cases, steps=10, device="cpu")
    monkeypatch.setattr(collecting, "BATCH", 10)
    searched: list[int] = []
    real = collecting.attack_batch

    def killed(*arguments, **more):  # type: ignore[no-untyped-def]
        searched.append(len(arguments[2].rows))
        if searched == [10, 10]:
            raise KeyboardInterrupt
        return real(*arguments, **more)

    monkeypatch.setattr(collecting, "attack_batch", killed)
    with pytest.raises(KeyboardInterrupt):
        rank_images(classifier, cases, steps=10, device="cpu", table=table)
    with kept.open("a", encoding="utf-8") as file:
        file.write('["cut short')
    ranked = rank_images(classifier, cases, steps=10, device="cpu", table=table)
    assert searched == [10, 10, 10, N - 20]  # the first ten were known
    assert [one.id for one in ranked.images] == [one.id for one in whole.images]
    assert len(kept.read_text(encoding="utf-8").split()) > N
    searched[:] = [0]
    rank_images(classifier, cases, steps=11, device="cpu", table=table)  # another search
    assert sum(searched) == N
    ranked.written()
    assert not kept.exists()


@pytest.mark.parametrize("options", [{"top": 3}, {}, {"per_group": 1}])
def test_of_two_stages_the_shortlist_alone_is_attacked(
    linear: tuple[Classifier, Tensor, Tensor],
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, int],
) -> None:
    classifier, x, z = linear
    attacked: list[int] = []
    real = collecting.attack_batch

    def counted(*arguments, **more):  # type: ignore[no-untyped-def]
        attacked.extend(arguments[2].rows)
        return real(*arguments, **more)

    monkeypatch.setattr(collecting, "attack_batch", counted)
    ranked = rank_images(
        classifier, as_cases(x), by="margin+distance", shortlist=0.25, device="cpu", **options
    )
    nearest = z.abs().argsort()[:6].tolist()
    assert sorted(attacked) == sorted(nearest)
    assert rows_of(ranked)[: len(ranked.images)][:6] == nearest[: len(ranked.images)]
    told = [one.values[1] is not None for one in ranked.images]
    assert told == [place < 6 for place in range(len(ranked.images))]
    assert {one.note for one in ranked.images} == {""}


def test_what_is_kept_names_no_file(
    linear: tuple[Classifier, Tensor, Tensor], tmp_path: Path
) -> None:
    classifier, x, _ = linear
    rank_images(classifier, as_cases(x[:3]), steps=2, device="cpu", table=tmp_path / "r.csv")
    text = (tmp_path / "r.csv.distances").read_text(encoding="utf-8")
    assert "image 00" not in text
    assert [len(json.loads(line)) for line in text.splitlines()[2:] if line] == [2, 2, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "entropi"}, "unknown criterion 'entropi'; did you mean entropy"),
        ({"by": ["margin", "margin"]}, "named twice"),
        ({"by": []}, "name a criterion"),
        ({"by": "margin+entropy+distance"}, "has 3 stages"),
        ({"by": "margin+random", "shortlist": 0.0}, "above 0 and at most 1"),
        ({"by": "o-medal"}, "name them: --labelled"),
        ({"norm": "L1"}, "L2 or Linf"),
        ({"top": 0}, "top must be 1 or more"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"per_group": 0}, "per_group must be 1 or more"),
        ({"by": "feature-distance", "layer": "nowhere"}, "no layer 'nowhere'"),
        ({"classes": ("a", "b", "c")}, "has 2 outputs, and 3 classes"),
    ],
)
def test_what_cannot_be_ranked(
    linear: tuple[Classifier, Tensor, Tensor], options: dict[str, object], message: str
) -> None:
    classifier, x, _ = linear
    with pytest.raises(InputError, match=message):
        rank_images(classifier, as_cases(x[:3]), device="cpu", **{"steps": 2, **options})  # type: ignore[arg-type]


def test_labelled_images_that_no_criterion_reads_are_refused(
    linear: tuple[Classifier, Tensor, Tensor],
) -> None:
    classifier, x, _ = linear
    with pytest.raises(InputError, match="does not look at labelled images"):
        rank_images(classifier, as_cases(x[:3]), by="margin", labelled=as_cases(x), device="cpu")
