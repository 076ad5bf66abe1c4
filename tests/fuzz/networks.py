"""Targets weights, programs, guard folder and trained folder: networks that others hand over."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from robust.errors import InputError
from robust.guard import Guard, fit_detector
from robust.models import Classifier, load_classifier, prepare
from robust.plan import load_plan
from robust.plan.load import make_plan
from robust.plan.model_fields import loader_arguments
from robust.training.recipe import load_recipe, make_recipe
from robust.training.train import train_model
from tests.fuzz.machine import Files, Subject, promise
from tests.fuzz.mutations import mutate_bytes, mutate_tree, mutate_zip
from tests.fuzz.texts import dump_toml

PIXELS = 28
FACTORY = "tests.fuzz.networks:network"


def network() -> nn.Sequential:
    """The network that weights and detectors of the fuzzer are for."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=4, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(4 * 49, 2),
        ).eval()


def images(count: int = 2) -> Tensor:
    return torch.rand(count, 1, PIXELS, PIXELS, generator=torch.Generator().manual_seed(1))


def check_classifier(classifier: Classifier, x: Tensor) -> None:
    """It predicts, and so does the copy that audits work on."""
    for one in (classifier, prepare(classifier, "cpu", images=x, head="softmax")):
        with torch.no_grad():
            logits = one(x)
        promise(logits.ndim == 2 and len(logits) == len(x), f"logits {tuple(logits.shape)}")
        promise(logits.shape[1] >= 2 and logits.is_floating_point(), f"logits of {logits.dtype}")


# --- weights ---


def _weights_subject(
    name: str, seeds: list[bytes], damage: Callable[[bytes, random.Random], bytes]
) -> Subject:
    def damaged(files: Files, rng: random.Random) -> Files:
        data = files[name]
        return {name: mutate_bytes(data, rng) if rng.random() < 0.35 else damage(data, rng)}

    def use(folder: Path) -> None:
        given: dict[str, Any] = {"head": "softmax", "channels": 1}
        check_classifier(load_classifier(factory=FACTORY, weights=folder / name, **given), images())

    return Subject([{name: data} for data in seeds], damaged, use)


def prepare_safetensors(home: Path) -> Subject:
    state = network().state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    seeds = [save(tensors) for tensors in (state, wrapped, half)]
    return _weights_subject("w.safetensors", seeds, damage_safetensors)


def damage_safetensors(data: bytes, rng: random.Random) -> bytes:
    """Other types, shapes, offsets and names in the header, or other numbers."""
    size = int.from_bytes(data[:8], "little")
    if rng.random() < 0.3:
        return data[: 8 + size] + mutate_bytes(data[8 + size :], rng)
    values = (
        *("F64", "BF16", "I8", "BOOL", "F8_E4M3", "C64", "", "U64"),
        *_SHAPES,
        0,
        -1,
        2**63,
        1.5,
    )
    header = mutate_tree(json.loads(data[8 : 8 + size]), rng, values)
    text = json.dumps(header).encode()
    if rng.random() < 0.2:
        text = mutate_bytes(text, rng)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


_SHAPES: tuple[list[int], ...] = ([], [0], [1], [2, 2], [-1], [2**31, 2**31], [2**63, 2], [1] * 70)


def prepare_pth(home: Path) -> Subject:
    state = network().state_dict()
    double = {name: value.double() for name, value in state.items()}
    contents: list[Any] = [state, {"state_dict": state, "epoch": 3}, {"model": double}]
    contents.append(nn.ParameterDict({"0_weight": nn.Parameter(torch.ones(3))}).state_dict())
    seeds = [_saved(content) for content in contents]
    seeds += [_saved(state, _use_new_zipfile_serialization=False)]

    def damage(data: bytes, rng: random.Random) -> bytes:
        if data.startswith(b"PK"):
            return mutate_zip(data, rng, _damage_member)
        return mutate_bytes(data, rng, head=2000)

    return _weights_subject("w.pth", seeds, damage)


def _saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _damage_member(name: str, data: bytes, rng: random.Random) -> bytes:
    """JSON by its structure, everything else by its bytes."""
    if name.endswith(".json") and rng.random() < 0.8:
        return json.dumps(mutate_tree(json.loads(data), rng)).encode()
    return mutate_bytes(data, rng, head=max(64, len(data)))


# --- programs ---


def prepare_onnx(home: Path) -> Subject:
    """Without the runtime: what it does with a graph that onnx has checked is its own affair."""
    from robust.models.formats.onnx_graph import OnnxGraph, gradient_obstacle, read_graph, tidied
    from tests.models.onnx_files import LINEAR, by_hand, linear, outside

    whole = by_hand(home / "m.onnx", LINEAR, linear()).read_bytes()
    parts = outside(home / "m.onnx", "weights.bin").read_bytes()
    data = (home / "weights.bin").read_bytes()

    def damaged(files: Files, rng: random.Random) -> Files:
        name = rng.choice(sorted(files)) if rng.random() < 0.2 else "m.onnx"
        return {**files, name: mutate_bytes(files[name], rng)}

    def use(folder: Path) -> None:
        graph = read_graph(folder / "m.onnx")
        promise(isinstance(graph, OnnxGraph) and len(graph.digest) == 32, "no digest")
        gradient_obstacle(graph)
        tidied(graph.model)

    seeds: list[Files] = [{"m.onnx": whole}, {"m.onnx": parts, "weights.bin": data}]
    return Subject(seeds, damaged, use)


