"""`load_classifier`: sources, factories and the finding of a multilabel head."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch

from robust.errors import InputError
from robust.models import load_classifier, load_segmenter, settle_head
from robust.plan.model_fields import OF_TASK, USED_WITH, loader_arguments
from robust.plan.spec import SOURCES, ModelSpec
from tests.models.nets import TINY, images, small, wrapped


def test_one_source_and_one_kind_of_weights(tmp_path: Path) -> None:
    for options, said in (
        ({}, "exactly one of architecture, file, factory, folder and endpoint; got none"),
        ({"file": "a", "factory": "b:c"}, "got file and factory"),
        ({"architecture": TINY}, "either a weights file or pretrained = true; it has neither"),
        ({"architecture": TINY, "weights": "w", "pretrained": True}, "it has both"),
        ({"architecture": TINY, "weights": tmp_path / "no.pth"}, r"no such weights file: .*no\.p"),
        ({"file": tmp_path / "no.pt"}, r"no such model file: .*no\.pt"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(**options)  # type: ignore[arg-type]


def test_the_fields_of_a_plan_are_the_arguments_and_the_docs_name_every_source() -> None:
    fields = ModelSpec.model_fields
    for task, load in (("classification", load_classifier), ("segmentation", load_segmenter)):
        arguments = dict(inspect.signature(load).parameters)
        assert arguments.pop("threshold").default == 0.5  # which `[audit]` sets
        made = loader_arguments(ModelSpec(), task)  # type: ignore[arg-type]
        assert set(arguments) == set(made)
        assert made == {name: one.default for name, one in arguments.items()}
    assert {*OF_TASK["classification"], *OF_TASK["segmentation"]} < set(fields)
    assert set(USED_WITH) < set(fields)
    assert all(set(used) < set(SOURCES) for used in USED_WITH.values())
    page = (Path(__file__).parents[2] / "docs" / "model.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^\| `(\w+)` \|", page)[: len(SOURCES)] == list(SOURCES)


def test_no_field_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that has no use for a field refuses it: another model could be meant."""
    name = factory(tmp_path, monkeypatch, "from tests.models.nets import small as build\n")
    (tmp_path / "x.pt2").write_bytes(b"")
    for options, said in (
        ({"file": tmp_path / "x.pt2", "weights": "w.pth"}, "weights belongs to architecture or"),
        ({"file": tmp_path / "x.pt2", "pretrained": True}, "pretrained belongs to architecture,"),
        ({"factory": name, "weights_key": "ema"}, "weights_key chooses in a file of weights"),
        ({"factory": name, "endpoint_output": "p"}, "endpoint_output belongs to endpoint, not to"),
        ({"architecture": TINY, "pretrained": True, "queries": 9}, "queries belongs to factory or"),
        ({"factory": name, "answers": "labels", "outputs": 2}, "the factory returns a network"),
        ({"factory": name, "at_once": 4}, "at_once is for a black box"),
        ({"factory": name, "prompts": ["a", "b"]}, "prompts belongs to architecture or folder"),
    ):
        with pytest.raises(InputError, match=said):
            load_classifier(**options)  # type: ignore[arg-type]
    assert load_classifier(factory=name, finding=0).finding == 0


def test_findings_by_name_and_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = factory(tmp_path, monkeypatch, "from tests.models.nets import small as build\n")
    names = ["effusion", "mass", "nodule"]
    by_name = load_classifier(factory=name, outputs=names, finding="mass")
    assert (by_name.head, by_name.finding) == ("auto", 1)
    settle_head(by_name, images())
    assert by_name.head == "multilabel"
    wanted = small()(images())
    torch.testing.assert_close(by_name(images())[:, 1], wanted[:, 1])
    assert load_classifier(factory=name, finding=2).finding == 2
    with pytest.raises(InputError, match=r"finding 'mas' is not among.*did you mean mass"):
        load_classifier(factory=name, outputs=names, finding="mas")
    with pytest.raises(InputError, match=r"in order, outputs = \[\.\.\.\]"):
        load_classifier(factory=name, finding="mass")


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
        "from tests.models.nets import small\n"
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
from tests.models.nets import small
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
        ("def build():\n    return 3\n", "returns a int, neither an nn.Module nor a function"),
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
