"""The deployed version beside the model: what agrees, what falls on it alone, what is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import Square
from robust.auditing import audit, audit_plan
from robust.auditing.api import merge_shards, unfinished_report
from robust.auditing.request import RunSettings
from robust.auditing.shards import audit_shard
from robust.errors import InputError
from robust.models import Classifier
from robust.plan.load import make_plan, read_plan
from robust.plan.machines import Shard
from robust.plan.public import public_plan
from robust.plan.spec import NOT_KEPT
from robust.records import Report, Twin
from robust.report.formats.html import render_html
from robust.report.formats.markdown import render_markdown
from robust.report.text.reproduce import command_line
from robust.scenarios import twin as comparison
from robust.scenarios.twin import check_twin
from tests.engine.nets import classifier, phantoms, trained

CLASSES = ("normal", "opacity")
FLAG = "the deployed version reads otherwise"


class Then(nn.Module):
    """A network followed by a change of its logits."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.network = trained(28)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.change(self.network(x))
        return out


@pytest.fixture(scope="module", autouse=True)
def few_queries() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "QUERIES", 80)
        yield


def swapped(logits: Tensor) -> Tensor:
    return logits.flip(1)


def wary(logits: Tensor) -> Tensor:
    """Says the finding a little sooner."""
    return logits + torch.tensor([0.0, 0.4])


def run(twin: nn.Module | Classifier | None, count: int = 40, **options: Any) -> Report:
    settings: dict[str, Any] = {
        "attacks": ["Noise", "FGSM", "BIM"],
        "eps": ["4/255", "8/255"],
        "doubts": {"probe": False},
        "scenarios": {"cases": 70},
        "device": "cpu",
        "gallery": 0,
    }
    wrapped = twin if isinstance(twin, Classifier | None) else Classifier(twin.eval(), channels=1)
    return audit(classifier(), phantoms(count), twin=wrapped, **{**settings, **options})


SHORT: dict[str, Any] = {"attacks": ["FGSM"], "eps": ["8/255"], "scenarios": {"cases": 8}}
"""Settings where neither how many fall nor at which size is looked at."""


def compared(report: Report) -> Twin:
    assert report.twin is not None
    return report.twin


def names(report: Report) -> set[str]:
    return {flag.name for flag in report.flags}


@pytest.fixture(scope="module")
def same() -> Report:
    return run(trained(28))


def test_a_twin_that_is_the_model_agrees_and_falls_equally(same: Report) -> None:
    twin = compared(same)
    assert twin.agreement.value == 1
    assert twin.audited_accuracy == twin.twin_accuracy == same.clean.scores.accuracy
    assert twin.weights_sha256 != ""
    assert [one.eps for one in twin.shown] == [4 / 255, 8 / 255]
    for one in twin.shown:
        assert one.agreement.value == 1
        assert one.audited_fooled == one.twin_fooled
        assert one.twin_alone.value == one.audited_alone.value == 0
    assert [(one.attack, one.eps) for one in twin.attacked] == [
        (name, eps / 255) for name in ("Square", "HopSkipJump") for eps in (4, 8)
    ]
    for found in twin.attacked:
        assert found.audited_correct == found.twin_correct and not found.failure
        assert found.queries == 80
    assert FLAG not in names(same)


def test_the_images_shown_are_those_of_the_audit(same: Report) -> None:
    """All cases fit into the comparison, so that its rates are those of the results."""
    for one in compared(same).shown:
        worst = next(w for w in same.worst_cases if w.eps == one.eps)
        assert worst.scores.success is not None
        assert one.audited_fooled.cases == worst.attacked
        assert one.audited_fooled.value == worst.scores.success.value
        assert one.audited_fooled.value > 0.1


def test_direct_attacks_do_what_they_do_in_a_plan(same: Report) -> None:
    found = [one for one in compared(same).attacked if one.attack == "Square"]
    report = run(None, attacks=[Square(queries=80)])
    for one, worst in zip(found, report.worst_cases, strict=True):
        assert worst.robust_accuracy is not None
        assert one.twin_correct.value == pytest.approx(worst.robust_accuracy.value, abs=0.05)
    nearest = [one.twin_correct.value for one in compared(same).attacked[2:]]
    assert nearest[1] <= nearest[0] < 1


