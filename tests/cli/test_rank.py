"""`robust rank` from files to the annotator's table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from robust.cases import open_cases
from robust.models import load_classifier, prepare
from tests.cli.commands import MODEL, Answer, Robust, write_plan
from tests.cli.detectors import write_images

COUNT = 6


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def refused(answer: Answer, *words: str) -> None:
    assert answer.code == 2 and answer.err.count("\n") == 1, answer.err
    assert all(word in answer.err for word in words), answer.err


@pytest.fixture
def plan(here: Path) -> str:
    write_images(COUNT)
    write_plan()
    return "plan.toml"


def test_the_table_is_ordered_by_entropy(robust: Robust, plan: str) -> None:
    answer = robust("rank", plan, "images", "--by", "entropy")
    assert answer.code == 0 and answer.err.endswith(f"{COUNT} images ranked\n"), answer.err
    table = rows(answer.out)
    first = ["rank", "file", "prediction", "probability"]
    assert list(table[0]) == [*first, "entropy (nats)", "note"]
    cases = open_cases("phantom:chest_xray", count=COUNT, pixels=28)
    x = torch.stack([case.image for case in cases])
    ready = prepare(load_classifier(**MODEL), "cpu", images=x)
    with torch.no_grad():
        p = ready(x).double().softmax(1)
    entropy = -(p * p.log()).sum(1)
    order = entropy.argsort(descending=True).tolist()
    assert [row["file"] for row in table] == [f"images/{i:02}.png" for i in order]
    found = [float(row["entropy (nats)"]) for row in table]
    assert found == pytest.approx(entropy[order].tolist(), abs=1e-6)
    assert [int(row["rank"]) for row in table] == list(range(1, COUNT + 1))


def test_several_criteria_with_labelled_images_patients_and_a_file(
    robust: Robust, plan: str
) -> None:
    Path("list.csv").write_text(
        "image,patient\n" + "".join(f"images/{i:02}.png,P{i // 3}\n" for i in range(COUNT)),
        encoding="utf-8",
    )
    answer = robust(
        "rank", plan, "list.csv", "--file-column", "image", "--group", "patient",
        "--by", "distance,feature-distance", "--by", "o-medal", "--labelled", "phantom:chest_xray",
        "--labelled-split", "train", "--per-group", "1", "--top", "2", "--steps", "8",
        "--out", "ranked.csv",
    )  # fmt: skip
    assert (answer.code, answer.out) == (0, ""), answer.err
    table = rows(Path("ranked.csv").read_text(encoding="utf-8"))
    assert len(table) == 2 and "sum of ranks" in table[0]
    assert {int(row["file"][7:9]) // 3 for row in table} == {0, 1}  # one image of each patient
    assert not Path("ranked.csv.distances").exists()
    assert robust("rank", plan, "images", "--by", "random", "--out", "ranked.csv").code == 0


def test_arrays_without_labels(robust: Robust, plan: str) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    np.savez("pool.npz", images=drawn, train_images=drawn[:2])
    table = rows(robust("rank", plan, "pool.npz", "--by", "margin").out)
    assert sorted(row["file"] for row in table) == [f"pool-{i}" for i in range(4)]
    train = rows(robust("rank", plan, "pool.npz", "--split", "train", "--by", "margin").out)
    assert sorted(row["file"] for row in train) == ["train-0", "train-1"]


def test_a_broken_image_is_one_line(robust: Robust, plan: str) -> None:
    Path("images/broken.png").write_bytes(b"no image")
    refused(robust("rank", plan, "images", "--by", "margin"), "broken.png", "--skip-broken")
    answer = robust("rank", plan, "images", "--by", "margin", "--skip-broken")
    assert answer.code == 0 and len(rows(answer.out)) == COUNT
    assert "broken.png" in answer.err and "1 could not be read" in answer.err


def test_a_file_name_is_no_formula(robust: Robust, plan: str) -> None:
    with Image.open("images/00.png") as image:
        image.save("=1+1.png")
    (row,) = rows(robust("rank", plan, "=1+1.png", "--by", "margin").out)
    assert row["file"] == "'=1+1.png"


def test_rankings_that_cannot_be(robust: Robust, plan: str) -> None:
    refused(robust("rank", "no.toml", "images"), "no such model or plan: no.toml")
    refused(robust("rank", plan, "nowhere"), "no such image or folder: nowhere")
    refused(robust("rank", plan, "images", "--by", "entrpy"), "did you mean entropy")
    refused(robust("rank", plan, "images", "--out", "plan.toml"), "is not a table of robust rank")
    refused(robust("rank", plan, "images", "--out", "no/r.csv"), "no such folder: no")
    refused(robust("rank", plan, "images", "--norm", "L1"), "L2 or Linf")
    refused(robust("rank", plan, "images", "--by", "o-medal"), "--labelled")
    Path("empty.csv").write_text("name\nx.png\n", encoding="utf-8")
    refused(robust("rank", plan, "empty.csv"), "no file column", "--file-column")
    np.savez("wide.npz", images=np.zeros((2, 3), np.uint8))
    refused(robust("rank", plan, "wide.npz"), "must be uint8 (n, h, w)")
