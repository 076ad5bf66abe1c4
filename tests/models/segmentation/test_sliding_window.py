"""Windows against MONAI's own inference and autograd through it, and against whole images."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor, nn

from robust import InputError, Segmenter
from tests.models.segmentation.nets import Convolved, Pointwise

SPACES = [
    ((13, 17), (8, 8)),
    ((5, 9), (8, 6)),  # smaller than a window along one axis
    ((3, 2), (8, 6)),
    ((7, 9, 5), (4, 4, 4)),
    ((3, 9, 5), (4, 4, 2)),
]
OVERLAPS = (0.0, 0.25, 0.5, 0.7)
BLENDS = ("gaussian", "constant")
PRECISIONS = [(torch.float32, 1e-5), (torch.float64, 1e-12)]


def of_window(network: nn.Module, window: tuple[int, ...], **options: object) -> Segmenter:
    return Segmenter(network, window=window, head="softmax", **options)  # type: ignore[arg-type]


def slopes(out: Tensor, x: Tensor) -> Tensor:
    """The gradient of a fixed random sum of the outputs."""
    draw = torch.Generator().manual_seed(4)
    weights = torch.randn(out.shape, generator=draw, dtype=out.dtype)
    return torch.autograd.grad((weights * out).sum(), x)[0]


@pytest.mark.parametrize("dtype,tolerance", PRECISIONS)
@pytest.mark.parametrize("space,window", SPACES)
def test_logits_and_gradients_are_those_of_autograd_through_monai(
    space: tuple[int, ...], window: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    network = Convolved(len(space)).to(dtype).eval()
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(2, 1, *space, generator=draw, dtype=dtype, requires_grad=True)
    for overlap in OVERLAPS:
        for blend in BLENDS:
            found = of_window(network, window, overlap=overlap, blend=blend).to(dtype)(x)
            expected = sliding_window_inference(x, window, 3, network, overlap, blend)
            assert isinstance(expected, Tensor)
            torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
            torch.testing.assert_close(
                slopes(found, x), slopes(expected, x), rtol=0, atol=tolerance
            )


@pytest.mark.parametrize("dtype,tolerance", PRECISIONS)
@pytest.mark.parametrize("space,window", SPACES)
def test_over_a_pointwise_network_windows_change_nothing(
    space: tuple[int, ...], window: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    network = Pointwise().to(dtype)
    draw = torch.Generator().manual_seed(2)
    x = torch.rand(2, 1, *space, generator=draw, dtype=dtype, requires_grad=True)
    whole = Segmenter(network, head="softmax")(x)
    expected = slopes(whole, x)
    for overlap in OVERLAPS:
        for blend in BLENDS:
            found = of_window(network, window, overlap=overlap, blend=blend)(x)
            torch.testing.assert_close(found, whole, rtol=0, atol=tolerance)
            torch.testing.assert_close(slopes(found, x), expected, rtol=0, atol=tolerance)


def test_parameters_that_are_trained_get_their_gradient() -> None:
    network = Convolved(2).double()
    x = torch.rand(1, 1, 9, 7, dtype=torch.float64)
    found = of_window(network, (4, 4)).double()(x).square().sum()
    expected = sliding_window_inference(x, (4, 4), 1, network, 0.25, "gaussian")
    assert isinstance(expected, Tensor)
    for one, other in zip(
        torch.autograd.grad(found, list(network.parameters())),
        torch.autograd.grad(expected.square().sum(), list(network.parameters())),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_an_image_has_the_same_logits_in_any_batch() -> None:
    network = Convolved(2).eval()
    x = torch.rand(5, 1, 20, 20)
    segmenter = of_window(network, (8, 8))
    with torch.no_grad():
        assert torch.equal(segmenter(x)[3:4], segmenter(x[3:4]))


def test_a_gradient_keeps_one_window_and_not_all() -> None:
    """What autograd saves in the forward pass does not grow with the network."""
    x = torch.rand(1, 1, 32, 32, requires_grad=True)
    segmenter = of_window(Convolved(2).requires_grad_(False), (8, 8))
    saved: list[int] = []

    def keep(value: Tensor) -> Tensor:
        saved.append(value.numel())
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        segmenter(x)
    assert sum(saved) <= 2 * x.numel()


def test_bad_windows_are_one_line() -> None:
    for options, said in (
        ({"window": 0}, "window must be 1 or more pixels"),
        ({"window": 8, "overlap": 1.0}, "overlap must be 0 or more and below 1"),
        ({"window": 8, "blend": "cosine"}, "unknown blend 'cosine'"),
        ({"window": 8, "multiple_of": 4}, "multiple_of has no meaning with a window"),
    ):
        with pytest.raises(InputError, match=said):
            Segmenter(Convolved(2), **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="window has 3 numbers and the cases have 2 axes"):
        Segmenter(Convolved(2), window=(4, 4, 4))(torch.rand(1, 1, 8, 8))


MEASURED = """
import resource, sys, torch
from monai.networks.nets import UNet
from robust import Segmenter
torch.set_num_threads(2)
torch.manual_seed(0)
network = UNet(3, 1, 2, (16, 32, 64, 128), (2, 2, 2), num_res_units=2).eval().requires_grad_(False)
segmenter = Segmenter(network, window=64, head="softmax")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x = torch.rand(1, 1, *map(int, sys.argv[1:]), requires_grad=True)
gradient, = torch.autograd.grad(segmenter(x).square().sum(), x)
assert gradient.abs().sum() > 0
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(*space: int) -> tuple[int, int]:
    """KiB of a process before and after a gradient on a volume."""
    out = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, space)],
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = out.stdout.split()
    return int(before), int(after)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="KiB of ru_maxrss are Linux's")
def test_memory_is_bounded_by_the_window() -> None:
    before, whole = peak(160, 160, 96)
    assert whole < 6 << 20
    _, half = peak(80, 160, 96)
    # What a volume itself needs: its pixels, logits, their slopes and the weights of windows.
    per_voxel = 1024 * (whole - half) / (80 * 160 * 96)
    assert per_voxel < 4 * 40
    assert whole - before < 3 << 20
