"""A column that gives the label away is found, one that is merely related is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robust.cases.case import Cases, Entry
from robust.diagnostics.metadata_shortcuts import find_shortcuts


def cases(columns: dict[str, list[str]], labels: list[int], each: int = 1) -> Cases:
    entries = tuple(
        Entry(f"{i}", label, f"{i // each}", {name: v[i] for name, v in columns.items()}, None)
        for i, label in enumerate(labels)
    )
    names = tuple(f"class {i}" for i in range(max(labels) + 1))
    return Cases("made", names, entries, lambda _: np.zeros((2, 2), np.uint8))


def drawn(count: int, classes: int, seed: int = 0) -> tuple[np.random.Generator, list[int]]:
    rng = np.random.default_rng(seed)
    return rng, rng.integers(0, classes, count).tolist()


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_a_device_that_follows_the_label_is_found(classes: int) -> None:
    rng, labels = drawn(300, classes)
    device = [f"device {y if rng.uniform() < 0.9 else 0}" for y in labels]
    found = find_shortcuts(cases({"device": device}, labels))
    assert set(found) == {"device"} and found["device"] > 0.8


def test_a_number_that_follows_the_label_is_found() -> None:
    rng, labels = drawn(300, 2)
    dose = [f"{rng.normal(10 * y, 1):.3f}" for y in labels]
    assert set(find_shortcuts(cases({"dose": dose}, labels))) == {"dose"}


def test_columns_of_sound_data_are_not() -> None:
    """Without relation, and with that of age to disease; with a name for every case."""
    for seed in range(20):
        rng, labels = drawn(100, 2, seed)
        columns = {
            "sex": [str(s) for s in rng.choice(["f", "m", ""], 100)],
            "age": [f"{rng.normal(55 + 8 * y, 15):.0f}" for y in labels],
            "site": [f"{s}" for s in rng.integers(0, 5, 100)],
            "name": [f"case {i}" for i in range(100)],
            "one": ["same"] * 100,
        }
        assert find_shortcuts(cases(columns, labels), seed) == {}


def test_images_of_one_patient_are_no_evidence_of_their_own() -> None:
    """Nine patients of forty images each: their devices follow the label by chance alone."""
    labels = [i // 40 % 2 for i in range(360)]
    device = [f"{y}" for y in labels]
    assert find_shortcuts(cases({"device": device}, labels, each=40)).keys() <= {"the group"}
    assert set(find_shortcuts(cases({"device": device}, labels))) == {"device"}


def test_many_patients_of_many_images_each_are_no_sites() -> None:
    labels = [i // 20 % 2 for i in range(800)]
    assert find_shortcuts(cases({}, labels, each=20)) == {}


def test_groups_that_are_sites_are_asked_as_well() -> None:
    labels = [i // 100 % 2 for i in range(400)]
    sites = cases({}, labels, each=100)
    assert set(find_shortcuts(sites)) == {"the group"}
    mixed = replace(
        sites,
        entries=tuple(replace(e, group=f"{i % 4}") for i, e in enumerate(sites.entries)),
    )
    assert find_shortcuts(mixed) == {}
