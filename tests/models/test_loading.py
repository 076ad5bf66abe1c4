"""Weights and programs to classifiers: the original's logits, or a refusal that runs no code."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import socket
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
import torchvision.models
from torch import Tensor, nn

from robust.errors import InputError
from robust.models import (
    Classifier,
    choose_device,
    full_precision,
    list_models,
    load_classifier,
    prepare,
    weights_hash,
)

TINY = "test_resnet"
"""One of timm's own networks for tests: 373,000 parameters, 160 x 160, mean = std = 0.5."""


def small(outputs: int = 3) -> nn.Module:
    """A network with batch-norm and dropout, so that its mode and buffers matter."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 4, 3, stride=2),
                norm=nn.BatchNorm2d(4),
                relu=nn.ReLU(),
                pool=nn.AdaptiveAvgPool2d(2),
                flat=nn.Flatten(),
                drop=nn.Dropout(0.5),
                head=nn.Linear(16, outputs),
            )
        )
        net.norm.running_mean.normal_()  # type: ignore[union-attr, operator]
    return net.eval()


def images(n: int = 5, size: int = 32) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def tiny() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network: nn.Module = timm.create_model(TINY, num_classes=3)
    return network.eval()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`small()` as TorchScript, and exported for any batch and for batches of five."""
    folder = tmp_path_factory.mktemp("programs")
    paths = {name: folder / name for name in ("script.pt", "any.pt2", "five.pt2")}
    net = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(net).save(paths["script.pt"])
        free = ({0: torch.export.Dim.DYNAMIC},)
        exported = torch.export.export(net, (images(),), dynamic_shapes=free)
        torch.export.save(exported, paths["any.pt2"])
        torch.export.save(torch.export.export(net, (images(),)), paths["five.pt2"])
    return paths