def test_a_twin_with_flipped_classes_is_found() -> None:
    report = run(Then(swapped), **SHORT)
    twin = compared(report)
    assert twin.agreement.value == 0
    assert twin.twin_accuracy.value == pytest.approx(1 - twin.audited_accuracy.value)
    assert FLAG in names(report)
    flag = next(one for one in report.flags if one.name == FLAG)
    assert "40 of 40 unmodified images are read otherwise" in flag.observed
    right = [case for case in twin.shown if case.audited_fooled.cases > 5]
    assert not right  # what both read correctly is nothing


def test_what_falls_on_the_twin_alone_is_counted() -> None:
    twin = compared(run(Then(wary), 100, eps=["8/255"]))
    assert 0.8 < twin.agreement.value < 1
    (one,) = twin.shown
    assert one.twin_alone.value > 0
    assert one.agreement.value < 1
    assert one.twin_fooled.value - one.audited_fooled.value == pytest.approx(
        one.twin_alone.value - one.audited_alone.value
    )
    assert one.twin_alone.value + one.audited_alone.value <= 1 - one.agreement.value + 1e-9


def test_the_same_weights_at_half_precision() -> None:
    plan = make_plan({"attacks": [{"name": "FGSM"}], "twin": {"precision": "bfloat16"}})
    from robust.engine.inputs import open_twin

    assert plan.twin is not None
    half = open_twin(plan.twin, classifier(threshold=0.4), CLASSES)
    assert half.threshold == 0.4
    x = torch.stack([phantoms(8)[i].image for i in range(8)])
    for ready in (half, classifier()):
        ready.head = "softmax"
    error = (half.outputs(x) - classifier().outputs(x)).abs().max()
    assert 0 < error < 0.1 and half.outputs(x).dtype == torch.float32
    twin = compared(run(open_twin(plan.twin, classifier(), CLASSES), **SHORT))
    assert twin.source == "module, at bfloat16"
    assert twin.agreement.value > 0.9
    assert all(one.agreement.value > 0.8 for one in twin.shown)


def program(folder: Path) -> Path:
    """The trained network as TorchScript."""
    network = trained(28).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, torch.zeros(2, 1, 28, 28)).save(str(folder / "twin.pt"))
    return folder / "twin.pt"


@pytest.mark.slow
def test_a_plan_its_shards_and_its_report(tmp_path: Path) -> None:
    torch.save(trained(28).state_dict(), tmp_path / "weights.pth")
    model = {"factory": "tests.engine.nets:small", "weights": str(tmp_path / "weights.pth")}
    raw = {
        "model": {**model, "channels": 1, "mean": 0.25, "std": 0.5},
        "data": {"path": "phantom:chest_xray", "count": 60, "pixels": 28},
        "attacks": [{"name": "FGSM"}],
        "audit": {"eps": ["8/255"], "chunk": 16},
        "twin": {
            "file": str(program(tmp_path)),
        },
        "scenarios": {"cases": 20},
        "doubts": {"probe": False},
        "report": {"gallery": 0},
    }
    plan = make_plan(raw)
    whole = audit_plan(plan, out=tmp_path / "whole", device="cpu")
    twin = compared(whole)
    assert twin.agreement.value == 1  # with mean and std of [model]
    assert twin.describe["mean"] == [0.25]
    assert twin.source == "TorchScript"
    for number in (1, 2):
        audit_shard(plan, Shard(number, 2), RunSettings(out=tmp_path / "parts", device="cpu"))
    merged = merge_shards(tmp_path / "parts", plan, RunSettings(device="cpu"))
    assert merged.twin == twin
    assert unfinished_report(tmp_path / "whole").twin == twin
    assert Report.from_json(whole.to_json()) == whole

    assert "twin.pt" not in whole.to_json()
    assert public_plan(plan).twin.file == NOT_KEPT  # type: ignore[union-attr]
    assert "--set twin.file=FILE" in command_line(whole)
    for text in (render_html(whole), render_markdown(whole)):
        assert "The deployed version is TorchScript" in text
        assert "deployed version correct %" in text

    other_twin = {**raw["twin"], "precision": "float16"}
    with pytest.raises(InputError, match="another"):
        audit_plan(make_plan({**raw, "twin": other_twin}), out=tmp_path / "whole", device="cpu")


