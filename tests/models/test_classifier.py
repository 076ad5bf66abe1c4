"""From displayed pixels to logits: every step exact, differentiable, and none of them silent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import Classifier, recognise_head, settle_head
from robust.models.acceleration.memory import OutOfMemory

GREY = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


class Seen(nn.Module):
    """Keeps what reaches the network and answers with fixed outputs, or means of the image."""

    def __init__(self, outputs: Tensor | None = None) -> None:
        super().__init__()
        self.outputs = outputs
        self.x = torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        self.x = x
        if self.outputs is not None:
            return self.outputs + 0 * x.sum()
        return torch.stack([x.mean((1, 2, 3)), x.square().mean((1, 2, 3))], 1)


def images(n: int = 3, channels: int = 3, height: int = 8, width: int = 6) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(1))


def logits(outputs: Tensor, **options: object) -> Tensor:
    network = Seen(outputs)
    return Classifier(network, **options)(images(len(outputs)))  # type: ignore[arg-type]


# --- heads ---


def test_softmax_logits_stay_as_they_are() -> None:
    z = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    assert torch.equal(logits(z, head="softmax"), z)


def test_one_sigmoid_logit_is_read_against_zero() -> None:
    z = torch.tensor([[-3.0], [0.2], [40.0]])
    found = logits(z, head="sigmoid")
    assert torch.equal(found, torch.cat([torch.zeros(3, 1), z], 1))
    torch.testing.assert_close(found.softmax(1)[:, 1:], z.sigmoid())
    flat = logits(z[:, 0], head="sigmoid")
    assert torch.equal(flat, found), "a network may return (n,) for one output"


@pytest.mark.parametrize("finding", [0, 2, -1])
def test_a_multilabel_head_is_asked_for_its_finding(finding: int) -> None:
    z = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    found = logits(z, head="multilabel", finding=finding)
    assert torch.equal(found, torch.stack([torch.zeros(2), z[:, finding]], 1))


@pytest.mark.parametrize("classes", [2, 5])
def test_probabilities_are_read_as_their_logarithms(classes: int) -> None:
    p = torch.randn(4, classes, generator=torch.Generator().manual_seed(0)).softmax(1)
    found = logits(p, head="probabilities")
    torch.testing.assert_close(found.softmax(1), p)
    torch.testing.assert_close(found, p.log())


def test_one_probability_is_read_with_its_complement() -> None:
    p = torch.tensor([[0.2], [0.9], [0.0], [1.0]])
    found = logits(p, head="probabilities")
    torch.testing.assert_close(found[:2].softmax(1)[:, 1:], p[:2])
    assert torch.isfinite(found).all(), "certainty is no infinity"
    assert found.argmax(1).tolist() == [0, 1, 0, 1]


def test_half_precision_outputs_become_float32() -> None:
    z = torch.tensor([[0.0001, 0.5]], dtype=torch.bfloat16)
    assert logits(z, head="softmax").dtype == torch.float32


@pytest.mark.parametrize(
    ("outputs", "head"),
    [
        (torch.tensor([[0.1], [0.9], [0.5], [0.0]]), "probabilities"),
        (torch.tensor([[0.1], [0.9], [0.5], [1.01]]), "sigmoid"),
        (torch.tensor([[-0.1]]), "sigmoid"),
        (torch.tensor([[0.25, 0.75]]), "probabilities"),
        (torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]), "probabilities"),
        (torch.tensor([[0.2, 0.3, 0.5], [0.9, 0.0, 0.0]]), "softmax"),
        (torch.tensor([[-0.25, 1.25]]), "softmax"),
        (torch.tensor([[0.2, 0.3, 0.4]]), "softmax"),
        (torch.tensor([[float("nan"), 1.0]]), "softmax"),
    ],
)
def test_a_head_is_recognised_from_its_outputs(outputs: Tensor, head: str) -> None:
    assert recognise_head(outputs) == head
    assert recognise_head(outputs, "multilabel") == "multilabel", "a head that is named stays"
    classifier = Classifier(Seen(outputs))
    settle_head(classifier, images(len(outputs)))
    assert classifier.head == head


def test_a_head_is_not_guessed_from_too_few_outputs() -> None:
    few = torch.tensor([[0.1], [0.9], [0.5]])
    with pytest.raises(InputError, match=r"3 images do not show whether.*set head"):
        recognise_head(few)
    assert recognise_head(few, "sigmoid") == "sigmoid"


@pytest.mark.parametrize(
    ("outputs", "head"),
    [
        (torch.rand(12, 18), "probabilities"),
        (torch.rand(4, 2), "probabilities"),
        (torch.linspace(-0.01, 1, 216).reshape(12, 18), "multilabel"),
        (torch.full((4, 3), 1.01), "multilabel"),
        (torch.tensor([[0.2, -3.0]]), "multilabel"),
    ],
)
def test_a_finding_is_a_probability_where_all_outputs_look_like_one(
    outputs: Tensor, head: str
) -> None:
    classifier = Classifier(Seen(outputs), finding=1)
    settle_head(classifier, images(len(outputs)))
    assert classifier.head == head
    found = classifier(images(len(outputs)))
    p = outputs[:, 1] if head == "probabilities" else outputs[:, 1].sigmoid()
    torch.testing.assert_close(found.softmax(1)[:, 1], p, rtol=1e-4, atol=1e-6)


def test_a_finding_on_too_few_images_is_asked_for() -> None:
    few = torch.rand(3, 14)
    with pytest.raises(InputError, match=r"has 14 outputs; 3 images do not show .*multilabel"):
        recognise_head(few, finding=2)
    assert recognise_head(few, "multilabel", 2) == "multilabel"
    with pytest.raises(InputError, match="finding 14 is out of range: the head has 14 outputs"):
        logits(few, head="probabilities", finding=14)


def test_settling_a_head_needs_no_gradient_and_changes_no_other() -> None:
    classifier = Classifier(Seen(torch.tensor([[0.25, 0.75]])), head="softmax")
    settle_head(classifier, images(1))
    assert classifier.head == "softmax"


# --- the threshold ---


@pytest.mark.parametrize("threshold", [0.03, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("head", ["softmax", "sigmoid", "probabilities"])
def test_a_threshold_moves_the_decision_and_nothing_else(threshold: float, head: str) -> None:
    z = torch.linspace(-6, 6, 241)[:, None]
    outputs = {
        "softmax": torch.cat([1.5 - z, torch.full_like(z, 1.5)], 1),
        "sigmoid": z,
        "probabilities": z.sigmoid(),
    }[head]
    plain = logits(outputs, head=head).softmax(1)[:, 1]
    moved = logits(outputs, head=head, threshold=threshold)
    clear = (plain - threshold).abs() > 1e-5
    assert clear.sum() >= 240
    assert torch.equal(moved.argmax(1)[clear] == 1, plain[clear] > threshold)
    torch.testing.assert_close(
        moved[:, 1] - moved[:, 0],
        (plain / (1 - plain)).log() - math.log(threshold / (1 - threshold)),
        atol=2e-4,
        rtol=1e-4,
    )


def test_a_threshold_leaves_three_classes_alone() -> None:
    z = torch.tensor([[1.0, -2.0, 0.5]])
    assert torch.equal(logits(z, head="softmax", threshold=0.1), z)


# --- what reaches the network ---


def test_normalisation_is_exact() -> None:
    network, x = Seen(), images()
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    Classifier(network, mean=mean, std=std, head="softmax")(x)
    wanted = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    assert torch.equal(network.x, wanted)
    Classifier(network, mean=0.5, std=0.25, head="softmax")(x)
    assert torch.equal(network.x, (x - 0.5) / 0.25)
    Classifier(network, head="softmax")(x)
    assert torch.equal(network.x, x), "as displayed, unless said otherwise"


def test_double_precision_stays_double() -> None:
    network, x = Seen(), images().double()
    Classifier(network, mean=0.1, std=0.3, size=5, head="softmax")(x)
    assert network.x.dtype == torch.float64


def test_grey_to_colour_and_back() -> None:
    network, grey, colour = Seen(), images(channels=1), images()
    Classifier(network, channels=3, mean=(0.1, 0.2, 0.3), head="softmax")(grey)
    wanted = grey.expand(-1, 3, -1, -1) - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
    assert torch.equal(network.x, wanted)
    Classifier(network, channels=1, head="softmax")(colour)
    torch.testing.assert_close(network.x, (colour * GREY).sum(1, keepdim=True))
    for x in (grey, colour):
        Classifier(network, channels=x.shape[1], head="softmax")(x)
        assert torch.equal(network.x, x)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_squash_resizes_both_sides(interpolation: str) -> None:
    network, x = Seen(), images(height=8, width=6)
    Classifier(network, size=(4, 5), interpolation=interpolation, head="softmax")(x)
    if interpolation == "nearest":
        wanted = F.interpolate(x, (4, 5), mode="nearest")
    else:
        wanted = F.interpolate(x, (4, 5), mode=interpolation, antialias=True).clamp(0, 1)
    assert torch.equal(network.x, wanted)


@pytest.mark.parametrize(("height", "width"), [(8, 6), (6, 9), (3, 3), (20, 5), (7, 7), (5, 64)])
@pytest.mark.parametrize("size", [7, (4, 6)])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_every_fit_gives_the_size_and_lets_gradients_through(
    height: int, width: int, size: int | tuple[int, int], fit: str
) -> None:
    network = Seen()
    x = images(2, 3, height, width).requires_grad_()
    Classifier(network, size=size, fit=fit, head="softmax")(x)[:, 1].sum().backward()
    assert tuple(network.x.shape[2:]) == ((size, size) if isinstance(size, int) else size)
    assert x.grad is not None and torch.isfinite(x.grad).all()
    touched = x.grad.abs().sum((0, 1)) > 0
    if fit == "crop":  # the centre is always looked at
        assert touched[height // 2, width // 2]
    else:
        assert touched.all(), "each displayed pixel counts"


def test_crop_takes_the_centre() -> None:
    network, x = Seen(), images(height=8, width=12)
    Classifier(network, size=8, fit="crop", head="softmax")(x)
    torch.testing.assert_close(network.x, x[:, :, :, 2:10])


def test_pad_puts_black_around() -> None:
    network, x = Seen(), images(height=8, width=4)
    classifier = Classifier(network, size=8, fit="pad", mean=0.5, std=0.5, head="softmax")
    classifier(x)
    torch.testing.assert_close(network.x[:, :, :, 2:6], (x - 0.5) / 0.5)
    assert torch.all(network.x[:, :, :, :2] == -1) and torch.all(network.x[:, :, :, 6:] == -1)
    lying = network.x.transpose(2, 3)
    classifier(x.transpose(2, 3))
    torch.testing.assert_close(network.x, lying)


def test_the_right_size_is_not_resampled() -> None:
    network, x = Seen(), images(height=8, width=6)
    for fit in ("squash", "crop", "pad"):
        Classifier(network, size=(8, 6), fit=fit, head="softmax")(x)
        assert torch.equal(network.x, x)


def test_gradients_on_displayed_pixels_are_those_of_the_whole_chain() -> None:
    """A finite difference through grey, resizing and normalisation."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 2)).double()
    classifier = Classifier(network, channels=3, size=5, mean=0.4, std=0.2, head="softmax")
    x = images(1, 1, 7, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(classifier, (x,))


def test_mean_and_std_are_no_weights() -> None:
    classifier = Classifier(nn.Linear(2, 2), mean=0.5, std=0.5)
    assert set(classifier.state_dict()) == {"network.weight", "network.bias"}


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"head": "sofmax"}, "unknown head 'sofmax'; did you mean softmax"),
        ({"fit": "stretch"}, "unknown fit 'stretch'; .*squash, crop, pad"),
        ({"interpolation": "lanczos"}, "unknown interpolation 'lanczos'"),
        ({"channels": 2}, "channels must be 1 or 3, not 2"),
        ({"threshold": 0.0}, "threshold must be between 0 and 1"),
        ({"threshold": float("nan")}, "threshold must be between 0 and 1"),
        ({"head": "multilabel"}, "needs the finding"),
        ({"std": (0.1, 0.0, 0.1)}, "std must be above 0"),
        (
            {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
            r"mean = 123\.675,116\.28,103\.53 is in grey levels.*mean = 0\.485,0\.456,0\.406",
        ),
        ({"mean": 0.5, "std": 255.0}, "std = 255 is in grey levels.*std = 1"),
        ({"mean": 127.5, "std": 1.0}, "mean = 127.5 is in grey levels"),
        ({"mean": (0.1, 0.2)}, "mean must be one number or three"),
        ({"mean": float("nan")}, "mean must be one number or three"),
        ({"channels": 1, "mean": (0.1, 0.2, 0.3)}, "three values, the network has 1 channel"),
        ({"size": 0}, "size must be 1 or more"),
        ({"crop_pct": 0.01}, "crop_pct must be 0.1 or more"),
        ({"crop_pct": float("nan")}, "crop_pct must be 0.1 or more"),
        ({"crop_pct": 0.9, "fit": "pad"}, "no meaning with fit = 'pad'"),
        ({"size": 8193}, "size must be 1 or more pixels and at most 8192"),
        ({"size": (4, -1)}, "size must be 1 or more"),
    ],
)
def test_values_out_of_range(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Classifier(Seen(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outputs", "options", "said"),
    [
        (torch.zeros(2, 1), {"head": "softmax"}, "needs 2 outputs or more; this one has 1"),
        (torch.zeros(2, 3), {"head": "sigmoid"}, "a sigmoid head has 1 output, this one has 3"),
        (torch.zeros(2, 3), {"head": "multilabel", "finding": 3}, "finding 3 is out of range"),
        (torch.zeros(2, 3), {"head": "multilabel", "finding": -4}, "finding -4 is out of range"),
        (torch.zeros(2, 3), {}, "the head is still auto"),
        (torch.zeros(2, 3, 1, 1), {"head": "softmax"}, r"shape \(2, 3, 1, 1\)"),
    ],
)
def test_outputs_that_the_head_does_not_fit(
    outputs: Tensor, options: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        logits(outputs, **options)


def test_a_network_that_fails_or_returns_no_tensor() -> None:
    with pytest.raises(
        InputError, match=r"fails on images of shape \(3, 8, 6\): .*set its channels"
    ):
        Classifier(nn.Conv2d(1, 2, 3), head="softmax")(images())

    class Pair(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, x

    with pytest.raises(InputError, match="returns several tensors"):
        Classifier(Pair(), head="softmax")(images())


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Ending(BaseException):
    """One of a network's own."""


class Foreign(nn.Module):
    """Does what it is given in its forward pass."""

    def __init__(self, act: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: Tensor) -> object:
        return self.act(x)


def raising(error: BaseException) -> Callable[[Tensor], object]:
    def act(x: Tensor) -> object:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("layer4"), r"KeyError: 'layer4'"),
        (AttributeError("no attribute 'k'"), "AttributeError: no attribute 'k'"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (OSError(2, "No such file"), "No such file"),
        (StopIteration(), "StopIteration"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit"),
        (Ending("over"), "Ending: over"),
        (Mute(), "Mute"),
        (ValueError("a\x1b[2J\nb"), r"a\\x1b"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_whatever_a_network_raises_is_one_line(error: BaseException, said: str) -> None:
    with pytest.raises(
        InputError, match=r"fails on images of shape \(3, 8, 6\).*" + said
    ) as caught:
        Classifier(Foreign(raising(error)), head="softmax")(images())
    assert len(str(caught.value).splitlines()) == 1


def test_an_interrupt_is_no_fault_of_the_network() -> None:
    with pytest.raises(KeyboardInterrupt):
        Classifier(Foreign(raising(KeyboardInterrupt())), head="softmax")(images())


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda x: None, "returns a NoneType"),
        (lambda x: {"logits": x}, r"a tensor of shape \(3, 3, 8, 6\)"),
        (lambda x: np.zeros((3, 2)), "returns a ndarray"),
        (lambda x: torch.zeros(3, 2, dtype=torch.complex64), "returns complex64 values"),
        (lambda x: torch.zeros(3, 2, dtype=torch.int64), "returns int64 values"),
        (lambda x: torch.zeros(3, 2, dtype=torch.bool), "returns bool values"),
        (lambda x: torch.zeros(3, 2).to_sparse(), "returns torch.sparse_coo values"),
        (lambda x: torch.zeros(1, 2), "returns 1 rows for 3 images"),
        (lambda x: torch.zeros(4, 2), "returns 4 rows for 3 images"),
        (lambda x: torch.zeros(()), r"a tensor of shape \(\)"),
        (lambda x: torch.zeros(3, 0), r"a tensor of shape \(3, 0\)"),
        (lambda x: torch.zeros(3, 2, 2), r"a tensor of shape \(3, 2, 2\)"),
        (lambda x: torch.zeros(3, 2, device="meta"), "a tensor on meta, its images are on cpu"),
    ],
)
def test_whatever_a_network_returns_is_checked(act: Callable[[Tensor], object], said: str) -> None:
    for head in ("softmax", "probabilities"):
        with pytest.raises(InputError, match=said):
            Classifier(Foreign(act), head=head)(images())
    with pytest.raises(InputError, match=said):
        settle_head(Classifier(Foreign(act)), images())


def test_half_precision_and_changes_in_place_do_no_harm() -> None:
    def act(x: Tensor) -> Tensor:
        return x.mul_(2).mean((2, 3))[:, :2].half()

    x = images()
    logits = Classifier(Foreign(act), head="softmax")(x)
    assert logits.dtype == torch.float32 and torch.equal(x, images())


def test_memory_that_runs_out_is_not_called_a_misfit() -> None:
    for error in (
        torch.OutOfMemoryError("too much"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ):
        with pytest.raises(OutOfMemory, match="memory ran out on a batch of 3"):
            Classifier(Foreign(raising(error)), head="softmax")(images())