def _program_subject(name: str, seeds: list[bytes]) -> Subject:
    def damage(files: Files, rng: random.Random) -> Files:
        if rng.random() < 0.25:
            return {name: mutate_bytes(files[name], rng)}
        return {name: mutate_zip(files[name], rng, _damage_member)}

    def use(folder: Path) -> None:
        classifier = load_classifier(file=folder / name, head="softmax", channels=1)
        check_classifier(classifier, images())

    return Subject([{name: data} for data in seeds], damage, use)


def prepare_torchscript(home: Path) -> Subject:
    seeds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for script in (torch.jit.script(network()), torch.jit.trace(network(), images())):
            buffer = io.BytesIO()
            torch.jit.save(script, buffer)
            seeds.append(buffer.getvalue())
    return _program_subject("m.pt", seeds)


def prepare_pt2(home: Path) -> Subject:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        program = torch.export.export(network(), (images(),), dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(program, buffer)
    return _program_subject("m.pt2", [buffer.getvalue()])


# --- guard folder ---

RECORD, TENSORS = "detector.json", "detector.safetensors"


def prepare_guard(home: Path) -> Subject:
    """Folders of several detectors, damaged and, in most mutants, signed again."""
    (home / "w.safetensors").write_bytes(save(network().state_dict()))
    model = {"factory": FACTORY, "weights": str(home / "w.safetensors"), "channels": 1}
    data = {"path": "phantom:chest_xray", "count": 30, "pixels": PIXELS}
    plan = make_plan(
        {"model": model | {"head": "softmax"}, "data": data, "detection": {"passes": 2}}
    )
    assert plan.model is not None
    classifier = load_classifier(**loader_arguments(plan.model, "classification"))
    seeds = []
    for name in ("MaxSoftmax", "KernelDensity", "Mahalanobis", "LID", "BayesianUncertainty"):
        fit_detector(plan, name, device="cpu").save(home / name)
        seeds.append({file: (home / name / file).read_bytes() for file in (RECORD, TENSORS)})

    def use(folder: Path) -> None:
        guard = Guard(classifier, folder, device="cpu")
        seen = guard(images())
        promise(seen.score.shape == seen.flagged.shape == (2,), "another number of scores")
        promise(bool((seen.prediction < len(guard.classes)).all()), "no class of that number")

    return Subject(seeds, _damage_guard, use)


def _damage_guard(files: Files, rng: random.Random) -> Files:
    record, tensors = files[RECORD], files[TENSORS]
    kind = rng.randrange(10)
    if kind == 0:
        return {RECORD: mutate_bytes(record, rng, head=len(record)), TENSORS: tensors}
    if kind == 1:
        return {RECORD: record, TENSORS: mutate_bytes(tensors, rng)}
    if kind == 2:
        return dict([rng.choice(list(files.items()))])
    body = json.loads(record)
    if kind <= 5:
        tensors = (
            damage_safetensors(tensors, rng) if rng.random() < 0.7 else mutate_bytes(tensors, rng)
        )
    if kind >= 5:
        body = mutate_tree(body, rng)
    return {RECORD: _signed(body, tensors), TENSORS: tensors}


def _signed(body: dict[str, Any], tensors: bytes) -> bytes:
    """As who forges a record would sign it."""
    body = {k: v for k, v in body.items() if k != "sha256"}
    if "tensors_sha256" in body:
        body["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return json.dumps({**body, "sha256": digest}).encode()


# --- trained folder ---

TEXTS = {"plan.toml": tomllib.loads, "recipe.toml": tomllib.loads, "model.json": json.loads}


def prepare_trained(home: Path) -> Subject:
    """A folder that `robust train` wrote in one epoch."""
    recipe = make_recipe(
        {
            "data": {"path": "phantom:dermoscopy", "count": 12, "pixels": 32},
            "network": {
                "architecture": "timm:test_efficientnet",
                "pretrained": False,
                "head": "ma2021",
                "hidden": 4,
                "size": 32,
                "mean": 0.5,
                "std": 0.25,
            },
            "training": {"epochs": 1, "batch": 8},
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train_model(recipe, home / "model", device="cpu", progress=False)
    names = ("model.json", "model.safetensors", "plan.toml", "recipe.toml", "card.md", "curves.png")
    files = {name: (home / "model" / name).read_bytes() for name in names}
    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))

    def use(folder: Path) -> None:
        """All that reads the folder; what one reader refuses, the next must read or refuse."""
        refused: list[InputError] = []
        readers: tuple[Callable[[], Any], ...] = (
            lambda: check_classifier(load_classifier(folder=folder), x),
            lambda: load_plan(folder),
            lambda: load_recipe(folder / "recipe.toml"),
            lambda: train_model(recipe, folder, device="cpu", progress=False),
        )
        # Without a model.json it would train again.
        for reader in readers if (folder / "model.json").exists() else readers[:3]:
            try:
                reader()
            except InputError as error:
                refused.append(error)
        if refused:
            raise refused[0]

    return Subject([files], _damage_trained, use)


def _damage_trained(files: Files, rng: random.Random) -> Files:
    name = rng.choice((*("model.json", "model.safetensors") * 3, *files))
    if rng.random() < 0.05:
        return {inner: data for inner, data in files.items() if inner != name}
    data = files[name]
    if name == "model.safetensors" and rng.random() < 0.6:
        data = damage_safetensors(data, rng)
    elif name in TEXTS and rng.random() < 0.7:
        tree = mutate_tree(TEXTS[name](data.decode()), rng)
        data = (json.dumps(tree) if name.endswith("json") else dump_toml(tree)).encode()
    else:
        data = mutate_bytes(data, rng, head=max(64, len(data) // 4))
    return files | {name: data}
