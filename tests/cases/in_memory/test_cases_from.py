"""`robust.cases_from`: what people hold in Python becomes cases, or is refused with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from robust.cases import Case, cases_from, open_cases
from robust.cases.stored_pixels import Stored
from robust.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (6, 1, 9, 7)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 3, 9, 7)).astype(np.uint8)
Y = [0, 1, 0, 1, 0, 1]


class Pairs(Dataset[Any]):
    classes = ("well", "ill")

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        return Image.fromarray(COLOUR[place].transpose(1, 2, 0)), Y[place]


def displayed(x: np.ndarray[Any, Any]) -> torch.Tensor:
    return torch.from_numpy(x).float() / 255


@pytest.mark.parametrize("x", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize(
    "layout",
    [
        lambda x: x,
        torch.from_numpy,
        displayed,
        lambda x: displayed(x).double().numpy(),
        lambda x: displayed(x).to(torch.float32).requires_grad_(),
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: torch.from_numpy(x).long(),
        list,
        lambda x: list(displayed(x)),
        lambda x: list(x.transpose(0, 2, 3, 1)),
    ],
)
def test_images_in_every_layout_are_the_same_cases(x: Any, layout: Any) -> None:
    cases = cases_from(layout(x), Y)
    assert (len(cases), cases.classes, cases.findings) == (6, ("0", "1"), (1,))
    for i, case in enumerate(cases):
        assert torch.equal(case.image, displayed(x)[i])
        assert (case.label, case.stored) == (Y[i], Stored(8))
    assert not cases.grouped and len({case.group for case in cases}) == 6


def test_grey_images_without_a_channel_pil_images_and_bits() -> None:
    for x in (GREY[:, 0], displayed(GREY[:, 0]), [Image.fromarray(one[0]) for one in GREY]):
        assert torch.equal(cases_from(x, Y)[2].image, displayed(GREY)[2])
    bits = GREY > 99
    assert torch.equal(cases_from(bits, Y)[0].image, torch.from_numpy(bits[0]).float())
    other = [GREY[0], GREY[1][:, :5]]
    assert [case.image.shape[1] for case in cases_from(other, [0, 1])] == [9, 5]


def test_floats_between_the_levels_of_eight_bits_are_kept_at_sixteen() -> None:
    x = torch.rand(4, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    cases = cases_from(x, [0, 1, 0, 1])
    for i, case in enumerate(cases):
        assert case.stored == Stored(16)
        assert float((case.image - x[i]).abs().max()) <= 0.5001 / 65535
    deep = (x * 65535).numpy().astype(np.uint16)
    assert torch.equal(cases_from(deep, [0, 1, 0, 1])[1].image * 65535, torch.tensor(deep[1] * 1.0))
    assert float(cases_from(x + 4e-6 * (x == x.max()), [0, 1, 0, 1])[0].image.max()) <= 1


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor(Y),
        torch.tensor(Y).float(),
        torch.tensor(Y)[:, None],
        np.array(Y, np.uint8),
        np.array(Y, bool),
        pd.Series(Y, index=range(10, 16)),
        np.eye(2)[Y],
        torch.nn.functional.one_hot(torch.tensor(Y)),
        [torch.tensor(label) for label in Y],
        [np.array([label]) for label in Y],
    ],
    ids=range(10),
)
def test_labels_in_every_form(y: Any) -> None:
    assert [entry.label for entry in cases_from(GREY, y).entries] == Y


def test_labels_in_words_are_classes_and_tell_the_finding() -> None:
    words = ["ill ", "well", "ill", "well", "ill", "well"]
    for y in (words, np.array(words), pd.Series(words)):
        cases = cases_from(GREY, y)
        assert (cases.classes, cases.findings) == (("ill", "well"), (0,))
        turned = cases_from(GREY, y, classes=("well", "ill"))
        assert [entry.label for entry in turned.entries] == [1, 0, 1, 0, 1, 0]
        assert turned.findings == (1,)
    with pytest.raises(InputError, match="y holds 'ill', no class"):
        cases_from(GREY, words, classes=("well", "sick"))
    with pytest.raises(InputError, match="differ in letter case"):
        cases_from(GREY, ["a", "A", "b", "a", "a", "a"])


@pytest.mark.parametrize(
    "groups", [["p1", "p1 ", "p2", "p2", " P9", "x"], np.array([1, 1, 2, 2, 3, 4]), [7.0] * 6]
)
def test_groups_are_patients_and_become_pseudonyms(groups: Any) -> None:
    cases = cases_from(GREY, Y, groups)
    found = [entry.group for entry in cases.entries]
    assert cases.grouped and found[0] == found[1]
    assert len(set(found)) == len({str(one).strip() for one in groups})
    assert not {str(one).strip() for one in groups} & set(found)
    same = cases_from(displayed(GREY), Y, groups)
    assert [entry.group for entry in same.entries] == found, "the same images, the same pseudonyms"
    assert cases_from(GREY, Y, ["P1", "p-01", "a", "a", "b", "b"]).notes.groups_alike == 2


def test_loaders_data_sets_and_lists_give_the_same_cases() -> None:
    x, y, groups = displayed(COLOUR), torch.tensor(Y), [0, 0, 1, 1, 2, 2]
    wanted = cases_from(x, y)
    listed = list(zip(x, Y, strict=True))
    for given in (
        (x, y),
        listed,
        TensorDataset(x, y),
        DataLoader(TensorDataset(x, y), batch_size=4),
        [{"image": image, "label": label} for image, label in listed],
        iter(listed),
        wanted,
        Pairs(),
    ):
        cases = cases_from(given)
        assert cases.fingerprint() == wanted.fingerprint() or cases.classes == Pairs.classes
        assert all(torch.equal(a.image, b.image) for a, b in zip(cases, wanted, strict=True))
    grouped = cases_from(x, y, groups)
    for given in (
        (x, y, groups),
        [(*one, group) for one, group in zip(listed, groups, strict=True)],
        DataLoader(TensorDataset(x, y, torch.tensor(groups)), batch_size=4),
        [{"x": i, "y": k, "patient_id": g} for (i, k), g in zip(listed, groups, strict=True)],
    ):
        assert cases_from(given).fingerprint() == grouped.fingerprint()


def test_cases_in_a_list_keep_what_they_hold(tmp_path: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 257).save(tmp_path / "a.png")
    (tmp_path / "cases.csv").write_text("file,label,group,site\na.png,1,p1,north\n")
    read = open_cases(tmp_path, subgroups=("site",), keep_names=True)[0]
    made = Case("b", 0, "p1", torch.rand(3, 4, 4))
    for several in ([read, made], (read, made)):
        cases = cases_from(several)
        assert cases.grouped and cases.findings == (1,)
        assert (cases[0].id, cases[0].group, cases[0].metadata) == (
            "a.png",
            "p1",
            {"site": "north"},
        )
        assert cases[0].stored == Stored(16) and torch.equal(cases[0].image, read.image)
        assert float((cases[1].image - made.image).abs().max()) < 1e-5
    with pytest.raises(InputError, match="two cases have the id 'b'"):
        cases_from([made, made])


NAN = displayed(GREY).clone()
NAN[3, 0, 0, 0] = torch.nan


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((displayed(GREY) * 255, Y), r"values from 0 to 255.*divide by 255"),
        ((displayed(GREY) * 2 - 1, Y), r"undo the normalisation, and give mean and std"),
        ((displayed(GREY) * 4095, Y), "divide by the largest value"),
        ((NAN, Y), "image 3 holds NaN"),
        ((np.zeros((6, 4, 9, 7)), Y), r"image 0 has the shape \(4, 9, 7\)"),
        ((np.zeros((6, 9)), Y), r"images have the shape \(6, 9\)"),
        ((GREY.astype(np.int64) * 4, Y), "holds int64 from 0 to .*give uint8, uint16"),
        ((GREY.astype(complex), Y), "holds complex128"),
        ((GREY, Y[:5]), "6 images and 5 labels"),
        ((GREY, [0.5] * 6), r"y holds 0\.5; labels are whole numbers"),
        ((GREY, [-1] * 6), "y holds -1"),
        ((GREY, [float("nan")] * 6), "y holds NaN"),
        ((GREY, np.full((6, 2), 0.5)), "probabilities or scores"),
        ((GREY, np.ones((6, 3))), r"several findings or none; give one column of it"),
        ((GREY, [0, 1, 2, 3, 4, 5], None, ("a", "b")), "out of range for the 2 classes"),
        ((GREY, Y, ["p"] * 5), r"6 images, and groups have the shape \(5,\)"),
        ((GREY, Y, ["p", "", "p", "q", "q", "q"]), "image 1 has no patient"),
        ((GREY, Y, [1.0, float("nan"), 2, 3, 4, 5]), "image 1 has no patient"),
        ((GREY, "01"), "y is '01'"),
        ((GREY,), r"labels are missing; give robust\.cases_from\(x, y, groups\)"),
        (("images",), r"is a path.*robust\.open_cases\('images', \.\.\.\)"),
        ((Path("images"),), r"is a path"),
        (({"x": GREY},), "a dict holds no cases|dict holds no cases"),
        ((7,), "int holds no cases"),
        (([],), "there is no image"),
        (([(GREY[0],)],), r"must be \(x, y\) or \(x, y, group\)"),
        (([{"picture": GREY[0]}],), "no image and label under a known name"),
        ((DataLoader(Pairs(), shuffle=True),), "shuffles.*shuffle=False"),
        ((cases_from(GREY, Y), Y), "Cases has labels and groups already"),
    ],
)
def test_what_cannot_be_cases_is_refused_in_one_line(given: tuple[Any, ...], said: str) -> None:
    x, *more = given
    classes = more.pop() if len(more) == 3 else None
    with pytest.raises(InputError, match=said) as caught:
        cases_from(x, *more, classes=classes)
    assert len(str(caught.value).splitlines()) == 1
