"""Phantoms: the same bytes from the same seed, the same anatomy at every size, a local finding."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from robust.cases.phantoms.canvas import Field, brush, discs, noise
from robust.cases.phantoms.draw import CLASSES, FINDINGS, MODALITIES, phantom

Images = npt.NDArray[np.uint8]

each_modality = pytest.mark.parametrize("modality", MODALITIES)


@pytest.fixture(scope="module")
def samples() -> dict[str, tuple[list[Images], npt.NDArray[np.int64]]]:
    """120 images of 120 patients for each modality, every other one with the finding."""
    labels = np.arange(120) % 2
    return {
        m: ([phantom(m, bool(y), i, 64) for i, y in enumerate(labels)], labels) for m in CLASSES
    }


def test_names_agree() -> None:
    assert tuple(CLASSES) == MODALITIES == tuple(FINDINGS)
    assert all(CLASSES[m][1] == FINDINGS[m] != CLASSES[m][0] for m in MODALITIES)


@each_modality
@pytest.mark.parametrize("size", [28, 33, 64, 224])
def test_shape_type_and_range(modality: str, size: int) -> None:
    image = phantom(modality, True, 3, size)
    assert image.dtype == np.uint8
    assert image.shape == ((size, size) if modality == "chest_xray" else (size, size, 3))
    assert np.ptp(image) > 100, "the image uses too little of the grey scale to show anything"


@pytest.mark.parametrize(
    "modality",
    [m if m == "chest_xray" else pytest.param(m, marks=pytest.mark.slow) for m in MODALITIES],
)
def test_largest_size_is_drawn(modality: str) -> None:
    assert phantom(modality, True, 0, 1024).shape[:2] == (1024, 1024)


@each_modality
@pytest.mark.parametrize("finding", [False, True])
def test_same_arguments_same_bytes(modality: str, finding: bool) -> None:
    first = phantom(modality, finding, 5, 64)
    np.testing.assert_array_equal(first, phantom(modality, finding, 5, 64))
    assert np.mean(first != phantom(modality, finding, 6, 64)) > 0.5


@each_modality
def test_global_random_state_is_neither_read_nor_moved(modality: str) -> None:
    np.random.seed(0)
    before = np.random.get_state(legacy=False)
    first = phantom(modality, True, 1, 32)
    np.testing.assert_equal(np.random.get_state(legacy=False), before)
    np.random.seed(1)
    np.testing.assert_array_equal(first, phantom(modality, True, 1, 32))


@each_modality
@pytest.mark.parametrize("finding", [False, True])
def test_same_anatomy_at_every_size(modality: str, finding: bool) -> None:
    seeds = range(6)
    small = np.stack([phantom(modality, finding, s, 64) for s in seeds]).astype(float)
    large = np.stack([_shrink(phantom(modality, finding, s, 224), 64) for s in seeds])
    # What all patients share would correlate whatever the seed: only the differences count.
    small, large = small - small.mean(0), large - large.mean(0)
    match = np.corrcoef(small.reshape(6, -1), large.reshape(6, -1))[:6, 6:]
    assert np.diag(match).min() > 0.9
    assert (match - 2.0 * np.eye(6)).max() < 0.7, "another patient fits as well"


@each_modality
def test_finding_changes_a_part_and_leaves_the_rest(modality: str) -> None:
    for seed in range(12):
        without, with_it = (phantom(modality, f, seed, 96).astype(int) for f in (False, True))
        change = np.abs(with_it - without).reshape(96, 96, -1).max(2)
        assert 0.001 < np.mean(change > 8) < 0.5, f"seed {seed}"
        corners = change[[0, 0, -1, -1], [0, -1, 0, -1]]
        np.testing.assert_array_equal(corners, 0, err_msg=f"seed {seed}")


@each_modality
def test_global_statistics_do_not_tell(
    modality: str, samples: dict[str, tuple[list[Images], npt.NDArray[np.int64]]]
) -> None:
    images, labels = samples[modality]
    for statistic in (np.mean, np.std, np.median):
        auc = roc_auc_score(labels, [statistic(image) for image in images])
        assert 0.3 < auc < 0.7, statistic.__name__


@each_modality
def test_local_features_do_tell(
    modality: str, samples: dict[str, tuple[list[Images], npt.NDArray[np.int64]]]
) -> None:
    images, labels = samples[modality]
    features = np.stack([_local_features(image) for image in images])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    scores = cross_val_predict(model, features, labels, cv=5, method="decision_function")
    assert roc_auc_score(labels, scores) > 0.75
    shuffled = np.random.default_rng(0).permutation(labels)
    scores = cross_val_predict(model, features, shuffled, cv=5, method="decision_function")
    assert roc_auc_score(shuffled, scores) < 0.7, "the features fit labels that mean nothing"


def test_errors_say_what_which_and_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"unknown modality 'chest_xay'.*chest_xray.*dermoscopy"):
        phantom("chest_xay", False, 0)
    with pytest.raises(ValueError, match=r"size 27 .* at least 28"):
        phantom("fundus", False, 0, 27)
    with pytest.raises(ValueError, match=r"seed -1 .* positive"):
        phantom("fundus", False, -1)


@pytest.mark.parametrize("size", [28, 64, 224])
def test_strokes_and_discs_cover_their_area_at_every_size(size: int) -> None:
    path = np.array([[[0.2, 0.3], [0.5, 0.4], [0.8, 0.35]]])
    length = np.hypot(0.3, 0.1) + np.hypot(0.3, 0.05)
    for width in (0.002, 0.05):
        ink = brush(size, path, np.full((1, 3), width)).mean()
        np.testing.assert_allclose(ink, length * width, rtol=1e-6)
    centres = np.array([[0.31, 0.33], [0.7, 0.62]])
    for radius in (0.005, 0.1):
        cover = discs(size, centres, np.full(2, radius), np.zeros((size, size)))
        assert cover.max() <= 1.0
        np.testing.assert_allclose(cover.mean(), 2.0 * np.pi * radius**2, rtol=0.4)


def test_strokes_outside_the_image_leave_no_mark() -> None:
    path = np.array([[[-0.5, -0.2], [1.5, -0.1]]])
    np.testing.assert_array_equal(brush(32, path, np.full((1, 2), 0.05)), 0.0)


def test_noise_has_unit_variance() -> None:
    fields = np.stack([noise(np.random.default_rng(s), 64, 8) for s in range(40)])
    np.testing.assert_allclose(fields.var(), 1.0, atol=0.1)
    np.testing.assert_allclose(fields[:, :4].var(), 1.0, atol=0.3)


def _shrink(image: Images, size: int) -> Field:
    resized = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(resized, dtype=np.float64)


def _local_features(image: Images) -> Field:
    """Spread of local brightness over both lungs; for colours, of fine detail and of hue."""
    light = np.log(image.astype(float) + 8.0)
    size = len(light)
    if image.ndim == 2:
        blurred = gaussian_filter(light, 0.03 * size)
        rows, columns = slice(size // 5, 2 * size // 3), slice(size // 7, size // 3)
        lungs = np.stack([blurred[rows, columns], blurred[:, ::-1][rows, columns]])
        spread = np.percentile(lungs, (0, 10, 25, 75, 90, 100)) - np.median(lungs)
        return np.append(spread, np.ptp(np.median(lungs, axis=(1, 2))))
    middle = light[size // 8 : -size // 8, size // 8 : -size // 8]
    red, green, blue = np.moveaxis(middle, 2, 0)
    parts = [red, green, blue, red - green, red - blue]
    details = [gaussian_filter(p, 0.7) - gaussian_filter(p, 3.0) for p in parts]
    return np.concatenate([np.percentile(d, (1, 5, 25, 75, 95, 99)) for d in details])
