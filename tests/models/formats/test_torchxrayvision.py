"""torchxrayvision: scale, outputs as logits, weights as the library publishes them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from robust.errors import InputError
from robust.models import load_classifier
from robust.models.formats.libraries import in_silence
from tests.models.formats.shared import odd_images, require_sound
from tests.models.nets import Trap

if importlib.util.find_spec("torchxrayvision") is None:
    pytest.skip("torchxrayvision is not installed", allow_module_level=True)
with in_silence():
    import torchxrayvision as xrv

ALL = "densenet121-res224-all"
NIH = "densenet121-res224-nih"


@pytest.fixture(scope="module")
def dense() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return xrv.models.DenseNet().eval()


@pytest.fixture(scope="module")
def files(dense: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The weights alone, and the whole network pickled, as the library publishes it."""
    folder = tmp_path_factory.mktemp("xrv")
    torch.save(dense.state_dict(), folder / "state.pt")
    torch.save(dense, folder / "whole.pt")
    return {name: folder / f"{name}.pt" for name in ("state", "whole")}


def test_outputs_are_logits_on_the_librarys_scale(dense: Any, files: dict[str, Path]) -> None:
    x = odd_images(2, 224, 224)[:, :1]
    own = torch.from_numpy(xrv.utils.normalize((x.numpy() * 255).round(), 255))
    with torch.no_grad():
        wanted = dense(own)
    for name in ("state", "whole"):
        found = load_classifier(f"torchxrayvision:{ALL}", weights=files[name], finding="Pneumonia")
        torch.testing.assert_close(found.network_input(x), own, rtol=0, atol=1e-3)
        with torch.no_grad():
            torch.testing.assert_close(found(x)[:, 1], wanted[:, 8], rtol=1e-3, atol=1e-4)
        assert found.head == "multilabel"
        assert found.output_names == tuple(xrv.models.model_urls[ALL]["labels"])


def test_the_librarys_operating_points_are_off(dense: Any, tmp_path: Path) -> None:
    url = xrv.models.model_urls[ALL]["weights_url"]
    torch.save(dense, tmp_path / url.rpartition("/")[2])
    own = xrv.models.DenseNet(weights=ALL, cache_dir=str(tmp_path) + os.sep)
    torch.save(own.state_dict(), tmp_path / "with_points.pt")  # op_threshs is one of its buffers
    found = load_classifier(
        f"torchxrayvision:{ALL}", weights=tmp_path / "with_points.pt", finding="Mass"
    )
    x = odd_images(1, 224, 224)
    with torch.no_grad():
        shown = own(found.network_input(x))
        logits = found.outputs(x)
        rebuilt = xrv.models.op_norm(torch.sigmoid(logits), own.op_threshs)
    assert not torch.allclose(shown, logits)
    torch.testing.assert_close(rebuilt, shown)


def test_outputs_that_were_not_trained_cannot_be_audited(files: dict[str, Path]) -> None:
    load = lambda finding: load_classifier(  # noqa: E731
        f"torchxrayvision:{NIH}", weights=files["state"], finding=finding
    )
    hernia = load("Hernia")
    assert hernia.finding == 13
    assert "4 of its 18 outputs were not trained" in hernia.origin.notes
    for finding, said in (
        (None, "set finding; there are: Atelectasis"),
        ("", "finding '' is not among the outputs"),
        (14, "output 14 was not trained"),
        ("Lung Lesion", "finding 'Lung Lesion' is not among"),
    ):
        with pytest.raises(InputError, match=said):
            load(finding)


def test_nothing_is_downloaded_without_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xrv.utils, "get_cache_dir", lambda: str(tmp_path / "cache"))
    monkeypatch.setattr("robust.models.formats.torchxrayvision.is_unreachable", lambda _: True)
    said = r"could not be downloaded \(no connection\); .* download https://.*nih.*best.pt, bring"
    with pytest.raises(InputError, match=said):
        load_classifier(f"torchxrayvision:{NIH}", pretrained=True, finding="Mass")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(InputError, match="did you mean densenet121-res224-nih"):
        load_classifier("torchxrayvision:densenet121-res24-nih", pretrained=True)
    with pytest.raises(InputError, match="it has neither"):
        load_classifier(f"torchxrayvision:{NIH}")


def test_a_pickle_of_any_other_kind_is_not_opened(tmp_path: Path) -> None:
    torch.save({"trap": Trap(tmp_path / "sprung")}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="could run any code"):
        load_classifier(f"torchxrayvision:{ALL}", weights=tmp_path / "w.pt", finding="Mass")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.slow
def test_gradients_and_the_network_of_512_pixels(files: dict[str, Path], tmp_path: Path) -> None:
    load = lambda: load_classifier(  # noqa: E731
        f"torchxrayvision:{ALL}", weights=files["state"], finding="Pneumonia"
    )
    require_sound(load, odd_images(2, 224, 224))
    import torchvision.models

    residual = torchvision.models.resnet50(num_classes=18)
    residual.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    name = "resnet50-res512-all"
    place = tmp_path / xrv.models.model_urls[name]["weights_url"].rpartition("/")[2]
    torch.save(residual.state_dict(), place)
    own = xrv.models.ResNet(weights=name, cache_dir=str(tmp_path) + os.sep)
    found = load_classifier(f"torchxrayvision:{name}", weights=place, finding="Mass")
    x = odd_images(1, 512, 512)
    with torch.no_grad():
        pixels = found.network_input(x)
        assert pixels.shape == (1, 1, 512, 512)
        shown = xrv.models.op_norm(torch.sigmoid(found.outputs(x)), own.op_threshs)
        torch.testing.assert_close(shown, own(pixels))
