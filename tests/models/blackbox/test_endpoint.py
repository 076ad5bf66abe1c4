"""An endpoint answers what its model answers, and whatever goes wrong there is one line."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robust.errors import BlackBoxFailure, InputError
from robust.models import Classifier, load_classifier
from tests.engine.nets import phantoms, trained
from tests.models.blackbox.server import Served, serving


@cache
def images() -> Tensor:
    cases = phantoms(8)
    return torch.stack([cases[i].image for i in range(8)])


@cache
def expected() -> Tensor:
    with torch.no_grad():
        return trained(28)(images())


def loaded(served: Served, **options: Any) -> Classifier:
    given = {"head": "softmax", "endpoint_patience": 0.5, **options}
    return load_classifier(endpoint=served.url, **given)


FORMS: dict[str, tuple[dict[str, Any], float]] = {
    "JSON": ({}, 0.0),
    "binary": ({"binary": True}, 0.0),
    "channels last": ({"layout": "NHWC"}, 0.0),
    "bytes": ({"datatype": "UINT8"}, 1e-5),
    "bytes, channels last, binary": (
        {"datatype": "UINT8", "layout": "NHWC", "binary": True},
        1e-5,
    ),
    "half precision": ({"datatype": "FP16", "binary": True}, 2e-3),
    "batches of three": ({"batch": 3}, 1e-5),
    "no axis for a batch": ({"batched": False}, 1e-5),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_input_gives_the_same_answers(form: str) -> None:
    """The phantoms are 8-bit images, so that bytes lose nothing."""
    switches, tolerance = FORMS[form]
    with serving(trained(28), **switches) as served:
        classifier = loaded(served)
        assert torch.allclose(classifier(images()), expected(), atol=tolerance, rtol=0)
    assert classifier.channels == 1 and classifier.size == (28, 28)
    queries = classifier.origin.queries
    assert queries is not None and sum(queries.answered.values()) == 8
    assert not classifier.origin.differentiable


def test_bytes_arrive_rounded() -> None:
    with serving(trained(28), datatype="UINT8", binary=True) as served:
        classifier = loaded(served)
        classifier((images() + 0.4 / 255).clamp(0, 1))
        assert served.images[0].dtype == np.uint8
        assert np.array_equal(served.images[0], (images() * 255).round().numpy())
    assert classifier.origin.grey_levels == 256
    assert any("256 grey levels" in note for note in classifier.origin.notes)


def test_grey_images_become_colour_and_large_ones_are_resized() -> None:
    with serving(torch.nn.Flatten(), channels=3, pixels=4) as served:
        classifier = loaded(served)
        with pytest.raises(BlackBoxFailure):  # 48 scores of a model that declares 2
            classifier(images())
        assert served.images[0].shape == (8, 3, 4, 4)


@pytest.mark.parametrize("labels", ["INT64", "BYTES"])
def test_labels_become_one_hot_rows(labels: str) -> None:
    answers = {"answers": "labels"} if labels == "BYTES" else {}
    with serving(trained(28), labels=labels) as served:
        classifier = loaded(served, outputs=("healthy", "ill"), head="auto", **answers)
        found = classifier(images())
    assert torch.equal(found, torch.nn.functional.one_hot(expected().argmax(1), 2).float())
    assert classifier.origin.answers == "labels" and classifier.head == "softmax"


def test_the_best_classes_of_a_ranking_keep_their_places() -> None:
    with serving(trained(28), labels="classification", softmax=True) as served:
        found = loaded(served, outputs=2, head="probabilities").outputs(images())
    best = expected().softmax(1).max(1)
    assert torch.allclose(found.max(1).values, best.values, atol=1e-6)
    assert torch.equal(found.argmax(1), best.indices) and bool((found.min(1).values == 0).all())


# --- what goes wrong ---

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "rows": ({"wrong": "rows"}, "7 rows for 8 images"),
    "NaN": ({"wrong": "nan"}, "NaN or infinite scores for 1 of 8 images"),
    "an error in a good answer": ({"wrong": "error"}, "ran out of memory"),
    "400": ({"wrong": "400"}, "status 400: no such shape; check size"),
    "500": ({"wrong": "500"}, "status 500: no such shape; fix the server"),
    "no JSON": ({"wrong": "text"}, "it is no JSON"),
    "no outputs": ({"wrong": "outputs"}, "no output 'scores'"),
    "never ready": ({"busy_every": 1}, r"does not answer \(\d tries, the last: status 503\)"),
    "slow": ({"seconds": 0.6}, "no answer within 0.3 s"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_answer_is_one_line_and_no_query(fault: str) -> None:
    switches, said = WRONG[fault]
    with serving(trained(28), **switches) as served:
        timeout = 0.3 if fault == "slow" else 20.0
        classifier = loaded(served, endpoint_timeout=timeout, endpoint_patience=0.4)
        with pytest.raises(BlackBoxFailure, match=said) as raised:
            classifier(images())
    assert "\n" not in str(raised.value)
    queries = classifier.origin.queries
    assert queries is not None and queries.answered == {}


def test_a_busy_server_is_asked_again_and_counts_once() -> None:
    with serving(trained(28), busy_every=2) as served:
        classifier = loaded(served, at_once=1)
        assert torch.allclose(classifier(images()), expected(), atol=1e-5)
        assert served.requests == 15 and served.answered == 8
    queries = classifier.origin.queries
    assert queries is not None and sum(queries.answered.values()) == 8


def test_a_server_that_ends_is_one_line() -> None:
    with serving(trained(28), dies_after=2) as served:
        classifier = loaded(served, at_once=2)
        with pytest.raises(BlackBoxFailure, match="does not answer"):
            classifier(images())
    queries = classifier.origin.queries
    assert queries is not None and sum(queries.answered.values()) == 4


def test_another_version_is_another_model() -> None:
    with serving(trained(28), wrong="version") as served:
        classifier = loaded(served, at_once=1)
        with pytest.raises(BlackBoxFailure, match="version 2 of the model answers in place of 1"):
            classifier(images())


@pytest.mark.parametrize(
    ("switches", "options", "said"),
    [
        ({"ready": False}, {}, "not ready"),
        ({"channels": 5, "layout": "NCHW"}, {}, "does not show where the channels are"),
        ({}, {"size": 32}, "takes images of size"),
        ({}, {"channels": 3}, "takes images of channels 1"),
        ({"datatype": "UINT8"}, {"mean": 0.5}, "takes bytes"),
        ({"datatype": "INT64"}, {}, "takes INT64; images can be sent as FP32, FP16, UINT8"),
        ({"outputs": ("a", "b")}, {}, "2 outputs; choose one with endpoint_output: a, b"),
        ({}, {"endpoint_output": "score"}, "no output 'score'; did you mean scores"),
        ({"labels": "INT64"}, {}, "needs the number of classes"),
        ({"labels": "INT64"}, {"outputs": 2, "threshold": 0.3}, "no probability to set a thres"),
        ({"batch": 4}, {"at_once": 8}, "exactly 4 images at once"),
        ({"token": "Bearer right"}, {}, "refuses access .status 401.*endpoint_token_env"),
        ({"redirect": "http://127.0.0.2:9"}, {}, "redirects to another server .127.0.0.2"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_image_is_sent(
    switches: dict[str, Any], options: dict[str, Any], said: str
) -> None:
    with serving(trained(28), **switches) as served:
        with pytest.raises(InputError, match=said):
            loaded(served, **options)
        assert served.requests == 0


def test_a_redirect_on_the_same_server_is_followed() -> None:
    with serving(trained(28)) as served:
        served.switches.redirect = f"http://127.0.0.1:{served.port}"
        with pytest.raises(BlackBoxFailure, match="redirects its requests"):  # in a circle
            loaded(served)


def test_nobody_listens() -> None:
    with serving(trained(28)) as served:
        url = served.url
    with pytest.raises(BlackBoxFailure, match=r"does not answer .* Connection refused"):
        load_classifier(endpoint=url, endpoint_patience=0.2)


# --- secrets ---


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("ROBUST_TEST_TOKEN", "s3cret-Token")
    with serving(trained(28), token="Bearer s3cret-Token") as served:
        yield served


def test_a_token_comes_from_the_environment_and_goes_with_every_request(guarded: Served) -> None:
    classifier = loaded(guarded, endpoint_token_env="ROBUST_TEST_TOKEN")
    assert torch.allclose(classifier(images()), expected(), atol=1e-5)
    sent = {headers.get("authorization") for headers in guarded.headers}
    assert sent == {"Bearer s3cret-Token"}


def test_a_server_that_echoes_the_token_does_not_bring_it_into_a_message(
    guarded: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = loaded(guarded, endpoint_token_env="ROBUST_TEST_TOKEN")
    guarded.switches.token = "Bearer another"
    with pytest.raises(BlackBoxFailure, match=r"status 401: no access for \*\*\*") as raised:
        classifier(images())
    assert "s3cret" not in str(raised.value)


def test_user_and_query_are_sent_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(trained(28), wrong="500") as served:
        address = served.url.replace("127", "me:pass-w0rd@127") + "?code=hidden"
        classifier = load_classifier(endpoint=address, head="softmax")
        with pytest.raises(BlackBoxFailure) as raised:
            classifier(images())
        assert served.headers[-1]["authorization"].startswith("Basic ")
    assert "w0rd" not in str(raised.value) and "hidden" not in str(raised.value)


def test_a_whole_header_may_stand_in_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUST_TEST_TOKEN", "X-Api-Key: k3y")
    with serving(trained(28)) as served:
        loaded(served, endpoint_token_env="ROBUST_TEST_TOKEN")
        assert {headers.get("x-api-key") for headers in served.headers} == {"k3y"}


def test_two_logins_are_refused(guarded: Served) -> None:
    address = guarded.url.replace("127", "me:pass-w0rd@127")
    with pytest.raises(InputError, match="only one can be sent"):
        load_classifier(endpoint=address, endpoint_token_env="ROBUST_TEST_TOKEN")


@pytest.mark.parametrize(("value", "said"), [("", "is empty"), ("a\nb", "one line")])
def test_a_variable_without_a_token_is_refused(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBUST_TEST_TOKEN", value)
    with pytest.raises(InputError, match=said):
        load_classifier(
            endpoint="http://127.0.0.1:9/v2/models/x/infer", endpoint_token_env="ROBUST_TEST_TOKEN"
        )
