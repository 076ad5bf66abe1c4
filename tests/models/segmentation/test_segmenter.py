"""From displayed pixels to dense logits: heads, thresholds, sizes, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robust import Classifier, InputError, Segmenter
from robust.models import prepare, recognise_dense_head, settle_head, weights_hash
from robust.models.preparation import require_adapter, require_classifier
from tests.models.segmentation.nets import Convolved, Pointwise


class Answers(nn.Module):
    """Whatever a function makes of its input, which it keeps."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer
        self.x = torch.empty(0)

    def forward(self, x: Tensor) -> object:
        self.x = x
        return self.answer(x)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def logits(out: Tensor, **options: object) -> Tensor:
    found: Tensor = Segmenter(Answers(lambda x: out), **options)(images(len(out), 1, 4, 5))  # type: ignore[arg-type]
    return found


def test_heads() -> None:
    one, two = torch.randn(2, 1, 4, 5), torch.randn(2, 2, 4, 5)
    assert torch.equal(logits(two, head="softmax"), two)
    assert torch.equal(logits(two, head="multilabel"), two)
    assert torch.equal(logits(one, head="multilabel"), one)
    assert torch.equal(logits(one, head="sigmoid"), torch.cat([torch.zeros_like(one), one], 1))
    read = logits(two.softmax(1), head="probabilities").softmax(1)
    torch.testing.assert_close(read, two.softmax(1))
    read = logits(one.sigmoid(), head="probabilities").softmax(1)[:, 1:]
    torch.testing.assert_close(read, one.sigmoid())
    read = logits(two.sigmoid(), head="probabilities", overlapping=True)
    torch.testing.assert_close(read, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_the_threshold_moves_the_decision_and_not_the_gradient(threshold: float) -> None:
    z = torch.randn(2, 1, 4, 5)
    above = z.sigmoid() > threshold
    assert torch.equal(logits(z, head="sigmoid", threshold=threshold).argmax(1) == 1, above[:, 0])
    assert torch.equal(logits(z, head="multilabel", threshold=threshold) > 0, above)
    two = torch.cat([torch.zeros_like(z), z], 1)
    assert torch.equal(logits(two, head="softmax", threshold=threshold).argmax(1) == 1, above[:, 0])
    three = torch.randn(2, 3, 4, 5)
    if threshold != 0.5:
        with pytest.raises(InputError, match="applies to two classes"):
            logits(three, head="softmax", threshold=threshold)
    several = logits(three, head="multilabel", threshold=threshold)
    torch.testing.assert_close(several, three - math.log(threshold / (1 - threshold)))


def test_auto_is_settled_on_real_images() -> None:
    one, two = torch.randn(2, 1, 4, 5) * 9, torch.randn(2, 2, 4, 5) * 9
    for out, overlapping, head in (
        (two, False, "softmax"),
        (two, True, "multilabel"),
        (one, False, "sigmoid"),
        (one, True, "multilabel"),
        (two.softmax(1), False, "probabilities"),
        (one.sigmoid(), False, "probabilities"),
        (two.sigmoid(), True, "probabilities"),
    ):
        assert recognise_dense_head(out, overlapping) == head
    with pytest.raises(InputError, match="do not add up to 1"):
        recognise_dense_head(two.sigmoid())
    segmenter = Segmenter(Convolved(2))
    with pytest.raises(InputError, match="the head is still auto"):
        segmenter(images(1, 1, 8, 8))
    settle_head(segmenter, images(1, 1, 8, 8))
    assert segmenter.head == "softmax"


def test_channels_and_normalisation() -> None:
    network = Answers(lambda x: x)
    colour = images(2, 3, 4, 5)
    segmenter = Segmenter(network, channels=3, mean=(0.1, 0.2, 0.3), std=0.5, head="multilabel")
    segmenter(colour[:, :1])
    shown = colour[:, :1].expand(-1, 3, -1, -1)
    expected = (shown - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / 0.5
    torch.testing.assert_close(network.x, expected)
    volume = images(2, 1, 3, 4, 5)
    segmenter(volume)
    assert network.x.shape == (2, 3, 3, 4, 5)
    Segmenter(network, channels=1, head="multilabel")(colour)
    grey = (colour * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    torch.testing.assert_close(network.x, grey)


@pytest.mark.parametrize("space", [(13, 18), (5, 13, 18)])
def test_padding_is_zero_around_and_cropped_away(space: tuple[int, ...]) -> None:
    network = Answers(lambda x: x)
    x = images(1, 1, *space)
    found = Segmenter(network, multiple_of=8, mean=0.5, head="multilabel")(x)
    assert all(side % 8 == 0 for side in network.x.shape[2:])
    assert float(network.x.sum()) == pytest.approx(float((x - 0.5).sum()), abs=1e-3)
    torch.testing.assert_close(found, x - 0.5)


def test_a_size_is_that_of_the_network_and_logits_come_back() -> None:
    network = Answers(lambda x: x)
    x = images(1, 1, 12, 18).requires_grad_(True)
    found = Segmenter(network, size=(6, 9), head="multilabel")(x)
    assert network.x.shape[2:] == (6, 9)
    small = F.interpolate(x, (6, 9), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(network.x, small)
    expected = F.interpolate(small, (12, 18), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, expected)
    assert torch.autograd.grad(found.sum(), x)[0].sum() == pytest.approx(12 * 18, rel=1e-4)
    Segmenter(network, size=4, multiple_of=8, head="multilabel")(images(1, 1, 6, 6, 6))
    assert network.x.shape[2:] == (8, 8, 8)
    with pytest.raises(InputError, match="size has 2 numbers and the cases have 3 axes"):
        Segmenter(network, size=(6, 9))(images(1, 1, 6, 6, 6))


def test_of_several_outputs_the_first_of_full_size_is_meant() -> None:
    x = images(2, 1, 8, 8)
    deep = [torch.randn(2, 2, 4, 4), torch.randn(2, 2, 8, 8), torch.randn(2, 2, 8, 8)]
    assert torch.equal(Segmenter(Answers(lambda x: deep), head="softmax")(x), deep[1])
    chosen = Segmenter(Answers(lambda x: deep), head="softmax", output_key=2)
    assert torch.equal(chosen(x), deep[2])
    named = {"aux": deep[2], "out": deep[1]}
    assert torch.equal(Segmenter(Answers(lambda x: named), head="softmax")(x), deep[1])
    with pytest.raises(InputError, match="returns nothing under output_key = 'main'"):
        Segmenter(Answers(lambda x: named), head="softmax", output_key="main")(x)


def test_what_is_no_output_for_each_pixel_is_one_line() -> None:
    x = images(2, 1, 8, 8)
    for out, said in (
        (torch.randn(2, 2, 4, 4), r"returns 4 x 4 pixels for an input of 8 x 8"),
        (torch.randn(2, 2), "task = 'classification'"),
        (torch.randn(3, 2, 8, 8), "3 rows for 2 images"),
        (torch.randint(0, 2, (2, 1, 8, 8)), "returns int64 values"),
        (None, "returns a NoneType"),
    ):
        with pytest.raises(InputError, match=said):
            Segmenter(Answers(lambda x, out=out: out), head="softmax")(x)  # type: ignore[misc]
    with pytest.raises(InputError, match="a network that outlines structures is a segmenter"):
        Classifier(Convolved(2), head="softmax")(x)


def test_a_volume_for_a_network_of_images_and_the_reverse() -> None:
    image, volume = images(1, 1, 8, 8), images(1, 1, 8, 8, 8)
    for adapter in (Segmenter(Convolved(2), head="softmax"), Classifier(Convolved(2))):
        with pytest.raises(InputError, match="the network takes images, and the cases are volumes"):
            adapter(volume)
    for adapter in (Segmenter(Convolved(3), head="softmax"), Classifier(Convolved(3))):
        with pytest.raises(InputError, match="the network takes volumes, and the cases are images"):
            adapter(image)
    either = Segmenter(Pointwise(), head="softmax")
    assert either(image).ndim == 4
    assert either(volume).ndim == 5
    with pytest.raises(InputError, match="takes volumes"):
        Segmenter(Pointwise(), head="softmax", spatial_dims=3)(image)


def test_options_that_cannot_be_are_one_line() -> None:
    for options, said in (
        ({"head": "sofmax"}, "unknown head 'sofmax'"),
        ({"threshold": 1.0}, "threshold must be between 0 and 1"),
        ({"multiple_of": 0}, "multiple_of must be 1 or more pixels"),
        ({"size": (1, 2, 3, 4)}, "size must be 1 or more pixels"),
        ({"spatial_dims": 4}, "spatial_dims must be 2"),
        ({"head": "softmax", "overlapping": True}, "set head to multilabel"),
        ({"mean": 127.0}, "is in grey levels"),
    ):
        with pytest.raises(InputError, match=said):
            Segmenter(Convolved(2), **options)  # type: ignore[arg-type]
    for head, outputs, said in (
        ("sigmoid", 2, "a sigmoid head has 1 output, this one has 2"),
        ("softmax", 1, "a softmax head needs 2 outputs or more"),
    ):
        with pytest.raises(InputError, match=said):
            Segmenter(Convolved(2, outputs=outputs), head=head)(images(1, 1, 8, 8))


def test_a_prepared_copy_is_frozen_and_has_the_same_weights() -> None:
    segmenter = Segmenter(Convolved(2))
    ready = prepare(segmenter, images=images(1, 1, 8, 8))
    assert isinstance(ready, Segmenter)
    assert ready.head == "softmax"
    assert segmenter.head == "auto"
    assert not any(p.requires_grad for p in ready.parameters())
    assert weights_hash(ready) == weights_hash(segmenter)
    require_adapter(ready)
    with pytest.raises(InputError, match="a Segmenter is no classifier"):
        require_classifier(ready)
    with pytest.raises(InputError, match=r"robust\.load_segmenter"):
        require_adapter(Convolved(2))


def test_what_is_described_makes_the_same_segmenter() -> None:
    made = Segmenter(Convolved(2), mean=0.25, std=0.5, channels=1, window=(4, 6), overlap=0.5)
    again = Segmenter(made.network, head="softmax", **made.preprocessing())
    made.head = "softmax"
    assert again.describe() == made.describe()
    x = images(1, 1, 9, 9)
    assert torch.equal(again(x), made(x))
