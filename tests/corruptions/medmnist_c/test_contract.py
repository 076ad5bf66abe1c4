"""What holds of every corruption that MedMNIST-C defines, of every data set and severity."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from robust.corruptions.contract import SEVERITIES, Corruption
from robust.corruptions.medmnist_c.definitions import MEDMNIST_C
from robust.corruptions.medmnist_c.tables import SEVERITY_TABLES
from robust.errors import InputError
from tests.corruptions.medmnist_c.images import DISTINCT, images, stored, streams

each = pytest.mark.parametrize(
    ("data_set", "corruption"), list(DISTINCT.values()), ids=list(DISTINCT)
)
KINDS = {one.name: one for _, one in DISTINCT.values()}
each_kind = pytest.mark.parametrize("corruption", list(KINDS.values()), ids=list(KINDS))


def test_twelve_data_sets_with_five_severities_of_every_kind() -> None:
    assert len(MEDMNIST_C) == 12
    assert sum(map(len, MEDMNIST_C.values())) == 131
    assert {one.family for one in KINDS.values()} == {"digital", "noise", "blur", "colour", "task"}
    for data_set, corruptions in MEDMNIST_C.items():
        assert [one.name for one in corruptions] == list(SEVERITY_TABLES[data_set])
        for one in corruptions:
            assert one.definition == f"MedMNIST-C, {data_set}"
            assert len(one.levels) == len(SEVERITIES)


@each
def test_the_change_grows_with_the_severity_or_the_note_says_that_it_does_not(
    data_set: str, corruption: Corruption
) -> None:
    scattered = corruption.name in ("stain_deposit", "bubble", "characters")
    x = images(stored(data_set, 112)[:1]).repeat(48 if scattered else 2, 1, 1, 1)
    results = [corruption(x, s, streams(len(x), corruption.name)) for s in range(6)]
    assert torch.equal(results[0], x)
    for y in results:
        assert y.shape == x.shape and y.dtype == x.dtype and y.min() >= 0 and y.max() <= 1
    sizes = [float((y - x).square().mean()) for y in results]
    grows = all(b > a for a, b in pairwise(sizes))
    defined = [pair for pair in pairwise(corruption.levels) if pair[0] == pair[1]]
    if "by definition" in corruption.note:
        assert not grows and (defined or corruption.name == "black_corner")
    else:
        assert grows, sizes


@each_kind
@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 1, 17, 20), (2, 3, 3, 9, 12)])
def test_grey_images_colour_images_and_volumes_keep_shape_and_box(
    corruption: Corruption, shape: tuple[int, ...]
) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    kept = x.clone()
    for severity in (0, 1, 5):
        y = corruption(x, severity, streams(2))
        assert y.shape == x.shape and y.dtype == x.dtype
        assert y.isfinite().all() and y.min() >= 0 and y.max() <= 1
        assert torch.equal(y, x) or severity
    assert torch.equal(x, kept)


@each_kind
def test_a_case_depends_on_no_neighbour_and_on_its_own_stream_alone(corruption: Corruption) -> None:
    x = torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    together = corruption(x, 3, streams(3))
    own = torch.cat([corruption(x[i : i + 1], 3, streams(3)[[i]]) for i in range(3)])
    assert torch.allclose(together, own, atol=1e-6)
    same = corruption(x[:1].repeat(2, 1, 1, 1), 5, streams(2))
    if corruption.random and corruption.name not in ("stain_deposit", "bubble", "characters"):
        assert not torch.equal(same[0], same[1])
    elif not corruption.random:
        assert torch.equal(same[0], same[1])


@each_kind
def test_slices_of_a_volume_are_spoiled_alike(corruption: Corruption) -> None:
    if corruption.family == "noise":
        return  # each slice has noise of its own
    plane = torch.rand(2, 3, 20, 20, generator=torch.Generator().manual_seed(2))
    volume = corruption(plane[:, :, None].repeat(1, 1, 2, 1, 1), 4, streams(2))
    flat = corruption(plane, 4, streams(2))
    for slice_ in volume.unbind(2):
        assert torch.allclose(slice_, flat, atol=1e-6)


@each_kind
def test_gradients_are_those_of_finite_differences(corruption: Corruption) -> None:
    if not corruption.differentiable:
        return
    # Away from black and white and from equal channels, where some have a kink.
    x = 0.25 + 0.3 * torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(3)).double()
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(4)).double()

    def looked(at: Tensor) -> Tensor:
        return (corruption(at, 1, streams(2)) * weights).sum()

    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).double()
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(looked(leaf), leaf)
    step = 1e-6
    moved = looked(x + step * direction) - looked(x - step * direction)
    assert (slope * direction).sum() == pytest.approx(float(moved / (2 * step)), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("name", ["gamma_corr_down", "saturate"])
def test_gradients_at_black_are_finite(name: str) -> None:
    leaf = torch.zeros(1, 3, 4, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(KINDS[name](leaf, 5, streams(1)).sum(), leaf)
    assert slope.isfinite().all()


@each_kind
@pytest.mark.parametrize("severity", [-1, 6])
def test_another_severity_is_named(corruption: Corruption, severity: int) -> None:
    with pytest.raises(InputError, match=f"severity {severity} does not exist"):
        corruption(torch.rand(1, 1, 8, 8), severity, streams(1))


@pytest.mark.parametrize("name", ["jpeg_compression", "saturate", "characters"])
def test_what_is_defined_in_grey_and_colour_alone_says_so(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} needs images of 1 or 3 channels, not 2"):
        KINDS[name](torch.rand(1, 2, 8, 8), 1, streams(1))
