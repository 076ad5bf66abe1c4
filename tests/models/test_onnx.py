"""ONNX files: graphs with gradients, without, and files that are refused in one line."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from robust.auditing import audit, audit_plan, audit_shard, merge_shards
from robust.auditing.request import RunSettings
from robust.cases import open_cases
from robust.errors import InputError
from robust.models import Classifier, load_classifier, prepare
from robust.models.proof import prove
from robust.models.weights import weights_hash
from robust.plan.load import make_plan
from robust.plan.machines import Shard
from tests.models.onnx_files import LINEAR, by_hand, export, images, linear, outside, small

onnx = pytest.importorskip("onnx")
for needed in ("onnxruntime", "onnx2pytorch", "onnx2torch"):
    pytest.importorskip(needed)

SHARED = Path(__file__).parents[3] / "shared" / "data"


def agree(classifier: Classifier, net: nn.Module, x: torch.Tensor) -> None:
    """The file answers as the network that it was written from, and so do its gradients."""
    with torch.no_grad():
        expected = net(x)
    torch.testing.assert_close(classifier.outputs(x).detach(), expected, atol=1e-4, rtol=1e-4)
    moving = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.outputs(moving)[:, 0].sum(), moving)
    (wanted,) = torch.autograd.grad(net(moving)[:, 0].sum(), moving)
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("dynamo", [True, False])
def test_both_exporters(dynamo: bool, tmp_path: Path) -> None:
    if dynamo:
        pytest.importorskip("onnxscript")
    net = small()
    path = export(net, tmp_path / "m.onnx", images(2), dynamo=dynamo)
    assert (tmp_path / "m.onnx.data").exists() is dynamo  # weights beside the graph
    loaded = load_classifier(file=path)
    assert loaded.origin.format == "ONNX, opset 18, converted by onnx2pytorch"
    assert loaded.origin.differentiable and not loaded.origin.notes
    assert (loaded.size, loaded.channels) == ((32, 32), 1)
    agree(loaded, net, images(5))
    proof = prove(prepare(loaded, images=images(5)), [images(8)])
    assert proof.outputs is not None and proof.outputs < 1e-5
    assert proof.gradients < 1e-6 and proof.precision == "float64"


@pytest.mark.parametrize("n", [1, 2])
def test_a_fixed_batch_is_made_free(n: int, tmp_path: Path) -> None:
    net = small()
    path = export(net, tmp_path / "m.onnx", images(n), dynamo=False, free=False)
    loaded = load_classifier(file=path)
    assert loaded.origin.notes == (f"The graph was fixed to batches of {n} and was made free.",)
    agree(loaded, net, images(5))


def test_a_batch_that_cannot_be_made_free_is_fed_one_by_one(tmp_path: Path) -> None:
    weights: dict[str, Any] = {**linear(), "one": np.array([1, -1], np.int64)}
    # The shape comes out of a computation, where no rule finds it.
    nodes = [
        ("Abs", ["one"], ["positive"], {}),
        ("Mul", ["positive", "wide"], ["own"], {}),
        ("Reshape", ["image", "own"], ["flat"], {}),
        ("MatMul", ["flat", "weight"], ["logits"], {}),
    ]
    weights["wide"] = np.array([1, 64], np.int64)
    path = by_hand(tmp_path / "m.onnx", nodes, weights, shape=(1, 1, 8, 8), out=(1, 2))
    loaded = load_classifier(file=path)
    assert "fixed to batches of 1, so that" in loaded.origin.notes[0]
    agree(loaded, Flat(weights["weight"]), images(3, size=8))


def test_a_graph_that_only_says_that_any_batch_will_do(tmp_path: Path) -> None:
    weights = {**linear(), "shape": np.array([1, 64], np.int64)}
    loaded = load_classifier(file=by_hand(tmp_path / "m.onnx", LINEAR, weights))
    assert "fixed to batches of 1, so that" in loaded.origin.notes[0]
    agree(loaded, Flat(weights["weight"]), images(3, size=8))


class Flat(nn.Module):
    def __init__(self, weight: Any, channels_last: bool = False) -> None:
        super().__init__()
        self.weight = torch.from_numpy(weight)
        self.channels_last = channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return x.flatten(1) @ self.weight


def test_channels_last(tmp_path: Path) -> None:
    weights = linear(pixels=192)
    path = by_hand(tmp_path / "m.onnx", LINEAR, weights, shape=("n", 8, 8, 3))
    loaded = load_classifier(file=path)
    assert (loaded.size, loaded.channels) == ((8, 8), 3)
    agree(loaded, Flat(weights["weight"], channels_last=True), images(3, channels=3, size=8))


@pytest.mark.parametrize("last, head", [("Softmax", "probabilities"), (None, "softmax")])
def test_the_head_is_left_to_auto(last: str | None, head: str, tmp_path: Path) -> None:
    nodes = list(LINEAR)
    if last:
        nodes = [nodes[0], ("MatMul", ["flat", "weight"], ["z"], {}), (last, ["z"], ["logits"], {})]
    loaded = load_classifier(file=by_hand(tmp_path / "m.onnx", nodes, linear()))
    assert loaded.head == "auto"
    assert prepare(loaded, images=images(5, size=8)).head == head


@pytest.mark.parametrize("operator", ["Round", "Sign", "Floor"])
def test_operators_without_a_gradient(operator: str, tmp_path: Path) -> None:
    nodes = [(operator, ["image"], ["steps"], {}), ("Reshape", ["steps", "shape"], ["flat"], {})]
    path = by_hand(tmp_path / "m.onnx", [*nodes, LINEAR[1]], linear())
    loaded = load_classifier(file=path)
    assert not loaded.origin.differentiable
    assert f"operator {operator} has no gradient" in loaded.origin.notes[0]
    assert loaded.origin.format == "ONNX, opset 18, run by onnxruntime"
    out = loaded.outputs(images(3, size=8).requires_grad_())
    assert not out.requires_grad and out.shape == (3, 2)
    assert torch.equal(copy.deepcopy(loaded).outputs(images(3, size=8)), out)


def test_rounding_a_size_is_no_obstacle(tmp_path: Path) -> None:
    nodes = [
        ("Shape", ["image"], ["sizes"], {"start": 0, "end": 1}),
        ("Cast", ["sizes"], ["real"], {"to": 1}),
        ("Floor", ["real"], ["floor"], {}),
        ("Cast", ["floor"], ["batch"], {"to": 7}),
        ("Concat", ["batch", "pixels"], ["own"], {"axis": 0}),
        ("Reshape", ["image", "own"], ["flat"], {}),
        LINEAR[1],
    ]
    weights = {**linear(), "pixels": np.array([64], np.int64)}
    loaded = load_classifier(file=by_hand(tmp_path / "m.onnx", nodes, weights))
    assert loaded.origin.differentiable
    agree(loaded, Flat(weights["weight"]), images(3, size=8))


def test_a_graph_that_no_converter_takes_is_attacked_without_gradients(tmp_path: Path) -> None:
    nodes = [
        ("Reshape", ["image", "shape"], ["flat"], {}),
        ("MatMul", ["flat", "weight"], ["z"], {}),
    ]
    # An operator of onnxruntime's own.
    nodes.append(("QuickGelu", ["z"], ["logits"], {"domain": "com.microsoft"}))
    path = by_hand(tmp_path / "m.onnx", nodes, linear(), domain="com.microsoft")
    loaded = load_classifier(file=path)
    assert not loaded.origin.differentiable
    assert "no converter takes the graph (onnx2pytorch" in loaded.origin.notes[0]
    assert "\n" not in loaded.origin.notes[0]


def test_another_file_is_another_model(tmp_path: Path) -> None:
    nodes = [("Round", ["image"], ["steps"], {}), ("Reshape", ["steps", "shape"], ["flat"], {})]
    hashes = [
        weights_hash(
            load_classifier(
                file=by_hand(tmp_path / f"{seed}.onnx", [*nodes, LINEAR[1]], linear(seed))
            )
        )
        for seed in (0, 1, 0)
    ]
    assert hashes[0] == hashes[2] != hashes[1]


def test_external_data_stay_in_their_folder(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    assert load_classifier(file=outside(inner / "m.onnx", "weights.bin")).origin.differentiable
    (tmp_path / "secret.bin").write_bytes((inner / "weights.bin").read_bytes())
    for location in ("../secret.bin", str(tmp_path / "secret.bin"), "a/../../secret.bin"):
        with pytest.raises(InputError, match="data outside its own folder"):
            load_classifier(file=outside(inner / "m.onnx", location))
    (inner / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(InputError, match="a link that leads out of its folder"):
        load_classifier(file=outside(inner / "m.onnx", "link.bin"))


def test_external_data_that_are_missing_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"keeps its weights in other\.bin, which is not beside it"
    ):
        load_classifier(file=outside(tmp_path / "m.onnx", "other.bin"))
    path = outside(tmp_path / "m.onnx", "weights.bin")
    (tmp_path / "weights.bin").write_bytes(b"short")
    with pytest.raises(InputError, match=r"needs more data than weights.bin holds \(5 bytes\)"):
        load_classifier(file=path)


def wrong_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """By name a file that is refused, and what is said."""
    whole = by_hand(folder / "whole.onnx", LINEAR, linear()).read_bytes()
    for name, content in {
        "text.onnx": b"hello, this is text\n" * 9,
        "empty.onnx": b"",
        "cut.onnx": whole[: len(whole) // 2],
    }.items():
        (folder / name).write_bytes(content)
    ahead = onnx.load(folder / "whole.onnx")
    ahead.opset_import[0].version = 99
    onnx.save(ahead, folder / "ahead.onnx")
    own = [
        ("Own", ["image"], ["x"], {"domain": "my.company"}),
        ("Reshape", ["x", "shape"], ["flat"], {}),
        LINEAR[1],
    ]
    unknown = [
        ("Nothing", ["image"], ["x"], {}),
        ("Reshape", ["x", "shape"], ["flat"], {}),
        LINEAR[1],
    ]
    return {
        "text": (folder / "text.onnx", "no ONNX file|holds no ONNX graph"),
        "empty": (folder / "empty.onnx", "holds no ONNX graph"),
        "cut off": (folder / "cut.onnx", "is broken or is no ONNX file"),
        "of an opset to come": (folder / "ahead.onnx", "opset|version"),
        "with its own operators": (
            by_hand(folder / "own.onnx", own, linear(), domain="my.company"),
            "needs the operator Own of my.company, which is code of its own: refused",
        ),
        "with an unknown operator": (
            by_hand(folder / "unknown.onnx", unknown, linear()),
            "no valid ONNX graph .*Nothing",
        ),
        "of two inputs": (
            by_hand(folder / "two.onnx", LINEAR, linear(), inputs=("image", "age")),
            r"takes 2 inputs \(image, age\)",
        ),
        "of flat images": (
            by_hand(folder / "flat.onnx", LINEAR[:1] + LINEAR[1:], linear(), shape=("n", 64)),
            r"takes inputs of shape \(any, 64\)",
        ),
        "of seven channels": (
            by_hand(folder / "seven.onnx", LINEAR, linear(), shape=("n", 7, 8, 8)),
            "takes images of 7 channels",
        ),
    }


def test_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    for name, (path, message) in wrong_files(tmp_path).items():
        with pytest.raises(InputError, match=message) as refusal:
            load_classifier(file=path)
        assert "\n" not in str(refusal.value), name
        assert str(path) in str(refusal.value), name


def test_a_network_of_other_images_is_told_apart(tmp_path: Path) -> None:
    path = export(small(), tmp_path / "m.onnx", images(2), dynamo=False)
    with pytest.raises(InputError, match="has 3 outputs, not 5"):
        load_classifier(file=path, outputs=5)


def test_without_the_libraries_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = by_hand(tmp_path / "m.onnx", LINEAR, linear())
    find = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnx2torch" else find(name)
    )
    with pytest.raises(InputError, match=r"needs onnx2torch; pip install 'robust-audit\[onnx\]'"):
        load_classifier(file=path)


def test_an_audit_of_a_file(tmp_path: Path) -> None:
    path = export(small(outputs=2), tmp_path / "m.onnx", images(2), dynamo=False)
    plan = make_plan(
        {
            "model": {"file": str(path)},
            "data": {"path": "phantom:chest_xray", "count": 12, "pixels": 32},
            "attacks": [{"name": "FGSM"}],
            "audit": {"eps": ["4/255"]},
            "doubts": {"probe": False},
        }
    )
    report = audit_plan(plan, out=tmp_path / "run")
    assert report.model.format == "ONNX, opset 18, converted by onnx2pytorch"
    assert report.model.proof is not None and report.model.proof.gradients < 1e-3


CLASSIFIERS = SHARED / "models_more" / "classifiers"


@pytest.mark.skipif(not CLASSIFIERS.exists(), reason="needs ../shared/data/models_more")
@pytest.mark.parametrize(
    ("name", "accuracy", "differentiable"),
    [("pneumoniamnist_cnn", 0.652, True), ("pneumoniamnist_cnn_int8", 0.644, False)],
)
def test_networks_of_others_score_as_their_makers_say(
    name: str, accuracy: float, differentiable: bool
) -> None:
    loaded = load_classifier(file=CLASSIFIERS / f"{name}.onnx", mean=0.5, std=0.5)
    assert loaded.origin.differentiable is differentiable
    cases = open_cases(SHARED / "medmnist" / "pneumoniamnist.npz", split="test", group="none")
    x = torch.stack([case.image for case in cases.stream(range(len(cases)))])  # type: ignore[union-attr]
    y = np.array([entry.label for entry in cases.entries])
    ready = prepare(loaded, images=x)
    with torch.no_grad():
        logits = ready(x)
    assert float((logits.argmax(1).numpy() == y).mean()) == pytest.approx(accuracy, abs=5e-4)
    score = (logits[:, 1] - logits[:, 0]).double().numpy()
    auc = (score[y == 1][:, None] > score[y == 0]).mean()
    assert auc == pytest.approx(0.973, abs=1e-3)
    if differentiable:
        proof = prove(ready, [x[:8]])
        assert proof.outputs is not None and proof.outputs < 1e-4 and proof.gradients < 1e-3


@pytest.mark.skipif(not CLASSIFIERS.exists(), reason="needs ../shared/data/models_more")
def test_an_invalid_graph_of_others_is_refused() -> None:
    path = SHARED / "models_more" / "refused" / "m2unet_drive_upsample.onnx"
    with pytest.raises(InputError, match=r"no valid ONNX graph .*Upsample.*export it again"):
        load_classifier(file=path)


def test_the_shards_of_a_run_take_over_its_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(small(outputs=2), tmp_path / "m.onnx", images(2), dynamo=False)
    plan = make_plan(
        {
            "model": {"file": str(path)},
            "data": {"path": "phantom:chest_xray", "count": 12, "pixels": 32},
            "attacks": [{"name": "FGSM"}],
            "audit": {"eps": ["4/255"], "chunk": 4},
            "doubts": {"probe": False},
        }
    )
    proofs = []

    def counted(*arguments: Any) -> Any:
        proofs.append(prove(*arguments))
        return proofs[-1]

    monkeypatch.setattr("robust.engine.session.prove", counted)
    for number in (1, 2):
        audit_shard(plan, Shard(number, 2), RunSettings(tmp_path / "run"))
    report = merge_shards(tmp_path / "run", plan, RunSettings())
    assert [report.model.proof] == proofs


def test_detectors_that_read_layers_are_refused_without_any(tmp_path: Path) -> None:
    nodes = [("Round", ["image"], ["steps"], {}), ("Reshape", ["steps", "shape"], ["flat"], {})]
    path = by_hand(
        tmp_path / "m.onnx", [*nodes, LINEAR[1]], linear(pixels=784), shape=("n", 1, 28, 28)
    )
    given: dict[str, Any] = {"attacks": ["Square"], "eps": ["24/255"]}
    given["reference"] = open_cases("phantom:chest_xray", split="train", count=20, pixels=28)
    cases = open_cases("phantom:chest_xray", count=40, pixels=28)
    with pytest.raises(InputError, match="layer") as refusal:
        audit(load_classifier(file=path), cases, detectors=["LID"], **given)
    assert "\n" not in str(refusal.value)
