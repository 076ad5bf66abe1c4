"""Tables with masks: what is a mask, what its numbers mean, what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from robust.cases import Cases, open_cases
from robust.cases.case import NOT_OUTLINED
from robust.errors import InputError

SHAPE = (6, 5)
TABLE = """\
file,mask,group,split,site
images/a1.png,masks/a1.png,a,test,x
images/a2.png,masks/a2.png,a,test,x
images/b1.png,masks/b1.png,b,test,y
images/c1.png,masks/c1.png,c,train,y
"""


def numbers(*rows: int, dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """Row i of the mask holds the i-th number."""
    return np.repeat(
        np.array([*rows, *([0] * (SHAPE[0] - len(rows)))], dtype)[:, None], SHAPE[1], 1
    )


def save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(root: Path, masks: dict[str, np.ndarray[Any, Any]], text: str = TABLE) -> Path:
    """A data set of two structures, with other masks in the places of `masks`."""
    for number, name in enumerate(("a1", "a2", "b1", "c1")):
        save(root / "images" / f"{name}.png", numbers(*range(number, number + 6)))
        save(root / "masks" / f"{name}.png", masks.get(name, numbers(0, 1, 2)))
    (root / "cases.csv").write_text(text, encoding="utf-8")
    return root


def rows_of(cases: Cases, place: int = 0) -> list[int]:
    """The number of each row of a mask."""
    mask = cases[place].mask
    assert mask is not None and mask.dtype == torch.uint8
    return mask[:, 0].tolist()


def test_a_mask_column_makes_outlines(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path, {"a1": numbers(2, 0, 1, 255)}))
    assert (len(cases), cases.split, cases.outlines) == (3, "test", "exclusive")
    assert cases.classes == ("background", "structure 1", "structure 2")
    assert cases.findings == () and [entry.label for entry in cases.entries] == [0, 0, 0]
    assert rows_of(cases) == [2, 0, 1, NOT_OUTLINED, 0, 0]
    assert cases[0].group == cases[1].group != cases[2].group
    assert cases[0].target_mask is None and cases[0].spacing is None


def test_a_label_column_makes_classes_and_a_named_mask_outlines(tmp_path: Path) -> None:
    text = TABLE.replace("site", "label").replace(",x", ",0").replace(",y", ",1")
    write(tmp_path, {}, text)
    labelled = open_cases(tmp_path)
    assert labelled.outlines is None and labelled.classes == ("0", "1")
    assert open_cases(tmp_path, mask="mask").outlines == "exclusive"
    assert open_cases(write(tmp_path / "b", {}), label="site").classes == ("x", "y")
    with pytest.raises(InputError, match="either mask or label, not both"):
        open_cases(tmp_path, mask="mask", label="label")


@pytest.mark.parametrize("classes", [("left", "right"), ("Background", "left", "right")])
def test_names_of_structures(tmp_path: Path, classes: tuple[str, ...]) -> None:
    cases = open_cases(write(tmp_path, {}), classes=classes)
    assert cases.classes == ("background", "left", "right")


def test_names_reach_further_than_the_numbers_that_occur(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path, {}), classes=("a", "b", "c"))
    assert cases.classes == ("background", "a", "b", "c") and rows_of(cases)[:3] == [0, 1, 2]


@pytest.mark.parametrize("top", [255, 65535])
def test_one_structure_drawn_in_white(tmp_path: Path, top: int) -> None:
    white = numbers(0, top, dtype=np.uint8 if top == 255 else np.uint16)
    cases = open_cases(write(tmp_path, dict.fromkeys(("a1", "a2", "b1", "c1"), white)))
    assert cases.classes == ("background", "structure 1") and rows_of(cases)[:3] == [0, 1, 0]
    named = open_cases(tmp_path, classes=("lung",))
    assert named.classes == ("background", "lung") and rows_of(named)[:3] == [0, 1, 0]


def test_white_is_not_outlined_beside_class_numbers(tmp_path: Path) -> None:
    """One mask of the set has class numbers: 255 means the same in all of them."""
    masks = {"a1": numbers(0, 255), "a2": numbers(0, 255), "b1": numbers(0, 255)}
    cases = open_cases(write(tmp_path, {**masks, "c1": numbers(1)}), split="all")
    assert rows_of(cases)[:3] == [0, NOT_OUTLINED, 0]


def test_sixteen_bits_tiff_and_gif(tmp_path: Path) -> None:
    write(tmp_path, {"a1": numbers(1, 2, dtype=np.uint16)})
    for name, suffix in (("a2", "tif"), ("b1", "gif")):
        save(tmp_path / "masks" / f"{name}.{suffix}", numbers(2, 1))
        text = (
            (tmp_path / "cases.csv")
            .read_text()
            .replace(f"masks/{name}.png", f"masks/{name}.{suffix}")
        )
        (tmp_path / "cases.csv").write_text(text)
    cases = open_cases(tmp_path)
    assert [rows_of(cases, i)[:2] for i in range(3)] == [[1, 2], [2, 1], [2, 1]]


def test_palettes_of_grey_are_levels_and_others_class_numbers(tmp_path: Path) -> None:
    """Index 0 of one palette is white: whoever reads its indices inverts the mask."""
    write(tmp_path, {})
    inverted = Image.fromarray(numbers(255, 0, 255, 255, 255, 255), "P")
    inverted.putpalette([255 - level for level in range(256) for _ in range(3)])
    colours = Image.fromarray(numbers(2, 0, 1), "P")
    colours.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0])
    for name, image in (("a1", inverted), ("a2", colours)):
        image.save(tmp_path / "masks" / f"{name}.png")
    cases = open_cases(tmp_path, mask="mask")
    assert rows_of(cases, 1)[:3] == [2, 0, 1]
    alone = TABLE.splitlines(keepends=True)
    (tmp_path / "cases.csv").write_text("".join(alone[:2]), encoding="utf-8")
    assert rows_of(open_cases(tmp_path))[:3] == [0, 1, 0]


def test_several_columns_overlap(tmp_path: Path) -> None:
    """Numbers of one column are structures of their own."""
    text = TABLE.replace("mask,", "lungs,heart,").replace("a1.png,a", "a1.png,heart/a1.png,a")
    text = text.replace("a2.png,a", "a2.png,heart/a2.png,a").replace(
        "b1.png,b", "b1.png,heart/b1.png,b"
    )
    text = text.replace("c1.png,c", "c1.png,heart/c1.png,c")
    write(tmp_path, {"a1": numbers(0, 1, 2, 255)}, text)
    for name in ("a1", "a2", "b1", "c1"):
        save(tmp_path / "heart" / f"{name}.png", numbers(0, 255, 255, 255))
    cases = open_cases(tmp_path, mask=("lungs", "heart"))
    assert cases.outlines == "overlapping" and cases.classes == ("lungs 1", "lungs 2", "heart")
    mask = cases[0].mask
    assert mask is not None and mask.shape == (3, *SHAPE)
    assert mask[:, :4, 0].tolist() == [[0, 1, 0, 255], [0, 0, 1, 255], [0, 1, 1, 1]]
    assert open_cases(tmp_path, mask="lungs,heart", classes=("l", "r", "h")).classes == (
        "l",
        "r",
        "h",
    )
    with pytest.raises(
        InputError, match="a pixel lies in heart and in another structure; set over"
    ):
        _ = open_cases(tmp_path, mask=("lungs", "heart"), overlap=False)[0]
    with pytest.raises(InputError, match="classes names 4 structures, the masks hold 3"):
        open_cases(tmp_path, mask=("lungs", "heart"), classes=("a", "b", "c", "d"))
    for name in ("a1", "a2", "b1", "c1"):
        save(tmp_path / "heart" / f"{name}.png", numbers(0, 0, 0, 0, 255))
    joined = open_cases(tmp_path, mask=("lungs", "heart"), overlap=False)
    assert joined.classes == ("background", "lungs 1", "lungs 2", "heart")
    assert rows_of(joined, 1) == [0, 1, 2, 0, 3, 0]
    assert open_cases(tmp_path, mask="lungs", overlap=True)[1].mask.shape == (2, *SHAPE)  # type: ignore[union-attr]


def test_templates_name_masks_and_target_masks(tmp_path: Path) -> None:
    text = "id,group\na1,a\na2,a\nb1,b\nc1,c\n"
    write(tmp_path, {}, text)
    save(tmp_path / "wanted" / "a1.png", numbers(2, 2))
    options = {"file": "images/{id}.png", "mask": "masks/{id}.png"}
    cases = open_cases(tmp_path, **options, target_mask="wanted/{id}.png")
    assert len(cases) == 4 and rows_of(cases)[:3] == [0, 1, 2]
    target = cases[0].target_mask
    assert target is not None and target[:, 0].tolist() == [2, 2, 0, 0, 0, 0]
    with pytest.raises(InputError, match=r"wanted/a2\.png"):
        _ = cases[1]


def test_resized_masks_keep_their_numbers_and_spacing_grows(tmp_path: Path) -> None:
    write(tmp_path, {})
    case = open_cases(tmp_path, size=(3, 10), spacing=(2, 1))[0]
    assert case.image.shape == (1, 3, 10) and case.mask is not None
    assert case.mask.shape == (3, 10) and case.mask[:, 0].tolist() == [1, 0, 0]
    assert case.spacing == (4.0, 0.5)
    with pytest.raises(InputError, match=r"spacing has 3 numbers, .* 2 axes"):
        _ = open_cases(tmp_path, spacing=(1, 1, 1))[0]


def test_empty_cells(tmp_path: Path) -> None:
    write(tmp_path, {}, TABLE.replace("masks/a2.png", ""))
    with pytest.raises(InputError, match="a row has an empty mask cell; say what it means: blank"):
        open_cases(tmp_path)
    absent = open_cases(tmp_path, blank="negative")
    assert rows_of(absent, 1) == [0] * 6
    assert absent.content(1) != absent.content(0)
    without = open_cases(tmp_path, blank="exclude")
    assert len(without) == 2 and "1 images without a mask left out" in without.source
    with pytest.raises(InputError, match='blank = "positive" is for labels'):
        open_cases(tmp_path, blank="positive")


def test_a_changed_mask_is_noticed(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path, {}))
    before, index = [cases.content(i) for i in range(3)], cases.fingerprint()
    save(tmp_path / "masks" / "a2.png", numbers(0, 1, 2, 2, 2, 1))
    assert [cases.content(i) == old for i, old in enumerate(before)] == [True, False, True]
    assert open_cases(tmp_path).fingerprint() != index
    save(tmp_path / "images" / "b1.png", numbers(9))
    assert cases.content(2) != before[2]


def test_limits_splits_filters_and_subgroups(tmp_path: Path) -> None:
    write(tmp_path, {})
    assert len(open_cases(tmp_path, limit=2)) == 2
    drawn = [
        open_cases(tmp_path, splits={"train": 0.5, "test": 0.5}, split=split)
        for split in ("train", "test")
    ]
    groups = [{entry.group for entry in one.entries} for one in drawn]
    assert sum(map(len, drawn)) == 4 and not groups[0] & groups[1]
    north = open_cases(tmp_path, where='site == "x"', subgroups=("site",))
    assert [case.metadata for case in north] == [{"site": "x"}] * 2
    assert all("a1" not in entry.id for entry in north.entries)


BAD = [
    (
        {},
        {"a2": np.zeros((7, 5), np.uint8)},
        "a2.png is a mask of 7 x 5 pixels, its image has 6 x 5",
    ),
    ({"classes": ("one",)}, {}, r"holds 2, but one structure is known, so that 0 to 1 and 255"),
    (
        {},
        {"a2": numbers(*range(0, 250, 50))},
        "holds 200 as a class number, beside .* other values",
    ),
    (
        {},
        dict.fromkeys(("a1", "a2", "b1", "c1"), numbers(0)),
        "none of the 3 masks holds a structure",
    ),
    ({"mask": "maks"}, {}, "no mask column 'maks'"),
    ({"positive": ("1",)}, {}, "positive is for labels, and the data have masks"),
    ({"findings": ("structure 1",)}, {}, "findings is for labels"),
    ({"target_mask": ("mask", "mask")}, {}, "target_mask names 2 columns and mask 1"),
    ({"axis": 1}, {}, 'axis = 1 needs volumes = "slices"'),
    ({"volumes": "slices"}, {}, "names no volume"),
    ({"volumes": "thin"}, {}, "volumes must be whole or slices"),
]


@pytest.mark.parametrize(
    ("options", "masks", "message"), BAD, ids=[str(k) for k in range(len(BAD))]
)
def test_what_is_refused(
    tmp_path: Path, options: dict[str, Any], masks: dict[str, Any], message: str
) -> None:
    write(tmp_path, masks)
    with pytest.raises(InputError, match=message) as error:
        _ = list(open_cases(tmp_path, **options))
    assert "\n" not in str(error.value)


def test_masks_that_are_no_masks(tmp_path: Path) -> None:
    """They are said where they are read, so that broken ones can be skipped."""
    write(tmp_path, {})
    path = tmp_path / "masks" / "a2.png"
    photograph = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    damages = {
        r"a2\.png is a mask in colour": lambda: save(path, photograph),
        r"a2\.png is a JPEG file, which blurs class numbers": lambda: Image.fromarray(
            numbers(0, 255)
        ).save(path, "JPEG"),
        r"a2\.png is broken": lambda: path.write_bytes(path.with_name("a1.png").read_bytes()[:60]),
        r"masks/a2\.png cannot be read: there is no such file": path.unlink,
    }
    for message, damage in damages.items():
        damage()
        cases = open_cases(tmp_path)
        assert rows_of(cases)[:3] == rows_of(cases, 2)[:3] == [0, 1, 2]
        with pytest.raises(InputError, match=message):
            _ = cases[1]
    for name in ("a1", "b1", "c1"):
        (tmp_path / "masks" / f"{name}.png").unlink()
    with pytest.raises(InputError, match="none of the 3 masks is there"):
        open_cases(tmp_path)


def test_two_masks_of_one_image(tmp_path: Path) -> None:
    again = "images/a1.png,masks/a2.png,a,test,x\n"
    with pytest.raises(InputError, match=r"a1\.png twice, with another mask"):
        open_cases(write(tmp_path, {}, TABLE + again))


def test_one_empty_mask_is_a_case(tmp_path: Path) -> None:
    cases = open_cases(write(tmp_path, {"a1": numbers(0)}))
    assert rows_of(cases) == [0] * 6 and len(cases) == 3