class Trap:
    """Runs code when it is unpickled: makes a folder that the tests look for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


# --- architectures by name ---


@pytest.mark.parametrize(
    ("name", "options"),
    [("squeezenet1_1", {}), ("mobilenet_v2", {"mean": 0.5, "std": 0.5})],
)
def test_torchvision_by_name(data: Path, name: str, options: dict[str, Any]) -> None:
    weights = data / "weights" / f"{name}_imagenet.pth"
    classifier = load_classifier(name, weights=weights, head="softmax", **options)
    original = torchvision.models.get_model(name, weights=None)
    original.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    mean, std = classifier.mean, classifier.std
    assert classifier.describe()["size"] == [224, 224] and classifier.channels == 3
    x = images(2, 224)
    wanted = original.eval()((x - mean) / std)
    assert wanted.shape == (2, 1000)
    torch.testing.assert_close(classifier(x), wanted)
    if not options:
        assert classifier.describe()["mean"] == [0.485, 0.456, 0.406]
        assert classifier.describe()["std"] == [0.229, 0.224, 0.225]


def test_timm_by_name_takes_all_but_the_weights_from_its_configuration(
    tmp_path: Path, tiny: nn.Module
) -> None:
    torch.save(tiny.state_dict(), tmp_path / "w.pth")
    classifier = load_classifier(TINY, weights=tmp_path / "w.pth", head="softmax")
    told = classifier.describe()
    assert (told["size"], told["channels"]) == ([160, 160], 3)
    assert (told["mean"], told["std"]) == ([0.5] * 3, [0.5] * 3)
    assert told["interpolation"] == "bilinear"
    x = images(2, 160)
    wanted = tiny((x - 0.5) / 0.5)
    assert wanted.shape == (2, 3), "three outputs, read from the weights"
    torch.testing.assert_close(classifier(x), wanted)
    assert load_classifier("timm:test_vit.r160_in1k", weights=_saved(tmp_path)).interpolation == (
        "bicubic"
    )
    other = load_classifier(
        TINY, weights=tmp_path / "w.pth", mean=0.1, std=(0.2, 0.3, 0.4), size=[64, 48], fit="pad"
    )
    assert other.size == (64, 48) and other.fit == "pad"
    torch.testing.assert_close(other.mean.flatten(), torch.tensor([0.1]))
    torch.testing.assert_close(other.std.flatten(), torch.tensor([0.2, 0.3, 0.4]))


def _saved(folder: Path) -> Path:
    torch.save(timm.create_model("test_vit", num_classes=2).state_dict(), folder / "vit.pth")
    return folder / "vit.pth"


def wrapped(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    return {"".join(prefixes) + name: value for name, value in state.items()}


@pytest.mark.parametrize("kind", ["plain", "parallel", "nested", "deep", "legacy", "safetensors"])
def test_weights_as_people_save_them(tmp_path: Path, tiny: nn.Module, kind: str) -> None:
    state = tiny.state_dict()
    path = tmp_path / "w.pth"
    if kind == "safetensors":
        path = tmp_path / "w.safetensors"
        safetensors.torch.save_file(wrapped(state, "module."), path)
    elif kind == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        content: dict[str, Any] = {
            "plain": state,
            "parallel": wrapped(state, "module."),
            "nested": {"epoch": 3, "state_dict": wrapped(state, "module.", "model.")},
            "deep": {"model": {"state_dict": wrapped(state, "_orig_mod.")}, "lr": 0.1},
        }[kind]
        torch.save(content, path)
    found = load_classifier(TINY, weights=path, head="softmax")
    assert weights_hash(found.network) == weights_hash(tiny)
    torch.testing.assert_close(found(images(2, 160)), tiny((images(2, 160) - 0.5) / 0.5))


def test_weights_that_do_not_fit_are_named(tmp_path: Path, tiny: nn.Module) -> None:
    state = tiny.state_dict()
    first = next(iter(state))
    head = [name for name in state if name.startswith("fc.")]
    for name, content, said in (
        ("short", {k: v for k, v in state.items() if k != first}, rf"lacks {first} \(1 missing"),
        ("long", state | {"extra.bias": torch.zeros(2)}, r"unknown to the network, extra\.bias"),
        ("bent", state | {first: torch.zeros(2, 2)}, rf"{first} has shape \(2, 2\), the network"),
        ("headless", {k: v for k, v in state.items() if k not in head}, r"lacks fc\.\w+ \(2"),
    ):
        torch.save(content, tmp_path / f"{name}.pth")
        with pytest.raises(InputError, match=said):
            load_classifier(TINY, weights=tmp_path / f"{name}.pth")
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"fc\.weight has shape \(3, .*number of outputs"):
        load_classifier(TINY, weights=tmp_path / "w.pth", outputs=4)


def test_old_checkpoints_may_lack_the_counter_of_batch_norm(
    tmp_path: Path, tiny: nn.Module
) -> None:
    state = {k: v for k, v in tiny.state_dict().items() if not k.endswith("batches_tracked")}
    assert len(state) < len(tiny.state_dict())
    torch.save(state, tmp_path / "w.pth")
    found = load_classifier(TINY, weights=tmp_path / "w.pth", head="softmax")
    torch.testing.assert_close(found(images(1, 160)), tiny((images(1, 160) - 0.5) / 0.5))


def test_names_that_are_not_known() -> None:
    for name, said in (
        ("resnet5o", "unknown architecture 'resnet5o'; nearest of .*resnet50"),
        ("keras:resnet50", "unknown library 'keras'"),
        ("torchvision:test_resnet", "unknown architecture 'test_resnet'"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(name, weights="w.pth")
    found = list_models("*mobilenet_v3*")
    assert found["torchvision"] == ["mobilenet_v3_large", "mobilenet_v3_small"]


def test_one_source_and_one_kind_of_weights(tmp_path: Path) -> None:
    for options, said in (
        ({}, "exactly one of architecture, file, factory and folder; got none"),
        ({"file": "a", "factory": "b:c"}, "got file and factory"),
        ({"architecture": TINY}, "either a weights file or pretrained = true; it has neither"),
        ({"architecture": TINY, "weights": "w", "pretrained": True}, "it has both"),
        ({"architecture": TINY, "weights": tmp_path / "no.pth"}, r"no such weights file: .*no\.p"),
        ({"file": tmp_path / "no.pt"}, r"no such model file: .*no\.pt"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(**options)  # type: ignore[arg-type]


# --- the multilabel finding ---


def test_findings_by_name_and_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = factory(tmp_path, monkeypatch, "from tests.models.test_loading import small as build\n")
    names = ["effusion", "mass", "nodule"]
    by_name = load_classifier(factory=name, outputs=names, finding="mass")
    assert (by_name.head, by_name.finding) == ("multilabel", 1)
    wanted = small()(images())
    torch.testing.assert_close(by_name(images())[:, 1], wanted[:, 1])
    assert load_classifier(factory=name, finding=2).finding == 2
    with pytest.raises(InputError, match=r"finding 'mas' is not among.*did you mean mass"):
        load_classifier(factory=name, outputs=names, finding="mas")
    with pytest.raises(InputError, match=r"name them: outputs = \[\.\.\.\]"):
        load_classifier(factory=name, finding="mass")


# --- files that carry their architecture ---


@pytest.mark.parametrize("name", ["script.pt", "any.pt2"])
def test_programs_answer_as_the_original_does(programs: dict[str, Path], name: str) -> None:
    classifier = load_classifier(file=programs[name], mean=0.2, std=0.7, head="softmax")
    for n in (1, 4):
        x = images(n).requires_grad_()
        wanted = small()((x - 0.2) / 0.7)
        found = classifier(x)
        torch.testing.assert_close(found, wanted)
        one, two = (torch.autograd.grad(out[:, 1].sum(), x)[0] for out in (found, wanted))
        torch.testing.assert_close(one, two)
    assert weights_hash(classifier.network) == weights_hash(small())


def test_a_program_for_one_size_of_batch_is_refused(programs: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"batches of exactly 5; .*Dim\.DYNAMIC"):
        load_classifier(file=programs["five.pt2"])


def test_weights_are_no_program_and_a_program_is_no_weights(
    tmp_path: Path, programs: dict[str, Path]
) -> None:
    torch.save(small().state_dict(), tmp_path / "w.pt")
    with pytest.raises(InputError, match="weights without an architecture; name the architecture"):
        load_classifier(file=tmp_path / "w.pt")
    with pytest.raises(InputError, match="is a TorchScript program; give it as file"):
        load_classifier(TINY, weights=programs["script.pt"])


# --- factories ---


def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    """A module of its own in a folder that is imported from; `build` is what it offers."""
    name = f"plant_{abs(hash(str(tmp_path)))}_{len(list(tmp_path.iterdir()))}"
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}:build"


def test_a_factory_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = factory(
        tmp_path,
        monkeypatch,
        "from tests.models.test_loading import small\n"
        "def build():\n"
        "    return small().apply(lambda m: [p.data.zero_() for p in m.parameters()]).train()\n",
    )
    torch.save({"net": wrapped(small().state_dict(), "net.")}, tmp_path / "w.pth")
    classifier = load_classifier(factory=name, weights=tmp_path / "w.pth", head="softmax")
    torch.testing.assert_close(classifier(images()), small()(images()))
    assert not any(module.training for module in classifier.network.modules())
    assert load_classifier(factory=name, head="softmax")(images()).abs().max() == 0


@pytest.mark.parametrize("saved", [(), ("model.",), ("module.", "model.")])
def test_a_factory_whose_names_begin_like_a_wrapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: tuple[str, ...]
) -> None:
    code = """
