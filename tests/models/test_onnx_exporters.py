"""ResNet, DenseNet and ViT at 224 px by both of torch's exporters, at old and new opsets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from torch import nn

from robust.models import load_classifier, prepare
from robust.models.proof import prove
from tests.models.onnx_files import export, images

onnx = pytest.importorskip("onnx")
for needed in ("onnxruntime", "onnx2pytorch", "onnx2torch", "onnxscript"):
    pytest.importorskip(needed)

pytestmark = pytest.mark.slow

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=3),
    "densenet121": lambda: torchvision.models.densenet121(num_classes=3),
    "vit": lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3),
}
OPSETS = (11, 17, 18, 21)


def written(dynamo: bool, opset: int) -> tuple[int, ...]:
    """The opsets that an exporter may write when it is asked for one.

    The one by torch.export begins at 18 and goes back where onnx's version converter can; the one
    by TorchScript writes all, but attention in one operator only from 14.
    """
    return (opset, 18) if dynamo and opset < 18 else (opset,)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("dynamo", [True, False], ids=["export", "torchscript"])
@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_is_accepted(
    name: str, dynamo: bool, opset: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NETWORKS[name]().eval()
    if name == "vit" and not dynamo and opset < 14:
        for block in net.blocks:  # type: ignore[union-attr]
            monkeypatch.setattr(block.attn, "fused_attn", False)
    x = images(3, channels=3, size=224)
    path = export(net, tmp_path / "m.onnx", x[:2], dynamo=dynamo, opset=opset)
    model = onnx.load(path, load_external_data=False)
    nodes = model.graph.node
    assert model.opset_import[0].version in written(dynamo, opset)
    loaded = load_classifier(file=path)
    assert loaded.origin.differentiable, loaded.origin.notes
    with torch.no_grad():
        torch.testing.assert_close(loaded.outputs(x), net(x), atol=1e-4, rtol=1e-3)
    proof = prove(prepare(loaded, images=x), [x])
    assert proof.outputs is not None and proof.outputs < 1e-4
    # ONNX computes a LayerNormalization at float32, whatever its input is.
    normalises = any(node.op_type == "LayerNormalization" for node in nodes)
    assert proof.precision == ("float32" if normalises else "float64")
    assert proof.gradients < (2e-2 if normalises else 1e-3)