def test_a_comparison_that_is_cut_short_ends_with_the_same_figures(
    same: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, shown = comparison._Comparison._show, []

    def show(self: Any, cell: Any, part: Any) -> Any:
        shown.append(cell.key)
        if len(shown) == 3:
            raise KeyboardInterrupt
        return real(self, cell, part)

    monkeypatch.setattr(comparison._Comparison, "_show", show)
    with pytest.raises(KeyboardInterrupt):
        run(trained(28), out=tmp_path / "cut")
    unfinished = unfinished_report(tmp_path / "cut")
    assert "twin" in unfinished.missing_stages and unfinished.twin is None
    first = list(shown)
    found = run(trained(28), out=tmp_path / "cut")
    assert found.twin == same.twin
    assert not set(shown[3:]) & set(first[:2]) or len(shown) > 4
    again = json.loads((tmp_path / "cut" / "report.json").read_text())
    assert again["twin"] == json.loads(same.to_json())["twin"]


class _Wide(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x.mean((1, 2, 3))] * 5, 1)


class _Blind(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).repeat(1, 2) * torch.nan


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        (_Wide(), "the twin has 5 outputs, the data 2 classes"),
        (_Blind(), "the twin gives NaN or infinite logits"),
        (nn.Sequential(nn.Flatten(), nn.Linear(10, 2)), "the twin does not fit: the network fails"),
    ],
)
def test_a_twin_that_does_not_fit_is_refused_in_one_line(twin: nn.Module, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        run(twin, 8)
    assert "\n" not in str(error.value)


def test_a_twin_without_a_source_needs_a_precision() -> None:
    from robust.engine.inputs import open_twin

    plan = make_plan({"twin": {}})
    assert plan.twin is not None
    with pytest.raises(InputError, match="is the audited model itself; name its version"):
        open_twin(plan.twin, classifier(), CLASSES)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"endpoint": "http://127.0.0.1:1/v2/models/x/infer"}, r"\[twin\]: .*127\.0\.0\.1"),
        ({"factory": f"{__name__}:half", "finding": [0, 1]}, r"\[twin\]: .* several findings"),
        ({"factory": f"{__name__}:asked"}, "the twin is a black box, whose queries would not"),
    ],
)
def test_a_twin_that_cannot_be_compared_is_never_the_audited_model(
    table: dict[str, Any], said: str
) -> None:
    from robust.engine.inputs import open_twin

    plan = make_plan({"twin": {"precision": "bfloat16", **table, "endpoint_patience": 0}})
    if "endpoint" not in table:
        plan = make_plan({"twin": table})
    assert plan.twin is not None
    with pytest.raises(InputError, match=said):
        check_twin(open_twin(plan.twin, classifier(), CLASSES))


def half() -> nn.Module:
    return trained(28).eval()


def asked() -> Any:
    return lambda x: x[:, 0, 0, :2]


def test_outputs_of_the_twin_are_matched_by_name(tmp_path: Path) -> None:
    from robust.engine.inputs import open_twin

    plan = make_plan({"twin": {"factory": f"{__name__}:turned", "outputs": ["opacity", "normal"]}})
    assert plan.twin is not None
    report = run(open_twin(plan.twin, classifier(), CLASSES), **SHORT)
    assert compared(report).agreement.value == 1


def turned() -> nn.Module:
    return Then(swapped).eval()


def test_a_plan_from_elsewhere_may_not_name_a_program_as_twin(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text('[twin]\nfile = "x.pt"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"names the twin file x\.pt, which can run code"):
        read_plan(tmp_path)


@pytest.mark.slow
def test_an_int8_file_beside_the_float_file_it_was_made_of(data: Path) -> None:
    """One network of a third party as ONNX, and its quantised version, which has no gradients."""
    files = data / "models_more" / "classifiers"
    raw = {
        "model": {"file": str(files / "pneumoniamnist_cnn.onnx"), "mean": 0.5, "std": 0.5},
        "data": {
            "path": str(data / "medmnist" / "pneumoniamnist.npz"),
            "limit": 200,
            "group": "none",
        },
        "attacks": [{"name": "FGSM"}, {"name": "PGD"}],
        "audit": {"eps": ["1/255", "4/255"]},
        "twin": {"file": str(files / "pneumoniamnist_cnn_int8.onnx")},
        "scenarios": {"cases": 100},
        "doubts": {"probe": False},
        "report": {"gallery": 0},
    }
    report = audit_plan(make_plan(raw), device="cpu")
    twin = compared(report)
    print(twin)
    assert twin.agreement.value >= 0.97
    assert "onnxruntime" in twin.source
    assert FLAG not in names(report)
    for one in twin.shown:
        assert one.agreement.value >= 0.9
        assert one.twin_fooled.value == pytest.approx(one.audited_fooled.value, abs=0.1)
    for found in twin.attacked:
        assert found.twin_correct.value == pytest.approx(found.audited_correct.value, abs=0.1)