from torch import nn
from tests.models.test_loading import small
class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = small()
    def forward(self, x):
        return self.model(x)
build = Wrapper
"""
    state = {k: v + 1 if v.is_floating_point() else v for k, v in small().state_dict().items()}
    torch.save(wrapped(state, *saved), tmp_path / "w.pth")
    name = factory(tmp_path, monkeypatch, code)
    found = load_classifier(factory=name, weights=tmp_path / "w.pth")
    wanted = small()
    wanted.load_state_dict(state)
    assert torch.equal(found.network(images()), wanted(images()))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def build():\n    raise KeyError('weights')\n", "failed: KeyError: 'weights'"),
        ("def build():\n    return 3\n", "returns a int, not an nn.Module"),
        ("def built():\n    pass\n", "has no 'build'; did you mean built"),
        ("import nowhere_to_be_found\n", "No module named 'nowhere_to_be_found'; plant_"),
        ("def build(:\n", "cannot be imported: SyntaxError"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("import sys\nsys.exit(2)\n", "cannot be imported: SystemExit: 2"),
        ("build = 3\n", "failed: TypeError"),
        ("def build():\n    raise SystemExit('bye')\n", "failed: SystemExit: bye"),
    ],
)
def test_a_factory_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    name = factory(tmp_path, monkeypatch, code)
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        load_classifier(factory=name)
    assert name.partition(":")[0] in str(caught.value)


def test_a_factory_that_is_not_there() -> None:
    for name, said in (
        ("no_such_module_at_all:build", "No module named 'no_such_module_at_all'; run from"),
        ("tests.nothing_here:build", "No module named 'tests.nothing_here'; run from"),
        ("just_a_module", "must look like package.module:function"),
        (":build", "must look like package.module:function"),
        ("..relative:build", "must look like package.module:function"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(factory=name)


# --- what is refused, and runs nothing ---


def _bytes(thing: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["alone", "nested", "plain"])
def test_a_pickle_is_refused_and_runs_nothing(tmp_path: Path, legacy: bool, where: str) -> None:
    trap = Trap(tmp_path / "sprung")
    content: Any = trap if where == "alone" else {"state_dict": small().state_dict(), "x": trap}
    options = {"_use_new_zipfile_serialization": not legacy}
    raw = pickle.dumps(content) if where == "plain" else _bytes(content, **options)
    for name in ("a.pth", "a.ckpt"):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(InputError, match=r"pickled .*refused; save the weights alone with"):
            load_classifier(TINY, weights=tmp_path / name)
        with pytest.raises(InputError, match=r"pickled .*refused; save the weights alone with"):
            load_classifier(file=tmp_path / name)
    assert not (tmp_path / "sprung").exists()
    if where != "plain":  # the trap does work
        torch.load(io.BytesIO(raw), weights_only=False)
        assert (tmp_path / "sprung").exists()


def test_a_pickled_network_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save(small(), tmp_path / "net.pth")
    with pytest.raises(InputError, match=r"holds a pickled torch\.nn\.[\w.]*Sequential, which"):
        load_classifier(TINY, weights=tmp_path / "net.pth")


def _with_part(source: Path, target: Path, part: str, content: bytes) -> Path:
    """An archive with one part replaced or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        names = old.namelist()
        for name in names:
            new.writestr(name, content if name.endswith(part) else old.read(name))
        if not any(name.endswith(part) for name in names):
            new.writestr(f"{names[0].split('/')[0]}/{part}", content)
    return target


