"""`robust init --model`: formats as their libraries write them, black boxes, all findings."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from robust.auditing import audit_findings, dry_run
from robust.cli.plan_options.overrides import plan_from
from robust.plan.load import load_plan
from robust.plan.spec import ModelSpec
from tests.cli.commands import Robust, refused
from tests.cli.test_init_layouts import QUICK, audited, published
from tests.drafting import sets

CLASSES = ("benign", "malignant", "normal")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "PASSING_SECONDS", 0.01)


def class_folders(*classes: str, count: int = 9) -> None:
    for n in range(count):
        sets.write(Path("images") / classes[n % len(classes)] / f"{n}.png", n, colour=True)


def tiny(outputs: int = 3, side: int = 32) -> nn.Module:
    """A network of one size alone."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = nn.Linear(3 * side * side // 16, outputs)
        return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), linear).eval()


def torchscript(path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(tiny(), torch.rand(1, 3, 32, 32)).save(path / "m.pt")
    return path / "m.pt"


def program(path: Path) -> Path:
    batch = {0: torch.export.Dim("batch")}
    made = torch.export.export(tiny(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=(batch,))
    torch.export.save(made, path / "m.pt2")
    return path / "m.pt2"


def checkpoint(path: Path) -> Path:
    """As Lightning leaves it, of a network that has to be recognised."""
    from torchvision.models import squeezenet1_1

    state = {f"model.{k}": v for k, v in squeezenet1_1(num_classes=3).state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3, "hyper_parameters": {}}, path / "last.ckpt")
    return path / "last.ckpt"


def onnx(path: Path) -> Path:
    pytest.importorskip("onnx2pytorch")
    from tests.models.onnx_files import export

    return export(tiny(), path / "m.onnx", torch.rand(2, 3, 32, 32), dynamo=False)


def hugging_face(path: Path) -> Path:
    pytest.importorskip("transformers")
    from tests.models.formats.test_huggingface import vit

    return vit(path / "vit")


def timm(path: Path) -> Path:
    pytest.importorskip("transformers")
    from tests.models.formats.test_huggingface import timm_folder

    return timm_folder(path / "timm")


def keras(path: Path) -> Path:
    pytest.importorskip("keras")
    from tests.models.formats.keras_files import tiny as small

    small(3, 16).save(path / "m.keras")
    return path / "m.keras"


def monai(path: Path) -> Path:
    pytest.importorskip("monai")
    from tests.models.formats.test_monai import bundle

    one = [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]
    return bundle(path / "bundle", postprocessing=one)


MAKERS = (torchscript, program, checkpoint, onnx, hugging_face, timm, keras, monai)
KNOWS_NAMES = (hugging_face, timm, monai)


def model_of(plan: str = "plan.toml") -> ModelSpec:
    model = load_plan(plan).model
    assert model is not None
    return model


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_format_is_drafted_and_runs(make: Any, robust: Robust, here: Path) -> None:
    class_folders(*CLASSES)
    made = robust("init", "images", "--model", make(here))
    assert made.code == 0, made.err + made.out
    assert "3 outputs" in made.out and "Passes" in made.out and "9 images" in made.out
    field = {"checkpoint": "weights"}.get(make.__name__, "file")
    assert getattr(model_of(), "folder" if make in KNOWS_NAMES else field) is not None
    if make in (program, hugging_face):
        assert audited(made.out)["data"]["cases"] == 9


def test_a_network_of_another_size_than_the_images(robust: Robust, here: Path) -> None:
    (here / "big.py").write_text(
        "from tests.cli.test_init_models import tiny\ndef net():\n    return tiny(2, 224)\n"
    )
    class_folders("normal", "opacity")
    made = robust("init", "images", "--model", "big:net")
    assert made.code == 0, made.err + made.out
    assert model_of().size == (224, 224)


def test_a_bundle_with_code_needs_leave(robust: Robust, here: Path) -> None:
    pytest.importorskip("monai")
    from tests.models.formats.test_monai import NETWORK, bundle

    one = [{"_target_": "Activationsd", "keys": "pred", "softmax": True}]
    network = NETWORK | {"out_channels": "$1 + 2"}
    folder = bundle(here / "code", network=network, postprocessing=one)
    class_folders(*CLASSES)
    refused(robust("init", "images", "--model", folder), "but code", "--allow-code")
    made = robust("init", "images", "--model", folder, "--allow-code")
    assert made.code == 0, made.err + made.out
    assert model_of().allow_code


def test_what_no_loader_takes_is_refused_in_its_words(robust: Robust) -> None:
    class_folders("normal", "opacity")
    Path("saved").mkdir()
    Path("saved/saved_model.pb").write_bytes(b"\x08\x01\x12\x08")
    refused(robust("init", "images", "--model", "saved"), "a SavedModel of TensorFlow", "tf2onnx")
    Path("old").mkdir()
    Path("old/checkpoint").write_text('model_checkpoint_path: "model.ckpt-9"\n')
    refused(robust("init", "images", "--model", "old"), "a TensorFlow checkpoint", "tf2onnx")
    Path("broken.onnx").write_bytes(b"no graph")
    refused(robust("init", "images", "--model", "broken.onnx"), "broken.onnx")
    refused(robust("init", "images", "--model", "toy_factory:failing"), "the checkpoint is gone")
    assert not Path("plan.toml").exists()


def test_a_black_box_is_asked_a_few_times(robust: Robust, here: Path) -> None:
    (here / "box.py").write_text(
        "import numpy as np\nASKED = [0]\ndef ask(x):\n    ASKED[0] += len(x)\n"
        "    m = x.mean((1, 2, 3))\n    return np.stack([m, 1 - m], 1)\n"
        "def make():\n    return ask\n"
    )
    class_folders("normal", "opacity", count=40)
    made = robust("init", "images", "--model", "box:make")
    assert made.code == 0, made.err + made.out
    for part in ("Queries", "to the black box", "only attacks that need no gradient"):
        assert part in made.out
    import box  # type: ignore[import-not-found]

    assert box.ASKED[0] <= 16


def many(here: Path, count: int) -> str:
    (here / f"many_{count}.py").write_text(
        f"import toy_factory\ndef net():\n    return toy_factory.build({count})\n"
    )
    return f"many_{count}:net"


def test_a_model_of_all_findings_of_a_table(robust: Robust, here: Path) -> None:
    lines = ["image,patient,Edema,Mass,Pleural_Effusion"]
    for n in range(12):
        lines.append(f"i{n},P{n // 2},{n % 2},{n // 2 % 2},{n // 4 % 2}")
        sets.write(Path("set") / f"i{n}.png", n)
    (Path("set") / "labels.csv").write_text("\n".join(lines) + "\n")
    made = robust("init", "set", "--model", many(here, 3))
    assert made.code == 0, made.err + made.out
    assert (model_of().finding, model_of().outputs) == (
        "all",
        ("Edema", "Mass", "Pleural_Effusion"),
    )
    assert "guess: the order of the columns" in Path("plan.toml").read_text()
    for part in ("Edema 6", "3, each with an audit of its own"):
        assert part in made.out
    before = set(Path().rglob("*"))
    again = robust("audit", "plan.toml", "--dry-run")
    assert again.code == 0 and set(Path().rglob("*")) == before
    one = robust("audit", "plan.toml", "--dry-run", "--finding", "Mass", "--positive", "Mass")
    assert cells(again.out) == 3 * cells(one.out) > 0
    found = audit_findings(plan_from(Path("plan.toml"), QUICK))
    assert [entry.finding for entry, _ in found.reports] == list(model_of().outputs or ())
    named = robust("init", "set", "--model", many(here, 3), "--finding", "Mass", "--replace")
    assert named.code == 1 and "Which of the network's 3 outputs" in named.out
    asked = robust("init", "set", "--model", many(here, 5), "--finding", "all", "--replace")
    assert asked.code == 1 and "To fill in: model.outputs" in asked.out
    assert "The labels know: Edema, Mass" in " ".join(asked.out.split())


def cells(out: str) -> int:
    line = next(line for line in out.splitlines() if line.startswith("Attacks"))
    return int(line.rpartition(":")[2].split()[0])


@pytest.mark.parametrize(("layout", "count"), [("nih-cxr14", 14), ("brset", 13)])
def test_a_model_of_all_findings_of_a_public_set(
    layout: str, count: int, robust: Robust, data: Path, here: Path
) -> None:
    folder = published(data, layout)
    made = robust("init", folder, "--layout", layout, "--model", many(here, count))
    assert made.code == 0, made.err + made.out
    assert model_of().finding == "all" and len(model_of().outputs or ()) == count  # type: ignore[arg-type]
    assert "each with an audit of its own" in made.out


def test_a_model_of_all_findings_of_medmnist(robust: Robust, here: Path) -> None:
    sets.medmnist(Path(), Path("set"), "chestmnist", columns=14)
    made = robust("init", "set", "--model", many(here, 14))
    assert made.code == 0, made.err + made.out
    assert model_of().finding == "all" and (model_of().outputs or ())[-1] == "hernia"  # type: ignore[index]


@pytest.mark.slow
def test_an_endpoint(robust: Robust) -> None:
    from tests.models.blackbox.server import serving

    class_folders("normal", "opacity", count=40)
    with serving(tiny(2), channels=3, pixels=32) as served:
        made = robust("init", "images", "--model", served.url)
        assert made.code == 0, made.err + made.out
        assert model_of().endpoint == served.url
        assert "Queries" in made.out and "to the black box" in made.out


def test_prompts_are_drafted_from_the_classes(robust: Robust, here: Path) -> None:
    pytest.importorskip("open_clip")
    import open_clip  # type: ignore[import-not-found, unused-ignore]
    from safetensors.torch import save_file

    from robust.models.formats.libraries import in_silence
    from tests.models.formats.test_zero_shot import TINY

    (here / "clip").mkdir()
    (here / "clip" / "tiny-drafted.json").write_text(json.dumps(TINY), encoding="utf-8")
    open_clip.add_model_config(here / "clip" / "tiny-drafted.json")
    with torch.random.fork_rng(), in_silence():
        network = open_clip.create_model("tiny-drafted").eval()
    save_file(network.state_dict(), here / "clip" / "open_clip_model.safetensors")
    config = {"model_cfg": TINY, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (here / "clip" / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    class_folders(*CLASSES)
    made = robust("init", "images", "--model", here / "clip")
    assert made.code == 0, made.err + made.out
    assert model_of().prompts == tuple(f"an image of {name}" for name in CLASSES)


def test_a_head_of_ones_own_leaves_a_plan_to_mend(robust: Robust, here: Path) -> None:
    from torchvision.models import resnet18

    network = resnet18(num_classes=8)
    network.fc = nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 3))  # type: ignore[assignment]
    torch.save(network.state_dict(), here / "own.pth")
    class_folders(*CLASSES)
    made = robust("init", "images", "--model", here / "own.pth")
    assert made.code == 1 and "the plan does not run yet" in made.err
    assert "but for fc, which is a head of your own" in Path("plan.toml").read_text()
