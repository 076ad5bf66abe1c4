"""The registry: every loader is there, and folders that nothing fits are refused."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.models import load_classifier
from robust.models.formats import registry


@pytest.mark.parametrize("table", ["FILES", "LIBRARIES", "FOLDERS"])
def test_every_loader_is_there(table: str) -> None:
    for where in getattr(registry, table).values():
        module, _, function = where.partition(":")
        found = importlib.import_module(f"robust.models.formats.{module}")
        assert callable(getattr(found, function))


def test_the_prefix_decides() -> None:
    for name, prefix in (
        ("hf:a/b", "hf"),
        ("timm:hf-hub:a/b", "timm:hf-hub"),
        ("hf-hub:a/b", "hf-hub"),
        ("timm:resnet18", None),
        ("torchvision:resnet18", None),
        ("open_clip:hf-hub:a/b", "open_clip"),
        ("resnet18", None),
    ):
        assert registry.prefix_of(name) == prefix


def test_a_folder_of_no_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no model.json .*no config.json .*; name a folder"):
        load_classifier(folder=tmp_path)
    for content, said in (
        ("[]", "holds no table"),
        ("{", "is not valid JSON"),
        ("{}", "names neither a model_type"),
    ):
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=said):
            load_classifier(folder=tmp_path)


def test_a_library_that_is_missing_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for module, name in (("torchxrayvision", "torchxrayvision:all"), ("open_clip", "open_clip:a")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=r"pip install 'robust-audit\["):
            load_classifier(name, weights="w.pt", prompts=["a", "b"])
