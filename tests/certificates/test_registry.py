"""Certificates by name: every one keeps the contract, and mistakes in a plan are said."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
from typing import Any

import pytest

from robust.certificates.registry import CERTIFICATES, certificate_labels, make_certificate
from robust.errors import InputError
from robust.plan.spec import CertificateSpec


def spec(name: str = "RandomizedSmoothing", **fields: Any) -> CertificateSpec:
    return CertificateSpec.model_validate({"name": name, **fields})


@pytest.mark.parametrize("name", CERTIFICATES)
def test_every_certificate_keeps_the_contract(name: str) -> None:
    kind = CERTIFICATES[name]
    assert dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    certificate = make_certificate(spec(name))
    assert certificate.norm in ("Linf", "L2")
    assert certificate.function in ("network", "smoothed")
    assert certificate.alpha is None or 0 < certificate.alpha < 1
    assert certificate.cap is None or 0 < certificate.cap < math.inf
    assert certificate.passes > 0
    assert (certificate.function == "smoothed") == (certificate.alpha is not None)
    assert kind.__doc__ and not kind.__doc__.startswith(f"{name}(")
    idea = (sys.modules[kind.__module__].__doc__ or "").splitlines()[0]
    assert any(mark in idea for mark in (" 20", "19")) and idea.endswith(".")
    source = inspect.getsource(kind)
    for field in dataclasses.fields(kind):
        assert f"    {field.name}: " in source


def test_the_fields_of_a_plan_are_those_of_the_certificate() -> None:
    made: Any = make_certificate(spec(sigma=0.5, n=100, cases=7, eps=["1/255"], label="mine"))
    assert (made.sigma, made.n, made.n0) == (0.5, 100, 100)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "RandomisedSmoothing"}, "did you mean RandomizedSmoothing"),
        ({"name": "mine:Certificate"}, "unknown certificate 'mine:Certificate'; there are"),
        ({"sigmas": 0.5}, "RandomizedSmoothing has no field 'sigmas'; did you mean sigma"),
        ({"sigma": "much"}, "RandomizedSmoothing: sigma "),
        ({"sigma": -1.0}, "sigma must be above 0, not -1"),
        ({"n": 1.5}, "RandomizedSmoothing: n "),
        ({"n": 3}, "take at least 10"),
        ({"alpha": 2, "label": "mine"}, "mine: alpha is a probability"),
    ],
)
def test_mistakes_are_said_in_one_line(table: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_certificate(spec(**table))
    text = str(caught.value)
    assert text.startswith("[[certificates]] ") and "\n" not in text


def test_two_of_one_name_need_labels() -> None:
    assert certificate_labels([spec(), spec(label="wide")]) == ["RandomizedSmoothing", "wide"]
    with pytest.raises(InputError, match="two certificates would be called 'RandomizedSmoothing'"):
        certificate_labels([spec(), spec()])
