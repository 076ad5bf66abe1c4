"""Which corruptions a modality has, and what is said of names that do not exist."""

from __future__ import annotations

import pytest

from robust.corruptions.medmnist_c.definitions import MEDMNIST_C
from robust.corruptions.registry import CORRUPTIONS, MODALITIES, corruptions_of
from robust.corruptions.scanner.table import SCANNER_EFFECTS
from robust.errors import InputError


def test_every_data_set_belongs_to_one_modality_and_every_modality_has_scanners() -> None:
    sets = [data_set for own in MODALITIES.values() for data_set in own]
    assert sorted(sets) == sorted(MEDMNIST_C)
    assert set(MODALITIES) == set(SCANNER_EFFECTS)


@pytest.mark.parametrize("modality", [*MODALITIES, *MEDMNIST_C])
def test_names_are_unique_within_a_modality(modality: str) -> None:
    names = [one.name for one in corruptions_of(modality)]
    assert len(names) == len(set(names)) > 4
    assert all(one in CORRUPTIONS[one.name] for one in corruptions_of(modality))


def test_a_modality_has_the_severities_of_its_first_set_and_a_set_its_own() -> None:
    (chest,) = corruptions_of("chest X-ray", ["gaussian_noise"])
    (wide,) = corruptions_of("ChestMNIST", ["gaussian_noise"])
    assert chest.definition == "MedMNIST-C, pneumoniamnist"
    assert wide.definition == "MedMNIST-C, chestmnist" and wide != chest


def test_groups_and_names_mix_in_the_order_of_the_plan_each_once() -> None:
    names = [one.name for one in corruptions_of("MRI", ["resolution", "scanner"])]
    assert names[0] == "resolution" and len(names) == len(set(names)) > 5
    defined = corruptions_of("fundus", ["medmnist-c"])
    assert [one.name for one in defined] == [one.name for one in MEDMNIST_C["retinamnist"]]


@pytest.mark.parametrize(
    ("modality", "kinds", "message"),
    [
        ("chest xray", (), "unknown modality 'chest xray'; nearest of 21: chest X-ray"),
        ("fundus", ["gausian_noise"], "fundus has no corruption 'gausian_noise'; .*gaussian_noise"),
        ("MRI", ["medmnist-c"], "medmnist-c defines nothing for MRI; there are: patient_motion"),
        ("OCT", ["gaussian_blur"], "OCT has no corruption 'gaussian_blur'"),
    ],
)
def test_what_does_not_exist_is_named_in_a_line(modality, kinds, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        corruptions_of(modality, kinds)
    assert "\n" not in str(caught.value)
