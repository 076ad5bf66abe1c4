"""Addresses of endpoints: what is taken apart, what is refused, and what is never shown."""

from __future__ import annotations

import pytest

from robust.errors import InputError
from robust.plan.endpoints import bare_endpoint, parse_endpoint
from robust.plan.load import make_plan, refuse_code
from robust.plan.public import public_plan

SECRET = "https://me:pass@models.example:8443/v2/models/x/infer?code=abc#top"
BARE = "https://models.example:8443/v2/models/x/infer"


def test_an_address_is_taken_apart() -> None:
    found = parse_endpoint("http://127.0.0.1:8000/serving/v2/models/x/versions/3/infer")
    assert found.model == "http://127.0.0.1:8000/serving/v2/models/x/versions/3"
    assert found.server == "http://127.0.0.1:8000/serving/v2"
    assert found.ready == f"{found.model}/ready" and found.infer == f"{found.model}/infer"
    assert found.loopback and not found.encrypted and not found.login and found.secrets == ()


def test_secrets_go_to_the_server_and_are_known_as_such() -> None:
    found = parse_endpoint(SECRET)
    assert found.infer == "https://me:pass@models.example:8443/v2/models/x/infer?code=abc"
    assert found.shown == BARE and found.encrypted and found.login and not found.loopback
    assert {"code=abc", "abc", "me:pass", "pass", "bWU6cGFzcw=="} == set(found.secrets)
    assert "secrets" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8000/v2/models/x/infer",
        "ftp://host/v2/models/x/infer",
        "http://host/predict",
        "http://host/v2/models/x",
        "http:///v2/models/x/infer",
        "http://host:port/v2/models/x/infer",
        "http://[::1/v2/models/x/infer",
        "",
    ],
)
def test_another_address_is_refused_with_the_form_that_is_right(url: str) -> None:
    with pytest.raises(InputError, match="http://HOST:PORT/v2/models/NAME/infer") as raised:
        parse_endpoint(url)
    assert "\n" not in str(raised.value)


def test_a_refused_address_is_shown_without_its_secrets() -> None:
    with pytest.raises(InputError) as raised:
        parse_endpoint("https://me:pass@models.example/predict?code=abc")
    assert "pass" not in str(raised.value) and "abc" not in str(raised.value)
    assert bare_endpoint("http://[::1") == "(no address)"


def test_a_plan_that_is_handed_on_has_no_secret_and_keeps_its_short_name() -> None:
    plan = make_plan({"model": {"endpoint": SECRET}})
    public = public_plan(plan)
    assert public.model is not None and public.model.endpoint == BARE
    assert plan.short_name() == public.short_name()


def test_the_plan_of_a_folder_may_not_send_images_anywhere() -> None:
    with pytest.raises(
        InputError, match=r"to which all images would be sent.*--endpoint"
    ) as raised:
        refuse_code({"model": {"endpoint": SECRET}}, "run/plan.toml")
    assert "pass" not in str(raised.value)
    surrogate = {"scenarios": {"surrogate": {"endpoint": BARE}}}
    with pytest.raises(InputError, match=r"the scenarios\.surrogate endpoint"):
        refuse_code(surrogate, "run/plan.toml")