@pytest.mark.parametrize(
    "part",
    [
        "data/sample_inputs/model.pt",
        "data/weights/model.pt",
        "data/constants/model.pt",
        "data/constants/opaque_obj_0",
        "data/aotinductor/model/wrapper.so",
    ],
)
def test_an_exported_program_runs_no_code_when_it_is_opened(
    tmp_path: Path, programs: dict[str, Path], part: str
) -> None:
    raw = _bytes({"x": Trap(tmp_path / "sprung")})
    path = _with_part(programs["any.pt2"], tmp_path / "evil.pt2", part, raw)
    with pytest.raises(InputError, match=r"evil\.pt2 .*could run any code when opened"):
        load_classifier(file=path)
    assert not (tmp_path / "sprung").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors", "pt2"])
def test_broken_files_are_refused_in_a_line(
    tmp_path: Path, programs: dict[str, Path], suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = {
        "pth": _bytes(small().state_dict(), _use_new_zipfile_serialization=False),
        "pt": programs["script.pt"].read_bytes(),
        "safetensors": safetensors.torch.save(small().state_dict()),
        "pt2": programs["any.pt2"].read_bytes(),
    }[suffix]
    path = tmp_path / f"broken.{suffix}"
    contents = [b"", b"\x00", b"text, not weights\n" * 30, b"\x80\x04\x95" + bytes(range(256))]
    contents += [np.random.default_rng(0).bytes(3000)]
    contents += [whole[: int(len(whole) * share)] for share in (0.01, 0.1, 0.3, 0.5, 0.9, 0.999)]
    for content in contents:
        path.write_bytes(content)
        for options in ({"architecture": TINY, "weights": path}, {"file": path}):
            if "weights" in options and suffix == "pt2":
                continue
            with pytest.raises(InputError, match=rf"broken\.{suffix} ") as caught:
                load_classifier(**options)  # type: ignore[arg-type]
            assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert capfd.readouterr() == ("", ""), "nothing is logged beside the error"


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    for content, said in (
        ({"epoch": 3}, "holds no tensors"),
        ({}, "holds no state dict but a dict"),
        ([torch.zeros(2)], "holds no state dict but a list"),
        (torch.zeros(2), "holds no state dict but a Tensor"),
    ):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(InputError, match=said):
            load_classifier(TINY, weights=tmp_path / "w.pth")


# --- pretrained weights without a network ---


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No name resolves and no cache helps."""
    import huggingface_hub.constants as hub

    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    before = hub.HF_HUB_OFFLINE
    yield
    assert before == hub.HF_HUB_OFFLINE


@pytest.mark.parametrize(
    ("name", "library", "build"),
    [
        (f"{TINY}.r160_in1k", "timm", f"timm.create_model('{TINY}.r160_in1k', pretrained=True)"),
        ("torchvision:squeezenet1_1", "torchvision", "get_model('squeezenet1_1', weights='DEFAU"),
    ],
)
def test_pretrained_without_a_network_says_how_to_get_it(
    offline: None, name: str, library: str, build: str
) -> None:
    with pytest.raises(InputError, match="could not be downloaded") as caught:
        load_classifier(name, pretrained=True)
    said = str(caught.value)
    assert build in said and f"import torch, {library}" in said
    assert "weights = '" in said and "in place of pretrained = true" in said


def test_any_failure_of_the_library_says_how_to_get_the_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("proxy says no")

    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(
        InputError, match=r"could not be downloaded \(ConnectionError\).*weights = "
    ):
        load_classifier(TINY, pretrained=True)


# --- prepare ---


def snapshot(network: nn.Module) -> dict[str, Any]:
    """All that an audit must leave as it was."""
    return {
        "state": {k: v.clone() for k, v in network.state_dict().items()},
        "grad": [p.grad if p.grad is None else p.grad.clone() for p in network.parameters()],
        "wanted": [p.requires_grad for p in network.parameters()],
        "modes": [m.training for m in network.modules()],
        "places": [p.data_ptr() for p in network.parameters()],
    }


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two))
    return bool(one == two)


def a_network(kind: str, programs: dict[str, Path]) -> nn.Module:
    if kind == "normal":
        return small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "scripted":
            return torch.jit.load(programs["script.pt"])  # type: ignore[no-any-return]
        return torch.export.load(programs["any.pt2"]).module()


@pytest.mark.parametrize("kind", ["normal", "scripted", "exported"])
@pytest.mark.parametrize("training", [False, True])
def test_prepare_leaves_the_users_network_as_it_came(
    kind: str, training: bool, programs: dict[str, Path]
) -> None:
    network = a_network(kind, programs)
    if kind != "exported":
        network.train(training)
    parameters = list(network.parameters())
    parameters[0].requires_grad_(False)
    network(images()).sum().backward()  # leaves .grad; in training it also moves the buffers
    before = snapshot(network)
    assert before["grad"][0] is None and before["grad"][1] is not None
    classifier = Classifier(network, head="softmax")

    twin = prepare(classifier)
    x = images().requires_grad_()
    twin(x).sum().backward()
    for parameter in twin.parameters():
        assert parameter.grad is None and not parameter.requires_grad
        parameter.data.zero_()
    for buffer in twin.buffers():
        buffer.zero_()
    assert not any(module.training for module in twin.modules())
    assert same(before, snapshot(network))
    assert [p.data_ptr() for p in parameters] == before["places"]


@pytest.mark.parametrize("kind", ["normal", "scripted", "exported"])
def test_a_prepared_classifier_answers_as_in_evaluation(
    kind: str, programs: dict[str, Path]
) -> None:
    network = a_network(kind, programs)
    if kind != "exported":
        network.train()
    twin = prepare(Classifier(network, mean=0.3, std=0.4, size=32, head="softmax"))
    x = images(4, 40)
    wanted = Classifier(small(), mean=0.3, std=0.4, size=32, head="softmax")(x)
    torch.testing.assert_close(twin(x), wanted)
    state = {k: v.clone() for k, v in twin.state_dict().items()}
    twin(images())
    assert same(state, dict(twin.state_dict())), "no forward pass moves a buffer"


def test_prepare_wants_a_classifier_that_can_be_copied() -> None:
    with pytest.raises(InputError, match=r"a Classifier is needed, got a Sequential; wrap"):
        prepare(small())  # type: ignore[arg-type]

    class Stubborn(nn.Module):
        def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
            raise RuntimeError("no copies")

    with pytest.raises(InputError, match=r"cannot be copied \(no copies\); give robust a factory"):
        prepare(Classifier(Stubborn()))


def test_devices() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in ("cpu", "cuda")
    for name in ("tpu", "cuda:99", "", "cpu0"):
        with pytest.raises(InputError, match=re.escape(f"device {name!r} is not available here")):
            choose_device(name)


def test_full_precision_puts_the_switches_back() -> None:
    def switches() -> tuple[bool, ...]:
        matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn
        return matmul.allow_tf32, conv.allow_tf32, conv.deterministic, conv.benchmark

    before = switches()
    torch.backends.cudnn.benchmark = True
    try:
        with pytest.raises(ZeroDivisionError), full_precision():
            assert switches() == (False, False, True, False)
            raise ZeroDivisionError
        assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = before[3]
    assert switches() == before


# --- the hash ---


def test_the_hash_tells_networks_apart() -> None:
    one = small()
    two = copy.deepcopy(one)
    assert weights_hash(one) == weights_hash(two)
    two.norm.running_var[0] += 1e-6  # type: ignore[union-attr, operator, index]
    assert weights_hash(one) != weights_hash(two)
    assert weights_hash(one) != weights_hash(small(2))
    assert weights_hash(one.double()) != weights_hash(small())
