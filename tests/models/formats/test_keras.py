"""Keras files: the outputs of Keras itself with true gradients, and no code of a file runs."""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from robust.cases import open_cases
from robust.errors import InputError
from robust.models import Classifier, load_classifier, prepare, weights_hash
from tests.models.formats.keras_files import as_keras_2, h5py, keras, tiny, with_configuration


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny()` as Keras 3 archive, as HDF5 of Keras 3, and as HDF5 of Keras 2."""
    place: Path = tmp_path_factory.mktemp("keras")
    model = tiny()
    model.save(place / "new.keras")
    model.save(place / "new.h5")
    model.save_weights(place / "alone.weights.h5")
    as_keras_2(place / "new.h5", place / "old.h5")
    return place


def predicted(x: torch.Tensor, model: Any = None) -> torch.Tensor:
    found = (model or tiny()).predict(x.permute(0, 2, 3, 1).numpy(), verbose=0)
    return torch.from_numpy(np.array(found))


def images(n: int = 8, side: int = 16) -> torch.Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(5))


def gradient_error(classifier: Classifier, x: torch.Tensor, step: float = 1e-6) -> float:
    """Median relative error of gradients against central differences on 16 random directions."""
    draw, errors = torch.Generator().manual_seed(0), []
    classifier, x = copy.deepcopy(classifier).double(), x.double()

    def value(z: torch.Tensor) -> torch.Tensor:
        return classifier(z)[:, 0] - classifier(z)[:, 1]

    for _ in range(-(-16 // len(x))):
        d = (torch.rand(x.shape, generator=draw) < 0.5).double() * 2 - 1
        z = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(value(z).sum(), z)
        with torch.no_grad():
            measured = (value(x + step * d) - value(x - step * d)) / (2 * step)
        told = (gradient * d).flatten(1).sum(1)
        errors.append((measured - told).abs() / measured.abs())
    return float(torch.cat(errors).median())


@pytest.mark.parametrize("name", ["new.keras", "new.h5", "old.h5"])
def test_a_file_answers_as_keras_does_with_true_gradients(folder: Path, name: str) -> None:
    classifier = load_classifier(file=folder / name)
    assert classifier.size == (16, 16) and classifier.channels == 3
    assert ("Keras 2" in classifier.origin.format) == (name == "old.h5")
    x = images()
    ready = prepare(classifier, images=x)
    assert ready.head == "probabilities"
    assert not any(p.requires_grad for p in ready.parameters())
    with torch.no_grad():
        torch.testing.assert_close(ready.outputs(x), predicted(x), atol=1e-6, rtol=1e-5)
    assert classifier.origin.native is not None
    torch.testing.assert_close(classifier.origin.native(x), predicted(x), atol=1e-6, rtol=1e-5)
    assert gradient_error(ready, x) < 1e-5
    assert weights_hash(ready) == weights_hash(classifier)


def test_layers_run_as_in_inference_whatever_the_mode_is(folder: Path) -> None:
    classifier = load_classifier(file=folder / "new.keras")
    x = images()
    wanted = classifier.network(x)
    classifier.train()
    torch.testing.assert_close(classifier.network(x), wanted)
    torch.testing.assert_close(classifier.network(x[:1]), wanted[:1])


def test_a_copy_computes_in_the_type_of_its_weights(folder: Path) -> None:
    network = load_classifier(file=folder / "old.h5").network
    x = images()
    for kind in (torch.float16, torch.bfloat16):
        half = copy.deepcopy(network).to(kind)
        found = half(x.to(kind))
        assert found.dtype == kind
        assert 0 < (found.float() - network(x)).abs().max() < 1e-2
        torch.testing.assert_close(copy.deepcopy(half)(x.to(kind)), found)
    exact = copy.deepcopy(network).double()
    found = exact(x.double())
    assert 0 < (found - network(x)).abs().max() < 1e-6
    one = x.double().requires_grad_()
    (gradient,) = torch.autograd.grad(exact(one)[0, 0], one)
    step = torch.randn(
        gradient.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        ahead, behind = (exact(x.double() + s * 1e-6 * step)[0, 0] for s in (1, -1))
    assert float((ahead - behind) / 2e-6) == pytest.approx(float((gradient * step).sum()), rel=1e-6)
    torch.testing.assert_close(network(x), predicted(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "first",
    [
        lambda: keras.layers.Rescaling(1 / 255),
        lambda: keras.layers.Rescaling(1 / 127.5, offset=-1),
        lambda: keras.layers.Normalization(mean=[120, 110, 100], variance=[900, 900, 900]),
    ],
)
def test_a_layer_that_scales_grey_levels_is_given_them(
    tmp_path: Path, first: Callable[[], Any]
) -> None:
    model = tiny(3, 16, keras.layers.RandomFlip(), first())
    model.save(tmp_path / "levels.keras")
    x = images()
    classifier = load_classifier(file=tmp_path / "levels.keras", head="probabilities")
    torch.testing.assert_close(
        classifier.outputs(x), predicted(255 * x, model), atol=1e-5, rtol=1e-4
    )
    assert "grey levels" in classifier.origin.notes[0]
    own = load_classifier(file=tmp_path / "levels.keras", std=1.0)
    torch.testing.assert_close(own.outputs(x), predicted(x, model), atol=1e-5, rtol=1e-4)


def test_a_layer_that_scales_the_unit_interval_changes_nothing(tmp_path: Path) -> None:
    model = tiny(3, 16, keras.layers.Rescaling(2, offset=-1))
    model.save(tmp_path / "unit.keras")
    x = images()
    found = load_classifier(file=tmp_path / "unit.keras").outputs(x)
    torch.testing.assert_close(found, predicted(x, model), atol=1e-6, rtol=1e-5)


def refused(file: Path, *said: str) -> None:
    with pytest.raises(InputError) as error:
        load_classifier(file=file)
    for text in said:
        assert text in str(error.value)
    assert "\n" not in str(error.value)


def test_a_lambda_layer_never_runs(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    for name in ("lambda.keras", "lambda.h5"):
        code = eval(f"lambda x: (open({str(trap)!r}, 'w').close(), x)[1]")
        tiny(3, 16, keras.layers.Lambda(code, output_shape=(16, 16, 3))).save(tmp_path / name)
        trap.unlink(missing_ok=True)
        refused(tmp_path / name, "code of its maker, Lambda", "refused", "tf2onnx")
        assert not trap.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"module": "os", "class_name": "system", "config": "touch ran"},
        {"module": None, "class_name": "Mine", "config": {}, "registered_name": "Mine>Mine"},
        {"module": "keras.layers", "class_name": "Mine", "registered_name": "pack>Mine"},
        {"module": "keras.src.utils.file_utils", "class_name": "get_file", "config": {}},
    ],
)
def test_what_is_not_of_keras_is_refused_and_not_imported(
    folder: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    def put(configuration: dict[str, Any]) -> None:
        configuration["config"]["layers"].append(change)

    file = with_configuration(folder / "new.keras", tmp_path / "code.keras", put)
    refused(file, "needs code of its maker", "refused")


def test_a_loss_of_the_makers_own_is_no_code_of_the_network(tmp_path: Path) -> None:
    @keras.saving.register_keras_serializable("maker")
    def dice(y: Any, p: Any) -> Any:
        return keras.ops.mean(y * p)

    model = tiny()
    model.compile(loss=dice, metrics=[dice])
    for name in ("loss.keras", "loss.h5"):
        model.save(tmp_path / name)
        assert load_classifier(file=tmp_path / name).outputs(images()).shape == (8, 3)


def test_a_call_of_tensorflow_is_refused_with_the_route(folder: Path, tmp_path: Path) -> None:
    with h5py.File(folder / "old.h5") as old, h5py.File(tmp_path / "tf.h5", "w") as new:
        text = old.attrs["model_config"]
        call = '{"class_name": "TFOpLambda", "config": {"name": "tf.math.truediv"}}, '
        new.attrs["model_config"] = text.replace(
            '{"class_name": "InputLayer"', call + '{"class_name": "InputLayer"', 1
        )
    refused(tmp_path / "tf.h5", "calls TensorFlow", "tf.math.truediv", "tf2onnx")


def test_weights_alone_are_refused_with_the_reason(folder: Path) -> None:
    refused(folder / "alone.weights.h5", "holds no network", "no model_config", "model.save(")
    with pytest.raises(InputError, match=r"an HDF5 file as Keras writes it.*give it as file"):
        load_classifier("resnet18", weights=folder / "old.h5")


def test_more_weights_than_the_file_holds_are_never_made(folder: Path, tmp_path: Path) -> None:
    def grow(configuration: dict[str, Any]) -> None:
        head = configuration["config"]["layers"][-1]
        head["config"]["units"] = 10**12

    file = with_configuration(folder / "new.keras", tmp_path / "large.keras", grow)
    refused(file, "weights, the file holds")


def test_an_hdf5_bomb_and_links_out_of_a_file_are_refused(folder: Path, tmp_path: Path) -> None:
    def changed(name: str) -> Any:
        (tmp_path / name).write_bytes((folder / "old.h5").read_bytes())
        return h5py.File(tmp_path / name, "a")

    with changed("bomb.h5") as file:
        file.create_dataset("zeros", (1 << 30,), "f4", compression="gzip", chunks=(1 << 20,))
    refused(tmp_path / "bomb.h5", "more than 64 MiB")
    with changed("link.h5") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    refused(tmp_path / "link.h5", "is a link elsewhere")
    with changed("outside.h5") as file:
        file.create_dataset("outside", (10,), "u1", external=[("/etc/passwd", 0, 10)])
    refused(tmp_path / "outside.h5", "lie in another file")


def test_a_damaged_archive_is_refused(folder: Path, tmp_path: Path) -> None:
    content = (folder / "new.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "cut.keras", "is damaged")
    (tmp_path / "text.keras").write_text("hello", encoding="utf-8")
    refused(tmp_path / "text.keras", "no Keras archive")
    (tmp_path / "text.h5").write_text("hello", encoding="utf-8")
    refused(tmp_path / "text.h5", "no HDF5 file")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    refused(tmp_path / "other.keras", "holds no model.weights.h5")


def test_networks_for_segmentation_are_refused_by_what_they_answer(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 1))
    mask = keras.layers.Conv2D(4, 3, padding="same", activation="softmax")(image)
    keras.Model(image, mask).save(tmp_path / "miscnn.hdf5")
    refused(tmp_path / "miscnn.hdf5", "segmentation, as MIScnn writes them", "head")
    volume = keras.Input((8, 8, 8, 1))
    keras.Model(volume, keras.layers.Conv3D(2, 1)(volume)).save(tmp_path / "volume.hdf5")
    refused(tmp_path / "volume.hdf5", "segmentation, as MIScnn writes them")


def test_several_outputs_are_refused(tmp_path: Path) -> None:
    image = keras.Input((16, 16, 1))
    flat = keras.layers.Flatten()(image)
    ends = [keras.layers.Dense(2)(flat), keras.layers.Dense(3)(flat)]
    keras.Model(image, ends).save(tmp_path / "two.keras")
    refused(tmp_path / "two.keras", "has 2 outputs")


@pytest.mark.parametrize("count", [64, pytest.param(400, marks=pytest.mark.slow)])
def test_a_grades_network_of_a_third_party_reaches_its_accuracy(data: Path, count: int) -> None:
    file = data / "models_more" / "classifiers" / "retinamnist64_cnn.keras"
    classifier = load_classifier(file=file, interpolation="bilinear")
    arrays = np.load(data / "medmnist" / "retinamnist.npz")
    x = torch.from_numpy(arrays["test_images"][:count]).permute(0, 3, 1, 2).float() / 255
    ready = prepare(classifier, images=x[:32])
    assert ready.head == "probabilities"
    with torch.no_grad():
        said = ready(x).argmax(1)
    right = said.numpy() == arrays["test_labels"][:count].ravel()
    # On all images its makers' accuracy; on fewer, within three standard errors of it.
    within = 0.01 if count == 400 else 3 * (0.25 / count) ** 0.5
    assert right.mean() == pytest.approx(0.53, abs=within)
    assert set(said.tolist()) == {0, 2, 3}
    noise = torch.rand(16, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    assert gradient_error(ready, 0.4 * x[:16] + 0.5 * noise) < 1e-3  # black areas are kinks


@pytest.mark.slow
def test_a_covid_network_of_keras_2_reaches_its_scores(data: Path) -> None:
    file = data / "models_more" / "classifiers" / "covid_xray_mobilenetv2.h5"
    ready = load_classifier(file=file, mean=0.5, std=0.5, head="probabilities")
    cases = open_cases(data / "chest_xray", split="test")
    shown = [torch.as_tensor(case.image) for case in cases.stream(range(len(cases)))]  # type: ignore[union-attr]
    with torch.no_grad():
        p = torch.cat([ready.outputs(x) for x in torch.stack(shown).float().split(32)])
    ill = np.array([entry.label for entry in cases.entries]) == 1
    said = p.argmax(1).numpy() != 1
    assert roc_auc_score(ill, 1 - p[:, 1]) == pytest.approx(0.920, abs=0.001)
    assert said[ill].mean() == 1
    assert 1 - said[~ill].mean() == pytest.approx(0.18, abs=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "DenseNet121", "MobileNetV2"])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_networks_of_keras_applications(tmp_path: Path, name: str, suffix: str) -> None:
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(weights=None, classes=4)
    file = tmp_path / f"{name}{suffix}"
    model.save(file)
    if suffix == ".h5":
        file = as_keras_2(file, tmp_path / "old.h5")
    x = images(2, 224)
    classifier = load_classifier(file=file)
    assert classifier.size == (224, 224)
    with torch.no_grad():
        torch.testing.assert_close(classifier.outputs(x), predicted(x, model), atol=1e-6, rtol=1e-5)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.outputs(x)[:, 0].sum(), x)
    assert gradient.isfinite().all() and gradient.abs().max() > 0
